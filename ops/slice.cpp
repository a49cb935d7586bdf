// The views that take or give elements along one axis.
#include <fmt/format.h>

#include <cstring>

#include "ad/arithmetic.h"
#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/shape.h"
#include "ops/source.h"
#include "ops/strides.h"

namespace tapeloop {
namespace {

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
