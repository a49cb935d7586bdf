// What must hold of every op: its value, the compiler's bits, and its derivatives by three ways that do not know of one
// another (forward mode, reverse mode, finite differences).
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <set>

#include "ad/grad.h"
#include "cases.h"
#include "jit/jit.h"
#include "op_cases.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

using namespace tapeloop;
using tapeloop::testing::op_cases;
using tapeloop::testing::OpCase;
using tapeloop::testing::Shapes;

namespace {

Tensors random_operands(const Shapes& shapes, double low, double high, Dtype dtype, unsigned seed) {
  std::mt19937_64 random(seed);
  Tensors operands;
  for (const auto& sizes : shapes) {
    Shape shape(sizes.begin(), sizes.end());
    std::vector<double> values(std::size_t(count_of(shape)));
    for (double& v : values) {
      do v = low + (high - low) * double(random() >> 11) * 0x1p-53;
      while (std::abs(v - std::round(v)) < 0.02);  // kinks of floor, relu … are at whole numbers
    }
    if (dtype == Dtype::f64)
      operands.push_back(Tensor::of(values, shape));
    else
      operands.push_back(Tensor::of(std::vector<float>(values.begin(), values.end()), shape));
  }
  return operands;
}

double dot(const Tensors& a, const Tensors& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto x = a[i].data<double>(), y = b[i].data<double>();
    for (std::size_t k = 0; k < x.size(); ++k) total += x[k] * y[k];
  }
  return total;
}

Tensors along(const Tensors& x, const Tensors& v, double h) {
  Tensors result;
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::vector<double> values = x[i].to_vector<double>();
    auto direction = v[i].data<double>();
    for (std::size_t k = 0; k < values.size(); ++k) values[k] += h * direction[k];
    result.push_back(Tensor::of(values, x[i].shape()));
  }
  return result;
}

bool close(double a, double b, double tolerance) { return std::abs(a - b) <= tolerance * (1 + std::abs(a) + std::abs(b)); }

template <class Check>
void for_each_sample(const Check& check) {
  for (const OpCase& c : op_cases())
    for (std::size_t s = 0; s < c.samples.size(); ++s) {
      CAPTURE(c.op);
      CAPTURE(s);
      check(c, c.samples[s], unsigned(s + 1));
      ++tapeloop::testing::cases;
    }
}

}  // namespace

TEST_CASE("every elementwise op gives the value of its plain reference") {
  for_each_sample([](const OpCase& c, const Shapes& shapes, unsigned seed) {
    if (!c.reference) return;
    const Tensors x = random_operands(shapes, c.low, c.high, Dtype::f64, seed);
    const Tensor y = c.f(x);
    auto values = y.data<double>();
    const auto sizes = values_of(y.shape());
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::vector<double> operands;
      for (const Tensor& t : x) {
        // The element of t that broadcasting brings to place i.
        std::size_t rest = i, place = 0, stride = 1;
        const auto own = values_of(t.shape());
        for (std::size_t a = 0; a < own.size(); ++a) {
          const std::size_t axis = own.size() - 1 - a, full = std::size_t(sizes[sizes.size() - 1 - a]);
          const std::size_t k = rest % full;
          rest /= full;
          if (own[axis] != 1) place += k * stride;
          stride *= std::size_t(own[axis]);
        }
        operands.push_back(t.data<double>()[place]);
      }
      CHECK(close(values[i], c.reference(operands), 1e-14));
    }
  });
}

TEST_CASE("compiled values and gradients of every op are the interpreter's, bit for bit, in f32 and f64") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for_each_sample([&](const OpCase& c, const Shapes& shapes, unsigned seed) {
      const Tensors x = random_operands(shapes, c.low, c.high, dtype, seed);
      auto f = [&](const Tensors& v) {
        auto [y, pull] = vjp(c.f)(v);
        return std::pair{y, std::get<0>(pull(y))};
      };
      auto compiled = jit(f);
      const auto [y, grads] = compiled(x);
      ScopedOptions interpret([] {
        Options o = options();
        o.jit = false;
        return o;
      }());
      const auto [y2, grads2] = compiled(x);
      CHECK_MESSAGE(same_bits(y, y2), to_string(y), " against ", to_string(y2));
      for (std::size_t i = 0; i < grads.size(); ++i)
        CHECK_MESSAGE(same_bits(grads[i], grads2[i]), to_string(grads[i]), " against ", to_string(grads2[i]));
    });
}

TEST_CASE("forward mode agrees with finite differences along a random direction") {
  for_each_sample([](const OpCase& c, const Shapes& shapes, unsigned seed) {
    if (!c.smooth) return;
    const Tensors x = random_operands(shapes, c.low, c.high, Dtype::f64, seed);
    const Tensors v = random_operands(shapes, -1, 1, Dtype::f64, seed + 100);
    const auto [y, change] = jvp(c.f)(std::tuple{x}, std::tuple{v});
    const Tensors weights = random_operands({values_of(y.shape())}, -1, 1, Dtype::f64, seed + 200);
    auto along_v = [&](double h) { return dot({c.f(along(x, v, h))}, weights); };
    const double h = 1e-4;
    const double difference = (8 * (along_v(h) - along_v(-h)) - (along_v(2 * h) - along_v(-2 * h))) / (12 * h);
    CHECK(close(dot({change}, weights), difference, 1e-9));
  });
}

TEST_CASE("reverse mode is the transpose of forward mode") {
  for_each_sample([](const OpCase& c, const Shapes& shapes, unsigned seed) {
    if (c.op == "argmax") return;
    const Tensors x = random_operands(shapes, c.low, c.high, Dtype::f64, seed);
    const Tensors v = random_operands(shapes, -1, 1, Dtype::f64, seed + 100);
    const auto [y, change] = jvp(c.f)(std::tuple{x}, std::tuple{v});
    const auto [value, pull] = vjp(c.f)(x);
    const Tensors u = random_operands({values_of(y.shape())}, -1, 1, Dtype::f64, seed + 200);
    CHECK(close(dot(u, {change}), dot(std::get<0>(pull(u[0])), v), 1e-12));
  });
}

TEST_CASE("second derivatives agree with differences of the gradient") {
  for_each_sample([](const OpCase& c, const Shapes& shapes, unsigned seed) {
    if (!c.smooth) return;
    const Tensors x = random_operands(shapes, c.low, c.high, Dtype::f64, seed);
    const Tensors v = random_operands(shapes, -1, 1, Dtype::f64, seed + 100);
    auto loss = [&](const Tensors& t) { return sum(square(c.f(t))); };
    const Tensors exact = hvp(loss)(v, x);
    const double h = 1e-4;
    auto gradient_along = [&](double k) { return dot(grad(loss)(along(x, v, k)), v); };
    const double difference =
        (8 * (gradient_along(h) - gradient_along(-h)) - (gradient_along(2 * h) - gradient_along(-2 * h))) / (12 * h);
    CHECK(close(dot(exact, v), difference, 1e-8));
  });
}
