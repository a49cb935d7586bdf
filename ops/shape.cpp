#include "ops/shape.h"

#include <fmt/format.h>

#include <algorithm>

#include "ad/arithmetic.h"
#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/reduce.h"
#include "ops/strides.h"

namespace tapeloop {
namespace {

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
  if (extent_product(left) == extent_product(right)) return true;
  // Equal for now.
  const bool zero = count_of(a) == 0;  // then what both share matters as well
  for (const Shape* shape : {zero ? &a : &left, zero ? &b : &right})
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

}  // namespace tapeloop
