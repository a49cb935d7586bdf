// The elementwise ops under test.
#include "op_cases.h"

#include <numbers>

#include "math_cases.h"
#include "ops/elementwise.h"

namespace tapeloop::testing {
namespace {

using V = const std::vector<double>&;
using T = const Tensors&;

double near(double x, double limit) { return std::abs(x) <= limit ? x : kNan; }
double logistic(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double soft(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double most(double a, double b) { return std::isnan(a) || std::isnan(b) ? kNan : std::max(a, b); }
double least(double a, double b) { return std::isnan(a) || std::isnan(b) ? kNan : std::min(a, b); }
double modulo(double a, double b) {
  const double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
double mean_power(double a, double b) {
  return a == b ? a + std::log(2.0) : most(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}
double clip(double x, double low, double high) { return std::isnan(x) ? x : std::min(std::max(x, low), high); }

Tensor truth(const Tensor& condition, const Tensor& like) { return cast(condition, like.dtype()); }
// Operands as integers, negative ones and zeros among them.
Tensor whole(const Tensor& x) { return cast(x * 10, Dtype::i32); }
Tensor wide(const Tensor& x) { return cast(x * 10, Dtype::i64); }

}  // namespace

std::vector<OpCase> elementwise_cases() {
  // clang-format off: one line per op
  return {
      {"add", kBinary, -2, 2, [](T x) { return x[0] + x[1]; }, true, [](V x) { return x[0] + x[1]; }},
      {"sub", kBinary, -2, 2, [](T x) { return x[0] - x[1]; }, true, [](V x) { return x[0] - x[1]; }},
      {"mul", kBinary, -2, 2, [](T x) { return x[0] * x[1]; }, true, [](V x) { return x[0] * x[1]; }},
      {"div", kBinary, 0.5, 2, [](T x) { return x[0] / x[1]; }, true, [](V x) { return x[0] / x[1]; }},
      {"neg", kUnary, -2, 2, [](T x) { return -x[0]; }, true, [](V x) { return -x[0]; }},
      {"reciprocal", kUnary, 0.5, 2, [](T x) { return reciprocal(x[0]); }, true, [](V x) { return 1 / x[0]; }},
      {"square", kUnary, -2, 2, [](T x) { return square(x[0]); }, true, [](V x) { return x[0] * x[0]; }},
      {"cube", kUnary, -2, 2, [](T x) { return cube(x[0]); }, true, [](V x) { return x[0] * x[0] * x[0]; }},
      {"pow", kBinary, 0.5, 2, [](T x) { return pow(x[0], x[1]); }, true, [](V x) { return std::pow(x[0], x[1]); }},
      {"floor_divide", kBinary, -2, 2, [](T x) { return floor_divide(x[0], x[1]); }, false, [](V x) { return std::floor(x[0] / x[1]); }},
      {"fmod", kBinary, -2, 2, [](T x) { return fmod(x[0] * 0.2 + 7, x[1] * 0.1 + 3); }, true},
      {"fmod", kBinary, -2, 2, [](T x) { return fmod(x[0], x[1]); }, false, [](V x) { return std::abs(x[0] / x[1]) < 0x1p53 ? std::fmod(x[0], x[1]) : kNan; }},
      {"remainder", kBinary, -2, 2, [](T x) { return remainder(x[0] * 0.2 - 7, x[1] * 0.1 + 3); }, true},
      {"remainder", kBinary, -2, 2, [](T x) { return remainder(x[0], x[1]); }, false, [](V x) { return std::abs(x[0] / x[1]) < 0x1p53 ? modulo(x[0], x[1]) : kNan; }},
      {"fmod", kBinary, -2, 2, [](T x) { return cast(fmod(whole(x[0]), whole(x[1])), x[0].dtype()) + cast(fmod(wide(x[0]), wide(x[1])), x[0].dtype()); }, false},
      {"remainder", kBinary, -2, 2, [](T x) { return cast(remainder(whole(x[0]), whole(x[1])), x[0].dtype()) + cast(remainder(wide(x[0]), wide(x[1])), x[0].dtype()); }, false},
      {"floor_divide", kBinary, -2, 2, [](T x) { return cast(floor_divide(whole(x[0]), whole(x[1])), x[0].dtype()) + cast(floor_divide(wide(x[0]), wide(x[1])), x[0].dtype()); }, false},
      {"abs", kUnary, -2, 2, [](T x) { return abs(x[0]); }, true, [](V x) { return std::abs(x[0]); }},
      {"sign", kUnary, -2, 2, [](T x) { return sign(x[0]); }, false, [](V x) { return std::isnan(x[0]) ? kNan : double((x[0] > 0) - (x[0] < 0)); }},
      {"floor", kUnary, -2, 2, [](T x) { return floor(x[0]); }, false, [](V x) { return std::floor(x[0]); }},
      {"ceil", kUnary, -2, 2, [](T x) { return ceil(x[0]); }, false, [](V x) { return std::ceil(x[0]); }},
      {"round", kUnary, -2, 2, [](T x) { return round(x[0]); }, false, [](V x) { return std::nearbyint(x[0]); }},
      {"trunc", kUnary, -2, 2, [](T x) { return trunc(x[0]); }, false, [](V x) { return std::trunc(x[0]); }},
      {"cast", kUnary, -2, 2, [](T x) { return cast(cast(cast(cast(x[0], Dtype::i32), Dtype::i64), Dtype::i32), x[0].dtype()); }, false},
      {"cast", kUnary, -2, 2, [](T x) { return cast(square(cast(x[0], Dtype::f64)), x[0].dtype()); }},
      {"stop_gradient", kUnary, -2, 2, [](T x) { return x[0] * stop_gradient(x[0]); }, false},

      {"eq", kBinary, -2, 2, [](T x) { return truth(floor(x[0]) == floor(x[1]), x[0]); }, false, [](V x) { return double(std::floor(x[0]) == std::floor(x[1])); }},
      {"ne", kBinary, -2, 2, [](T x) { return truth(floor(x[0]) != floor(x[1]), x[0]); }, false, [](V x) { return double(std::floor(x[0]) != std::floor(x[1])); }},
      {"lt", kBinary, -2, 2, [](T x) { return truth(x[0] < x[1], x[0]); }, false, [](V x) { return double(x[0] < x[1]); }},
      {"le", kBinary, -2, 2, [](T x) { return truth(x[0] <= x[1], x[0]); }, false, [](V x) { return double(x[0] <= x[1]); }},
      {"is_nan", kUnary, -2, 2, [](T x) { return truth(is_nan(x[0]), x[0]); }, false, [](V x) { return double(std::isnan(x[0])); }},
      {"is_inf", kUnary, -2, 2, [](T x) { return truth(is_inf(x[0]), x[0]); }, false, [](V x) { return double(std::isinf(x[0])); }},
      {"is_finite", kUnary, -2, 2, [](T x) { return truth(is_finite(x[0]), x[0]); }, false, [](V x) { return double(std::isfinite(x[0])); }},
      {"logical_and", kBinary, -2, 2, [](T x) { return truth(logical_and(x[0] < 0, x[1] < 0), x[0]); }, false, [](V x) { return double(x[0] < 0 && x[1] < 0); }},
      {"logical_or", kBinary, -2, 2, [](T x) { return truth(logical_or(x[0] < 0, x[1] < 0), x[0]); }, false, [](V x) { return double(x[0] < 0 || x[1] < 0); }},
      {"logical_xor", kBinary, -2, 2, [](T x) { return truth(logical_xor(x[0] < 0, x[1] < 0), x[0]); }, false, [](V x) { return double((x[0] < 0) != (x[1] < 0)); }},
      {"logical_not", kUnary, -2, 2, [](T x) { return truth(logical_not(x[0] < 0), x[0]); }, false, [](V x) { return double(!(x[0] < 0)); }},
      {"where", kTriple, -2, 2, [](T x) { return where(x[0] < 0, x[1], x[2]); }, true, [](V x) { return x[0] < 0 ? x[1] : x[2]; }},
      {"maximum", kBinary, -2, 2, [](T x) { return maximum(x[0], x[1]); }, true, [](V x) { return most(x[0], x[1]); }},
      {"minimum", kBinary, -2, 2, [](T x) { return minimum(x[0], x[1]); }, true, [](V x) { return least(x[0], x[1]); }},
      {"clamp", kTriple, -2, 2, [](T x) { return clamp(x[0], x[1], x[2]); }, true, [](V x) { return least(most(x[0], x[1]), x[2]); }},

      {"sqrt", kUnary, 0.5, 2, [](T x) { return sqrt(x[0]); }, true, [](V x) { return std::sqrt(x[0]); }},
      {"rsqrt", kUnary, 0.5, 2, [](T x) { return rsqrt(x[0]); }, true, [](V x) { return 1 / std::sqrt(x[0]); }},
      {"exp", kUnary, -2, 2, [](T x) { return exp(x[0]); }, true, [](V x) { return std::exp(x[0]); }},
      {"expm1", kUnary, -2, 2, [](T x) { return expm1(x[0]); }, true, [](V x) { return std::expm1(x[0]); }},
      {"log", kUnary, 0.5, 2, [](T x) { return log(x[0]); }, true, [](V x) { return std::log(x[0]); }},
      {"log1p", kUnary, -0.5, 2, [](T x) { return log1p(x[0]); }, true, [](V x) { return std::log1p(x[0]); }},
      {"logaddexp", kBinary, -2, 2, [](T x) { return logaddexp(x[0], x[1]); }, true, [](V x) { return mean_power(x[0], x[1]); }},
      {"xlogy", kBinary, 0.5, 2, [](T x) { return xlogy(x[0], x[1]); }, true, [](V x) { return x[0] == 0 && !std::isnan(x[1]) ? 0 : x[0] * std::log(x[1]); }},
      {"sinh", kUnary, -2, 2, [](T x) { return sinh(x[0]); }, true, [](V x) { return std::sinh(x[0]); }},
      {"cosh", kUnary, -2, 2, [](T x) { return cosh(x[0]); }, true, [](V x) { return std::cosh(x[0]); }},
      {"tanh", kUnary, -2, 2, [](T x) { return tanh(x[0]); }, true, [](V x) { return std::tanh(x[0]); }},
      {"asinh", kUnary, -2, 2, [](T x) { return asinh(x[0]); }, true, [](V x) { return std::asinh(x[0]); }},
      {"acosh", kUnary, 1.2, 3, [](T x) { return acosh(x[0]); }, true, [](V x) { return std::acosh(x[0]); }},
      {"atanh", kUnary, -0.9, 0.9, [](T x) { return atanh(x[0]); }, true, [](V x) { return std::atanh(x[0]); }},
      {"sin", kUnary, -2, 2, [](T x) { return sin(x[0]); }, true, [](V x) { return std::sin(near(x[0], 0x1p40)); }},
      {"cos", kUnary, -2, 2, [](T x) { return cos(x[0]); }, true, [](V x) { return std::cos(near(x[0], 0x1p40)); }},
      {"tan", kUnary, -1.2, 1.2, [](T x) { return tan(x[0]); }, true, [](V x) { return std::tan(near(x[0], 0x1p40)); }},
      {"asin", kUnary, -0.9, 0.9, [](T x) { return asin(x[0]); }, true, [](V x) { return std::asin(x[0]); }},
      {"acos", kUnary, -0.9, 0.9, [](T x) { return acos(x[0]); }, true, [](V x) { return std::acos(x[0]); }},
      {"atan", kUnary, -4, 4, [](T x) { return atan(x[0]); }, true, [](V x) { return std::atan(x[0]); }},
      {"atan2", kBinary, -2, 2, [](T x) { return atan2(x[0] + 3, x[1]); }, true},
      {"atan2", kBinary, -2, 2, [](T x) { return atan2(x[0], x[1]); }, false, [](V x) { return std::atan2(x[0], x[1]); }},
      {"erf", kUnary, -2, 2, [](T x) { return erf(x[0]); }, true, [](V x) { return std::erf(x[0]); }},
      {"lgamma", kUnary, 0.3, 12, [](T x) { return lgamma(x[0]); }, true, [](V x) { return std::lgamma(x[0]); }},
      {"lgamma", kUnary, -1.9, -1.1, [](T x) { return lgamma(x[0]); }, true, [](V x) { return std::lgamma(x[0]); }},
      {"digamma", kUnary, 0.3, 12, [](T x) { return digamma(x[0]); }, true, [](V x) { return reference_digamma(x[0]); }},
      {"polygamma", kUnary, 0.5, 4, [](T x) { return polygamma(1, x[0]); }, true},
      {"polygamma", kUnary, -1.7, -1.3, [](T x) { return polygamma(2, x[0]) * 0.1; }, true},

      {"relu", kUnary, -2, 2, [](T x) { return relu(x[0]); }, true, [](V x) { return most(x[0], 0.0); }},
      {"leaky_relu", kUnary, -2, 2, [](T x) { return leaky_relu(x[0], 0.1); }, true, [](V x) { return x[0] > 0 ? x[0] : 0.1 * x[0]; }},
      {"elu", kUnary, -2, 2, [](T x) { return elu(x[0], 1.5); }, true, [](V x) { return x[0] > 0 ? x[0] : 1.5 * std::expm1(x[0]); }},
      {"selu", kUnary, -2, 2, [](T x) { return selu(x[0]); }, true, [](V x) { return 1.0507009873554805 * (x[0] > 0 ? x[0] : 1.6732632423543772 * std::expm1(x[0])); }},
      {"gelu", kUnary, -2, 2, [](T x) { return gelu(x[0]); }, true, [](V x) { return 0.5 * x[0] * (1 + std::erf(x[0] / std::numbers::sqrt2)); }},
      {"gelu", kUnary, -2, 2, [](T x) { return gelu(x[0], Gelu::tanh); }, true, [](V x) { return 0.5 * x[0] * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x[0] + 0.044715 * x[0] * x[0] * x[0]))); }},
      {"silu", kUnary, -2, 2, [](T x) { return silu(x[0]); }, true, [](V x) { return x[0] * logistic(x[0]); }},
      {"sigmoid", kUnary, -2, 2, [](T x) { return sigmoid(x[0]); }, true, [](V x) { return logistic(x[0]); }},
      {"softplus", kUnary, -2, 2, [](T x) { return softplus(x[0]); }, true, [](V x) { return std::isnan(x[0]) ? kNan : soft(x[0]); }},
      {"logsigmoid", kUnary, -2, 2, [](T x) { return logsigmoid(x[0]); }, true, [](V x) { return std::isnan(x[0]) ? kNan : -soft(-x[0]); }},
      {"softsign", kUnary, -2, 2, [](T x) { return softsign(x[0]); }, true, [](V x) { return x[0] / (1 + std::abs(x[0])); }},
      {"hardtanh", kUnary, -2, 2, [](T x) { return hardtanh(x[0]); }, true, [](V x) { return clip(x[0], -1, 1); }},
      {"hardsigmoid", kUnary, -4, 4, [](T x) { return hardsigmoid(x[0]); }, true, [](V x) { return clip(x[0] + 3, 0, 6) / 6; }},
  };
  // clang-format on
}

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all = elementwise_cases();
    for (const auto& more : {structural_cases(), layer_cases()}) all.insert(all.end(), more.begin(), more.end());
    return all;
  }();
  return cases;
}

}  // namespace tapeloop::testing
