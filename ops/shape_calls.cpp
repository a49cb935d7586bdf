// What users call to move elements: arguments are checked and completed here, and recorded as the ops of ops/shape.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "ad/arithmetic.h"
#include "ad/tape.h"
#include "ops/shape.h"

namespace tapeloop {
Tensor record(const Op& op, std::initializer_list<Operand> operands, Attrs attrs) {
  const Where where = operands.begin()->where;
  // Scalars take the dtype of the tensors they meet; the condition of a `where` is not one of them.
  Dtype dtype = Dtype::f32;
  Shape shape;
  bool found = false;
  for (const Operand& operand : operands) {
    if (operand.is_scalar) continue;
    check_value(op.name, operand.tensor, where);
    if (!found && operand.tensor.dtype() != Dtype::boolean) {
      dtype = operand.tensor.dtype();
      found = true;
    }
    auto both = broadcast_shape(shape, operand.tensor.shape());
    if (!both) {
      std::string shapes;
      for (const Operand& o : operands)
        if (!o.is_scalar) shapes += (shapes.empty() ? "" : " and ") + to_string(o.tensor.shape());
      throw Error(fmt::format("{}: shapes do not broadcast: {}", op.name, shapes), where,
                  "axes are aligned at the last one; extents must be equal or 1");
    }
    shape = *both;
  }
  Tensors tensors;
  for (const Operand& operand : operands) {
    if (!operand.is_scalar) {
      tensors.push_back(broadcast_to(operand.tensor, shape, where));
      continue;
    }
    if (is_integer(dtype) && !operand.is_integral)
      throw Error(
          fmt::format("{}: the scalar {} meets an integer tensor of {}", op.name, operand.scalar, name_of(dtype)),
          where, "cast(x, Dtype::f32) makes the tensor floating-point");
    if (!holds(dtype, operand.scalar))
      throw Error(fmt::format("{}: {} does not hold the scalar {}", op.name, name_of(dtype), operand.scalar), where,
                  "cast(x, dtype) gives the tensor a dtype that does");
    // An integer that no double holds is a tensor of its own.
    if (dtype == Dtype::i64 && i64_of(operand.scalar) != operand.integer)
      tensors.push_back(
          broadcast_to(constant(Tensor::of(std::vector<std::int64_t>{operand.integer}, {})), shape, where));
    else
      tensors.push_back(full(shape, operand.scalar, dtype, where));
  }
  return record(op, tensors, std::move(attrs), where);
}

Tensor reshape(const Tensor& x, Shape shape, Where where) {
  check_value("reshape", x, where);
  Shape rest = x.shape();
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i].value() != -1) continue;
    // What remains of x after the other extents have been taken out of it, by name where possible.
    Extent known = 1;
    for (std::size_t j = 0; j < shape.size(); ++j) {
      if (j == i) continue;
      auto it = std::find(rest.begin(), rest.end(), shape[j]);
      if (it != rest.end())
        rest.erase(it);
      else
        known = known * shape[j];
    }
    if (known.value() <= 0 || count_of(rest) % known.value() != 0)
      throw Error(fmt::format("reshape: {} has no extent that completes {}", to_string(x.shape()), to_string(shape)),
                  where, "the other extents must divide the number of elements, and only one may be -1");
    shape[i] = known.is_one() ? extent_product(rest) : Extent(extent_product(rest).pin() / known.pin());
    break;
  }
  if (shape == x.shape()) return x;
  return record(reshape_op, Tensors{x}, {{"shape", shape}}, where);
}

Tensor transpose(const Tensor& x, std::vector<int> order, Where where) {
  check_value("transpose", x, where);
  Ints axes;
  std::vector<bool> seen(std::size_t(x.rank()), false);
  bool identity = true;
  for (int axis : order) {
    const int normal = normal_axis("transpose", axis, x.rank(), where);
    identity = identity && normal == int(axes.size());
    axes.push_back(normal);
    seen[std::size_t(normal)] = true;
  }
  if (int(order.size()) != x.rank() || std::find(seen.begin(), seen.end(), false) != seen.end())
    throw Error(fmt::format("transpose: the order [{}] does not name each of the {} axes of {} once",
                            fmt::join(order, ", "), x.rank(), to_string(x.type())),
                where);
  if (identity) return x;
  return record(transpose_op, Tensors{x}, {{"order", axes}}, where);
}

Tensor transpose(const Tensor& x, Where where) {
  check_value("transpose", x, where);
  if (x.rank() < 2) throw Error(fmt::format("transpose: {} has fewer than two axes", to_string(x.type())), where);
  std::vector<int> order(std::size_t(x.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  return transpose(x, order, where);
}

Tensor broadcast_axes(const Tensor& x, const Shape& shape, const Ints& axes, const Where& where) {
  if (x.shape() == shape) return x;
  // A captured number stays one, whatever it meets.
  if (x.is_concrete() && x.count() == 1) return broadcast_axes(literal(x, where), shape, axes, where);
  if (x.is_generated() && &x.generator() == &full_op) {
    check_size("broadcast", {x.dtype(), shape, nullptr}, where);
    return full(shape, x.generator_attrs().get<double>("value"), x.dtype(), where);
  }
  return record(broadcast_op, Tensors{x}, {{"shape", shape}, {"axes", axes}}, where);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape, Where where) {
  check_value("broadcast", x, where);
  if (x.rank() > int(shape.size()))
    throw Error(fmt::format("broadcast: {} has more axes than {}", to_string(x.shape()), to_string(shape)), where);
  Ints axes;
  for (int i = 0; i < x.rank(); ++i) axes.push_back(int(shape.size()) - x.rank() + i);
  return broadcast_axes(x, shape, axes, where);
}

Tensor slice_at(const Tensor& x, int axis, const Extent& start, const Extent& count, Where where) {
  check_value("slice", x, where);
  axis = normal_axis("slice", axis, x.rank(), where);
  return record(
      slice_op, Tensors{x},
      {{"axis", std::int64_t(axis)}, {"start", Shape{start}}, {"count", Shape{count}}, {"step", std::int64_t(1)}},
      where);
}

Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t stop, std::int64_t step, Where where) {
  check_value("slice", x, where);
  axis = normal_axis("slice", axis, x.rank(), where);
  if (step < 1) throw Error(fmt::format("slice: step {} is not positive", step), where, "flip() reverses an axis");
  const Extent size = x.size(axis);
  if (stop == SliceTo::end && step == 1 && start >= 0 && start <= size.value())
    return start == 0 ? x : slice_at(x, axis, start, size - Extent(start), where);
  if (start == 0 && stop < 0 && step == 1 && -stop <= size.value())
    return slice_at(x, axis, 0, size - Extent(-stop), where);
  if (start >= 0 && stop >= start && stop <= size.value() && step == 1)
    return slice_at(x, axis, start, stop - start, where);
  const std::int64_t n = size.pin();
  auto clamp = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + n : i, 0, n); };
  const std::int64_t begin = clamp(start), end = stop == SliceTo::end ? n : clamp(stop);
  const std::int64_t count = end > begin ? (end - begin + step - 1) / step : 0;
  return record(slice_op, Tensors{x},
                {{"axis", std::int64_t(axis)}, {"start", Shape{begin}}, {"count", Shape{count}}, {"step", step}},
                where);
}

Tensor at(const Tensor& x, int axis, std::int64_t index, Where where) {
  axis = normal_axis("at", axis, x.rank(), where);
  const std::int64_t n = x.size(axis).value();
  if (index < -n || index >= n)
    throw Error(fmt::format("at: index {} is outside of axis {} of {}", index, axis, to_string(x.shape())), where,
                "indices go from 0 to the extent − 1; negative ones count from the end");
  const Extent start = index < 0 ? x.size(axis) - Extent(-index) : Extent(index);
  return squeeze(slice_at(x, axis, start, 1, where), axis, where);
}

Tensor flip(const Tensor& x, int axis, Where where) {
  check_value("flip", x, where);
  return record(flip_op, Tensors{x}, {{"axis", std::int64_t(normal_axis("flip", axis, x.rank(), where))}}, where);
}

Tensor pad(const Tensor& x, int axis, Extent before, Extent after, double value, std::int64_t interior, Where where) {
  check_value("pad", x, where);
  axis = normal_axis("pad", axis, x.rank(), where);
  if (interior < 0) throw Error(fmt::format("pad: interior {} is negative", interior), where);
  return record(pad_op, Tensors{x},
                {{"axis", std::int64_t(axis)},
                 {"before", Shape{before}},
                 {"after", Shape{after}},
                 {"interior", interior},
                 {"value", value}},
                where);
}

Tensor concat(const Tensors& xs, int axis, Where where) {
  if (xs.empty()) throw Error("concat: no tensors", where, "it joins at least one");
  for (const Tensor& x : xs) check_value("concat", x, where);
  axis = normal_axis("concat", axis, xs[0].rank(), where);
  if (xs.size() == 1) return xs[0];
  return record(concat_op, xs, {{"axis", std::int64_t(axis)}}, where);
}

Tensor stack(const Tensors& xs, int axis, Where where) {
  if (xs.empty()) throw Error("stack: no tensors", where, "it joins at least one");
  for (const Tensor& x : xs) check_value("stack", x, where);
  axis = normal_axis("stack", axis, xs[0].rank() + 1, where);
  Tensors rows;
  for (const Tensor& x : xs) {
    if (x.type().dtype != xs[0].dtype() || !agree(x.shape(), xs[0].shape()))
      throw Error(fmt::format("stack: types differ: {} and {}", to_string(xs[0].type()), to_string(x.type())), where,
                  "concat() joins along an axis that they have");
    rows.push_back(expand_dims(x, axis, where));
  }
  return concat(rows, axis, where);
}

Tensors split(const Tensor& x, const Shape& sizes, int axis, Where where) {
  check_value("split", x, where);
  axis = normal_axis("split", axis, x.rank(), where);
  if (sizes.size() == 1 && agree(sizes[0], x.size(axis))) return {x};
  return picks(record(split_op, Tensors{x}, {{"axis", std::int64_t(axis)}, {"sizes", sizes}}, where));
}

Tensors chunk(const Tensor& x, int n, int axis, Where where) {
  check_value("chunk", x, where);
  axis = normal_axis("chunk", axis, x.rank(), where);
  if (n < 1 || x.size(axis).value() % n != 0)
    throw Error(fmt::format("chunk: axis {} of {} does not divide into {} equal parts", axis, to_string(x.shape()), n),
                where, "split(x, sizes) makes parts of other sizes");
  return split(x, Shape(std::size_t(n), Extent(x.size(axis).pin() / n)), axis, where);
}

Tensor expand_dims(const Tensor& x, int axis, Where where) {
  check_value("expand_dims", x, where);
  axis = normal_axis("expand_dims", axis, x.rank() + 1, where);
  Shape shape = x.shape();
  shape.insert(shape.begin() + axis, 1);
  return reshape(x, shape, where);
}

Tensor squeeze(const Tensor& x, int axis, Where where) {
  check_value("squeeze", x, where);
  axis = normal_axis("squeeze", axis, x.rank(), where);
  if (x.size(axis).value() != 1)
    throw Error(fmt::format("squeeze: axis {} of {} is not of extent 1", axis, to_string(x.shape())), where,
                "reshape() joins axes; at() takes one index of an axis");
  Shape shape = x.shape();
  shape.erase(shape.begin() + axis);
  return reshape(x, shape, where);
}

}  // namespace tapeloop
