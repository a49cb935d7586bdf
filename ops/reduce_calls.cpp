// What users call to reduce: arguments are checked and completed here, and recorded as the ops of ops/reduce.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "ad/arithmetic.h"
#include "ad/tape.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

// Sorted, each once, counted from the front.
Ints normal_axes(std::string_view op, const Axes& axes, int rank, const Where& where) {
  Ints result;
  if (axes.all)
    for (int axis = 0; axis < rank; ++axis) result.push_back(axis);
  else
    for (int axis : axes.list) result.push_back(normal_axis(op, axis, rank, where));
  std::sort(result.begin(), result.end());
  if (std::adjacent_find(result.begin(), result.end()) != result.end())
    throw Error(fmt::format("{}: an axis is named twice", op), where);
  return result;
}

Shape with_ones(Shape shape, const Ints& axes) {
  for (std::int64_t axis : axes) shape[std::size_t(axis)] = 1;
  return shape;
}

Tensor reduce(const Op& op, const Tensor& x, const Axes& axes, bool keep, const Where& where) {
  check_value(op.name, x, where);
  const Ints list = normal_axes(op.name, axes, x.rank(), where);
  if (list.empty()) return x;
  const Tensor y = record(op, Tensors{x}, {{"axes", list}}, where);
  return keep ? reshape(y, with_ones(x.shape(), list), where) : y;
}

// What is taken out of exp's operand: the largest element. Where that is infinite, a softmax has no value: ∞ − ∞ is NaN.
Tensor top_of(const Tensor& x, const Axes& axes, const Where& where) {
  return stop_gradient(max(x, axes, true, where), where);
}
// A logarithm of a sum has one, for which nothing is taken out.
Tensor shift_of(const Tensor& x, const Axes& axes, const Where& where) {
  const Tensor top = top_of(x, axes, where);
  return tapeloop::where(abs(Operand(top, where)) == std::numeric_limits<double>::infinity(), 0, top);
}

void needs_boolean(std::string_view op, const Tensor& x, const Where& where) {
  check_value(op, x, where);
  if (x.dtype() != Dtype::boolean)
    throw Error(fmt::format("{}: needs a boolean operand, got {}", op, to_string(x.type())), where,
                "a comparison makes booleans: x != 0");
}

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keep, Where where) { return reduce(sum_op, x, axes, keep, where); }
Tensor prod(const Tensor& x, const Axes& axes, bool keep, Where where) { return reduce(prod_op, x, axes, keep, where); }
Tensor max(const Tensor& x, const Axes& axes, bool keep, Where where) { return reduce(max_op, x, axes, keep, where); }
Tensor min(const Tensor& x, const Axes& axes, bool keep, Where where) { return reduce(min_op, x, axes, keep, where); }

Tensor mean(const Tensor& x, const Axes& axes, bool keep, Where where) {
  needs_float("mean", x, where);
  Shape reduced;
  for (std::int64_t axis : normal_axes("mean", axes, x.rank(), where)) reduced.push_back(x.shape()[std::size_t(axis)]);
  return Operand(sum(x, axes, keep, where), where) / extent(extent_product(reduced), x.dtype(), where);
}

// As numbers 0 and 1, whose neutral elements are on the right side: the greatest of no u32 is 0, the least is not 0.
Tensor any(const Tensor& x, const Axes& axes, bool keep, Where where) {
  needs_boolean("any", x, where);
  return Operand(max(cast(x, Dtype::u32, where), axes, keep, where), where) != 0;
}
Tensor all(const Tensor& x, const Axes& axes, bool keep, Where where) {
  needs_boolean("all", x, where);
  return Operand(min(cast(x, Dtype::u32, where), axes, keep, where), where) != 0;
}

Tensor logsumexp(const Tensor& x, const Axes& axes, bool keep, Where where) {
  needs_float("logsumexp", x, where);
  const Tensor shift = shift_of(x, axes, where);
  const Tensor shifted = Operand(x, where) - shift;
  const Tensor total = sum(exp(Operand(shifted, where)), axes, true, where);
  const Tensor y = log(Operand(total, where)) + shift;
  if (keep) return y;
  Shape rest = y.shape();
  const Ints gone = normal_axes("logsumexp", axes, x.rank(), where);
  for (auto axis = gone.rbegin(); axis != gone.rend(); ++axis) rest.erase(rest.begin() + *axis);
  return reshape(y, rest, where);
}

Tensor softmax(const Tensor& x, int axis, Where where) {
  needs_float("softmax", x, where);
  axis = normal_axis("softmax", axis, x.rank(), where);
  const Tensor e = exp(Operand(Operand(x, where) - top_of(x, axis, where), where));
  return Operand(e, where) / sum(e, axis, true, where);
}

Tensor log_softmax(const Tensor& x, int axis, Where where) {
  needs_float("log_softmax", x, where);
  axis = normal_axis("log_softmax", axis, x.rank(), where);
  const Tensor shifted = Operand(x, where) - top_of(x, axis, where);
  const Tensor total = sum(exp(Operand(shifted, where)), axis, true, where);
  return Operand(shifted, where) - log(Operand(total, where));
}

}  // namespace tapeloop
