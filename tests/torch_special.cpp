// PyTorch's special functions and rarer arithmetic, element by element: ops of ours, or the compositions that a user would
// write.
#include <cmath>
#include <numbers>

#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"
#include "torch_table.h"

namespace tapeloop::testing::torch {
namespace {

Value second(const Args& a, const std::string& name) {
  const Value* value = a.find(1, name);
  if (!value) throw BadCase(a.function + ": no " + name);
  return *value;
}

// By the next function of a row whose derivative each is: f of a tensor.
Function of_tensor(Tensor (*f)(const Tensor&)) {
  return [f](const Args& a) { return tensor_value(f(floating(a.tensor(0, "input")))); };
}

void trigonometric(Table& t) {
  t["tan"] = unary(tan);
  t["asin"] = t["arcsin"] = unary(asin);
  t["acos"] = t["arccos"] = unary(acos);
  t["atan"] = t["arctan"] = unary(atan);
  t["sinh"] = unary(sinh);
  t["cosh"] = unary(cosh);
  t["asinh"] = t["arcsinh"] = unary(asinh);
  t["acosh"] = t["arccosh"] = unary(acosh);
  t["atanh"] = t["arctanh"] = unary(atanh);
  t["atan2"] = t["arctan2"] = pairwise(atan2);
  t["deg2rad"] = of_tensor([](const Tensor& x) { return x * (std::numbers::pi / 180); });
  t["rad2deg"] = of_tensor([](const Tensor& x) { return x * (180 / std::numbers::pi); });
  // sin(πx)/(πx), by its series near 0, so that every derivative is right there.
  t["sinc"] = of_tensor([](const Tensor& x) {
    const Tensor p = M_PI * x, q = square(p), small = abs(p) < 0.01;
    const Tensor series = 1 - q / 6 * (1 - q / 20 * (1 - q / 42));
    return where(small, series, sin(p) / where(small, 1, p));
  });
  // The larger of the two taken out, so that no square overflows.
  t["hypot"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "other");
    const Tensor top = stop_gradient(maximum(abs(x), abs(y))), usable = logical_and(top > 0, top < INFINITY);
    const Tensor scale = where(usable, top, 1);
    return tensor_value(scale * sqrt(square(x / scale) + square(y / scale)));
  };
}

void logarithms(Table& t) {
  t["logaddexp"] = pairwise(logaddexp);
  t["logaddexp2"] =
      pairwise([](const Operand& x, const Operand& y) { return logaddexp(x * M_LN2, y * M_LN2) / M_LN2; });
  t["exp2"] = of_tensor([](const Tensor& x) { return pow(2.0, x); });
  t["log2"] = of_tensor([](const Tensor& x) { return log(x) / M_LN2; });
  t["log10"] = of_tensor([](const Tensor& x) { return log(x) / M_LN10; });
  t["xlogy"] = pairwise(xlogy);
  t["xlog1py"] = pairwise([](const Operand& x, const Operand& y) {
    const Tensor nothing = logical_and(x == 0, y <= -1);
    return where(nothing, 0, where(nothing, 0, x) * log1p(where(nothing, 0, y)));
  });
  t["entr"] = of_tensor([](const Tensor& x) { return where(x < 0, -INFINITY, -xlogy(x, x)); });
  t["logit"] = [](const Args& a) {
    const Tensor given = a.tensor(0, "input");
    const Value* eps = a.find(1, "eps");
    const Tensor x = eps ? clamp(given, as_number(*eps), 1 - as_number(*eps)) : given;
    // Beyond [0, 1] neither a value nor a derivative exists.
    return tensor_value((log(x) - log1p(-x)) * where(logical_or(x < 0, x > 1), NAN, ones_like(x)));
  };
  t["square"] = unary(square);
}

// By Newton's method, at last in a form that has the right derivatives up to the third.
Tensor erfinv(const Tensor& x) {
  const Tensor edge = abs(x) == 1, outside = logical_not(abs(x) <= 1), safe = where(logical_or(edge, outside), 0, x);
  auto closer = [](const Tensor& y, const Tensor& to) {
    return y - (erf(y) - to) * (std::sqrt(M_PI) / 2) * exp(square(y));
  };
  const Tensor fixed = stop_gradient(safe), l = log1p(-square(fixed)), k = 2 / (M_PI * 0.147) + l / 2;
  Tensor y = sign(fixed) * sqrt(sqrt(square(k) - l / 0.147) - k);
  for (int i = 0; i < 4; ++i) y = stop_gradient(closer(y, fixed));
  // Each kept from the derivatives of the others, which are not finite.
  const Tensor at_edge = where(edge, x, 0) * INFINITY, nowhere = where(outside, x, 0) * NAN;
  return where(edge, at_edge, where(outside, nowhere, closer(closer(y, safe), safe)));
}

void special(Table& t) {
  t["erfinv"] = of_tensor(erfinv);
  t["lgamma"] = t["gammaln"] = unary(lgamma);
  t["digamma"] = t["psi"] = unary(digamma);
  t["polygamma"] = [](const Args& a) {
    const bool first = a.positional.at(0).as<Number>();
    return tensor_value(
        polygamma(int(as_number(a.positional.at(first ? 0 : 1))), as_tensor(a.positional.at(first ? 1 : 0))));
  };
  t["mvlgamma"] = t["multigammaln"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const int p = int(a.number(1, "p"));
    Tensor total = full_like(x, p * (p - 1) / 4.0 * std::log(M_PI));
    for (int i = 0; i < p; ++i) total = total + lgamma(x - 0.5 * i);
    return tensor_value(total);
  };
  t["erfc"] = of_tensor([](const Tensor& x) { return 1 - erf(x); });
  t["ndtr"] = of_tensor([](const Tensor& x) { return 0.5 + 0.5 * erf(x / std::numbers::sqrt2); });
}

void rounding(Table& t) {
  t["ceil"] = unary(ceil);
  t["round"] = [](const Args& a) {
    if (const Number* n = a.positional.at(0).as<Number>()) return Value{Number{std::nearbyint(n->value), true}};
    const double scale = std::pow(10.0, a.number(1, "decimals", 0));
    const Tensor x = a.tensor(0, "input");
    return tensor_value(scale == 1 ? round(x) : round(x * scale) / scale);
  };
  t["trunc"] = t["fix"] = unary(trunc);
  t["frac"] = of_tensor([](const Tensor& x) { return x - trunc(x); });
  t["fmod"] = pairwise(fmod);
  t["remainder"] = pairwise(remainder);
  t["floor_divide"] = [](const Args& a) { return binary("//", a.positional.at(0), second(a, "other")); };
  t["reciprocal"] = unary(reciprocal);
  t["sgn"] = unary(sign);
  t["signbit"] = of_tensor([](const Tensor& x) { return logical_or(x < 0, 1 / x == -INFINITY); });
  // |x| with the sign of y, from which no gradient flows.
  t["copysign"] = pairwise([](const Operand& x, const Operand& y) {
    const Tensor negative = logical_or(y < 0, 1 / y == -INFINITY);
    return where(negative, -abs(x), abs(x));
  });
  t["heaviside"] = pairwise([](const Operand& x, const Operand& at_zero) {
    return where(x == 0, at_zero, where(x < 0, 0, where(x > 0, 1, x)));
  });
}

void arithmetic(Table& t) {
  t["rsub"] = [](const Args& a) {
    const Value* alpha = a.find(2, "alpha");
    const Value& x = a.positional.at(0);
    return binary("-", second(a, "other"), alpha ? binary("*", x, *alpha) : x);
  };
  t["lerp"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "end");
    return tensor_value(x + as_tensor(*a.find(2, "weight")) * (y - x));
  };
  t["addcmul"] = [](const Args& a) {
    return tensor_value(a.tensor(0, "input") +
                        a.number(3, "value", 1) * a.tensor(1, "tensor1") * a.tensor(2, "tensor2"));
  };
  t["addcdiv"] = [](const Args& a) {
    return tensor_value(a.tensor(0, "input") +
                        a.number(3, "value", 1) * a.tensor(1, "tensor1") / a.tensor(2, "tensor2"));
  };
  t["ldexp"] = [](const Args& a) {
    return tensor_value(a.tensor(0, "input") * pow(2.0, floating(a.tensor(1, "other"))));
  };
  // As maximum and minimum, but a NaN is ignored, and the first has all of the gradient at a tie.
  t["fmax"] = pairwise([](const Operand& x, const Operand& y) { return where(logical_or(x >= y, is_nan(y)), x, y); });
  t["fmin"] = pairwise([](const Operand& x, const Operand& y) { return where(logical_or(x <= y, is_nan(y)), x, y); });
  t["nan_to_num"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const double nan = a.number(1, "nan", 0), high = a.number(2, "posinf", 1.7976931348623157e308),
                 low = a.number(3, "neginf", -1.7976931348623157e308);
    return tensor_value(where(is_nan(x), nan, where(x == INFINITY, high, where(x == -INFINITY, low, x))));
  };
}

// What gives booleans.
void questions(Table& t) {
  t["isinf"] = unary(is_inf);
  t["isfinite"] = unary(is_finite);
  t["isposinf"] = of_tensor([](const Tensor& x) { return x == INFINITY; });
  t["isneginf"] = of_tensor([](const Tensor& x) { return x == -INFINITY; });
  t["greater"] = [](const Args& a) { return binary(">", a.positional.at(0), second(a, "other")); };
  t["greater_equal"] = [](const Args& a) { return binary(">=", a.positional.at(0), second(a, "other")); };
  t["less"] = [](const Args& a) { return binary("<", a.positional.at(0), second(a, "other")); };
  t["less_equal"] = [](const Args& a) { return binary("<=", a.positional.at(0), second(a, "other")); };
  t["not_equal"] = [](const Args& a) { return binary("!=", a.positional.at(0), second(a, "other")); };
  auto logic = [](Tensor (*f)(const Operand&, const Operand&)) {
    return [f](const Args& a) {
      auto boolean = [](const Tensor& x) { return cast(x, Dtype::boolean); };
      return tensor_value(f(boolean(a.tensor(0, "input")), boolean(a.tensor(1, "other"))));
    };
  };
  t["logical_and"] = t["bitwise_and"] = logic(logical_and);
  t["logical_or"] = t["bitwise_or"] = logic(logical_or);
  t["logical_xor"] = t["bitwise_xor"] = logic(logical_xor);
  t["logical_not"] = t["bitwise_not"] = [](const Args& a) {
    return tensor_value(logical_not(cast(a.tensor(0, "input"), Dtype::boolean)));
  };
  t["isclose"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "other");
    return tensor_value(
        logical_or(x == y, abs(x - y) <= a.number(3, "atol", 1e-8) + a.number(2, "rtol", 1e-5) * abs(y)));
  };
}

}  // namespace

void add_special_functions(Table& t) {
  trigonometric(t);
  logarithms(t);
  special(t);
  rounding(t);
  arithmetic(t);
  questions(t);
}

}  // namespace tapeloop::testing::torch
