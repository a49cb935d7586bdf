// Special functions, element by element, for floats.
#pragma once

#include <numbers>

#include "ops/exponential.h"

namespace tapeloop {

// d erf x = 2/√π e^−x² dx
inline constexpr Op erf_op = elementwise({
    .name = "erf",
    .lanes = [](Lanes x) { return lane::erf(x[0]); },
    .partials = [](const Tensors& x,
                   const Tensor&) { return Tensors{2 * std::numbers::inv_sqrtpi * exp(neg(square(x[0])))}; },
    .infer = infer_float,
});
inline Tensor erf(const Operand& x) { return record(erf_op, {x}); }

// d log|Γ(x)| = ψ(x) dx
Tensor digamma(const Operand& x);
inline constexpr Op lgamma_op = elementwise({
    .name = "lgamma",
    .lanes = [](Lanes x) { return lane::lgamma(x[0]); },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{digamma(x[0])}; },
    .infer = infer_float,
});
// log|Γ(x)|; inf at 0, −1, −2, …
inline Tensor lgamma(const Operand& x) { return record(lgamma_op, {x}); }

// ψ⁽ⁿ⁾(x), the (n + 1)-th derivative of log Γ: the digamma function for n = 0. NaN at negative integers.
// Throws Error unless 0 ≤ n ≤ 12. Derivative: ψ⁽ⁿ⁺¹⁾.
Tensor polygamma(int n, const Operand& x);
inline Tensor digamma(const Operand& x) { return polygamma(0, x); }

extern const Op polygamma_op;  // attribute: order

}  // namespace tapeloop
