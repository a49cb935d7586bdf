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
void copy_strided(Dtype dtype, const std::byte* from, std::int64_t from_offset, const Strides& from_strides,
                  std::byte* to, std::int64_t to_offset, const Strides& to_strides,
                  const std::vector<std::int64_t>& sizes) {
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

std::shared_ptr<Buffer> buffer_for(const Type& type) { return Buffer::allocate(bytes_of(type)); }

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

Tensor run_reshape(const Op&, std::span<const Tensor> in, const Attrs&, const Type& type) {
  return in[0].with_shape(type.shape);
}

Pullback vjp_reshape(const Record& r, const Tensors& in, const Demand&) {
  return linear_pullback(
      r, in, [shape = in[0].shape(), where = r.where](const Tensor& ct) { return reshape(ct, shape, where); });
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
      if (is_new || (shape[std::size_t(it - axes.begin())].value() == 1 && full[axis].value() != 1))
        summed.push_back(int(axis));
    }
    return reshape(summed.empty() ? ct : sum(ct, summed, false, where), shape, where);
  };
  return linear_pullback(r, in, pull);
}

Batched batch_broadcast(const Record& r, const Tensors& in, const std::vector<bool>&, const Extent& n) {
  return {broadcast_axes(in[0], with_batch(n, r.attrs.get<Shape>("shape")), behind_batch(r.attrs.get<Ints>("axes")),
                         r.where),
          {}};
}

// --- slice, flip, pad ----------------------------------------------------------------------------------------------------------

Type infer_slice(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const Extent &start = attrs.extent("start"), &count = attrs.extent("count");
  const std::int64_t step = attrs.integer("step"), size = in[0].shape[axis].value();
  if (start.value() < 0 || count.value() < 0 ||
      (count.value() > 0 && start.value() + (count.value() - 1) * step >= size))
    throw Error(fmt::format("slice: {} elements from {} by {} of axis {} of {}", count.value(), start.value(), step,
                            axis, to_string(in[0].shape)),
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
  copy_strided(type.dtype, in[0].bytes(), offset, from, buffer->data(), 0, row_major(type.shape),
               values_of(type.shape));
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
  copy_strided(type.dtype, in[0].bytes(), offset, from, buffer->data(), 0, row_major(type.shape),
               values_of(type.shape));
  return Tensor(type, std::move(buffer));
}

Pullback vjp_flip(const Record& r, const Tensors& in, const Demand&) {
  return linear_pullback(
      r, in, [axis = r.attrs.integer("axis"), where = r.where](const Tensor& ct) { return flip(ct, axis, where); });
}

Type infer_pad(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const Extent &before = attrs.extent("before"), &after = attrs.extent("after");
  if (before.value() < 0 || after.value() < 0)
    throw Error(
        fmt::format("pad: {} before and {} after axis {}: a negative count", before.value(), after.value(), axis),
        where, "slice() takes elements away");
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
  copy_strided(type.dtype, in[0].bytes(), 0, row_major(in[0].shape()), buffer->data(), offset, to,
               values_of(in[0].shape()));
  return Tensor(type, std::move(buffer));
}

Pullback vjp_pad(const Record& r, const Tensors& in, const Demand&) {
  const Attrs attrs{{"axis", std::int64_t(r.attrs.integer("axis"))},
                    {"start", Shape{r.attrs.extent("before")}},
                    {"count", Shape{in[0].size(r.attrs.integer("axis"))}},
                    {"step", std::int64_t(r.attrs.integer("interior") + 1)}};
  return linear_pullback(r, in,
                         [attrs, where = r.where](const Tensor& ct) { return record(slice_op, {ct}, attrs, where); });
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
    for (std::size_t i = 0; fits && i < type.shape.size(); ++i)
      fits = i == axis || agree(part.shape[i], type.shape[i]).has_value();
    if (!fits)
      throw Error(fmt::format("concat: {} and {} do not fit along axis {}", to_string(type), to_string(part), axis),
                  where, "dtypes and all other extents must agree");
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

constinit const Op reshape_op = {.name = "reshape",
                                 .kind = Kind::view,
                                 .cheap = true,
                                 .linear = true,
                                 .infer = infer_reshape,
                                 .run = run_reshape,
                                 .vjp = vjp_reshape,
                                 .batch = batch_reshape};
constinit const Op transpose_op = {.name = "transpose",
                                   .kind = Kind::view,
                                   .cheap = true,
                                   .linear = true,
                                   .infer = infer_transpose,
                                   .run = run_transpose,
                                   .vjp = vjp_transpose,
                                   .batch = batch_transpose};
constinit const Op broadcast_op = {.name = "broadcast",
                                   .kind = Kind::view,
                                   .cheap = true,
                                   .linear = true,
                                   .infer = infer_broadcast,
                                   .run = run_broadcast,
                                   .vjp = vjp_broadcast,
                                   .batch = batch_broadcast};
constinit const Op slice_op = {.name = "slice",
                               .kind = Kind::view,
                               .cheap = true,
                               .linear = true,
                               .infer = infer_slice,
                               .run = run_slice,
                               .vjp = vjp_slice,
                               .batch = batch_along_axis};
constinit const Op flip_op = {.name = "flip",
                              .kind = Kind::view,
                              .cheap = true,
                              .linear = true,
                              .infer = infer_flip,
                              .run = run_flip,
                              .vjp = vjp_flip,
                              .batch = batch_along_axis};
constinit const Op pad_op = {.name = "pad",
                             .kind = Kind::view,
                             .cheap = true,
                             .infer = infer_pad,
                             .run = run_pad,
                             .vjp = vjp_pad,
                             .jvp = jvp_pad,
                             .batch = batch_along_axis};
constinit const Op concat_op = {.name = "concat",
                                .kind = Kind::view,
                                .cheap = true,
                                .linear = true,
                                .infer = infer_concat,
                                .run = run_concat,
                                .vjp = vjp_concat,
                                .batch = batch_along_axis};
constinit const Op split_op = {.name = "split",
                               .kind = Kind::view,
                               .cheap = true,
                               .linear = true,
                               .infer = infer_split,
                               .run = run_split,
                               .vjp = vjp_split,
                               .batch = batch_along_axis};

}  // namespace tapeloop
