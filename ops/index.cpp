#include "ops/index.h"

#include <fmt/format.h>

#include <cstring>
#include <limits>
#include <type_traits>

#include "ad/arithmetic.h"
#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"

namespace tapeloop {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check_indices(std::string_view op, const Type& indices, const Where& where) {
  if (!is_integer(indices.dtype) || indices.dtype == Dtype::i64)
    throw Error(fmt::format("{}: indices are integers, got {}", op, to_string(indices)), where,
                "cast(indices, Dtype::i32) converts");
}

// Shapes of one row, and of a row for each index.
Shape row_of(const Shape& table) { return Shape(table.begin() + 1, table.end()); }
Shape rows_at(const Shape& indices, const Shape& table) {
  Shape shape = indices;
  shape.insert(shape.end(), table.begin() + 1, table.end());
  return shape;
}

// --- gather -------------------------------------------------------------------------------------------------------------

Type infer_gather(const Op&, std::span<const Type> in, const Attrs&, const Where& where) {
  check_indices("gather", in[1], where);
  if (in[0].rank() == 0) throw Error(fmt::format("gather: {} has no rows", to_string(in[0])), where);
  return {in[0].dtype, rows_at(in[1].shape, in[0].shape), nullptr};
}

Tensor run_gather(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const std::int64_t n = in[0].shape()[0].value(), count = in[1].count();
  const Type row_type{type.dtype, row_of(in[0].shape()), nullptr};
  const auto bytes = std::size_t(count_of(row_type.shape) * size_of(type.dtype));
  const double outside = is_float(type.dtype) ? attrs.get<double>("outside") : 0;
  const Tensor nothing = full_op.run(full_op, {}, {{"value", outside}}, row_type);
  auto buffer = Buffer::allocate(bytes_of(type));
  for (std::int64_t i = 0; i < count && bytes > 0; ++i) {
    const std::int64_t at = row_position(in[1], i, n);
    const std::byte* row = at < 0 ? nothing.bytes() : in[0].bytes() + std::size_t(at) * bytes;
    std::memcpy(buffer->data() + std::size_t(i) * bytes, row, bytes);
  }
  return Tensor(type, std::move(buffer));
}

Tensor rows(const Tensor& table, const Tensor& indices, double outside, const Where& where) {
  return record(gather_op, {table, indices}, {{"outside", outside}}, where);
}

// table̅ᵣ = Σ ȳᵢ over the i whose index is r
Pullback vjp_gather(const Record& r, const Tensors& in, const Demand&) {
  return {record(gather_op, in, r.attrs, r.where),
          [shape = in[0].shape(), indices = in[1], where = r.where](const Tensors& cts) {
            return Tensors{scatter_add(indices, cts[0], shape, where), Tensor()};
          }};
}

// A row from outside does not change with the table, whatever its value.
Pushforward jvp_gather(const Record& r, const Tensors& in, const Tensors& dots) {
  return {record(gather_op, in, r.attrs, r.where), {rows(dots[0], in[1], 0, r.where)}};
}

Batched batch_gather(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  if (!batched[0]) return {record(gather_op, in, r.attrs, r.where), {}};
  const Tensor indices = batched[1] ? in[1] : repeated(in[1], n, r.where);
  return {record(gather_op, {listed_rows(in[0], r.where), indices_of_all(indices, n, in[0].size(1), r.where)}, r.attrs,
                 r.where),
          {}};
}

// --- scatter_add ----------------------------------------------------------------------------------------------------------

Type infer_scatter_add(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  check_indices("scatter_add", in[0], where);
  const Shape& shape = attrs.get<Shape>("shape");
  if (shape.empty() || !agree(in[1].shape, rows_at(in[0].shape, shape)))
    throw Error(fmt::format("scatter_add: updates {} at indices {} do not fit into {}", to_string(in[1]),
                            to_string(in[0]), to_string(shape)),
                where, "updates have the axes of the indices, then those of a row");
  if (in[1].dtype == Dtype::boolean)
    throw Error(fmt::format("scatter_add: booleans have no arithmetic: {}", to_string(in[1])), where,
                "cast(x, Dtype::f32) makes numbers of them");
  Type type{in[1].dtype, shape, nullptr};
  if (in.size() == 3 && (in[2].dtype != type.dtype || !agree(in[2].shape, shape)))
    throw Error(fmt::format("scatter_add: start is {}, the result {}", to_string(in[2]), to_string(type)), where);
  return type;
}

Tensor run_scatter_add(const Op&, std::span<const Tensor> in, const Attrs&, const Type& type) {
  const std::int64_t n = type.shape[0].value(), count = in[0].count(), width = count_of(row_of(type.shape));
  const auto bytes = std::size_t(bytes_of(type));
  auto buffer = Buffer::allocate(std::int64_t(bytes));
  if (bytes == 0) return Tensor(type, std::move(buffer));
  if (in.size() == 3)
    std::memcpy(buffer->data(), in[2].bytes(), bytes);
  else
    std::memset(buffer->data(), 0, bytes);
  auto run = [&]<class T>(T) {
    const T* update = reinterpret_cast<const T*>(in[1].bytes());
    for (std::int64_t i = 0; i < count; ++i, update += width) {
      const std::int64_t at = row_position(in[0], i, n);
      if (at < 0) continue;
      T* row = reinterpret_cast<T*>(buffer->data()) + at * width;
      for (std::int64_t j = 0; j < width; ++j) row[j] = row[j] + update[j];
    }
  };
  if (type.dtype == Dtype::f32)
    run(float());
  else if (type.dtype == Dtype::f64)
    run(double());
  else if (type.dtype == Dtype::i64)
    run(std::uint64_t());  // wraps
  else
    run(std::uint32_t());
  return Tensor(type, std::move(buffer));
}

// y = s + Σᵢ uᵢ at rᵢ:  u̅ᵢ = ȳ at rᵢ (0 outside), s̅ = ȳ
Pullback vjp_scatter_add(const Record& r, const Tensors& in, const Demand&) {
  return {record(scatter_add_op, in, r.attrs, r.where), [in, where = r.where](const Tensors& cts) {
            Tensors result{Tensor(), rows(cts[0], in[0], 0, where)};
            if (in.size() == 3) result.push_back(cts[0]);
            return result;
          }};
}

// ẏ = ṡ + Σᵢ u̇ᵢ at rᵢ
Pushforward jvp_scatter_add(const Record& r, const Tensors& in, const Tensors& dots) {
  Tensor dot = in.size() == 3 ? dots[2] : Tensor();
  if (!dots[1].is_empty()) {
    const Tensors operands = dot.is_empty() ? Tensors{in[0], dots[1]} : Tensors{in[0], dots[1], dot};
    dot = record(scatter_add_op, operands, r.attrs, r.where);
  }
  return {record(scatter_add_op, in, r.attrs, r.where), {dot}};
}

Batched batch_scatter_add(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  const Tensors all = all_batched(r, in, batched, n);
  Shape full{n}, list{n * r.type.shape[0]};
  full.insert(full.end(), r.type.shape.begin(), r.type.shape.end());
  list.insert(list.end(), r.type.shape.begin() + 1, r.type.shape.end());
  Tensors operands{indices_of_all(all[0], n, r.type.shape[0], r.where), all[1]};
  if (all.size() == 3) operands.push_back(listed_rows(all[2], r.where));
  return {reshape(record(scatter_add_op, operands, {{"shape", list}}, r.where), full, r.where), {}};
}

}  // namespace

std::int64_t row_position(const Tensor& indices, std::int64_t i, std::int64_t n) {
  std::int64_t index;
  if (indices.dtype() == Dtype::u32) {
    index = reinterpret_cast<const std::uint32_t*>(indices.bytes())[i];
  } else {
    index = reinterpret_cast<const std::int32_t*>(indices.bytes())[i];
    if (index < 0) index += n;
  }
  return index >= 0 && index < n ? index : -1;
}

constinit const Op gather_op = {.name = "gather",
                                .kind = Kind::index,
                                .infer = infer_gather,
                                .run = run_gather,
                                .vjp = vjp_gather,
                                .jvp = jvp_gather,
                                .batch = batch_gather};
constinit const Op scatter_add_op = {.name = "scatter_add",
                                     .kind = Kind::index,
                                     .start = 2,
                                     .infer = infer_scatter_add,
                                     .run = run_scatter_add,
                                     .vjp = vjp_scatter_add,
                                     .jvp = jvp_scatter_add,
                                     .batch = batch_scatter_add};

Tensor narrowed(const Tensor& indices, const Where& where) {
  if (indices.is_empty() || indices.dtype() != Dtype::i64) return indices;
  using Limits = std::numeric_limits<std::int32_t>;
  return cast(clamp(Operand(indices, where), Limits::min(), Limits::max()), Dtype::i32, where);
}

Tensor indices_of_all(const Tensor& indices, const Extent& n, const Extent& rows, const Where& where) {
  const Dtype dtype = indices.dtype();
  const Tensor count = extent(rows, dtype, where), example = iota(indices.shape(), 0, dtype, where);
  Tensor i = indices, is_outside = Operand(indices, where) >= count;
  if (dtype == Dtype::i32) {
    i = tapeloop::where(Operand(Operand(indices, where) < 0, where), Operand(indices, where) + count, indices);
    is_outside = logical_or(Operand(Operand(i, where) < 0, where), Operand(Operand(i, where) >= count, where));
  }
  return tapeloop::where(Operand(is_outside, where), extent(n * rows, dtype, where),
                         Operand(i, where) + Operand(example, where) * count);
}

Tensor listed_rows(const Tensor& x, const Where& where) {
  Shape shape{x.size(0) * x.size(1)};
  shape.insert(shape.end(), x.shape().begin() + 2, x.shape().end());
  return reshape(x, shape, where);
}

Tensor gather(const Tensor& table, const Tensor& given, int axis, Where where) {
  check_value("gather", table, where);
  check_value("gather", given, where);
  const Tensor indices = narrowed(given, where);
  axis = normal_axis("gather", axis, table.rank(), where);
  if (axis == 0) return rows(table, indices, kNaN, where);
  // The axis to the front, and the axes of the indices to where it was.
  std::vector<int> front{axis}, back;
  for (int i = 0; i < table.rank(); ++i)
    if (i != axis) front.push_back(i);
  for (int i = 0; i < axis; ++i) back.push_back(indices.rank() + i);
  for (int i = 0; i < indices.rank(); ++i) back.push_back(i);
  for (int i = axis + 1; i < table.rank(); ++i) back.push_back(indices.rank() + i - 1);
  return transpose(rows(transpose(table, front, where), indices, kNaN, where), back, where);
}

Tensor scatter_add(const Tensor& indices, const Tensor& updates, const Shape& shape, Where where) {
  return record(scatter_add_op, {narrowed(indices, where), updates}, {{"shape", shape}}, where);
}

Tensor scatter_add(const Tensor& indices, const Tensor& updates, const Tensor& start, Where where) {
  check_value("scatter_add", start, where);
  return record(scatter_add_op, {narrowed(indices, where), updates, start}, {{"shape", start.shape()}}, where);
}

Tensor pick_along(const Tensor& x, const Tensor& given, int axis, Where where) {
  check_value("pick_along", x, where);
  check_value("pick_along", given, where);
  const Tensor indices = narrowed(given, where);
  check_indices("pick_along", indices.type(), where);
  axis = normal_axis("pick_along", axis, x.rank(), where);
  Shape rest = x.shape();
  rest.erase(rest.begin() + axis);
  if (!agree(indices.shape(), rest))
    throw Error(fmt::format("pick_along: indices {} for {} without axis {}", to_string(indices.shape()),
                            to_string(x.shape()), axis),
                where, "one index for each row");
  Tensor position = indices;
  if (indices.dtype() == Dtype::i32) {
    const Tensor from_end = Operand(indices, where) + extent(x.size(axis), Dtype::i32, where);
    position = tapeloop::where(Operand(Operand(indices, where) < 0, where), from_end, indices);
  }
  const Tensor mask =
      Operand(expand_dims(position, axis, where), where) == iota(x.shape(), axis, indices.dtype(), where);
  return sum(tapeloop::where(Operand(mask, where), x, 0), axis, false, where);
}

Tensor one_hot(const Tensor& given, const Extent& n, Dtype dtype, Where where) {
  check_value("one_hot", given, where);
  const Tensor indices = narrowed(given, where);
  check_indices("one_hot", indices.type(), where);
  Shape shape = indices.shape();
  shape.push_back(n);
  check_size("one_hot", {dtype, shape, nullptr}, where);
  const Tensor position = expand_dims(indices, -1, where);
  return cast(Operand(position, where) == iota(shape, -1, indices.dtype(), where), dtype, where);
}

namespace {

// A position along an axis of extent n, counted from the front; −2³¹ when outside, so that sums of such stay outside.
struct Positions {
  Tensor inside, value;
  Positions(const Tensor& indices, const Extent& n, const Where& where) {
    const Operand size(extent(n, Dtype::i32, where), where);
    const Operand index(cast(indices, Dtype::i32, where), where);
    const Operand at(tapeloop::where(Operand(index < 0, where), index + size, index), where);
    inside = logical_and(Operand(at >= 0, where), Operand(at < size, where));
    value = at.tensor;
  }
};

constexpr std::int64_t kOutside = std::numeric_limits<std::int32_t>::min();

void check_flat(const Shape& shape, const Where& where) {
  if (count_of(shape) > std::numeric_limits<std::int32_t>::max())
    throw Error(fmt::format("indices reach 2^31 - 1 elements, {} has {}", to_string(shape), count_of(shape)), where);
}

}  // namespace

Tensor flat_along(const Shape& shape, const Tensor& given, int axis, const Where& where) {
  const Tensor indices = narrowed(given, where);
  check_flat(shape, where);
  check_indices("take_along", indices.type(), where);
  Shape rest = indices.shape();
  if (rest.size() == shape.size()) rest[std::size_t(axis)] = shape[std::size_t(axis)];
  if (!agree(rest, shape))
    throw Error(
        fmt::format("take_along: indices {} for {} along axis {}", to_string(indices.shape()), to_string(shape), axis),
        where, "all extents but that of the axis must agree");
  const Positions along(indices, shape[std::size_t(axis)], where);
  Tensor flat;
  Extent stride = 1;
  for (std::size_t i = shape.size(); i-- > 0; stride = stride * shape[i]) {
    const Tensor place = int(i) == axis ? along.value : iota(indices.shape(), int(i), Dtype::i32, where);
    const Tensor term = Operand(place, where) * extent(stride, Dtype::i32, where);
    flat = flat.is_empty() ? term : Tensor(Operand(flat, where) + term);
  }
  return tapeloop::where(Operand(along.inside, where), flat, kOutside);
}

Tensor flat_nd(const Shape& shape, const Tensor& given, const Where& where) {
  const Tensor indices = narrowed(given, where);
  check_flat(shape, where);
  check_indices("gather_nd", indices.type(), where);
  const std::int64_t k = indices.rank() > 0 ? indices.size(-1).pin() : 0;
  if (k < 1 || k > std::int64_t(shape.size()))
    throw Error(fmt::format("gather_nd: indices {} for {}", to_string(indices.shape()), to_string(shape)), where,
                "the last axis of the indices holds a position for each of the first axes");
  Tensor flat, inside;
  for (std::int64_t i = 0; i < k; ++i) {
    const Positions along(at(indices, -1, i, where), shape[std::size_t(i)], where);
    if (flat.is_empty()) {
      flat = along.value;
      inside = along.inside;
    } else {
      flat = Operand(Operand(flat, where) * extent(shape[std::size_t(i)], Dtype::i32, where), where) + along.value;
      inside = logical_and(Operand(inside, where), along.inside);
    }
  }
  return tapeloop::where(Operand(inside, where), flat, kOutside);
}

Tensor take_along(const Tensor& x, const Tensor& indices, int axis, Where where) {
  check_value("take_along", x, where);
  check_value("take_along", indices, where);
  axis = normal_axis("take_along", axis, x.rank(), where);
  return gather(reshape(x, {extent_product(x.shape())}, where), flat_along(x.shape(), indices, axis, where), 0, where);
}

Tensor gather_nd(const Tensor& x, const Tensor& indices, Where where) {
  check_value("gather_nd", x, where);
  check_value("gather_nd", indices, where);
  const Tensor flat = flat_nd(x.shape(), indices, where);
  const auto k = std::ptrdiff_t(indices.size(-1).value());
  Shape rows{extent_product(Shape(x.shape().begin(), x.shape().begin() + k))};
  rows.insert(rows.end(), x.shape().begin() + k, x.shape().end());
  return gather(reshape(x, rows, where), flat, 0, where);
}

}  // namespace tapeloop
