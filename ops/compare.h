// Comparing and choosing, element by element. Comparisons give boolean tensors and pass no gradient.
#pragma once

#include "ops/arithmetic.h"

namespace tapeloop {

// --- comparisons: every comparison with NaN but != is false ---------------------------------------------------------------

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

// Of floats, to boolean.
inline Type infer_classification(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& at) {
  Type type = infer_float(op, in, attrs, at);
  type.dtype = Dtype::boolean;
  return type;
}

inline constexpr Op is_nan_op = elementwise({.name = "is_nan",
                                             .lanes = [](Lanes x) { return lane::is_nan(x[0]); },
                                             .cheap = true,
                                             .infer = infer_classification});
inline Tensor is_nan(const Operand& x) { return record(is_nan_op, {x}); }

inline constexpr Op is_inf_op = elementwise({.name = "is_inf",
                                             .lanes = [](Lanes x) { return lane::abs(x[0]) == lane::kInfinity; },
                                             .cheap = true,
                                             .infer = infer_classification});
// Whether x is inf or −inf.
inline Tensor is_inf(const Operand& x) { return record(is_inf_op, {x}); }

inline constexpr Op is_finite_op = elementwise({.name = "is_finite",
                                                .lanes = [](Lanes x) { return lane::abs(x[0]) < lane::kInfinity; },
                                                .cheap = true,
                                                .infer = infer_classification});
// Whether x is a number: neither infinite nor NaN.
inline Tensor is_finite(const Operand& x) { return record(is_finite_op, {x}); }

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
inline constexpr Op xor_op = elementwise(
    {.name = "logical_xor", .lanes = [](Lanes x) { return x[0] ^ x[1]; }, .cheap = true, .infer = infer_logic});
inline constexpr Op not_op =
    elementwise({.name = "logical_not", .lanes = [](Lanes x) { return !x[0]; }, .cheap = true, .infer = infer_logic});

inline Tensor logical_and(const Operand& a, const Operand& b) { return record(and_op, {a, b}); }
inline Tensor logical_or(const Operand& a, const Operand& b) { return record(or_op, {a, b}); }
inline Tensor logical_xor(const Operand& a, const Operand& b) { return record(xor_op, {a, b}); }
inline Tensor logical_not(const Operand& x) { return record(not_op, {x}); }

// --- choosing ---------------------------------------------------------------------------------------------------------

// d where(c, a, b) = where(c, da, db)
inline constexpr Op where_op = elementwise({
    .name = "where",
    .lanes = [](Lanes x) { return lane::select(x[0], x[1], x[2]); },
    .flow = [](const Tensors& x, const Tensor&,
               const Tensor& v) { return Tensors{Tensor(), where(x[0], v, 0), where(x[0], 0, v)}; },
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

// d clamp(x, l, h) = dx where l ≤ x ≤ h, at both bounds too, not at NaN; dl where x < l, dh where max(x, l) > h
inline constexpr Op clamp_op = elementwise({
    .name = "clamp",
    .lanes = [](Lanes x) { return lane::min(lane::max(x[0], x[1]), x[2]); },
    .flow =
        [](const Tensors& x, const Tensor&, const Tensor& v) {
          const Tensor below = x[0] < x[1];
          const Tensor above = where(below, x[1], x[0]) > x[2];
          return Tensors{where(x[0] >= x[1], where(x[0] <= x[2], v, 0), 0), where(above, 0, where(below, v, 0)),
                         where(above, v, 0)};
        },
    .cheap = true,
    .infer = infer_number,
});
// x, but not below `low` and not above `high` (which wins if they cross); NaN stays. At a bound the gradient is that of x,
// as in PyTorch.
inline Tensor clamp(const Operand& x, const Operand& low, const Operand& high) {
  return record(clamp_op, {x, low, high});
}

}  // namespace tapeloop
