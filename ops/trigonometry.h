// Trigonometric functions, element by element, for floats. Angles are radians.
#pragma once

#include "ops/exponential.h"

namespace tapeloop {

Tensor cos(const Operand& x);  // used in a derivative before its own place

// d sin x = cos x dx
inline constexpr Op sin_op = elementwise({
    .name = "sin",
    .lanes = [](Lanes x) { return lane::sin(x[0]); },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{cos(x[0])}; },
    .infer = infer_float,
});
inline Tensor sin(const Operand& x) { return record(sin_op, {x}); }

// d cos x = −sin x dx
inline constexpr Op cos_op = elementwise({
    .name = "cos",
    .lanes = [](Lanes x) { return lane::cos(x[0]); },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{neg(sin(x[0]))}; },
    .infer = infer_float,
});
inline Tensor cos(const Operand& x) { return record(cos_op, {x}); }

// d tan x = (1 + y²) dx
inline constexpr Op tan_op = elementwise({
    .name = "tan",
    .lanes = [](Lanes x) { return lane::tan(x[0]); },
    .partials = [](const Tensors&, const Tensor& y) { return Tensors{1 + square(y)}; },
    .infer = infer_float,
});
inline Tensor tan(const Operand& x) { return record(tan_op, {x}); }

// d arcsin x = dx / √(1 − x²), which is inf at ±1
inline constexpr Op asin_op = elementwise({
    .name = "asin",
    .lanes = [](Lanes x) { return lane::asin(x[0]); },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{rsqrt((1 - x[0]) * (1 + x[0]))}; },
    .infer = infer_float,
});
// In [−π/2, π/2]; NaN for |x| > 1.
inline Tensor asin(const Operand& x) { return record(asin_op, {x}); }

// d arccos x = −dx / √(1 − x²), which is −inf at ±1
inline constexpr Op acos_op = elementwise({
    .name = "acos",
    .lanes = [](Lanes x) { return lane::acos(x[0]); },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{neg(rsqrt((1 - x[0]) * (1 + x[0])))}; },
    .infer = infer_float,
});
// In [0, π]; NaN for |x| > 1.
inline Tensor acos(const Operand& x) { return record(acos_op, {x}); }

// d arctan x = dx / (1 + x²)
inline constexpr Op atan_op = elementwise({
    .name = "atan",
    .lanes = [](Lanes x) { return lane::atan(x[0]); },
    .flow = [](const Tensors& x, const Tensor&, const Tensor& v) { return Tensors{v / (1 + square(x[0]))}; },
    .infer = infer_float,
});
// In [−π/2, π/2].
inline Tensor atan(const Operand& x) { return record(atan_op, {x}); }

// d atan2(y, x) = (x dy − y dx) / (x² + y²), which is 0/0 at the origin
inline constexpr Op atan2_op = elementwise({
    .name = "atan2",
    .lanes = [](Lanes x) { return lane::atan2(x[0], x[1]); },
    .partials =
        [](const Tensors& x, const Tensor&) {
          // In units of the greater of the two, so that the squares neither overflow nor vanish.
          const Tensor unit = maximum(abs(x[0]), abs(x[1]));
          const Tensor b = x[0] / unit, a = x[1] / unit;
          const Tensor scale = (square(a) + square(b)) * unit;
          return Tensors{a / scale, neg(b / scale)};
        },
    .infer = infer_float,
});
// The angle of the point (x, y) from the x axis, in [−π, π]; zeros and infinities as in C.
inline Tensor atan2(const Operand& y, const Operand& x) { return record(atan2_op, {y, x}); }

}  // namespace tapeloop
