#include "op_cases.h"

#include <cmath>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/source.h"

namespace tapeloop::testing {
namespace {

// One operand: scalar, sizes 0, 1, a prime, a full vector and more, two and three axes.
const std::vector<Shapes> kUnary{{{}}, {{0}}, {{1}}, {{7}}, {{33}}, {{3, 16}}, {{2, 3, 5}}};
// Two operands: equal, and stretched each way.
const std::vector<Shapes> kBinary{{{}, {}}, {{0}, {0}}, {{17}, {17}}, {{3, 5}, {5}}, {{5}, {3, 5}}, {{3, 1}, {1, 19}}, {{2, 1, 3}, {4, 1}}};
const std::vector<Shapes> kMatrix{{{1, 1}}, {{3, 5}}, {{4, 0}}, {{0, 4}}, {{5, 18}}, {{2, 3, 7}}};
const std::vector<Shapes> kTriple{{{7}, {7}, {7}}, {{3, 5}, {5}, {3, 1}}};

using V = const std::vector<double>&;
using T = const Tensors&;

Tensor indices(const Tensors& x, std::int64_t n, std::int64_t below) {
  std::vector<std::int32_t> values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(std::int32_t((i * 7 + 3) % below));
  (void)x;
  return constant(Tensor::of(values, {n}));
}

}  // namespace

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases{
      {"add", kBinary, -2, 2, [](T x) { return x[0] + x[1]; }, true, [](V x) { return x[0] + x[1]; }},
      {"sub", kBinary, -2, 2, [](T x) { return x[0] - x[1]; }, true, [](V x) { return x[0] - x[1]; }},
      {"mul", kBinary, -2, 2, [](T x) { return x[0] * x[1]; }, true, [](V x) { return x[0] * x[1]; }},
      {"div", kBinary, 0.5, 2, [](T x) { return x[0] / x[1]; }, true, [](V x) { return x[0] / x[1]; }},
      {"neg", kUnary, -2, 2, [](T x) { return -x[0]; }, true, [](V x) { return -x[0]; }},
      {"pow", kBinary, 0.5, 2, [](T x) { return pow(x[0], x[1]); }, true, [](V x) { return std::pow(x[0], x[1]); }},
      {"square", kUnary, -2, 2, [](T x) { return square(x[0]); }, true, [](V x) { return x[0] * x[0]; }},
      {"maximum", kBinary, -2, 2, [](T x) { return maximum(x[0], x[1]); }, true, [](V x) { return std::max(x[0], x[1]); }},
      {"minimum", kBinary, -2, 2, [](T x) { return minimum(x[0], x[1]); }, true, [](V x) { return std::min(x[0], x[1]); }},
      {"eq", kBinary, -2, 2, [](T x) { return cast(floor(x[0]) == floor(x[1]), x[0].dtype()); }, false, [](V x) { return double(std::floor(x[0]) == std::floor(x[1])); }},
      {"ne", kBinary, -2, 2, [](T x) { return cast(floor(x[0]) != floor(x[1]), x[0].dtype()); }, false, [](V x) { return double(std::floor(x[0]) != std::floor(x[1])); }},
      {"lt", kBinary, -2, 2, [](T x) { return cast(x[0] < x[1], x[0].dtype()); }, false, [](V x) { return double(x[0] < x[1]); }},
      {"le", kBinary, -2, 2, [](T x) { return cast(x[0] <= x[1], x[0].dtype()); }, false, [](V x) { return double(x[0] <= x[1]); }},
      {"is_nan", kUnary, -2, 2, [](T x) { return cast(is_nan(x[0]), x[0].dtype()); }, false, [](V) { return 0.0; }},
      {"logical_and", kBinary, -2, 2, [](T x) { return cast(logical_and(x[0] < 0, x[1] < 0), x[0].dtype()); }, false, [](V x) { return double(x[0] < 0 && x[1] < 0); }},
      {"logical_or", kBinary, -2, 2, [](T x) { return cast(logical_or(x[0] < 0, x[1] < 0), x[0].dtype()); }, false, [](V x) { return double(x[0] < 0 || x[1] < 0); }},
      {"logical_not", kUnary, -2, 2, [](T x) { return cast(logical_not(x[0] < 0), x[0].dtype()); }, false, [](V x) { return double(!(x[0] < 0)); }},
      {"where", kTriple, -2, 2, [](T x) { return where(x[0] < 0, x[1], x[2]); }, true, [](V x) { return x[0] < 0 ? x[1] : x[2]; }},
      {"relu", kUnary, -2, 2, [](T x) { return relu(x[0]); }, true, [](V x) { return std::max(x[0], 0.0); }},
      {"abs", kUnary, -2, 2, [](T x) { return abs(x[0]); }, true, [](V x) { return std::abs(x[0]); }},
      {"sign", kUnary, -2, 2, [](T x) { return sign(x[0]); }, false, [](V x) { return double((x[0] > 0) - (x[0] < 0)); }},
      {"floor", kUnary, -2, 2, [](T x) { return floor(x[0]); }, false, [](V x) { return std::floor(x[0]); }},
      {"sqrt", kUnary, 0.5, 2, [](T x) { return sqrt(x[0]); }, true, [](V x) { return std::sqrt(x[0]); }},
      {"rsqrt", kUnary, 0.5, 2, [](T x) { return rsqrt(x[0]); }, true, [](V x) { return 1 / std::sqrt(x[0]); }},
      {"exp", kUnary, -2, 2, [](T x) { return exp(x[0]); }, true, [](V x) { return std::exp(x[0]); }},
      {"expm1", kUnary, -2, 2, [](T x) { return expm1(x[0]); }, true, [](V x) { return std::expm1(x[0]); }},
      {"log", kUnary, 0.5, 2, [](T x) { return log(x[0]); }, true, [](V x) { return std::log(x[0]); }},
      {"log1p", kUnary, -0.5, 2, [](T x) { return log1p(x[0]); }, true, [](V x) { return std::log1p(x[0]); }},
      {"tanh", kUnary, -2, 2, [](T x) { return tanh(x[0]); }, true, [](V x) { return std::tanh(x[0]); }},
      {"sigmoid", kUnary, -2, 2, [](T x) { return sigmoid(x[0]); }, true, [](V x) { return 1 / (1 + std::exp(-x[0])); }},
      {"softplus", kUnary, -2, 2, [](T x) { return softplus(x[0]); }, true, [](V x) { return std::log1p(std::exp(x[0])); }},
      {"erf", kUnary, -2, 2, [](T x) { return erf(x[0]); }, true, [](V x) { return std::erf(x[0]); }},
      {"sin", kUnary, -2, 2, [](T x) { return sin(x[0]); }, true, [](V x) { return std::sin(x[0]); }},
      {"cos", kUnary, -2, 2, [](T x) { return cos(x[0]); }, true, [](V x) { return std::cos(x[0]); }},
      {"cast", kUnary, -2, 2, [](T x) { return cast(cast(x[0], Dtype::i32), x[0].dtype()); }, false, [](V x) { return std::trunc(x[0]); }},
      {"stop_gradient", kUnary, -2, 2, [](T x) { return x[0] * stop_gradient(x[0]); }, false},
      {"sum", kMatrix, -2, 2, [](T x) { return sum(x[0]); }},
      {"sum", kMatrix, -2, 2, [](T x) { return sum(x[0] * x[0], -1); }},
      {"sum", kMatrix, -2, 2, [](T x) { return sum(x[0], 0, true) * x[0]; }},
      {"extent", {{{1, 1}}, {{3, 5}}, {{4, 0}}, {{5, 18}}, {{2, 3, 7}}}, -2, 2, [](T x) { return mean(x[0], 0); }},
      {"max", {{{3, 5}}, {{5, 18}}, {{2, 3, 7}}}, -2, 2, [](T x) { return max(x[0], -1); }},
      {"max", {{{3, 5}}, {{5, 18}}}, -2, 2, [](T x) { return max(x[0]); }},
      {"min", {{{3, 5}}, {{5, 18}}, {{2, 3, 7}}}, -2, 2, [](T x) { return min(x[0], 0); }},
      {"argmax", {{{3, 5}}, {{5, 18}}}, -2, 2, [](T x) { return cast(argmax(x[0], -1), x[0].dtype()); }, false},
      {"logsumexp", {{{1, 1}}, {{3, 5}}, {{0, 4}}, {{5, 18}}, {{2, 3, 7}}}, -2, 2, [](T x) { return logsumexp(x[0], -1); }},
      {"softmax", {{{3, 5}}, {{5, 18}}}, -2, 2, [](T x) { return softmax(x[0]); }},
      {"log_softmax", {{{3, 5}}, {{5, 18}}}, -2, 2, [](T x) { return log_softmax(x[0]); }},
      {"matmul", {{{3, 4}, {4, 5}}, {{1, 7}, {7, 1}}, {{7, 33}, {33, 40}}, {{3, 0}, {0, 4}}, {{2, 3, 4}, {4, 5}}, {{2, 3, 4}, {2, 4, 5}}, {{4}, {4, 3}}, {{3, 4}, {4}}}, -1, 1, [](T x) { return matmul(x[0], x[1]); }},
      {"matmul", {{{4, 3}, {5, 4}}, {{33, 8}, {65, 33}}}, -1, 1, [](T x) { return matmul(x[0], x[1], MatmulOptions{true, true}); }},
      {"matmul", {{{3, 4}, {4, 5}, {5}}, {{3, 4}, {4, 5}, {3, 5}}}, -1, 1, [](T x) { return matmul(x[0], x[1], x[2]); }},
      {"reshape", {{{3, 4}}, {{2, 6}}, {{2, 2, 3}}}, -2, 2, [](T x) { return reshape(x[0] * x[0], {4, 3}) * 2; }},
      {"transpose", kMatrix, -2, 2, [](T x) { return transpose(x[0] * x[0]); }},
      {"broadcast", {{{5}}, {{1}}, {{3, 1}}}, -2, 2, [](T x) { return broadcast_to(x[0], {2, 3, 5}) * x[0]; }},
      {"slice", {{{7}}, {{9, 5}}}, -2, 2, [](T x) { return slice(x[0], 0, 1, 6, 2); }},
      {"slice", {{{3, 7}}, {{2, 40}}}, -2, 2, [](T x) { return slice(x[0] * x[0], -1, 2, 5); }},
      {"flip", kMatrix, -2, 2, [](T x) { return flip(x[0] * x[0], -1); }},
      {"pad", kMatrix, -2, 2, [](T x) { return pad(x[0] * x[0], -1, 2, 1); }},
      {"pad", {{{5, 3}}, {{2, 20}}}, -2, 2, [](T x) { return pad(x[0], 0, 1, 2, 0.5, 1); }},
      {"concat", {{{3}, {4}}, {{2, 3}, {5, 3}}}, -2, 2, [](T x) { return concat({x[0] * x[0], x[1], x[0]}, 0); }},
      {"concat", {{{3, 2}, {3, 17}}}, -2, 2, [](T x) { return concat({x[0], x[1] * x[1]}, -1); }},
      {"stack", {{{3}, {3}}, {{2, 5}, {2, 5}}}, -2, 2, [](T x) { return stack({x[0], x[1] * 2}, 1); }},
      {"split", {{{6}}, {{4, 6}}, {{3, 48}}}, -2, 2, [](T x) { auto [a, b, c] = chunk<3>(x[0]); return a * b + tanh(c); }},
      {"gather", {{{5, 3}}, {{6}}, {{4, 17}}}, -2, 2, [](T x) { return gather(x[0], indices(x, 7, 4)) * 2; }},
      {"scatter_add", {{{5, 3}}, {{4, 17}}}, -2, 2, [](T x) { return square(gather(x[0] * x[0], indices(x, 9, 3))); }},
      {"scan", {{{2, 3}, {5, 2, 3}}, {{4}, {0, 4}}, {{4}, {1, 4}}, {{17}, {7, 17}}}, -1, 1, [](T x) {
         auto [last, ys] = scan([&](const Tensor& h, const Tensor& xt) { Tensor n = tanh(h * xt + x[0]); return std::pair{n, n * xt}; }, x[0], x[1]);
         return sum(ys, 0) + last;
       }},
      {"scan", {{{3, 4}, {6, 3, 5}, {5, 8}, {4, 8}}}, -1, 1, [](T x) {
         auto [last, ys] = scan([&](const Tensor& h, const Tensor& xt) {
           auto [a, b] = chunk<2>(matmul(h, x[3], matmul(xt, x[2])));
           Tensor n = sigmoid(a) * h + tanh(b);
           return std::pair{n, n};
         }, x[0], x[1], {.reverse = true});
         return concat({ys, expand_dims(last, 0)}, 0);
       }},
  };
  return cases;
}

}  // namespace tapeloop::testing
