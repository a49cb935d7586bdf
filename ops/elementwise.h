// Elementwise ops: each is one value and one function, and nothing else in the project knows it.
//
// Operands are tensors or C++ numbers, which take the dtype of the tensor they meet; shapes are broadcast as in NumPy.
// Above each op stands its derivative, in maths; the op writes it down in tensor ops, so that it can be derived again.
// Where a factor may be infinite on a side that was not taken, the cotangent v is *selected* there, never multiplied by
// zero: 0·inf would be NaN.
#pragma once

#include <numbers>
#include <string>

#include "ad/arithmetic.h"
#include "ad/op.h"
#include "ops/math.h"
#include "ops/trig.h"
#include "ops/shape.h"

namespace tapeloop {

// Used in derivatives before their own place below.
Tensor neg(const Operand& x);
Tensor operator/(const Operand& a, const Operand& b);
Tensor operator==(const Operand& a, const Operand& b);
Tensor where(const Operand& condition, const Operand& a, const Operand& b);
Tensor logical_and(const Operand& a, const Operand& b);
Tensor square(const Operand& x);
Tensor exp(const Operand& x);
Tensor log(const Operand& x);
Tensor sigmoid(const Operand& x);
Tensor cos(const Operand& x);
Tensor cast(const Tensor& x, Dtype to, Where at = Where::current());
Tensor pow(const Operand& base, const Operand& exponent);

// --- arithmetic -------------------------------------------------------------------------------------------------------

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
    .flow =
        [](const Tensors&, const Tensor&, const Tensor& v) {
          return Tensors{v, neg(v)};
        },
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
// a / b, for floats: cast() integers first.
inline Tensor div(const Operand& a, const Operand& b) { return record(div_op, {a, b}); }
inline Tensor operator/(const Operand& a, const Operand& b) { return div(a, b); }

// d bᵉ = e bᵉ⁻¹ db + log(b) bᵉ de; the first is 0 where e = 0, at b = 0 too; the second takes log(0) as 0.
inline constexpr Op pow_op = elementwise({
    .name = "pow",
    .lanes = [](Lanes x) { return lane::pow(x[0], x[1]); },
    .partials =
        [](const Tensors& x, const Tensor& y) {
          const Tensor &b = x[0], &e = x[1];
          const Tensor safe = where(logical_and(b == 0, e == 0), 1, b);  // 0 · 0⁻¹
          return Tensors{e * pow(safe, e - 1), log(where(b == 0, 1, b)) * y};
        },
    .infer = infer_float,
});
// base raised to exponent. x⁰ = 1 for every x, NaN and 0 included; NaN for a negative base and a broken exponent.
// The scalar exponent 2 is square(base).
inline Tensor pow(const Operand& base, const Operand& exponent) {
  if (exponent.is_scalar && exponent.scalar == 2) return square(base);
  return record(pow_op, {base, exponent});
}

// d x² = 2x dx
inline constexpr Op square_op = elementwise({
    .name = "square",
    .lanes = [](Lanes x) { return x[0] * x[0]; },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{2 * x[0]}; },
    .cheap = true,
    .infer = infer_number,
});
inline Tensor square(const Operand& x) { return record(square_op, {x}); }

// --- comparisons: boolean tensors, without gradient; every comparison with NaN but != is false ---------------------------

// Order, which booleans do not have.
inline Type infer_order(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& at) {
  Type type = infer_number(op, in, attrs, at);
  type.dtype = Dtype::boolean;
  return type;
}

inline constexpr Op eq_op = elementwise(
    {.name = "eq", .lanes = [](Lanes x) { return x[0] == x[1]; }, .cheap = true, .infer = infer_comparison});
inline constexpr Op ne_op = elementwise(
    {.name = "ne", .lanes = [](Lanes x) { return x[0] != x[1]; }, .cheap = true, .infer = infer_comparison});
inline constexpr Op lt_op =
    elementwise({.name = "lt", .lanes = [](Lanes x) { return x[0] < x[1]; }, .cheap = true, .infer = infer_order});
inline constexpr Op le_op =
    elementwise({.name = "le", .lanes = [](Lanes x) { return x[0] <= x[1]; }, .cheap = true, .infer = infer_order});

inline Tensor operator==(const Operand& a, const Operand& b) { return record(eq_op, {a, b}); }
inline Tensor operator!=(const Operand& a, const Operand& b) { return record(ne_op, {a, b}); }
inline Tensor operator<(const Operand& a, const Operand& b) { return record(lt_op, {a, b}); }
inline Tensor operator<=(const Operand& a, const Operand& b) { return record(le_op, {a, b}); }
inline Tensor operator>(const Operand& a, const Operand& b) { return record(lt_op, {b, a}); }
inline Tensor operator>=(const Operand& a, const Operand& b) { return record(le_op, {b, a}); }

inline constexpr Op is_nan_op =
    elementwise({.name = "is_nan",
                 .lanes = [](Lanes x) { return lane::is_nan(x[0]); },
                 .cheap = true,
                 .infer =
                     [](const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& at) {
                       Type type = infer_float(op, in, attrs, at);
                       type.dtype = Dtype::boolean;
                       return type;
                     }});
inline Tensor is_nan(const Operand& x) { return record(is_nan_op, {x}); }

// --- logic ------------------------------------------------------------------------------------------------------------

inline Type infer_logic(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& at) {
  for (const Type& type : in)
    if (type.dtype != Dtype::boolean)
      throw Error(std::string(op.name) + ": needs boolean operands, got " + to_string(type), at,
                  "a comparison makes booleans: x != 0");
  return infer_same(op, in, attrs, at);
}

inline constexpr Op and_op = elementwise(
    {.name = "logical_and", .lanes = [](Lanes x) { return x[0] & x[1]; }, .cheap = true, .infer = infer_logic});
inline constexpr Op or_op = elementwise(
    {.name = "logical_or", .lanes = [](Lanes x) { return x[0] | x[1]; }, .cheap = true, .infer = infer_logic});
inline constexpr Op not_op =
    elementwise({.name = "logical_not", .lanes = [](Lanes x) { return !x[0]; }, .cheap = true, .infer = infer_logic});

inline Tensor logical_and(const Operand& a, const Operand& b) { return record(and_op, {a, b}); }
inline Tensor logical_or(const Operand& a, const Operand& b) { return record(or_op, {a, b}); }
inline Tensor logical_not(const Operand& x) { return record(not_op, {x}); }

// --- choosing ---------------------------------------------------------------------------------------------------------

// d where(c, a, b) = where(c, da, db)
inline constexpr Op where_op = elementwise({
    .name = "where",
    .lanes = [](Lanes x) { return lane::select(x[0], x[1], x[2]); },
    .flow =
        [](const Tensors& x, const Tensor&, const Tensor& v) {
          return Tensors{Tensor(), where(x[0], v, 0), where(x[0], 0, v)};
        },
    .cheap = true,
    .infer =
        [](const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& at) {
          if (in[0].dtype != Dtype::boolean)
            throw Error("where: the condition is " + to_string(in[0]) + ", not boolean", at, "write x != 0");
          const Type type = infer_same(op, in.subspan(1), attrs, at);
          if (!agree(in[0].shape, type.shape))
            throw Error("where: shapes differ: " + to_string(in[0]) + " and " + to_string(type), at);
          return type;
        },
});
// a where `condition` holds, else b; what is not chosen is computed but leaves no trace in the value. It can in the
// gradient: a function whose derivative is infinite where it is not chosen must be kept away from there inside, too:
//   where(x > 0, sqrt(where(x > 0, x, 1)), 0)
inline Tensor where(const Operand& condition, const Operand& a, const Operand& b) {
  return record(where_op, {condition, a, b});
}

// d max(a, b) = da where a > b, db where a < b, half of each at a tie
inline constexpr Op maximum_op = elementwise({
    .name = "maximum",
    .lanes = [](Lanes x) { return lane::max(x[0], x[1]); },
    .flow =
        [](const Tensors& x, const Tensor&, const Tensor& v) {
          const Tensor rest = where(x[0] == x[1], v * 0.5, v);
          return Tensors{where(x[0] < x[1], 0, rest), where(x[0] > x[1], 0, rest)};
        },
    .cheap = true,
    .infer = infer_number,
});
// The greater of two; NaN if either is; −0 < +0.
inline Tensor maximum(const Operand& a, const Operand& b) { return record(maximum_op, {a, b}); }

// d min(a, b) = da where a < b, db where a > b, half of each at a tie
inline constexpr Op minimum_op = elementwise({
    .name = "minimum",
    .lanes = [](Lanes x) { return lane::min(x[0], x[1]); },
    .flow =
        [](const Tensors& x, const Tensor&, const Tensor& v) {
          const Tensor rest = where(x[0] == x[1], v * 0.5, v);
          return Tensors{where(x[0] > x[1], 0, rest), where(x[0] < x[1], 0, rest)};
        },
    .cheap = true,
    .infer = infer_number,
});
// The smaller of two; NaN if either is; −0 < +0.
inline Tensor minimum(const Operand& a, const Operand& b) { return record(minimum_op, {a, b}); }

// d relu(x) = dx where x > 0, else 0 (at 0, too); written with y, so that x need not be kept
inline constexpr Op relu_op = elementwise({
    .name = "relu",
    .lanes = [](Lanes x) { return lane::max(x[0], x[0].like(0)); },
    .flow = [](const Tensors&, const Tensor& y, const Tensor& v) { return Tensors{where(y > 0, v, 0)}; },
    .cheap = true,
    .infer = infer_number,
});
// max(x, 0); NaN stays.
inline Tensor relu(const Operand& x) { return record(relu_op, {x}); }

// d |x| = dx where x > 0, −dx where x < 0, 0 at 0
inline constexpr Op abs_op = elementwise({
    .name = "abs",
    .lanes = [](Lanes x) { return lane::abs(x[0]); },
    .flow = [](const Tensors& x, const Tensor&,
               const Tensor& v) { return Tensors{where(x[0] > 0, v, where(x[0] < 0, neg(v), 0))}; },
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

// --- roots, exponentials, logarithms ------------------------------------------------------------------------------------

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

// --- activations, trigonometry --------------------------------------------------------------------------------------------

// d tanh x = (1 − y²) dx
inline constexpr Op tanh_op = elementwise({
    .name = "tanh",
    .lanes = [](Lanes x) { return lane::tanh(x[0]); },
    .partials = [](const Tensors&, const Tensor& y) { return Tensors{1 - y * y}; },
    .infer = infer_float,
});
inline Tensor tanh(const Operand& x) { return record(tanh_op, {x}); }

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

// d erf x = 2/√π e^−x² dx
inline constexpr Op erf_op = elementwise({
    .name = "erf",
    .lanes = [](Lanes x) { return lane::erf(x[0]); },
    .partials = [](const Tensors& x,
                   const Tensor&) { return Tensors{2 * std::numbers::inv_sqrtpi * exp(neg(square(x[0])))}; },
    .infer = infer_float,
});
inline Tensor erf(const Operand& x) { return record(erf_op, {x}); }

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
    .infer =
        [](const Op&, std::span<const Type> in, const Attrs& attrs, const Where&) {
          return Type{attrs.get<Dtype>("dtype"), in[0].shape, nullptr};
        },
});
// x in another dtype. Floats become integers by truncation, saturated, NaN as 0; i32 and u32 wrap into each other; to
// boolean is x != 0. Gradients pass between f32 and f64 only.
inline Tensor cast(const Tensor& x, Dtype to, Where at) {
  if (!x.is_empty() && x.dtype() == to) return x;
  return record(cast_op, Tensors{x}, {{"dtype", to}}, at);
}

}  // namespace tapeloop
