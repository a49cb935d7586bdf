// What must hold of the system whatever the numbers are: the cases of the torture set that are properties.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "ad/grad.h"
#include "cases.h"
#include "jit/jit.h"
#include "models/cell.h"
#include "models/lstm.h"
#include "op_cases.h"
#include "ops/call.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"

using namespace tapeloop;
using tapeloop::testing::op_cases;

namespace {

constexpr Dtype f64 = Dtype::f64;

Tensor row(std::vector<double> values) { return Tensor::of(values, {std::int64_t(values.size())}); }
std::vector<double> numbers(const Tensor& t) { return t.to_vector<double>(); }

void new_sizes() {
  auto f = jit([](const Tensor& x) { return sum(x * x) / extent(x.size(0), f64); });
  CHECK(f(row({1, 2, 3})).item<double>() == 14.0 / 3);
  CHECK(f(row({1, 2, 3, 4, 5})).item<double>() == 11);
  auto fixed = jit([](const Tensor& x) { return x * double(int(x.size(0))); });  // the code asks for the number
  CHECK(numbers(fixed(row({1, 2, 3}))) == std::vector<double>{3, 6, 9});
  CHECK(numbers(fixed(row({1, 2, 3, 4, 5}))) == std::vector<double>{5, 10, 15, 20, 25});
}

void new_dtype() {
  auto f = jit([](const Tensor& x) { return x / 3; });
  CHECK(f(row({1})).item<double>() == 1.0 / 3);
  const Tensor y = f(Tensor::of(std::vector<float>{1}, {1}));
  CHECK(y.dtype() == Dtype::f32);
  CHECK(y.item<float>() == 1.0F / 3);
}

// A captured number is frozen when the program is first recorded, and checking finds that it has changed. What varies is an
// argument: a number among the arguments makes another program, a scalar tensor does not even that.
void changed_constant() {
  double k = 2;
  auto captured = jit([&](const Tensor& x) { return x * k; });
  CHECK(captured(row({1})).item<double>() == 2);
  k = 3;
  Options o = options();
  o.check = true;
  {
    const ScopedOptions check(o);
    CHECK_THROWS_WITH_AS(captured(row({1})), doctest::Contains("a captured variable has changed"), Error);
  }
  auto given = jit([](const Tensor& x, double by) { return x * by; });
  CHECK(given(row({1}), 2.0).item<double>() == 2);
  CHECK(given(row({1}), 3.0).item<double>() == 3);
  auto anew = [&] { return jit([k](const Tensor& x) { return x * k; })(row({1})).item<double>(); };
  CHECK(anew() == 3);
}

void other_gradients() {
  auto f = [](const Tensor& a, const Tensor& b) { return sum(a * b * b); };
  auto of_a = jit(grad<0>(f));
  auto of_b = jit(grad<1>(f));
  auto both = jit(grad<0, 1>(f));
  const Tensor a = row({2}), b = row({3});
  CHECK(of_a(a, b).item<double>() == 9);
  CHECK(of_b(a, b).item<double>() == 12);
  const auto [ga, gb] = both(a, b);
  CHECK(ga.item<double>() == 9);
  CHECK(gb.item<double>() == 12);
}

void exception_between() {
  auto loss = [](const Tensor& x, bool fails) {
    const Tensor y = x * x;
    if (fails) throw std::runtime_error("in the middle of a recording");
    return sum(y);
  };
  auto step = jit([&](const Tensor& x, bool fails) { return grad(loss)(x, fails); });
  for (int round = 0; round < 2; ++round) {
    CHECK_THROWS_WITH(grad(loss)(row({3}), true), "in the middle of a recording");
    CHECK_THROWS_WITH(step(row({3}), true), "in the middle of a recording");
    CHECK(grad(loss)(row({3}), false).item<double>() == 6);
    CHECK(step(row({3}), false).item<double>() == 6);
  }
}

void nested() {
  auto inner = [](const Tensor& x) { return sum(x * x * x); };
  auto penalty = [&](const Tensor& x) { return sum(square(grad(inner)(x))); };  // 9x⁴
  CHECK(grad(penalty)(row({2})).item<double>() == 36 * 8);
  CHECK(jit(grad(penalty))(row({2})).item<double>() == 36 * 8);
  // Its own inner variable, and the outer one used inside.
  auto outer = [](const Tensor& x) { return sum(x * grad([&](const Tensor& y) { return sum(x * y); })(x)); };
  CHECK(grad(outer)(row({3})).item<double>() == 6);
}

void freed_input() {
  auto make = [] {
    Tensor x = row({1, 2, 3});
    auto result = vjp([](const Tensor& t) { return t * t; })(x);
    x = Tensor();
    return result;
  };
  auto [y, pull] = make();
  for (int i = 0; i < 20; ++i) (void)row({9, 9, 9});  // takes the memory, were it free
  CHECK(numbers(std::get<0>(pull(row({1, 1, 1})))) == std::vector<double>{2, 4, 6});
}

Tensors operands(const testing::Shapes& shapes, const testing::OpCase& c, std::uint64_t seed) {
  Tensors x;
  for (const auto& sizes : shapes)
    x.push_back(uniform(key(seed++), Shape(sizes.begin(), sizes.end()), c.low, c.high, f64).materialized());
  return x;
}
double dot(const Tensor& a, const Tensor& b) {
  double total = 0;
  const auto x = numbers(a), y = numbers(b);
  for (std::size_t i = 0; i < x.size(); ++i) total += x[i] * y[i];
  return total;
}

void transposes() {
  for (const testing::OpCase& c : op_cases()) {
    if (!c.smooth) continue;
    CAPTURE(c.op);
    const Tensors x = operands(c.samples.back(), c, 1);
    Tensors v;
    for (const Tensor& t : x) v.push_back(normal(key(7), t.shape(), f64).materialized());
    const auto [y, change] = jvp(c.f)(std::tuple{x}, std::tuple{v});
    const auto [value, pull] = vjp(c.f)(x);
    const Tensor u = normal(key(8), y.shape(), f64).materialized();
    const Tensors cts = std::get<0>(pull(u));
    double forward = dot(u, change), reverse = 0, scale = 1;
    for (std::size_t i = 0; i < v.size(); ++i) {
      reverse += dot(cts[i], v[i]);
      scale += std::abs(dot(cts[i], v[i]));
    }
    CHECK(std::abs(forward - reverse) <= 1e-12 * scale);
    ++testing::cases;
  }
}

void linear() {
  for (const testing::OpCase& c : op_cases()) {
    if (!c.smooth) continue;
    CAPTURE(c.op);
    const Tensors x = operands(c.samples.back(), c, 1);
    const auto [y, pull] = vjp(c.f)(x);
    const Tensor u = normal(key(8), y.shape(), f64).materialized(), w = normal(key(9), y.shape(), f64).materialized();
    const Tensors of_sum = std::get<0>(pull(2 * u - 3 * w)), of_u = std::get<0>(pull(u)), of_w = std::get<0>(pull(w));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto a = numbers(of_sum[i]), b = numbers(of_u[i]), d = numbers(of_w[i]);
      for (std::size_t k = 0; k < a.size(); ++k)
        CHECK(std::abs(a[k] - (2 * b[k] - 3 * d[k])) <=
              1e-13 * (1 + std::abs(2 * b[k]) + std::abs(3 * d[k])) * double(y.count() + 1));
    }
    ++testing::cases;
  }
}

void order_of_recording() {
  const Tensor x = normal(key(1), {5}, f64).materialized(), w = normal(key(2), {5}, f64).materialized();
  auto first = [](const Tensor& a, const Tensor& b) {
    const Tensor p = tanh(a), q = exp(b);
    return sum(p * q);
  };
  auto second = [](const Tensor& a, const Tensor& b) {
    const Tensor q = exp(b), p = tanh(a);
    return sum(p * q);
  };
  const auto [a1, b1] = grad<0, 1>(first)(x, w);
  const auto [a2, b2] = grad<0, 1>(second)(x, w);
  CHECK(same_bits(a1, a2));
  CHECK(same_bits(b1, b2));
  const auto [a3, b3] = jit(grad<0, 1>(second))(x, w);
  CHECK(same_bits(a1, a3));
  CHECK(same_bits(b1, b3));
}

void nothing_to_multiply() {
  auto f = [](const Tensor& a, const Tensor& b) { return sum(matmul(a, b)); };
  for (auto [m, k, n] : {std::array{0, 3, 4}, std::array{2, 0, 4}, std::array{2, 3, 0}, std::array{0, 0, 0}}) {
    const Tensor a = zeros({m, k}, f64).materialized(), b = zeros({k, n}, f64).materialized();
    const Tensor y = matmul(a, b);
    CHECK(values_of(y.shape()) == std::vector<std::int64_t>{m, n});
    for (double v : numbers(y)) CHECK(v == 0);
    for (bool compiled : {false, true}) {
      const auto [l, grads] = compiled ? jit(value_and_grad<0, 1>(f))(a, b) : value_and_grad<0, 1>(f)(a, b);
      CHECK(l.item<double>() == 0);
      CHECK(values_of(std::get<0>(grads).shape()) == values_of(a.shape()));
      CHECK(values_of(std::get<1>(grads).shape()) == values_of(b.shape()));
      for (double v : numbers(std::get<0>(grads))) CHECK(v == 0);
      for (double v : numbers(std::get<1>(grads))) CHECK(v == 0);
    }
  }
}

// A function whose insides are computed again, and a loop of which only every third state is kept.
void checkpointed() {
  const auto x = normal(key(5), {4, 4}, f64).materialized();
  auto inside = [](const Tensor& t) { return tanh(matmul(t, t)) * exp(-t); };
  auto plain = [&](const Tensor& t) { return sum(inside(inside(t))); };
  auto again = [&](const Tensor& t) { return sum(checkpoint(inside)(checkpoint(inside)(t))); };
  CHECK(same_bits(grad(plain)(x), grad(again)(x)));
  CHECK(same_bits(grad(plain)(x), jit([&](const Tensor& t) { return grad(again)(t); })(x)));

  const auto cell = Lstm::init(key(1), 3, 4, {.dtype = f64});
  const Tensor xs = constant(normal(key(2), {7, 2, 3}, f64).materialized());
  auto loss = [&](int every) {
    return [&, every](const Lstm& c) { return sum(unroll(c, c.initial(2), xs, {.checkpoint = every}).outputs); };
  };
  const Tensors all = leaves_of(grad(loss(0))(cell)), some = leaves_of(grad(loss(3))(cell));
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(same_bits(all[i], some[i]));
}

struct Property {
  const char* id;
  const char* name;
  void (*holds)();
};
const Property properties[] = {
    {"H01", "a compiled function takes another size", new_sizes},
    {"H02", "a compiled function takes another dtype", new_dtype},
    {"H03", "a captured constant that changes is found", changed_constant},
    {"H05", "other gradients of one function", other_gradients},
    {"H07", "an exception within a recording leaves nothing behind", exception_between},
    {"H08", "gradients within what is differentiated", nested},
    {"H09", "an input that is freed before the backward pass", freed_input},
    {"H13", "reverse mode is the transpose of forward mode, for every op", transposes},
    {"H15", "reverse mode is linear in the cotangent, for every op", linear},
    {"H16", "the order of recording independent ops changes nothing", order_of_recording},
    {"H18", "what is computed again has the same gradient", checkpointed},
    {"H20", "matrices without rows or columns", nothing_to_multiply},
};

}  // namespace

TEST_CASE("torture: the properties hold") {
  for (const Property& property : properties) {
    INFO(std::string(property.name));
    property.holds();
    ++testing::cases;
  }
}

TEST_CASE("torture: every property of the set is one of them") {
  std::ifstream file(TAPELOOP_SHARED_DIR "/data/torture/torture.json");
  if (!file) {
    MESSAGE("skipped: torture.json is not on this machine");
    return;
  }
  std::string missing;
  const nlohmann::json all = nlohmann::json::parse(file);
  for (const auto& json : all["cases"]) {
    if (json["policy"] != "property") continue;
    bool known = false;
    for (const Property& property : properties) known = known || json["id"] == property.id;
    if (!known)
      missing += (missing.empty() ? "" : ", ") + json["id"].get<std::string>() + " " + json["title"].get<std::string>();
  }
  MESSAGE("properties: " << std::size(properties) << " checked" << (missing.empty() ? "" : "; skipped: " + missing));
}
