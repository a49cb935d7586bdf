// Arithmetic, element by element: sums and products, division with its remainders, rounding, signs and dtypes. Each op is
// one value and one function, see ops/elementwise.h.
#pragma once

#include <string>

#include "ad/arithmetic.h"
#include "ad/op.h"
#include "ops/math.h"
#include "ops/shape.h"

namespace tapeloop {

// Used in derivatives before their own place.
Tensor neg(const Operand& x);
Tensor operator/(const Operand& a, const Operand& b);
Tensor operator==(const Operand& a, const Operand& b);
Tensor operator<(const Operand& a, const Operand& b);
Tensor operator>(const Operand& a, const Operand& b);
Tensor where(const Operand& condition, const Operand& a, const Operand& b);
Tensor logical_and(const Operand& a, const Operand& b);
Tensor square(const Operand& x);
Tensor round(const Operand& x);
Tensor cast(const Tensor& x, Dtype to, Where at = Where::current());

// --- sums and products ------------------------------------------------------------------------------------------------

// a + b. Integers wrap.
inline Tensor add(const Operand& a, const Operand& b) { return record(add_op, {a, b}); }
inline Tensor operator+(const Operand& a, const Operand& b) { return add(a, b); }

// a · b. Integers wrap.
inline Tensor mul(const Operand& a, const Operand& b) { return record(mul_op, {a, b}); }
inline Tensor operator*(const Operand& a, const Operand& b) { return mul(a, b); }

// d(−x) = −dx
inline constexpr Op neg_op = elementwise({
    .name = "neg",
    .lanes = [](Lanes x) { return -x[0]; },
    .flow = [](const Tensors&, const Tensor&, const Tensor& v) { return Tensors{neg(v)}; },
    .cheap = true,
    .infer = infer_number,
});
inline Tensor neg(const Operand& x) { return record(neg_op, {x}); }
inline Tensor operator-(const Operand& x) { return neg(x); }

// d(a − b) = da − db
inline constexpr Op sub_op = elementwise({
    .name = "sub",
    .lanes = [](Lanes x) { return x[0] - x[1]; },
    .flow = [](const Tensors&, const Tensor&, const Tensor& v) { return Tensors{v, neg(v)}; },
    .cheap = true,
    .infer = infer_number,
});
// a − b. Integers wrap.
inline Tensor sub(const Operand& a, const Operand& b) { return record(sub_op, {a, b}); }
inline Tensor operator-(const Operand& a, const Operand& b) { return sub(a, b); }

// d(a / b) = da / b − y db / b
inline constexpr Op div_op = elementwise({
    .name = "div",
    .lanes = [](Lanes x) { return x[0] / x[1]; },
    .flow =
        [](const Tensors& x, const Tensor& y, const Tensor& v) {
          const Tensor quotient = v / x[1];
          return Tensors{quotient, neg(quotient * y)};
        },
    .cheap = true,
    .infer = infer_float,
});
// a / b, for floats; floor_divide() is for integers, too.
inline Tensor div(const Operand& a, const Operand& b) { return record(div_op, {a, b}); }
inline Tensor operator/(const Operand& a, const Operand& b) { return div(a, b); }

// d (1/x) = −y² dx
inline constexpr Op reciprocal_op = elementwise({
    .name = "reciprocal",
    .lanes = [](Lanes x) { return 1 / x[0]; },
    .partials = [](const Tensors&, const Tensor& y) { return Tensors{neg(square(y))}; },
    .cheap = true,
    .infer = infer_float,
});
// 1 / x; ±inf at ±0.
inline Tensor reciprocal(const Operand& x) { return record(reciprocal_op, {x}); }

// d x² = 2x dx
inline constexpr Op square_op = elementwise({
    .name = "square",
    .lanes = [](Lanes x) { return x[0] * x[0]; },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{2 * x[0]}; },
    .cheap = true,
    .infer = infer_number,
});
inline Tensor square(const Operand& x) { return record(square_op, {x}); }

// d x³ = 3x² dx
inline constexpr Op cube_op = elementwise({
    .name = "cube",
    .lanes = [](Lanes x) { return x[0] * x[0] * x[0]; },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{3 * square(x[0])}; },
    .cheap = true,
    .infer = infer_number,
});
// x·x·x, in this order.
inline Tensor cube(const Operand& x) { return record(cube_op, {x}); }

// --- division with remainder ------------------------------------------------------------------------------------------

// Without gradient: 0 wherever it exists.
inline constexpr Op floor_divide_op = elementwise({
    .name = "floor_divide",
    .lanes = [](Lanes x) { return lane::floor_divide(x[0], x[1]); },
    .infer = infer_number,
});
// ⌊a / b⌋: of the rounded quotient for floats, exact for integers. An integer divided by 0 is the nearest that there is to
// ±inf, 0 / 0 is 0.
inline Tensor floor_divide(const Operand& a, const Operand& b) { return record(floor_divide_op, {a, b}); }

// d fmod(a, b) = da − trunc(a/b) db
inline constexpr Op fmod_op = elementwise({
    .name = "fmod",
    .lanes = [](Lanes x) { return lane::fmod(x[0], x[1]); },
    .flow = [](const Tensors& x, const Tensor& y,
               const Tensor& v) { return Tensors{v, neg(v * round((x[0] - y) / x[1]))}; },
    .infer = infer_number,
});
// a − trunc(a/b)·b without rounding error, with the sign of a, as in C. NaN where |a/b| ≥ 2⁵³, which floats allow. Of
// integers, the remainder by 0 is 0.
inline Tensor fmod(const Operand& a, const Operand& b) { return record(fmod_op, {a, b}); }

// d remainder(a, b) = da − ⌊a/b⌋ db
inline constexpr Op remainder_op = elementwise({
    .name = "remainder",
    .lanes = [](Lanes x) { return lane::remainder(x[0], x[1]); },
    .flow = [](const Tensors& x, const Tensor& y,
               const Tensor& v) { return Tensors{v, neg(v * round((x[0] - y) / x[1]))}; },
    .infer = infer_number,
});
// a − ⌊a/b⌋·b, with the sign of b, as in Python; otherwise like fmod.
inline Tensor remainder(const Operand& a, const Operand& b) { return record(remainder_op, {a, b}); }

// --- signs and rounding -------------------------------------------------------------------------------------------------

// d |x| = dx where x > 0, −dx where x < 0, 0 at 0
inline constexpr Op abs_op = elementwise({
    .name = "abs",
    .lanes = [](Lanes x) { return lane::abs(x[0]); },
    // At the kink a factor 0, not nothing: 0 times an infinite cotangent is NaN, as in PyTorch and JAX.
    .flow = [](const Tensors& x, const Tensor&,
               const Tensor& v) { return Tensors{where(x[0] > 0, v, where(x[0] < 0, neg(v), v * 0))}; },
    .cheap = true,
    .infer = infer_number,
});
inline Tensor abs(const Operand& x) { return record(abs_op, {x}); }

// Without gradient: 0 wherever it exists.
inline constexpr Op sign_op = elementwise({
    .name = "sign",
    .lanes =
        [](Lanes x) {
          const Lane positive = lane::select(x[0] > 0, x[0].like(1), x[0]);
          return x[0].dtype() == Dtype::u32 ? positive : lane::select(x[0] < 0, x[0].like(-1), positive);
        },
    .cheap = true,
    .infer = infer_number,
});
// 1, −1, or x itself when it is ±0 or NaN.
inline Tensor sign(const Operand& x) { return record(sign_op, {x}); }

// Without gradient: 0 wherever it exists.
inline constexpr Op floor_op = elementwise(
    {.name = "floor", .lanes = [](Lanes x) { return lane::floor(x[0]); }, .cheap = true, .infer = infer_float});
// The greatest integer that is not above x.
inline Tensor floor(const Operand& x) { return record(floor_op, {x}); }

// Without gradient: 0 wherever it exists.
inline constexpr Op ceil_op = elementwise(
    {.name = "ceil", .lanes = [](Lanes x) { return -lane::floor(-x[0]); }, .cheap = true, .infer = infer_float});
// The smallest integer that is not below x.
inline Tensor ceil(const Operand& x) { return record(ceil_op, {x}); }

// Without gradient: 0 wherever it exists.
inline constexpr Op round_op = elementwise(
    {.name = "round", .lanes = [](Lanes x) { return lane::round(x[0]); }, .cheap = true, .infer = infer_float});
// The nearest integer; halves go to the even one.
inline Tensor round(const Operand& x) { return record(round_op, {x}); }

// Without gradient: 0 wherever it exists.
inline constexpr Op trunc_op = elementwise(
    {.name = "trunc", .lanes = [](Lanes x) { return lane::trunc(x[0]); }, .cheap = true, .infer = infer_float});
// x without its fraction; the sign stays, on zeros too.
inline Tensor trunc(const Operand& x) { return record(trunc_op, {x}); }

// --- dtypes -------------------------------------------------------------------------------------------------------------

// d cast(x) = cast(dx) between floats; a cotangent is cast back
inline constexpr Op cast_op = elementwise({
    .name = "cast",
    .lanes = [](Lanes x) { return lane::convert(x[0], x.attrs->get<Dtype>("dtype")); },
    .flow =
        [](const Tensors& x, const Tensor& y, const Tensor& v) {
          // A cotangent has the dtype of y, a tangent that of x.
          return Tensors{cast(v, v.dtype() == y.dtype() ? x[0].dtype() : y.dtype())};
        },
    .cheap = true,
    .infer = [](const Op&, std::span<const Type> in, const Attrs& attrs,
                const Where&) { return Type{attrs.get<Dtype>("dtype"), in[0].shape, nullptr}; },
});
// x in another dtype. Floats become integers by truncation, saturated, NaN as 0; integers wrap into each other; to
// boolean is x != 0. Gradients pass between f32 and f64 only.
inline Tensor cast(const Tensor& x, Dtype to, Where at) {
  if (!x.is_empty() && x.dtype() == to) return x;
  return record(cast_op, Tensors{x}, {{"dtype", to}}, at);
}

}  // namespace tapeloop
