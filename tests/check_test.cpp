// The checker, checked: it passes what is right, finds each kind of mistake, and knows a kink from a mistake.
#include <doctest/doctest.h>

#include "ad/check_doctest.h"
#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "models/check_cell.h"
#include "ops/call.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const auto compiled = [](auto f) { return jit(f); };

// An Elman cell whose activation comes with a rule of its own; a factor other than 1 makes it wrong.
struct Custom {
  Tensor w, u;
  double factor = 1;
  Tensor operator()(const Tensor& h, const Tensor& x) const {
    auto rule = [k = factor](const Tensor&, const Tensor& y, const Tensor& ct) { return ct * (1 - square(y)) * k; };
    return custom_vjp([](const Tensor& z) { return tanh(z); }, rule)(matmul(x, w) + matmul(h, u));
  }
  Tensor initial(const Extent& batch) const { return zeros({batch, u.size(0)}, u.dtype()); }
};

}  // namespace

TEST_CASE("check: a right function passes, with every law in the table") {
  struct Model {
    Tensor w, b;
  };
  const Model m{noise(1, {3, 2}), noise(2, {2})};
  auto loss = [](const Model& model, const Tensor& x) { return logsumexp(tanh(matmul(x, model.w) + model.b)); };
  TAPELOOP_CHECK_GRADIENTS(loss, m, noise(3, {4, 3}));
  const CheckReport report = gradient_report({}, loss, m, noise(3, {4, 3}));
  REQUIRE(report.tensors.size() == 3);
  CHECK(report.tensors[0].name == "argument 0.w");
  CHECK(report.tensors[0].tried == 6);
  CHECK(report.laws.size() == 2 * 4);
  const std::string table = to_string(report);
  for (const char* part : {"✓ argument 0.w", "f64[3, 2]", "✓ forward mode", "✓ second order", "✓ symmetry", "✓ Taylor"})
    CHECK(has(table, part));
  CHECK(!has(table, "✗"));
}

TEST_CASE("check: a wrong gradient is named, and passes no other way") {
  auto wrong = [](const Tensor& x) { return sum(square(x)) + sum(x * stop_gradient(x)); };
  const Tensor x = noise(1, {7});
  const CheckReport report = gradient_report({}, wrong, x);
  CHECK(!report.passed());
  CHECK(report.tensors[0].verdict == TensorCheck::Verdict::wrong);
  CHECK(report.tensors[0].kinks == 0);
  CHECK(report.tensors[0].error == doctest::Approx(0.25));
  CHECK(has(to_string(report), "✗ argument 0"));
  // Forward mode alone sees it too.
  CHECK(!gradient_report({.reverse = false}, wrong, x).passed());
  CHECK(gradient_report({.reverse = false}, [](const Tensor& t) { return sum(exp(t)); }, x).passed());
}

TEST_CASE("check: modes that do not belong together, and a wrong second derivative") {
  const Tensor x = noise(1, {4});
  // The rule is right, its own derivative is not: it lets nothing through what depends on x.
  auto once =
      custom_vjp([](const Tensor& a) { return a * a * a; },
                 [](const Tensor& a, const Tensor&, const Tensor& ct) { return ct * 3 * square(stop_gradient(a)); });
  auto loss = [&](const Tensor& a) { return sum(once(a)); };
  const CheckReport second = gradient_report({}, loss, x);
  CHECK(second.tensors[0].verdict == TensorCheck::Verdict::agrees);
  CHECK(!second.passed());
  CHECK(has(second.failure(), "second order"));
  CHECK(gradient_report({.order = 1}, loss, x).passed());
}

TEST_CASE("check: kinks are told from mistakes") {
  const Tensor at_zero = Tensor::of(std::vector<double>{0, 1, -2}, {3}),
               near_zero = Tensor::of(std::vector<double>{1e-4, 1, -2}, {3});
  auto f = [](const Tensor& x) { return sum(abs(x) + square(x)); };
  const CheckReport on = gradient_report({}, f, at_zero);
  CHECK(on.passed());
  CHECK(on.tensors[0].verdict == TensorCheck::Verdict::kink);
  CHECK(on.tensors[0].left == doctest::Approx(-1).epsilon(1e-3));
  CHECK(on.tensors[0].right == doctest::Approx(1).epsilon(1e-3));
  CHECK(has(to_string(on), "1 kink, slopes -1 and 1 on either side"));
  CHECK(has(to_string(on), "left out: the function has kinks here"));
  const CheckReport beside = gradient_report({}, f, near_zero);
  CHECK(beside.passed());
  CHECK(beside.tensors[0].kinks == 1);
  // A derivative that lies on no side of the kink is wrong: −2 where the slopes are −1 and 1.
  auto outside = [](const Tensor& x) {
    auto rule = [](const Tensor& a, const Tensor&, const Tensor& ct) {
      return ct * where(a > 0, ones_like(a), where(a < 0, -ones_like(a), -2 * ones_like(a)));
    };
    return sum(custom_vjp([](const Tensor& a) { return abs(a); }, rule)(x));
  };
  CHECK(!gradient_report({}, outside, at_zero).passed());
  CHECK(gradient_report({}, outside, noise(1, {3})).passed());
  // And a wrong one is wrong beside a kink.
  auto doubled = [](const Tensor& x) {
    auto rule = [](const Tensor& a, const Tensor&, const Tensor& ct) { return ct * 2 * sign(a); };
    return sum(custom_vjp([](const Tensor& a) { return abs(a); }, rule)(x));
  };
  CHECK(!gradient_report({}, doubled, near_zero).passed());
}

TEST_CASE("check: a bend is not a kink: a wrong gradient between the slopes beside it is wrong") {
  // √(x² + ε²) turns from −1 to 1 within a hundredth of the step. Its derivative at 0 is 0, and 0.5 lies between the slopes.
  const double bend = 1e-5;
  auto off_by = [bend](double amount) {
    return [bend, amount](const Tensor& x) {
      auto rule = [amount](const Tensor& a, const Tensor& y, const Tensor& ct) { return ct * (a / y + amount); };
      return sum(custom_vjp([bend](const Tensor& a) { return sqrt(square(a) + bend * bend); }, rule)(x));
    };
  };
  const Tensor x = zeros({1}, f64);
  const CheckReport wrong = gradient_report({.order = 1, .forward = false}, off_by(0.5), x);
  CHECK(!wrong.passed());
  CHECK(wrong.tensors[0].verdict == TensorCheck::Verdict::wrong);
  CHECK(wrong.tensors[0].kinks == 0);
  CHECK(gradient_report({.order = 1, .forward = false}, off_by(0), x).passed());
}

TEST_CASE("check: a thousand seeds raise no false alarm" * doctest::test_suite("slow")) {
  auto loss = [](const Tensor& x, const Tensor& w) {
    return logsumexp(tanh(matmul(x, w)) * 2) + sum(square(sigmoid(w)));
  };
  for (int seed = 1; seed <= 1000; ++seed) {
    const CheckReport report = gradient_report({.elements = 4, .seed = std::uint64_t(seed)}, loss, noise(seed, {2, 3}),
                                               noise(seed + 5000, {3, 2}));
    CHECK_MESSAGE(report.passed(), "seed ", seed, "\n", to_string(report));
    ++tapeloop::testing::cases;
  }
}

TEST_CASE("check_cell: every cell keeps every law" * doctest::test_suite("long")) {
  for_each_cell([](const std::string& name, const auto& cell) {
    const CellReport report = check_cell(compiled, cell, state_of(cell, 2), noise(60, {5, 2, 3}));
    CHECK_MESSAGE(report.passed(), name, "\n", to_string(report));
    CHECK(report.laws.size() == 12 + 4 * 4);
    tapeloop::testing::cases += long(report.laws.size());
  });
}

TEST_CASE("check_cell: a cell with a rule of its own, right and wrong by one part in a thousand") {
  Custom cell{noise(1, {3, 4}) * 0.5, noise(2, {4, 4}) * 0.5};
  const CellReport right = check_cell(compiled, cell, state_of(cell, 2), noise(60, {5, 2, 3}));
  CHECK_MESSAGE(right.passed(), to_string(right));
  cell.factor = 1.001;
  const CellReport wrong = check_cell(compiled, cell, state_of(cell, 2), noise(60, {5, 2, 3}));
  CHECK(!wrong.passed());
  const std::string text = to_string(wrong);
  CHECK(has(text, "✗ the gradient is that of finite differences: see the table"));
  CHECK(has(text, "✓ the loop's derivative is that of its steps written out"));
  CHECK(has(text, "✗ argument 0.w"));
}
