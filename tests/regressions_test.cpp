// Every defect that was found has a test of its own name here, unless the test of what it broke would be the same.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ad/grad.h"
#include "cases.h"
#include "jit/jit.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/prefix.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/source.h"

using namespace tapeloop;

namespace {
Tensor numbers(std::vector<double> values, const Shape& shape) { return Tensor::of(values, shape); }
}  // namespace

TEST_CASE("regressions: a loop over the memory that another shape of it shows does not run before it is written") {
  const Tensor weights = constant(numbers({1, 2, 3, 4}, {2, 2})), x = numbers({1, 2, 3, 4}, {4});
  auto f = [&](const Tensor& t) {
    const Tensor turned = transpose(reshape(t, {2, 2}));
    const Tensor rows = concat({expand_dims(at(turned, 0, 0) * 10, 0), slice(turned, 0, 1)}, 0);
    return reshape(reshape(transpose(rows), {4}), {2, 2}) * weights;
  };
  auto both = [&](const Tensor& t) {
    return value_and_grad([&](const Tensor& u) {
      const Tensor y = f(u);
      return std::pair{sum(y), y};
    })(t);
  };
  const auto [l, y, g] = both(x);
  const auto [l2, y2, g2] = jit(both)(x);
  CHECK(same_bits(l, l2));
  CHECK(same_bits(y, y2));
  CHECK(same_bits(g, g2));
  CHECK(y.to_vector<double>() == std::vector<double>{10, 4, 90, 16});
  ++testing::cases;
}

TEST_CASE("regressions: a gradient that does not depend on the arguments is compiled like any other") {
  auto loss = [](const Tensor& x) { return sum(stack({slice(x, 0, 0, 3), slice(x, 0, 1, 4)})); };
  const Tensor g = jit(grad(loss))(numbers({1, 2, 3, 4}, {4}));
  CHECK(g.to_vector<double>() == std::vector<double>{1, 2, 2, 1});
  ++testing::cases;
}

TEST_CASE("regressions: parts and loops of generated tensors can meet recorded ones") {
  auto f = [](const Tensor& x) {
    const auto [a, b] = chunk<2>(zeros({2, 4}, Dtype::f64) + 1);
    const auto [last, ys] = scan([](const Tensor& h, const Tensor& t) { return std::pair{h + t, h}; },
                                 zeros({2}, Dtype::f64), ones({3, 2}, Dtype::f64));
    return (x + a) * b + last + sum(ys, 0);
  };
  const Tensor x = numbers({1, 2}, {1, 2});
  CHECK(f(x).to_vector<double>() == std::vector<double>{8, 9, 8, 9});
  CHECK(same_bits(jit(f)(x), f(x)));
  ++testing::cases;
}

TEST_CASE("regressions: a generated tensor that is used many times over is written down once") {
  auto f = [](const Tensor& x) {
    Tensor g = ones({2}, Dtype::f64);
    for (int i = 0; i < 60; ++i) g = g + g;
    return x * g;
  };
  CHECK(jit(f)(numbers({1, 2}, {2})).to_vector<double>() == std::vector<double>{0x1p60, 0x1p61});
  ++testing::cases;
}

TEST_CASE("regressions: what follows a product with leading axes is not lost") {
  auto f = [](const Tensor& a, const Tensor& b) { return tanh(matmul(a, b)) + matmul(b, a) * 2; };
  const Tensor a = numbers({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2}) * 0.1,
               b = numbers({8, 7, 6, 5, 4, 3, 2, 1}, {2, 2, 2}) * 0.1;
  CHECK(same_bits(jit(f)(a, b), f(a, b)));
  ++testing::cases;
}

TEST_CASE("regressions: a concatenation with nothing is read after it is written") {
  for (int size : {0, 5}) {
    auto f = [](const Tensor& x, const Tensor& nothing) { return x * 0.5 + concat({tanh(x), nothing * 2}, 0); };
    const Tensor x = ones({size}, Dtype::f64).materialized(), nothing = ones({0}, Dtype::f64).materialized();
    CHECK(same_bits(jit(f)(x, nothing), f(x, nothing)));
    ++testing::cases;
  }
}

TEST_CASE(
    "regressions: a value computed from inputs alone joins no nest before the one that writes what it is made of") {
  auto f = [](const Tensor& x, const Tensor& y) {
    const Tensor early = cumsum(x, 1) * 2, late = sum(early), difference = x - y, gate = sigmoid(difference);
    return std::pair{difference * late, gate * early + difference};
  };
  const Tensor x = numbers({1, 2, 3, 4}, {2, 2}), y = numbers({4, 3, 2, 1}, {2, 2});
  const auto [a, b] = jit(f)(x, y);
  const auto [c, d] = f(x, y);
  CHECK(same_bits(a, c));
  CHECK(same_bits(b, d));
  ++testing::cases;
}

TEST_CASE("regressions: rows that are added up over two axes do so in vectors, whatever was computed before") {
  // The number before them is computed one element at a time.
  auto f = [](const Tensor& x, const Tensor& shift) {
    const Tensor n = exp(sum(shift)) + 1, m = mean(x, {1, 2}, true);
    return std::pair{n, (x - m) * sum(square(x - m), {1, 2}, true)};
  };
  const Tensor x = cast(arange(3 * 5 * 7), Dtype::f32), shift = cast(arange(3), Dtype::f32);
  const auto [a, b] = jit(f)(reshape(x, {3, 5, 7}).materialized(), shift.materialized());
  const auto [c, d] = f(reshape(x, {3, 5, 7}).materialized(), shift.materialized());
  CHECK(same_bits(a, c));
  CHECK(same_bits(b, d));
  ++testing::cases;
}

TEST_CASE("regressions: what counts along one axis is added up over all of them") {
  auto f = [](const Tensor& t) {
    const Tensor chosen = one_hot(cast(t, Dtype::i32), 4, Dtype::f64);
    return sum(chosen) + sum(iota({3, 5}, 0, Dtype::f64) * sum(t)) + sum(cast(iota({3, 5}, 1) < 2, Dtype::f64));
  };
  const Tensor x = numbers({1, 3, 2}, {3});
  CHECK(f(x).item<double>() == 3 + 15 * 6 + 6);
  CHECK(same_bits(jit(f)(x), f(x)));
  ++testing::cases;
}

TEST_CASE("regressions: derivatives where something is infinite") {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  auto gradient = [](auto f, std::vector<double> at) {
    const Shape shape{std::int64_t(at.size())};
    return grad([&](const Tensor& t) { return sum(f(t)); })(Tensor::of(at, shape)).template to_vector<double>();
  };
  // The kink of abs is a factor 0, and 0 times the infinite slope of the root is no number.
  CHECK(std::isnan(gradient([](const Tensor& t) { return sqrt(abs(t)); }, {0})[0]));
  CHECK(std::isnan(gradient([](const Tensor& t) { return log(abs(t)); }, {0})[0]));
  CHECK(gradient([](const Tensor& t) { return abs(t); }, {0, -2, 3}) == std::vector<double>{0, -1, 1});
  CHECK(gradient([](const Tensor& t) { return asinh(t); }, {kInf, -kInf}) == std::vector<double>{0, 0});
  // A softmax of +inf has no value anywhere.
  for (double y : softmax(numbers({kInf, 0}, {2})).to_vector<double>()) CHECK(std::isnan(y));
  for (double y : log_softmax(numbers({kInf, 0}, {2})).to_vector<double>()) CHECK(std::isnan(y));
  CHECK(softmax(numbers({-kInf, 0}, {2})).to_vector<double>() == std::vector<double>{0, 1});
  // The first of a running sum has no other to share with.
  CHECK(gradient([](const Tensor& t) { return slice(logcumsumexp(t), 0, 0, 1); }, {-kInf, 1}) ==
        std::vector<double>{1, 0});
  ++testing::cases;
}

TEST_CASE("regressions: sine, cosine and tangent of large numbers in f64") {
  const std::vector<double> at{1e7, -3e8, 1e10, 6e11, 2097153.25};
  const Tensor x = Tensor::of(at, {std::int64_t(at.size())});
  for (const auto& [ours, theirs] : {std::pair{sin(x), +[](double v) { return std::sin(v); }},
                                     {cos(x), +[](double v) { return std::cos(v); }},
                                     {tan(x), +[](double v) { return std::tan(v); }}})
    for (std::size_t i = 0; i < at.size(); ++i)
      CHECK(ours.to_vector<double>()[i] == doctest::Approx(theirs(at[i])).epsilon(1e-15));
  ++testing::cases;
}

TEST_CASE("regressions: a variance of too few elements is no number") {
  CHECK(std::isnan(var(zeros({0})).item<float>()));
  CHECK(std::isnan(var(ones({1})).item<float>()));
  CHECK(var(ones({1}), Axes::everything(), 0).item<float>() == 0);
  ++testing::cases;
}

TEST_CASE("regressions: a loss that is an argument is blamed on the user's line") {
  try {
    (void)grad([](const Tensor& t) { return t; })(ones({2}));
    FAIL_CHECK("no error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("regressions_test.cpp") != std::string::npos);
  }
  ++testing::cases;
}

TEST_CASE("regressions: a loop of one step when it is compiled, over a part of a sequence, takes every length") {
  auto loss = [](const Tensor& w, const Tensor& xs) {
    auto step = [&](const Tensor& h, const Tensor& x) {
      const Tensor next = tanh(matmul(h, w) + matmul(x, w));
      return std::pair{next, next};
    };
    return sum(square(scan(step, zeros({2, 3}, Dtype::f64), slice(xs, 0, 1)).second));
  };
  auto both = [&](const Tensor& w, const Tensor& xs) { return value_and_grad<0, 1>(loss)(w, xs); };
  auto compiled = jit(both);
  const Tensor w = numbers({0.1, 0.2, 0.3, -0.4, 0.5, -0.6, 0.7, 0.8, -0.9}, {3, 3});
  for (int steps : {2, 10, 3, 40, 1}) {
    CAPTURE(steps);
    const Tensor xs = normal(key(1), {steps, 2, 3}, Dtype::f64).materialized();
    const Tensors expected = leaves_of(both(w, xs)), got = leaves_of(compiled(w, xs));
    REQUIRE(expected.size() == got.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
    ++testing::cases;
  }
}

TEST_CASE("regressions: what is summed up are chunks of what is computed from a chunk of a product") {
  const auto f = [](const Tensor& x, const Tensor& w) {
    const auto [p, q] = chunk<2>(matmul(x, w));
    const auto [a, b] = chunk<2>(tanh(q));
    return sum(sigmoid(a) * tanh(b)) + sum(p);
  };
  const Tensor x = normal(key(1), {3, 5}, Dtype::f64).materialized(),
               w = normal(key(2), {5, 8}, Dtype::f64).materialized();
  CHECK(same_bits(jit(f)(x, w), f(x, w)));
  ++testing::cases;
}

TEST_CASE("regressions: of a product over time some chunks leave the loop and others stay") {
  const auto f = [](const Tensor& h, const Tensor& xs, const Tensor& w, const Tensor& u) {
    const auto step = [&](const Tensor& s, const Tensor& x) {
      const auto [a, b] = chunk<2>(matmul(x, w));
      const Tensor next = tanh(s * 0.5 + a);
      return std::pair{next, matmul(tanh(b), u) + next};
    };
    return scan(step, h, xs).second;
  };
  const Tensor h = normal(key(3), {2, 4}, Dtype::f64).materialized(),
               xs = normal(key(4), {5, 2, 3}, Dtype::f64).materialized(),
               w = normal(key(5), {3, 8}, Dtype::f64).materialized(),
               u = normal(key(6), {4, 4}, Dtype::f64).materialized();
  CHECK(same_bits(jit(f)(h, xs, w, u), f(h, xs, w, u)));
  ++testing::cases;
}

TEST_CASE("regressions: a state that follows from the inputs alone is, before each step, what it was") {
  const auto loss = [](const Tensor& h, const Tensor& xs, const Tensor& w) {
    const auto step = [&](const std::pair<Tensor, Tensor>& s, const Tensor& x) {
      const Tensor now = tanh(matmul(x, w)), y = tanh(s.first * s.second + now);
      return std::pair{std::pair{y, now}, y * s.second};
    };
    const auto [last, ys] = scan(step, std::pair{h, h * 0.5}, xs);
    return sum(ys * ys);
  };
  const Tensor h = normal(key(7), {2, 4}, Dtype::f64).materialized(),
               xs = normal(key(8), {1, 2, 5}, Dtype::f64).materialized(),
               w = normal(key(9), {5, 4}, Dtype::f64).materialized();
  const auto [a, b, c] = grad<0, 1, 2>(loss)(h, xs, w);
  const auto [a2, b2, c2] = jit(grad<0, 1, 2>(loss))(h, xs, w);
  CHECK(same_bits(a, a2));
  CHECK(same_bits(b, b2));
  CHECK(same_bits(c, c2));
  ++testing::cases;
}

TEST_CASE("regressions: small parts of a result over time stand side by side, whatever the state is kept in") {
  for (const std::int64_t batch : {1, 2}) {
    const auto f = [](const Tensor& h, const Tensor& xs) {
      const auto step = [](const Tensor& s, const Tensor& x) {
        const Tensors p = split(x, Shape{3, 1, 1}, 1);
        const Tensor a = tanh(p[1]), b = tanh(p[2]);
        return std::pair{tanh(p[0] + s * a + b), concat({a, b}, 1)};
      };
      return scan(step, h, xs);
    };
    const auto g = [](const Tensor& h, const Tensor& xs) {
      const auto step = [](const Tensor& s, const Tensor& x) {
        const Tensors p = split(x, Shape{3, 1, 1}, 1);
        return std::pair{tanh(p[0] + s), concat({tanh(p[1]), tanh(p[2] * 2)}, 1)};
      };
      return scan(step, h, xs);
    };
    const Tensor h = normal(key(10), {batch, 3}, Dtype::f64).materialized(),
                 xs = normal(key(11), {4, batch, 5}, Dtype::f64).materialized();
    CHECK(same_bits(jit(f)(h, xs).second, f(h, xs).second));
    CHECK(same_bits(jit(g)(h, xs).second, g(h, xs).second));
    ++testing::cases;
  }
}

TEST_CASE("regressions: a program compiled for no steps, no rows or no columns is right for others") {
  const auto cell = [](const Tensor& h, const Tensor& x, const Tensor& w, const Tensor& u) {
    const Tensor joined = concat({slice(x, 1, 0, 0), h}, 1);
    return tanh(matmul(x, w) + matmul(joined, u));
  };
  const auto run = [cell](const Tensor& h, const Tensor& xs, const Tensor& w, const Tensor& u) {
    const auto step = [&](const Tensor& s, const Tensor& x) {
      const Tensor next = cell(s, x, w, u);
      return std::pair{next, next};
    };
    return scan(step, h, xs).second;
  };
  using Sizes = std::vector<std::pair<std::int64_t, std::int64_t>>;
  for (const std::int64_t inputs : {5, 0})
    for (const Sizes& calls :
         {Sizes{{0, 4}, {3, 4}, {30, 4}}, Sizes{{3, 4}, {9, 4}, {2, 4}}, Sizes{{9, 0}, {9, 3}, {4, 7}}}) {
      auto compiled = jit(run);
      for (const auto& [steps, rows] : calls) {
        const Tensor h = normal(key(12), {rows, 8}, Dtype::f64).materialized(),
                     xs = normal(key(13), {steps, rows, inputs}, Dtype::f64).materialized(),
                     w = normal(key(14), {inputs, 8}, Dtype::f64).materialized(),
                     u = normal(key(15), {8, 8}, Dtype::f64).materialized();
        CHECK(same_bits(compiled(h, xs, w, u), run(h, xs, w, u)));
        ++testing::cases;
      }
    }
}

TEST_CASE("regressions: of two products in one nest, the first is written with all its parts") {
  const Tensor first = normal(key(16), {1, 17}, Dtype::f64).materialized(),
               second = normal(key(17), {1, 16}, Dtype::f64).materialized(),
               xs = normal(key(18), {3, 1, 16}, Dtype::f64).materialized(),
               w = constant(normal(key(19), {17, 32}, Dtype::f64).materialized()),
               u = constant(normal(key(20), {16, 16}, Dtype::f64).materialized()),
               v = constant(normal(key(21), {16, 16}, Dtype::f64).materialized());
  const auto f = [&](const Tensor& h, const Tensor& g, const Tensor& x_of) {
    const auto step = [&](const std::pair<Tensor, Tensor>& s, const Tensor& x) {
      const auto [p, q] = chunk<2>(matmul(s.first, w));
      const Tensor a = matmul(s.second, u, x), b = matmul(s.second, v, p * 0.5);
      const Tensor c = matmul(b, u) + q;
      return std::pair{std::pair{sigmoid(s.first), tanh(c + a)}, c};
    };
    return scan(step, std::pair{h, g}, x_of).second;
  };
  CHECK(same_bits(jit(f)(first, second, xs), f(first, second, xs)));
  ++testing::cases;
}

TEST_CASE("regressions: states that become the same value are, after no steps, still what each was") {
  const auto f = [](const Tensor& h, const Tensor& g, const Tensor& xs, const Tensor& w) {
    const auto step = [&](const std::pair<Tensor, Tensor>& s, const Tensor& x) {
      const Tensor next = tanh(matmul(s.first, w) + x);
      return std::pair{std::pair{next, next}, s};
    };
    const auto [last, before] = scan(step, std::pair{h * 2, g * 2}, xs);
    const Tensor early = matmul(sum(before.second, 0), w) + matmul(sum(before.first, 0), w);
    // Takes the memory of what is not read any more.
    Tensors all{h};
    for (int i = 0; i < 12; ++i) all.push_back(matmul(all.back(), w) + matmul(early, w));
    return std::pair{matmul(concat(all, 0), w), matmul(last.second, w)};
  };
  const auto compiled = jit(f);
  for (const std::int64_t steps : {3, 0, 1}) {
    const Tensor h = normal(key(22), {2, 8}, Dtype::f64).materialized(),
                 g = normal(key(23), {2, 8}, Dtype::f64).materialized(),
                 xs = normal(key(24), {steps, 2, 8}, Dtype::f64).materialized(),
                 w = normal(key(25), {8, 8}, Dtype::f64).materialized();
    const auto [a, b] = compiled(h, g, xs, w);
    const auto [a2, b2] = f(h, g, xs, w);
    CHECK(same_bits(a, a2));
    CHECK(same_bits(b, b2));
    ++testing::cases;
  }
}
