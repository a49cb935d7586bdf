// Activation functions, element by element. What is not an op of its own is a composition of others, and so is its
// derivative; where a function has a kink, its comment says what the derivative is there.
#pragma once

#include <numbers>

#include "ops/special.h"

namespace tapeloop {

// --- smooth ---------------------------------------------------------------------------------------------------------------

// d σ(x) = y (1 − y) dx
inline constexpr Op sigmoid_op = elementwise({
    .name = "sigmoid",
    .lanes = [](Lanes x) { return lane::sigmoid(x[0]); },
    .partials = [](const Tensors&, const Tensor& y) { return Tensors{y * (1 - y)}; },
    .infer = infer_float,
});
// 1 / (1 + e⁻ˣ), without overflow.
inline Tensor sigmoid(const Operand& x) { return record(sigmoid_op, {x}); }

// d log(1 + eˣ) = σ(x) dx
inline constexpr Op softplus_op = elementwise({
    .name = "softplus",
    .lanes = [](Lanes x) { return lane::softplus(x[0]); },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{sigmoid(x[0])}; },
    .infer = infer_float,
});
// log(1 + eˣ), without overflow.
inline Tensor softplus(const Operand& x) { return record(softplus_op, {x}); }

// log σ(x) = −log(1 + e⁻ˣ), without overflow.
inline Tensor logsigmoid(const Operand& x) { return neg(Operand(softplus(neg(x)), x.where)); }

// d x/(1 + |x|) = dx / (1 + |x|)²
inline constexpr Op softsign_op = elementwise({
    .name = "softsign",
    .lanes = [](Lanes x) { return x[0] / (lane::abs(x[0]) + 1); },
    .flow = [](const Tensors& x, const Tensor&, const Tensor& v) { return Tensors{v / square(1 + abs(x[0]))}; },
    .cheap = true,
    .infer = infer_float,
});
// x / (1 + |x|)
inline Tensor softsign(const Operand& x) { return record(softsign_op, {x}); }

// x·σ(x), also called swish.
inline Tensor silu(const Operand& x) { return x * sigmoid(x); }

// x·Φ(x) with the normal distribution Φ (Hendrycks and Gimpel 2016, arXiv:1606.08415): Φ(x) = (1 + erf(x/√2))/2, or its
// approximation (1 + tanh(√(2/π)·(x + 0.044715·x³)))/2, which is what older models were trained with.
enum class Gelu { erf, tanh };
inline Tensor gelu(const Operand& x, Gelu form = Gelu::erf) {
  if (form == Gelu::erf) return 0.5 * x * (1 + erf(x * (1 / std::numbers::sqrt2)));
  const Tensor near = clamp(x, -64, 64);  // from there on tanh is ±1, and x³ would overflow
  const double slope = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
  return 0.5 * x * (1 + tanh(slope * near * (1 + 0.044715 * square(near))));
}

// --- with a kink ------------------------------------------------------------------------------------------------------------

// d relu(x) = 0 where x ≤ 0, else dx (at NaN, too); written with y, so that x need not be kept
inline constexpr Op relu_op = elementwise({
    .name = "relu",
    .lanes = [](Lanes x) { return lane::max(x[0], x[0].like(0)); },
    .flow = [](const Tensors&, const Tensor& y, const Tensor& v) { return Tensors{where(y <= 0, 0, v)}; },
    .cheap = true,
    .infer = infer_number,
});
// max(x, 0); NaN stays.
inline Tensor relu(const Operand& x) { return record(relu_op, {x}); }

// x above 0, slope·x below; the derivative at 0 is `slope`.
inline Tensor leaky_relu(const Operand& x, double slope = 0.01) { return where(x > 0, x, slope * x); }

// x above 0, alpha·(eˣ − 1) below (Clevert et al. 2016, arXiv:1511.07289); the derivative at 0 is `alpha`.
inline Tensor elu(const Operand& x, double alpha = 1) { return where(x > 0, x, alpha * expm1(where(x > 0, 0, x))); }

// 1.0507·elu(x, 1.6733), which keeps mean 0 and variance 1 (Klambauer et al. 2017, arXiv:1706.02515); the derivative at 0
// is 1.7581, that of the lower side.
inline Tensor selu(const Operand& x) {
  return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717);
}

// x between −1 and 1, these beyond. Unlike that of clamp the derivative at ±1 is 0, as in PyTorch, relu6 included.
inline Tensor hardtanh(const Operand& x, double low = -1, double high = 1) {
  return where(x <= low, low, where(x >= high, high, x));
}

// d hardsigmoid(x) = dx/6 where 0 < y < 1, else 0 (at ±3, too)
inline constexpr Op hardsigmoid_op = elementwise({
    .name = "hardsigmoid",
    .lanes = [](Lanes x) { return lane::min(lane::max(x[0] + 3, x[0].like(0)), x[0].like(6)) / 6; },
    .flow = [](const Tensors&, const Tensor& y,
               const Tensor& v) { return Tensors{where(y > 0, where(y < 1, v / 6, 0), 0)}; },
    .cheap = true,
    .infer = infer_float,
});
// (x + 3)/6 between 0 and 1, these beyond.
inline Tensor hardsigmoid(const Operand& x) { return record(hardsigmoid_op, {x}); }

}  // namespace tapeloop
