// Jacobians, Hessians, and derivatives inside derivatives: none may take another's perturbation for its own.
#include <doctest/doctest.h>

#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "ops/jacobian.h"
#include "ops/matmul.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

Tensor number(double x) { return full({}, x, f64).materialized(); }

// ∂/∂x at a number, by forward and by reverse mode.
template <class F>
Tensor forward(F f, const Tensor& x) {
  return jvp(f)(std::tuple{x}, std::tuple{ones_like(x)}).second;
}
template <class F>
Tensor reverse(F f, const Tensor& x) {
  return grad(f)(x);
}

}  // namespace

TEST_CASE("jacobian: forward and reverse mode agree, with each other and with the formula") {
  const Tensor a = noise(1, {3, 4}), x = noise(2, {4});
  auto f = [](const Tensor& v, const Tensor& m) { return tanh(matmul(m, v)); };
  const Tensor expected = expand_dims(1 - square(tanh(matmul(a, x))), -1) * a;
  CHECK(distance({jacobian(f)(x, a)}, {expected}) <= 1e-15);
  CHECK(distance({jacobian(f, Mode::forward)(x, a)}, {expected}) <= 1e-15);
  CHECK(same_bits(jit(jacobian(f))(x, a), jacobian(f)(x, a)));
  CHECK(same_bits(jit(jacobian(f, Mode::forward))(x, a), jacobian(f, Mode::forward)(x, a)));

  // A tree with several tensors, through a loop.
  for_each_cell([](const std::string& name, const auto& cell) {
    INFO(name);
    const auto state = state_of(cell, 1);
    const Tensor xs = noise(60, {3, 1, 3});
    auto outputs = [](const auto& c, const auto& s, const Tensor& sequence) { return unroll(c, s, sequence).outputs; };
    const auto rows = leaves_of(jacobian(outputs)(cell, state, xs)),
               columns = leaves_of(jacobian(outputs, Mode::forward)(cell, state, xs));
    CHECK(distance(columns, rows) <= 1e-13);
    // A row is a gradient.
    auto last = [&](const auto& c, const auto& s, const Tensor& sequence) {
      return at(at(at(outputs(c, s, sequence), 0, 2), 0, 0), 0, 1);
    };
    Tensors row;
    for (const Tensor& t : rows) row.push_back(at(at(at(t, 0, 2), 0, 0), 0, 1));
    CHECK(distance(row, leaves_of(grad(last)(cell, state, xs))) <= 1e-15);
    tapeloop::testing::cases += 2;
  });
}

TEST_CASE("jacobian: one program for every size, and shapes of rank 0 and with empty axes") {
  auto f = [](const Tensor& v) { return v * sum(v); };
  auto compiled = jit(jacobian(f));
  (void)compiled(noise(1, {5}));
  const auto before = programs_compiled();
  for (int n : {3, 8}) CHECK(same_bits(compiled(noise(n, {n})), jacobian(f)(noise(n, {n}))));
  CHECK(programs_compiled() == before);
  for (Mode mode : {Mode::reverse, Mode::forward}) {
    CHECK(same_bits(jacobian([](const Tensor& v) { return square(v); }, mode)(number(3)), number(6)));
    CHECK(values_of(jacobian(f, mode)(zeros({0}, f64)).shape()) == std::vector<std::int64_t>{0, 0});
  }
}

TEST_CASE("hessian: symmetric, and its products are hvp") {
  const Tensor x = noise(1, {2, 3}), w = noise(2, {3, 3}), v = noise(3, {2, 3});
  auto loss = [](const Tensor& a, const Tensor& m) { return logsumexp(matmul(tanh(a), m)); };
  const Tensor h = hessian(loss)(x, w);
  CHECK(values_of(h.shape()) == std::vector<std::int64_t>{2, 3, 2, 3});
  const Tensor flat = reshape(h, {6, 6});
  CHECK(distance({flat}, {transpose(flat)}) <= 1e-15);
  CHECK(distance({reshape(matmul(flat, reshape(v, {6})), {2, 3})}, {hvp(loss)(v, x, w)}) <= 1e-14);
  CHECK(distance({jacobian(grad(loss))(x, w)}, {h}) <= 1e-14);
  CHECK(same_bits(jit(hessian(loss))(x, w), h));
}

TEST_CASE("nesting: d/dx (x · d/dy (x + y)) is 1, whichever modes are nested") {
  const Tensor x = number(3), y = number(5);
  auto check = [&](auto outer, auto inner) {
    CHECK(outer([&](const Tensor& a) { return a * inner([&](const Tensor& b) { return a + b; }, y); }, x)
              .template item<double>() == 1);
    // d/dx (x · d/dy (x·y²)) = d/dx (2x²y) = 4xy
    CHECK(outer([&](const Tensor& a) { return a * inner([&](const Tensor& b) { return a * b * b; }, y); }, x)
              .template item<double>() == 60);
    // d/dx (d/dy (y·x) at y = x) = d/dx x = 1; and of y²·x: d/dx 2x² = 4x
    CHECK(outer([&](const Tensor& a) { return inner([&](const Tensor& b) { return b * a; }, a); }, x)
              .template item<double>() == 1);
    CHECK(outer([&](const Tensor& a) { return inner([&](const Tensor& b) { return b * b * a; }, a); }, x)
              .template item<double>() == 12);
    ++tapeloop::testing::cases;
  };
  auto f = [](auto g, const Tensor& at) { return forward(g, at); };
  auto r = [](auto g, const Tensor& at) { return reverse(g, at); };
  auto j = [](auto g, const Tensor& at) { return jacobian(g)(at); };
  check(f, f);
  check(f, r);
  check(r, f);
  check(r, r);
  check(j, f);
  check(r, j);
  check(j, j);
}

TEST_CASE("nesting: fourth derivatives, in every order of modes, also by vmap and compiled") {
  const Tensor x = number(0.7);
  auto f = [](const Tensor& a) { return sin(a) * exp(a * 0.5); };
  // (d/dx)⁴ = (0.5 + i)⁴ as a rotation: Im((0.5 + i)⁴ e^{(0.5 + i)x})
  const double re = 0.0625 - 6 * 0.25 + 1, im = 4 * 0.125 - 4 * 0.5;
  const double expected = std::exp(0.35) * (re * std::sin(0.7) + im * std::cos(0.7));
  auto d = [](auto g, bool is_forward) {
    return [=](const Tensor& a) { return is_forward ? forward(g, a) : reverse(g, a); };
  };
  for (int modes = 0; modes < 16; ++modes) {
    auto fourth = d(d(d(d(f, modes & 1), modes & 2), modes & 4), modes & 8);
    CHECK(fourth(x).item<double>() == doctest::Approx(expected).epsilon(1e-14));
    CHECK(same_bits(at(vmap(fourth)(stack({x, x * 2})), 0, 0), fourth(x)));
    if (modes == 5 || modes == 10) CHECK(same_bits(jit(fourth)(x), fourth(x)));
    tapeloop::testing::cases += 2;
  }
}

TEST_CASE("jacobian: mistakes") {
  const Tensor x = noise(1, {3}), i = Tensor::of(std::vector<int>{1, 2}, {2});
  CHECK_THROWS_WITH_AS(jacobian([](const Tensor& a) { return std::pair{a, a * 2}; })(x),
                       doctest::Contains("the function returns 2 tensors"), Error);
  CHECK_THROWS_WITH_AS(jacobian([](const Tensor& a) { return a > 0; })(x),
                       doctest::Contains("the function returns bool[3]"), Error);
  CHECK_THROWS_WITH_AS(jacobian([](const Tensor& a, const Tensor& b) { return b * sum(cast(a, f64)); })(i, x),
                       doctest::Contains("takes no derivative"), Error);
  CHECK_THROWS_WITH_AS(hessian([](const Tensor& a) { return a; })(x),
                       doctest::Contains("not one floating-point number"), Error);
}
