#include "ops/shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "ad/arithmetic.h"
#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/reduce.h"

namespace tapeloop {
namespace {

using Strides = std::vector<std::int64_t>;

Strides row_major(const Shape& shape) {
  Strides strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i].value();
  return strides;
}

template <class T>
void copy_strided_as(const std::byte* from, const Strides& from_strides, std::byte* to, const Strides& to_strides,
                     const std::vector<std::int64_t>& sizes) {
  const T* source = reinterpret_cast<const T*>(from);
  T* target = reinterpret_cast<T*>(to);
  const std::size_t rank = sizes.size();
  if (rank == 0) {
    *target = *source;
    return;
  }
  for (std::int64_t size : sizes)
    if (size == 0) return;
  std::vector<std::int64_t> index(rank, 0);
  const std::int64_t inner = sizes[rank - 1], s = from_strides[rank - 1], t = to_strides[rank - 1];
  for (;;) {
    for (std::int64_t i = 0; i < inner; ++i) target[i * t] = source[i * s];
    std::size_t axis = rank - 1;
    while (axis-- > 0) {
      source += from_strides[axis];
      target += to_strides[axis];
      if (++index[axis] < sizes[axis]) break;
      source -= from_strides[axis] * sizes[axis];
      target -= to_strides[axis] * sizes[axis];
      index[axis] = 0;
    }
    if (axis == std::size_t(-1)) return;
  }
}

// Copies a box of elements between two layouts; strides and offsets are in elements.
void copy_strided(Dtype dtype, const std::byte* from, std::int64_t from_offset, const Strides& from_strides, std::byte* to,
                  std::int64_t to_offset, const Strides& to_strides, const std::vector<std::int64_t>& sizes) {
  const int size = size_of(dtype);
  from += from_offset * size;
  to += to_offset * size;
  if (size == 8)
    copy_strided_as<std::uint64_t>(from, from_strides, to, to_strides, sizes);
  else if (size == 4)
    copy_strided_as<std::uint32_t>(from, from_strides, to, to_strides, sizes);
  else
    copy_strided_as<std::uint8_t>(from, from_strides, to, to_strides, sizes);
}

std::shared_ptr<Buffer> buffer_for(const Type& type) { return Buffer::allocate(count_of(type.shape) * size_of(type.dtype)); }

// The pullback of an op that is linear in its one operand.
template <class F>
Pullback linear_pullback(const Record& r, const Tensors& in, F pull) {
  return {record(*r.op, in, r.attrs, r.where), [pull](const Tensors& cts) { return Tensors{pull(cts[0])}; }};
}

// --- reshape ---------------------------------------------------------------------------------------------------------------

// Whether two shapes hold as many elements for every value of their symbols; if only for the present values, the symbols
// involved are pinned.
bool same_count(const Shape& a, const Shape& b) {
  if (count_of(a) != count_of(b)) return false;
  Shape left = a, right;
  for (const Extent& extent : b) {
    auto it = std::find(left.begin(), left.end(), extent);
    if (it != left.end())
      left.erase(it);
    else
      right.push_back(extent);
  }
  if (!(extent_product(left) == extent_product(right)) || count_of(a) == 0)
    for (const Shape* shape : {&left, &right})
      for (const Extent& extent : *shape) (void)extent.pin();
  return true;
}

Type infer_reshape(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const Shape& shape = attrs.get<Shape>("shape");
  if (!same_count(in[0].shape, shape))
    throw Error(fmt::format("reshape: {} has {} elements, {} has {}", to_string(in[0].shape), count_of(in[0].shape),
                            to_string(shape), count_of(shape)),
                where, "an extent of -1 becomes what is left");
  return {in[0].dtype, shape, nullptr};
}

Tensor run_reshape(const Op&, std::span<const Tensor> in, const Attrs&, const Type& type) { return in[0].with_shape(type.shape); }

Pullback vjp_reshape(const Record& r, const Tensors& in, const Demand&) {
  return linear_pullback(r, in, [shape = in[0].shape(), where = r.where](const Tensor& ct) { return reshape(ct, shape, where); });
}

Shape with_batch(const Extent& n, const Shape& shape) {
  Shape result{n};
  result.insert(result.end(), shape.begin(), shape.end());
  return result;
}

// Attributes that name axes, one axis further on; the batch axis is the first.
Ints behind_batch(const Ints& axes) {
  Ints result{0};
  for (std::int64_t axis : axes) result.push_back(axis + 1);
  return result;
}

Batched batch_reshape(const Record& r, const Tensors& in, const std::vector<bool>&, const Extent& n) {
  return {reshape(in[0], with_batch(n, r.attrs.get<Shape>("shape")), r.where), {}};
}

// --- transpose -------------------------------------------------------------------------------------------------------------

Type infer_transpose(const Op&, std::span<const Type> in, const Attrs& attrs, const Where&) {
  Type type{in[0].dtype, {}, nullptr};
  for (std::int64_t axis : attrs.get<Ints>("order")) type.shape.push_back(in[0].shape[std::size_t(axis)]);
  return type;
}

Tensor run_transpose(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const Strides strides = row_major(in[0].shape());
  Strides from;
  for (std::int64_t axis : attrs.get<Ints>("order")) from.push_back(strides[std::size_t(axis)]);
  auto buffer = buffer_for(type);
  copy_strided(type.dtype, in[0].bytes(), 0, from, buffer->data(), 0, row_major(type.shape), values_of(type.shape));
  return Tensor(type, std::move(buffer));
}

Pullback vjp_transpose(const Record& r, const Tensors& in, const Demand&) {
  const Ints& order = r.attrs.get<Ints>("order");
  std::vector<int> inverse(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) inverse[std::size_t(order[i])] = int(i);
  return linear_pullback(r, in, [inverse, where = r.where](const Tensor& ct) { return transpose(ct, inverse, where); });
}

Batched batch_transpose(const Record& r, const Tensors& in, const std::vector<bool>&, const Extent&) {
  return {record(transpose_op, in, {{"order", behind_batch(r.attrs.get<Ints>("order"))}}, r.where), {}};
}

// --- broadcast -------------------------------------------------------------------------------------------------------------

Type infer_broadcast(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  Shape shape = attrs.get<Shape>("shape");
  const Ints& axes = attrs.get<Ints>("axes");
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const Extent &have = in[0].shape[i], &want = shape[std::size_t(axes[i])];
    if (have.value() != 1 && !agree(have, want))
      throw Error(fmt::format("broadcast: {} does not stretch to {}", to_string(in[0].shape), to_string(shape)), where,
                  "axes are aligned at the last one; only an axis of extent 1 stretches");
  }
  return {in[0].dtype, shape, nullptr};
}

Tensor run_broadcast(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const Strides strides = row_major(in[0].shape());
  const Ints& axes = attrs.get<Ints>("axes");
  Strides from(type.shape.size(), 0);
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (in[0].shape()[i].value() != 1) from[std::size_t(axes[i])] = strides[i];
  auto buffer = buffer_for(type);
  copy_strided(type.dtype, in[0].bytes(), 0, from, buffer->data(), 0, row_major(type.shape), values_of(type.shape));
  return Tensor(type, std::move(buffer));
}

// A stretched or new axis has copies of one element: its cotangent is the sum over them.
Pullback vjp_broadcast(const Record& r, const Tensors& in, const Demand&) {
  auto pull = [shape = in[0].shape(), axes = r.attrs.get<Ints>("axes"), full = r.attrs.get<Shape>("shape"),
               where = r.where](const Tensor& ct) {
    std::vector<int> summed;
    for (std::size_t axis = 0; axis < full.size(); ++axis) {
      auto it = std::find(axes.begin(), axes.end(), std::int64_t(axis));
      const bool is_new = it == axes.end();
      if (is_new || (shape[std::size_t(it - axes.begin())].value() == 1 && full[axis].value() != 1)) summed.push_back(int(axis));
    }
    return reshape(summed.empty() ? ct : sum(ct, summed, false, where), shape, where);
  };
  return linear_pullback(r, in, pull);
}

Batched batch_broadcast(const Record& r, const Tensors& in, const std::vector<bool>&, const Extent& n) {
  return {broadcast_axes(in[0], with_batch(n, r.attrs.get<Shape>("shape")), behind_batch(r.attrs.get<Ints>("axes")), r.where), {}};
}

// --- slice, flip, pad ----------------------------------------------------------------------------------------------------------

Type infer_slice(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const Extent &start = attrs.extent("start"), &count = attrs.extent("count");
  const std::int64_t step = attrs.integer("step"), size = in[0].shape[axis].value();
  if (start.value() < 0 || count.value() < 0 || (count.value() > 0 && start.value() + (count.value() - 1) * step >= size))
    throw Error(fmt::format("slice: {} elements from {} by {} of axis {} of {}", count.value(), start.value(), step, axis,
                            to_string(in[0].shape)),
                where);
  Type type = in[0];
  type.shape[axis] = count;
  return type;
}

Tensor run_slice(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const auto axis = std::size_t(attrs.integer("axis"));
  Strides from = row_major(in[0].shape());
  const std::int64_t offset = attrs.extent("start").value() * from[axis];
  from[axis] *= attrs.integer("step");
  auto buffer = buffer_for(type);
  copy_strided(type.dtype, in[0].bytes(), offset, from, buffer->data(), 0, row_major(type.shape), values_of(type.shape));
  return Tensor(type, std::move(buffer));
}

// What was not taken gets zeros.
Pullback vjp_slice(const Record& r, const Tensors& in, const Demand&) {
  const int axis = r.attrs.integer("axis"), step = r.attrs.integer("step");
  const Extent size = in[0].size(axis), start = r.attrs.extent("start"), count = r.attrs.extent("count");
  return linear_pullback(r, in, [=, where = r.where](const Tensor& ct) {
    if (count.value() == 0) return pad(ct, axis, size, 0, 0, 0, where);
    const Extent span = step == 1 ? count : Extent((count.pin() - 1) * step + 1);
    return pad(ct, axis, start, size - start - span, 0, step - 1, where);
  });
}

Type infer_flip(const Op&, std::span<const Type> in, const Attrs&, const Where&) { return in[0]; }

Tensor run_flip(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const auto axis = std::size_t(attrs.integer("axis"));
  Strides from = row_major(in[0].shape());
  const std::int64_t offset = (type.shape[axis].value() - 1) * from[axis];
  from[axis] = -from[axis];
  auto buffer = buffer_for(type);
  copy_strided(type.dtype, in[0].bytes(), offset, from, buffer->data(), 0, row_major(type.shape), values_of(type.shape));
  return Tensor(type, std::move(buffer));
}

Pullback vjp_flip(const Record& r, const Tensors& in, const Demand&) {
  return linear_pullback(r, in, [axis = r.attrs.integer("axis"), where = r.where](const Tensor& ct) { return flip(ct, axis, where); });
}

Type infer_pad(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const Extent &before = attrs.extent("before"), &after = attrs.extent("after");
  if (before.value() < 0 || after.value() < 0)
    throw Error(fmt::format("pad: {} before and {} after axis {}: a negative count", before.value(), after.value(), axis), where,
                "slice() takes elements away");
  Type type = in[0];
  Extent size = type.shape[axis];
  if (const std::int64_t interior = attrs.integer("interior"); interior != 0 && size.value() > 0)
    size = Extent(size.pin() + (size.value() - 1) * interior);
  type.shape[axis] = before + size + after;
  return type;
}

Tensor run_pad(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const double value = attrs.get<double>("value");
  auto buffer = buffer_for(type);
  const Tensor filled = full_op.run(full_op, {}, {{"value", value}}, type);
  std::memcpy(buffer->data(), filled.bytes(), std::size_t(filled.count() * size_of(type.dtype)));
  Strides to = row_major(type.shape);
  const std::int64_t offset = attrs.extent("before").value() * to[axis];
  to[axis] *= attrs.integer("interior") + 1;
  copy_strided(type.dtype, in[0].bytes(), 0, row_major(in[0].shape()), buffer->data(), offset, to, values_of(in[0].shape()));
  return Tensor(type, std::move(buffer));
}

Pullback vjp_pad(const Record& r, const Tensors& in, const Demand&) {
  const Attrs attrs{{"axis", std::int64_t(r.attrs.integer("axis"))},
                    {"start", Shape{r.attrs.extent("before")}},
                    {"count", Shape{in[0].size(r.attrs.integer("axis"))}},
                    {"step", std::int64_t(r.attrs.integer("interior") + 1)}};
  return linear_pullback(r, in, [attrs, where = r.where](const Tensor& ct) { return record(slice_op, {ct}, attrs, where); });
}

Pushforward jvp_pad(const Record& r, const Tensors& in, const Tensors& dots) {
  return {record(pad_op, in, r.attrs, r.where), {record(pad_op, dots, r.attrs.with("value", 0.0), r.where)}};
}

// --- concat, split -------------------------------------------------------------------------------------------------------------

Type infer_concat(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const auto axis = std::size_t(attrs.integer("axis"));
  Type type = in[0];
  Extent total = 0;
  for (const Type& part : in) {
    bool fits = part.dtype == type.dtype && part.rank() == type.rank();
    for (std::size_t i = 0; fits && i < type.shape.size(); ++i) fits = i == axis || agree(part.shape[i], type.shape[i]).has_value();
    if (!fits)
      throw Error(fmt::format("concat: {} and {} do not fit along axis {}", to_string(type), to_string(part), axis), where,
                  "dtypes and all other extents must agree");
    total = total + part.shape[axis];
  }
  type.shape[axis] = total;
  return type;
}

Tensor run_concat(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const Strides to = row_major(type.shape);
  auto buffer = buffer_for(type);
  std::int64_t offset = 0;
  for (const Tensor& part : in) {
    copy_strided(type.dtype, part.bytes(), 0, row_major(part.shape()), buffer->data(), offset * to[axis], to,
                 values_of(part.shape()));
    offset += part.shape()[axis].value();
  }
  return Tensor(type, std::move(buffer));
}

Pullback vjp_concat(const Record& r, const Tensors& in, const Demand&) {
  const int axis = r.attrs.integer("axis");
  Shape sizes;
  for (const Tensor& part : in) sizes.push_back(part.size(axis));
  return {record(concat_op, in, r.attrs, r.where),
          [=, where = r.where](const Tensors& cts) { return split(cts[0], sizes, axis, where); }};
}

Type infer_split(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const Shape& sizes = attrs.get<Shape>("sizes");
  Extent total = 0;
  std::vector<Type> parts;
  for (const Extent& size : sizes) {
    parts.push_back(in[0]);
    parts.back().shape[axis] = size;
    total = total + size;
  }
  if (!agree(total, in[0].shape[axis]))
    throw Error(fmt::format("split: sizes {} of axis {} of {}", to_string(sizes), axis, to_string(in[0].shape)), where,
                "the sizes must add up to the extent of the axis");
  return tuple_type(std::move(parts));
}

Tensor run_split(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const Strides from = row_major(in[0].shape());
  Tensors parts;
  std::int64_t offset = 0;
  for (const Type& part : *type.parts) {
    auto buffer = buffer_for(part);
    copy_strided(part.dtype, in[0].bytes(), offset * from[axis], from, buffer->data(), 0, row_major(part.shape),
                 values_of(part.shape));
    offset += part.shape[axis].value();
    parts.push_back(Tensor(part, std::move(buffer)));
  }
  return Tensor::tuple(std::move(parts));
}

// One concat for all parts: a part without cotangent contributes zeros.
Pullback vjp_split(const Record& r, const Tensors& in, const Demand&) {
  auto pull = [axis = r.attrs.integer("axis"), parts = *r.type.parts, where = r.where](const Tensors& cts) {
    Tensors full_cts;
    for (std::size_t i = 0; i < parts.size(); ++i)
      full_cts.push_back(cts[i].is_empty() ? zeros(parts[i].shape, parts[i].dtype, where) : cts[i]);
    return Tensors{concat(full_cts, axis, where)};
  };
  return {record(split_op, in, r.attrs, r.where), pull};
}

}  // namespace

constinit const Op reshape_op = {.name = "reshape", .kind = Kind::view, .cheap = true, .linear = true, .infer = infer_reshape, .run = run_reshape, .vjp = vjp_reshape, .batch = batch_reshape};
constinit const Op transpose_op = {.name = "transpose", .kind = Kind::view, .cheap = true, .linear = true, .infer = infer_transpose, .run = run_transpose, .vjp = vjp_transpose, .batch = batch_transpose};
constinit const Op broadcast_op = {.name = "broadcast", .kind = Kind::view, .cheap = true, .linear = true, .infer = infer_broadcast, .run = run_broadcast, .vjp = vjp_broadcast, .batch = batch_broadcast};
constinit const Op slice_op = {.name = "slice", .kind = Kind::view, .cheap = true, .linear = true, .infer = infer_slice, .run = run_slice, .vjp = vjp_slice, .batch = batch_along_axis};
constinit const Op flip_op = {.name = "flip", .kind = Kind::view, .cheap = true, .linear = true, .infer = infer_flip, .run = run_flip, .vjp = vjp_flip, .batch = batch_along_axis};
constinit const Op pad_op = {.name = "pad", .kind = Kind::view, .cheap = true, .infer = infer_pad, .run = run_pad, .vjp = vjp_pad, .jvp = jvp_pad, .batch = batch_along_axis};
constinit const Op concat_op = {.name = "concat", .kind = Kind::view, .cheap = true, .linear = true, .infer = infer_concat, .run = run_concat, .vjp = vjp_concat, .batch = batch_along_axis};
constinit const Op split_op = {.name = "split", .kind = Kind::view, .cheap = true, .linear = true, .infer = infer_split, .run = run_split, .vjp = vjp_split, .batch = batch_along_axis};

namespace {

bool holds(Dtype dtype, double value) {
  if (dtype == Dtype::i32) return value >= -0x1p31 && value < 0x1p31;
  return dtype != Dtype::u32 || (value >= 0 && value < 0x1p32);
}

}  // namespace

// --- what users call -----------------------------------------------------------------------------------------------------------

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
    shape[i] = known.is_number() && known.value() == 1 ? extent_product(rest)
                                                       : Extent(extent_product(rest).pin() / known.pin());
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
  if (x.is_generated() && &x.generator() == &full_op) return full(shape, x.generator_attrs().get<double>("value"), x.dtype(), where);
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
  return record(slice_op, Tensors{x},
                {{"axis", std::int64_t(axis)}, {"start", Shape{start}}, {"count", Shape{count}}, {"step", std::int64_t(1)}}, where);
}

Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t stop, std::int64_t step, Where where) {
  check_value("slice", x, where);
  axis = normal_axis("slice", axis, x.rank(), where);
  if (step < 1) throw Error(fmt::format("slice: step {} is not positive", step), where, "flip() reverses an axis");
  const Extent size = x.size(axis);
  if (stop == SliceTo::end && step == 1 && start >= 0 && start <= size.value())
    return start == 0 ? x : slice_at(x, axis, start, size - Extent(start), where);
  if (start == 0 && stop < 0 && step == 1 && -stop <= size.value()) return slice_at(x, axis, 0, size - Extent(-stop), where);
  if (start >= 0 && stop >= start && stop <= size.value() && step == 1) return slice_at(x, axis, start, stop - start, where);
  const std::int64_t n = size.pin();
  auto clamp = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + n : i, 0, n); };
  const std::int64_t begin = clamp(start), end = stop == SliceTo::end ? n : clamp(stop);
  const std::int64_t count = end > begin ? (end - begin + step - 1) / step : 0;
  return record(slice_op, Tensors{x},
                {{"axis", std::int64_t(axis)}, {"start", Shape{begin}}, {"count", Shape{count}}, {"step", step}}, where);
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
                {{"axis", std::int64_t(axis)}, {"before", Shape{before}}, {"after", Shape{after}}, {"interior", interior}, {"value", value}},
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
