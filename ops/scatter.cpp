#include "ops/scatter.h"

#include <fmt/format.h>

#include <cstring>

#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"

namespace tapeloop {
namespace {

Type infer_scatter_set(const Op&, std::span<const Type> in, const Attrs&, const Where& where) {
  if (!is_integer(in[0].dtype))
    throw Error(fmt::format("scatter: indices are integers, got {}", to_string(in[0])), where,
                "cast(indices, Dtype::i32) converts");
  Shape updates = in[0].shape;
  if (in[2].rank() > 0) updates.insert(updates.end(), in[2].shape.begin() + 1, in[2].shape.end());
  if (in[2].rank() == 0 || in[1].dtype != in[2].dtype || !agree(in[1].shape, updates))
    throw Error(
        fmt::format("scatter: updates {} at indices {} do not fit into {}", to_string(in[1]), to_string(in[0]),
                    to_string(in[2])),
        where,
        "updates have the axes of the indices, then those of a row, and the dtype of what they are written into");
  return in[2];
}

Tensor run_scatter_set(const Op&, std::span<const Tensor> in, const Attrs&, const Type& type) {
  const std::int64_t n = type.shape[0].value(), count = in[0].count();
  const auto bytes = std::size_t(bytes_of(type));
  auto buffer = Buffer::allocate(std::int64_t(bytes));
  if (bytes == 0) return Tensor(type, std::move(buffer));
  std::memcpy(buffer->data(), in[2].bytes(), bytes);
  const std::size_t row = bytes / std::size_t(n);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t at = row_position(in[0], i, n);
    if (at >= 0) std::memcpy(buffer->data() + std::size_t(at) * row, in[1].bytes() + std::size_t(i) * row, row);
  }
  return Tensor(type, std::move(buffer));
}

// The number of the update that stays in each row, −1 for none; then whether update i is the one.
Tensor stays(const Tensor& indices, const Tensor& updates, const Extent& rows, const Where& where) {
  const Tensor number = iota(indices.shape(), Flattened(), Dtype::i32, where);
  const Tensor winner = record(scatter_set_op, {indices, number, full({rows}, -1, Dtype::i32, where)}, {}, where);
  const Tensor is_winner = Operand(gather(winner, indices, 0, where), where) == number;
  Ints axes;
  for (int i = 0; i < indices.rank(); ++i) axes.push_back(i);
  return broadcast_axes(is_winner, updates.shape(), axes, where);
}

// u̅ᵢ = ȳ at rᵢ if update i stayed there, s̅ = ȳ where nothing was written
Pullback vjp_scatter_set(const Record& r, const Tensors& in, const Demand& demand) {
  return {record(scatter_set_op, in, r.attrs, r.where), [in, demand, where = r.where](const Tensors& cts) {
            Tensor update, start;
            if (demand.wanted[1])
              update = tapeloop::where(Operand(stays(in[0], in[1], in[2].size(0), where), where),
                                       gather(cts[0], in[0], 0, where), 0);
            if (demand.wanted[2]) start = record(scatter_set_op, {in[0], zeros_like(in[1], where), cts[0]}, {}, where);
            return Tensors{Tensor(), update, start};
          }};
}

Batched batch_scatter_set(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  const Tensors all = all_batched(r, in, batched, n);
  const Tensors rows{indices_of_all(all[0], n, r.type.shape[0], r.where), all[1], listed_rows(all[2], r.where)};
  return {reshape(record(scatter_set_op, rows, r.attrs, r.where), all[2].shape(), r.where), {}};
}

// Adding is an op of its own (ops/index.h).
Tensor write(const Tensor& start, const Tensor& indices, const Tensor& updates, Scatter mode, const Where& where) {
  if (mode == Scatter::add) return scatter_add(indices, updates, start, where);
  return record(scatter_set_op, {indices, updates, start}, {}, where);
}

void check_operands(std::string_view op, const Tensors& operands, const Where& where) {
  for (const Tensor& x : operands) check_value(op, x, where);
}

// The positions along each axis that a dynamic slice covers.
Tensors covered(std::string_view op, const Tensor& x, const Tensors& starts, const Shape& sizes, const Where& where) {
  if (int(starts.size()) != x.rank() || int(sizes.size()) != x.rank())
    throw Error(
        fmt::format("{}: {} starts and sizes {} for {}", op, starts.size(), to_string(sizes), to_string(x.shape())),
        where, "one start and one size for each axis");
  Tensors positions;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const Extent& n = x.shape()[i];
    if (!is_integer(starts[i].dtype()) || starts[i].rank() != 0)
      throw Error(fmt::format("{}: a start is {}", op, to_string(starts[i].type())), where,
                  "starts are scalar integer tensors");
    if (sizes[i].value() < 0 || sizes[i].value() > n.value())
      throw Error(fmt::format("{}: sizes {} of {}", op, to_string(sizes), to_string(x.shape())), where);
    const Tensor last = extent(n - sizes[i], Dtype::i32, where);
    const Tensor first = clamp(Operand(cast(narrowed(starts[i], where), Dtype::i32, where), where), 0, last);
    positions.push_back(Operand(iota({sizes[i]}, 0, Dtype::i32, where), where) + first);
  }
  return positions;
}

}  // namespace

constinit const Op scatter_set_op = {.name = "scatter_set",
                                     .kind = Kind::index,
                                     .linear = true,
                                     .infer = infer_scatter_set,
                                     .run = run_scatter_set,
                                     .vjp = vjp_scatter_set,
                                     .batch = batch_scatter_set};

Tensor scatter(const Tensor& start, const Tensor& indices, const Tensor& updates, Scatter mode, Where where) {
  check_operands("scatter", {start, indices, updates}, where);
  return write(start, narrowed(indices, where), updates, mode, where);
}

Tensor scatter_along(const Tensor& start, const Tensor& indices, const Tensor& updates, int axis, Scatter mode,
                     Where where) {
  check_operands("scatter_along", {start, indices, updates}, where);
  axis = normal_axis("scatter_along", axis, start.rank(), where);
  const Tensor flat = flat_along(start.shape(), indices, axis, where);
  return reshape(write(reshape(start, {extent_product(start.shape())}, where), flat, updates, mode, where),
                 start.shape(), where);
}

Tensor scatter_nd(const Tensor& start, const Tensor& indices, const Tensor& updates, Scatter mode, Where where) {
  check_operands("scatter_nd", {start, indices, updates}, where);
  const Tensor flat = flat_nd(start.shape(), indices, where);
  const auto k = std::ptrdiff_t(indices.size(-1).value());
  Shape rows{extent_product(Shape(start.shape().begin(), start.shape().begin() + k))};
  rows.insert(rows.end(), start.shape().begin() + k, start.shape().end());
  return reshape(write(reshape(start, rows, where), flat, updates, mode, where), start.shape(), where);
}

Tensor dynamic_slice(const Tensor& x, const Tensors& starts, const Shape& sizes, Where where) {
  check_operands("dynamic_slice", {x}, where);
  check_operands("dynamic_slice", starts, where);
  const Tensors positions = covered("dynamic_slice", x, starts, sizes, where);
  Tensor y = x;
  for (std::size_t i = 0; i < positions.size(); ++i)
    if (!(sizes[i] == x.shape()[i])) y = gather(y, positions[i], int(i), where);
  return y;
}

Tensor dynamic_update(const Tensor& x, const Tensor& update, const Tensors& starts, Where where) {
  check_operands("dynamic_update", {x, update}, where);
  check_operands("dynamic_update", starts, where);
  const Tensors positions = covered("dynamic_update", x, starts, update.shape(), where);
  if (positions.empty()) return update;
  Tensor flat;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    Tensor place = broadcast_axes(positions[i], update.shape(), {std::int64_t(i)}, where);
    if (!flat.is_empty())
      place = Operand(Operand(flat, where) * extent(x.shape()[i], Dtype::i32, where), where) + place;
    flat = place;
  }
  return reshape(write(reshape(x, {extent_product(x.shape())}, where), flat, update, Scatter::set, where), x.shape(),
                 where);
}

}  // namespace tapeloop
