// Values and conventions of ops that no plain scalar function describes, worked out by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ad/grad.h"
#include "cases.h"
#include "models/loss.h"
#include "ops/contract.h"
#include "ops/conv.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/normalize.h"
#include "ops/prefix.h"
#include "ops/rearrange.h"
#include "ops/reduce.h"
#include "ops/scatter.h"
#include "ops/shape.h"
#include "ops/sort.h"
#include "ops/source.h"

namespace tapeloop {
namespace {

using Values = std::vector<double>;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Tensor vec(const Values& values) { return Tensor::of(values, {std::int64_t(values.size())}); }
Tensor mat(std::int64_t rows, const Values& values) {
  return Tensor::of(values, {rows, std::int64_t(values.size()) / rows});
}
Tensor ints(const std::vector<std::int32_t>& values) { return Tensor::of(values, {std::int64_t(values.size())}); }

// Same shape and same numbers, to 1e-14; NaN equals NaN.
bool is(const Tensor& got, const Tensor& want) {
  ++testing::cases;
  if (values_of(got.shape()) != values_of(want.shape())) return false;
  const Values a = cast(got, Dtype::f64).to_vector<double>(), b = cast(want, Dtype::f64).to_vector<double>();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool same =
        a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])) || std::abs(a[i] - b[i]) <= 1e-14 * (1 + std::abs(b[i]));
    if (!same) return false;
  }
  return true;
}

// The gradient of Σ f(x)·w.
template <class F>
Tensor gradient(const F& f, const Tensor& x, const Values& weights = {}) {
  return grad([&](const Tensor& t) {
    const Tensor y = f(t);
    return weights.empty() ? sum(y) : sum(reshape(y, {y.count()}) * constant(vec(weights)));
  })(x);
}

const Tensor kGrid = mat(3, {1, 2, 3, 4, 5, 6, 7, 8, 9});

TEST_CASE("values: reductions") {
  CHECK(is(prod(mat(2, {1, 2, 3, 4, 5, 6}), -1), vec({6, 120})));
  CHECK(is(prod(mat(2, {1, 2, 3, 4, 5, 6}), 0, true), mat(1, {4, 10, 18})));
  CHECK(is(prod(vec({})), full({}, 1, Dtype::f64)));
  CHECK(is(gradient([](const Tensor& x) { return prod(x); }, vec({2, 0, 3})), vec({0, 6, 0})));
  CHECK(is(gradient([](const Tensor& x) { return prod(x); }, vec({0, 0, 3})), vec({0, 0, 0})));
  // ∂²(xyz)/∂x∂y = z, next to zeros too.
  CHECK(is(hvp([](const Tensor& x) { return prod(x); })(vec({1, 0, 0}), vec({0, 0, 3})), vec({0, 3, 0})));
  CHECK(is(any(mat(2, {0, 1, 0, 0}) != 0, -1), vec({1, 0})));
  CHECK(is(all(mat(2, {0, 1, 1, 1}) != 0, -1), vec({0, 1})));
  CHECK(is(any(vec({}) != 0), full({}, 0, Dtype::f64)));
  CHECK(is(all(vec({}) != 0), full({}, 1, Dtype::f64)));
  CHECK(is(argmin(mat(2, {3, 1, 1, kNan, 0, 1})), vec({1, 0})));
  CHECK(argmin(ints({5, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()})).item<int>() == 1);
}

TEST_CASE("values: cumulative ops") {
  CHECK(is(cumsum(mat(2, {1, 2, 3, 4, 5, 6}), -1), mat(2, {1, 3, 6, 4, 9, 15})));
  CHECK(is(cumsum(mat(2, {1, 2, 3, 4, 5, 6}), 0), mat(2, {1, 2, 3, 5, 7, 9})));
  CHECK(is(cumsum(vec({1, 2, 3}), -1, true), vec({6, 5, 3})));
  CHECK(is(cumsum(vec({1, 2, 3, 4}), vec({1, 1, 0, 1}) != 0), vec({1, 3, 3, 7})));
  CHECK(is(cumprod(vec({2, 0, 3, 4})), vec({2, 0, 0, 0})));
  CHECK(is(gradient([](const Tensor& x) { return cumprod(x); }, vec({2, 0, 3, 4})), vec({1, 32, 0, 0})));
  CHECK(is(cummax(vec({1, 3, 2, 3, kNan, 9})), vec({1, 3, 3, 3, kNan, kNan})));
  CHECK(is(cummin(vec({2, 3, 1}), 0, true), vec({1, 1, 1})));
  // The last of equal ones receives, as in PyTorch.
  CHECK(is(gradient([](const Tensor& x) { return cummax(x); }, vec({1, 3, 3, 2, 5}), {1, 10, 100, 1000, 10000}),
           vec({1, 10, 1100, 0, 10000})));
  CHECK(is(logcumsumexp(vec({1000, 1000, -kInf})), vec({1000, 1000 + std::log(2.0), 1000 + std::log(2.0)})));
  CHECK(is(linear_recurrence(vec({9, 2, 0.5}), vec({1, 1, 1})), vec({1, 3, 2.5})));
  CHECK(is(linear_recurrence(vec({2, 2, 9}), vec({1, 1, 1}), 0, true), vec({7, 3, 1})));
}

TEST_CASE("values: order") {
  CHECK(is(argsort(vec({3, kNan, 1, 3, 2})), vec({2, 4, 0, 3, 1})));
  CHECK(is(argsort(vec({3, kNan, 1, 3, 2}), 0, true), vec({0, 3, 4, 2, 1})));
  CHECK(is(argsort(vec({0.0, -0.0})), vec({0, 1})));
  CHECK(is(sort(mat(2, {3, 1, 2, 0, 5, 4})), mat(2, {1, 2, 3, 0, 4, 5})));
  CHECK(is(sort(mat(2, {3, 1, 2, 0, 5, 4}), 0, true), mat(2, {3, 5, 4, 0, 1, 2})));
  CHECK(is(gradient([](const Tensor& x) { return sort(x); }, vec({2, 1, 2, 1}), {1, 10, 100, 1000}),
           vec({100, 1, 1000, 10})));
  const TopK best = topk(vec({3, 1, 2}), 2);
  CHECK(is(best.values, vec({3, 2})));
  CHECK(is(best.indices, vec({0, 2})));
}

TEST_CASE("values: moving elements") {
  CHECK(is(diagonal(kGrid), vec({1, 5, 9})));
  CHECK(is(diagonal(kGrid, 1), vec({2, 6})));
  CHECK(is(diagonal(kGrid, -2), vec({7})));
  CHECK(is(diagonal(kGrid, 5), vec({})));
  CHECK(is(trace(kGrid), full({}, 15, Dtype::f64)));
  CHECK(is(tril(kGrid), mat(3, {1, 0, 0, 4, 5, 0, 7, 8, 9})));
  CHECK(is(triu(kGrid, 1), mat(3, {0, 2, 3, 0, 0, 6, 0, 0, 0})));
  CHECK(is(tril(mat(2, {1, kNan, 3, 4})), mat(2, {1, 0, 3, 4})));
  CHECK(is(tile(vec({1, 2}), {2, 2}), mat(2, {1, 2, 1, 2, 1, 2, 1, 2})));
  CHECK(is(repeat(mat(2, {1, 2, 3, 4}), 2, 0), mat(4, {1, 2, 1, 2, 3, 4, 3, 4})));
  CHECK(is(roll(vec({1, 2, 3, 4}), 1), vec({4, 1, 2, 3})));
  CHECK(is(roll(vec({1, 2, 3, 4}), -5), vec({2, 3, 4, 1})));
  CHECK(is(arange(1, 2, 0.25, Dtype::f64), vec({1, 1.25, 1.5, 1.75})));
  CHECK(is(linspace(0, 1, 3, Dtype::f64), vec({0, 0.5, 1})));
  CHECK(is(linspace(2, 1, 1, Dtype::f64), vec({2})));
  CHECK(is(linspace(0.1, 0.7, 7, Dtype::f64), vec({0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7})));
}

TEST_CASE("values: gathering and scattering, twice and outside") {
  const Tensor x = mat(2, {1, 2, 3, 4, 5, 6});
  CHECK(is(take_along(x, Tensor::of(std::vector<std::int32_t>{2, -1, 0, 3}, {2, 2})), mat(2, {3, 3, 4, kNan})));
  CHECK(is(gather_nd(x, Tensor::of(std::vector<std::int32_t>{1, 0, -1, -1, 0, 5}, {3, 2})), vec({4, 6, kNan})));
  const Tensor zero = vec({0, 0, 0, 0});
  CHECK(is(scatter(zero, ints({1, 3, 1, 7, -4}), vec({1, 2, 3, 4, 5})), vec({5, 3, 0, 2})));
  CHECK(is(scatter(zero, ints({1, 3, 1, 7, -4}), vec({1, 2, 3, 4, 5}), Scatter::add), vec({5, 4, 0, 2})));
  CHECK(is(scatter_along(x, Tensor::of(std::vector<std::int32_t>{2, 0}, {2, 1}), mat(2, {8, 9})),
           mat(2, {1, 2, 8, 9, 5, 6})));
  CHECK(is(scatter_nd(x, Tensor::of(std::vector<std::int32_t>{0, 1, 0, 1}, {2, 2}), vec({8, 9}), Scatter::add),
           mat(2, {1, 19, 3, 4, 5, 6})));
  // Only the update that stayed, and only what was not written, receive a gradient.
  auto written = [](const Tensor& u) { return scatter(constant(vec({1, 2, 3})), constant(ints({1, 1, 9})), u); };
  CHECK(is(gradient(written, vec({5, 6, 7}), {1, 10, 100}), vec({0, 10, 0})));
  auto around = [](const Tensor& s) { return scatter(s, constant(ints({1, 1, 9})), constant(vec({5, 6, 7}))); };
  CHECK(is(gradient(around, vec({1, 2, 3}), {1, 10, 100}), vec({1, 0, 100})));
  const Tensor one = full({}, 1, Dtype::i32), nine = full({}, 9, Dtype::i32);
  CHECK(is(dynamic_slice(x, {one, nine}, {1, 2}), mat(1, {5, 6})));
  CHECK(is(dynamic_update(x, mat(1, {8, 9}), {nine, one}), mat(2, {1, 2, 3, 4, 8, 9})));
}

TEST_CASE("values: sums of products") {
  CHECK(is(dot(vec({1, 2, 3}), vec({4, 5, 6})), full({}, 32, Dtype::f64)));
  CHECK(is(outer(vec({1, 2}), vec({3, 4})), mat(2, {3, 4, 6, 8})));
  const Tensor a = mat(2, {1, 2, 3, 4}), b = mat(2, {5, 6, 7, 8});
  CHECK(is(einsum("ij,jk->ik", {a, b}), mat(2, {19, 22, 43, 50})));
  CHECK(is(einsum("ij,jk", {a, b}), mat(2, {19, 22, 43, 50})));
  CHECK(is(einsum("ij->ji", {a}), mat(2, {1, 3, 2, 4})));
  CHECK(is(einsum("ii->i", {a}), vec({1, 4})));
  CHECK(is(einsum("ii", {a}), full({}, 5, Dtype::f64)));
  CHECK(is(einsum("ij,ij->", {a, b}), full({}, 70, Dtype::f64)));
  CHECK(is(einsum("ij,jk,k->i", {a, b, vec({9, 10})}), vec({391, 887})));
  CHECK(is(conv1d(mat(4, {1, 2, 3, 4}), Tensor::of(Values{1, 10}, {2, 1, 1})), mat(4, {10, 21, 32, 43})));
  CHECK(is(conv1d(mat(4, {1, 2, 3, 4}), Tensor::of(Values{1, 10}, {2, 1, 1}), {.dilation = 2}),
           mat(4, {10, 20, 31, 42})));
  CHECK(is(conv1d(mat(4, {1, 2, 3, 4}), Tensor::of(Values{1, 10}, {2, 1, 1}), {.padding = Padding::valid}),
           mat(3, {21, 32, 43})));
  CHECK(is(conv1d(mat(4, {1, 2, 3, 4}), Tensor::of(Values{1, 10, 100}, {3, 1, 1}), {.padding = Padding::same}),
           mat(4, {210, 321, 432, 43})));
  CHECK(is(depthwise_conv1d(mat(2, {1, 2, 3, 4}), mat(2, {1, 2, 10, 20})), mat(2, {10, 40, 31, 84})));
}

TEST_CASE("values: variance, norms and normalisation") {
  CHECK(is(var(vec({1e8 + 1, 1e8 + 2, 1e8 + 3})), full({}, 1, Dtype::f64)));
  CHECK(is(var(vec({1, 2, 3, 6}), 0, 0), full({}, 3.5, Dtype::f64)));
  CHECK(is(var(vec({2})), full({}, kNan, Dtype::f64)));
  CHECK(is(stddev(vec({2, 2}), 0), full({}, 0, Dtype::f64)));
  CHECK(is(gradient([](const Tensor& x) { return stddev(x); }, vec({2, 2})), vec({0, 0})));
  CHECK(is(norm(vec({3, -4})), full({}, 5, Dtype::f64)));
  CHECK(is(norm(vec({3, -4}), 1), full({}, 7, Dtype::f64)));
  CHECK(is(norm(vec({3, -4, 0}), 0), full({}, 2, Dtype::f64)));
  CHECK(is(norm(vec({3, -4}), kInf), full({}, 4, Dtype::f64)));
  CHECK(is(norm(vec({3, -4}), -kInf), full({}, 3, Dtype::f64)));
  CHECK(is(norm(vec({1, 2}), 3), full({}, std::cbrt(9.0), Dtype::f64)));
  CHECK(is(gradient([](const Tensor& x) { return norm(x); }, vec({0, 0})), vec({0, 0})));
  CHECK(is(gradient([](const Tensor& x) { return norm(x, 3); }, vec({0, 2})), vec({0, 1})));
  CHECK(is(gradient([](const Tensor& x) { return norm(x, 1); }, vec({0, -2, 3})), vec({0, -1, 1})));
  CHECK(is(gradient([](const Tensor& x) { return norm(x, kInf); }, vec({3, -3, 1})), vec({0.5, -0.5, 0})));
  CHECK(is(layer_norm(vec({1, 3}), vec({2, 2}), vec({1, 1}), 0), vec({-1, 3})));
  CHECK(is(rms_norm(vec({3, 4}), {}, 0), vec({3 / std::sqrt(12.5), 4 / std::sqrt(12.5)})));
  CHECK(is(group_norm(vec({1, 3, 5, 9}), 2, {}, {}, 0), vec({-1, 1, -1, 1})));
}

TEST_CASE("values: losses") {
  const Tensor logits = vec({1000, -1000, -1000, 1000}), targets = vec({0, 1, 0, 1});
  CHECK(is(binary_cross_entropy(logits, targets), full({}, 500, Dtype::f64)));
  CHECK(is(gradient([&](const Tensor& x) { return binary_cross_entropy(x, constant(targets)); }, logits),
           vec({0.25, -0.25, 0, 0})));
  CHECK(is(huber(vec({0, 3}), vec({0.5, 0}), 1), full({}, (0.125 + 2.5) / 2, Dtype::f64)));
  CHECK(is(kl_divergence(mat(1, {0, 1}), mat(1, {-kInf, 0})), full({}, 0, Dtype::f64)));
  CHECK(is(kl_divergence(mat(1, {0.5, 0.5}), log(mat(1, {0.25, 0.75}))),
           full({}, 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3), Dtype::f64)));
  CHECK(is(cosine_similarity(vec({1, 2}), vec({2, 4})), full({}, 1, Dtype::f64)));
  CHECK(is(cosine_similarity(vec({0, 0}), vec({2, 4})), full({}, 0, Dtype::f64)));
  CHECK(is(cosine_embedding(mat(2, {1, 0, 1, 0}), mat(2, {0, 1, 1, 0}), vec({1, 0}) != 0, 0.5),
           full({}, 0.75, Dtype::f64)));
  const Tensor rows = mat(1, {0, 0, 0, 0});
  CHECK(is(cross_entropy(rows, ints({2}), {.smoothing = 0.2}), full({}, std::log(4.0), Dtype::f64)));
}

TEST_CASE("values: kinks and ends of elementwise ops") {
  CHECK(
      is(gradient([](const Tensor& x) { return clamp(x, 0, 1); }, vec({-0.5, 0, 0.5, 1, 1.5})), vec({0, 1, 1, 1, 0})));
  CHECK(is(gradient([](const Tensor& x) { return elu(x, 2); }, vec({-1, 0, 1, 1e3, -1e3})),
           vec({2 * std::exp(-1.0), 2, 1, 1, 0})));
  CHECK(is(gradient([](const Tensor& x) { return hardtanh(x); }, vec({-1, 0, 1, 2})), vec({0, 1, 0, 0})));
  CHECK(is(gradient([](const Tensor& x) { return hardsigmoid(x); }, vec({-3, 0, 3})), vec({0, 1.0 / 6, 0})));
  CHECK(is(gradient([](const Tensor& x) { return leaky_relu(x); }, vec({-1, 0, 1})), vec({0.01, 0.01, 1})));
  CHECK(is(gradient([](const Tensor& x) { return fmod(x, constant(vec({2, 2, -2}))); }, vec({5.5, -5.5, 5.5})),
           vec({1, 1, 1})));
  CHECK(is(gradient([](const Tensor& x) { return fmod(constant(vec({5.5, -5.5, 5.5})), x); }, vec({2, 2, -2})),
           vec({-2, 2, 2})));
  CHECK(is(gradient([](const Tensor& x) { return xlogy(x, constant(vec({0, 2, 3}))); }, vec({0, 0, 1})),
           vec({0, std::log(2.0), std::log(3.0)})));
  CHECK(is(gradient([](const Tensor& x) { return atan2(x, constant(vec({0, 1, 1e200}))); }, vec({0, 1, 1e200})),
           vec({kNan, 0.5, 0.5e-200})));
  CHECK(is(gradient([](const Tensor& x) { return acos(x); }, vec({1})), vec({-kInf})));
  CHECK(is(gradient([](const Tensor& x) { return asin(x); }, vec({-1})), vec({kInf})));
  CHECK(is(gradient([](const Tensor& x) { return atanh(x); }, vec({1})), vec({kInf})));
  CHECK(is(
      gradient([](const Tensor& x) { return logaddexp(x, constant(vec({-kInf, -kInf, 1}))); }, vec({-kInf, 3, -kInf})),
      vec({0.5, 1, 0})));
  CHECK(is(gradient([](const Tensor& x) { return gelu(x, Gelu::tanh); }, vec({-1e4, 1e4, 1e300})), vec({0, 1, 1})));
  CHECK(is(gradient([](const Tensor& x) { return gelu(x); }, vec({-1, 0, 1.5})),
           vec({-0.08331547058768635, 0.5, 1.1274691922299795})));
}

TEST_CASE("values: integers divide exactly") {
  const Tensor a = ints({-7, 7, std::numeric_limits<int>::min(), 5, 0, 2147483647}),
               b = ints({2, -2, -1, 0, 0, 2147483646});
  CHECK(floor_divide(a, b).to_vector<std::int32_t>() ==
        std::vector<std::int32_t>{-4, -4, 2147483647, 2147483647, 0, 1});
  CHECK(fmod(a, b).to_vector<std::int32_t>() == std::vector<std::int32_t>{-1, 1, 0, 0, 0, 1});
  CHECK(remainder(a, b).to_vector<std::int32_t>() == std::vector<std::int32_t>{1, -1, 0, 0, 0, 1});
  const Tensor c = Tensor::of(std::vector<std::uint32_t>{4294967295u, 4294967295u}, {2}),
               d = Tensor::of(std::vector<std::uint32_t>{4294967294u, 10u}, {2});
  CHECK(floor_divide(c, d).to_vector<std::uint32_t>() == std::vector<std::uint32_t>{1, 429496729});
  CHECK(remainder(c, d).to_vector<std::uint32_t>() == std::vector<std::uint32_t>{1, 5});
  CHECK(prod(ints({65536, 65536, 3})).item<int>() == 0);
}

TEST_CASE("values: polygamma against the zeta function, and by its recurrence") {
  const double pi = 3.14159265358979323846;
  CHECK(is(polygamma(1, vec({1, 0.5})), vec({pi * pi / 6, pi * pi / 2})));
  CHECK(is(polygamma(3, vec({1})), vec({pi * pi * pi * pi / 15})));
  CHECK(is(polygamma(2, vec({1})), vec({-2 * 1.2020569031595942854})));
  CHECK(is(polygamma(4, vec({1})), vec({-24 * 1.0369277551433699263})));
  double factorial = 1;
  for (int n = 0; n <= 12; ++n) {  // ψ⁽ⁿ⁾(x + 1) − ψ⁽ⁿ⁾(x) = (−1)ⁿ n!/xⁿ⁺¹
    if (n > 0) factorial *= n;
    for (double x : {-2.25, -0.5, 0.75, 3.0, 21.5}) {
      const Values ends = polygamma(n, vec({x, x + 1})).to_vector<double>();
      const double step = (n % 2 ? -1 : 1) * factorial / std::pow(x, n + 1);
      CAPTURE(n);
      CAPTURE(x);
      CHECK(std::abs(ends[1] - ends[0] - step) <= 1e-13 * (std::abs(ends[0]) + std::abs(ends[1])));
    }
  }
  CHECK_THROWS_WITH_AS(polygamma(13, vec({1})), doctest::Contains("polygamma: order 13 is not in 0"), Error);
}

}  // namespace
}  // namespace tapeloop
