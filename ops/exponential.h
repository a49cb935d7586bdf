// Roots, powers, exponentials, logarithms and hyperbolic functions, element by element, for floats.
#pragma once

#include "ops/compare.h"

namespace tapeloop {

// Used in derivatives before their own place.
Tensor exp(const Operand& x);
Tensor log(const Operand& x);
Tensor sigmoid(const Operand& x);
Tensor pow(const Operand& base, const Operand& exponent);
Tensor cosh(const Operand& x);

// --- roots and powers -----------------------------------------------------------------------------------------------------

// d √x = dx / 2√x, which is inf at 0 and −inf at −0, where √x is −0
inline constexpr Op sqrt_op = elementwise({
    .name = "sqrt",
    .lanes = [](Lanes x) { return lane::sqrt(x[0]); },
    .partials = [](const Tensors&, const Tensor& y) { return Tensors{0.5 / y}; },
    .infer = infer_float,
});
// √x; NaN below 0, √−0 = −0.
inline Tensor sqrt(const Operand& x) { return record(sqrt_op, {x}); }

// d x^−½ = −½ x^−3/2 dx = −½ y³ dx
inline constexpr Op rsqrt_op = elementwise({
    .name = "rsqrt",
    .lanes = [](Lanes x) { return lane::rsqrt(x[0]); },
    .partials = [](const Tensors&, const Tensor& y) { return Tensors{-0.5 * y * square(y)}; },
    .infer = infer_float,
});
// 1/√x; inf at 0.
inline Tensor rsqrt(const Operand& x) { return record(rsqrt_op, {x}); }

// d bᵉ = e bᵉ⁻¹ db + log(b) bᵉ de; the first is 0 where e = 0, whatever b is; the second is 0 where b = 0 and e ≥ 0.
inline constexpr Op pow_op = elementwise({
    .name = "pow",
    .lanes = [](Lanes x) { return lane::pow(x[0], x[1]); },
    .partials =
        [](const Tensors& x, const Tensor& y) {
          const Tensor &b = x[0], &e = x[1];
          // 0 · 0⁻¹ and 0 · NaN; what is neither positive nor negative is 0 or NaN
          const Tensor safe = where(logical_and(e == 0, logical_not(abs(b) > 0)), 1, b);
          return Tensors{e * pow(safe, e - 1), log(where(logical_and(b == 0, e >= 0), 1, b)) * y};
        },
    .infer = infer_float,
});
// base raised to exponent. x⁰ = 1 for every x, NaN and 0 included; NaN for a negative base and a broken exponent.
// The scalar exponent 2 is square(base).
inline Tensor pow(const Operand& base, const Operand& exponent) {
  if (exponent.is_scalar && exponent.scalar == 2) return square(base);
  return record(pow_op, {base, exponent});
}

// --- exponentials and logarithms ------------------------------------------------------------------------------------------

// d eˣ = eˣ dx
inline constexpr Op exp_op = elementwise({
    .name = "exp",
    .lanes = [](Lanes x) { return lane::exp(x[0]); },
    .partials = [](const Tensors&, const Tensor& y) { return Tensors{y}; },
    .infer = infer_float,
});
inline Tensor exp(const Operand& x) { return record(exp_op, {x}); }

// d (eˣ − 1) = (y + 1) dx
inline constexpr Op expm1_op = elementwise({
    .name = "expm1",
    .lanes = [](Lanes x) { return lane::expm1(x[0]); },
    .partials = [](const Tensors&, const Tensor& y) { return Tensors{y + 1}; },
    .infer = infer_float,
});
// eˣ − 1, exact to rounding for small x.
inline Tensor expm1(const Operand& x) { return record(expm1_op, {x}); }

// d log x = dx / x
inline constexpr Op log_op = elementwise({
    .name = "log",
    .lanes = [](Lanes x) { return lane::log(x[0]); },
    .flow = [](const Tensors& x, const Tensor&, const Tensor& v) { return Tensors{v / x[0]}; },
    .infer = infer_float,
});
// The natural logarithm; −inf at 0, NaN below.
inline Tensor log(const Operand& x) { return record(log_op, {x}); }

// d log(1 + x) = dx / (1 + x)
inline constexpr Op log1p_op = elementwise({
    .name = "log1p",
    .lanes = [](Lanes x) { return lane::log1p(x[0]); },
    .flow = [](const Tensors& x, const Tensor&, const Tensor& v) { return Tensors{v / (1 + x[0])}; },
    .infer = infer_float,
});
// log(1 + x), exact to rounding for small x.
inline Tensor log1p(const Operand& x) { return record(log1p_op, {x}); }

// d log(eᵃ + eᵇ) = σ(a − b) da + σ(b − a) db; half of each where both are the same infinity
inline constexpr Op logaddexp_op = elementwise({
    .name = "logaddexp",
    .lanes = [](Lanes x) { return lane::logaddexp(x[0], x[1]); },
    .partials =
        [](const Tensors& x, const Tensor&) {
          const Tensor same = logical_and(x[0] == x[1], is_inf(x[0]));
          const Tensor difference = where(same, 0, x[0] - x[1]);
          return Tensors{sigmoid(difference), sigmoid(neg(difference))};
        },
    .infer = infer_float,
});
// log(eᵃ + eᵇ), without overflow.
inline Tensor logaddexp(const Operand& a, const Operand& b) { return record(logaddexp_op, {a, b}); }

// d x log y = log y dx + x/y dy; the first is 0 where x = 0 and y ≤ 0
inline constexpr Op xlogy_op = elementwise({
    .name = "xlogy",
    .lanes = [](Lanes x) { return lane::xlogy(x[0], x[1]); },
    .partials =
        [](const Tensors& x, const Tensor&) {
          const Tensor nowhere = where(x[0] == 0, neg(x[1]), -1) > 0;
          const Tensor at_zero = where(x[0] == 0, x[1] == 0, nowhere);
          return Tensors{log(where(logical_or(nowhere, at_zero), 1, x[1])), x[0] / x[1]};
        },
    .infer = infer_float,
});
// x·log(y), and 0 where x = 0 unless y is NaN. As in PyTorch, the derivative by y at (0, 0) is 0/0.
inline Tensor xlogy(const Operand& x, const Operand& y) { return record(xlogy_op, {x, y}); }

// --- hyperbolic functions -------------------------------------------------------------------------------------------------

// d sinh x = cosh x dx
inline constexpr Op sinh_op = elementwise({
    .name = "sinh",
    .lanes = [](Lanes x) { return lane::sinh(x[0]); },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{cosh(x[0])}; },
    .infer = infer_float,
});
inline Tensor sinh(const Operand& x) { return record(sinh_op, {x}); }

// d cosh x = sinh x dx
inline constexpr Op cosh_op = elementwise({
    .name = "cosh",
    .lanes = [](Lanes x) { return lane::cosh(x[0]); },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{sinh(x[0])}; },
    .infer = infer_float,
});
inline Tensor cosh(const Operand& x) { return record(cosh_op, {x}); }

// d tanh x = (1 − y²) dx
inline constexpr Op tanh_op = elementwise({
    .name = "tanh",
    .lanes = [](Lanes x) { return lane::tanh(x[0]); },
    .partials = [](const Tensors&, const Tensor& y) { return Tensors{1 - y * y}; },
    .infer = infer_float,
});
inline Tensor tanh(const Operand& x) { return record(tanh_op, {x}); }

// d arsinh x = dx / √(1 + x²)
inline constexpr Op asinh_op = elementwise({
    .name = "asinh",
    .lanes = [](Lanes x) { return lane::asinh(x[0]); },
    .partials =
        [](const Tensors& x, const Tensor&) {
          const Tensor m = maximum(abs(x[0]), 1);  // so that the square does not overflow
          return Tensors{where(m == lane::kInfinity, 0, rsqrt(square(1 / m) + square(x[0] / m)) / m)};
        },
    .infer = infer_float,
});
inline Tensor asinh(const Operand& x) { return record(asinh_op, {x}); }

// d arcosh x = dx / √(x² − 1), which is inf at 1
inline constexpr Op acosh_op = elementwise({
    .name = "acosh",
    .lanes = [](Lanes x) { return lane::acosh(x[0]); },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{rsqrt(x[0] - 1) * rsqrt(x[0] + 1)}; },
    .infer = infer_float,
});
// NaN below 1.
inline Tensor acosh(const Operand& x) { return record(acosh_op, {x}); }

// d artanh x = dx / (1 − x²), which is inf at ±1
inline constexpr Op atanh_op = elementwise({
    .name = "atanh",
    .lanes = [](Lanes x) { return lane::atanh(x[0]); },
    .flow = [](const Tensors& x, const Tensor&, const Tensor& v) { return Tensors{v / ((1 - x[0]) * (1 + x[0]))}; },
    .infer = infer_float,
});
// ±inf at ±1, NaN beyond.
inline Tensor atanh(const Operand& x) { return record(atanh_op, {x}); }

}  // namespace tapeloop
