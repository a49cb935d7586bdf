#include "ops/rearrange.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"

namespace tapeloop {
namespace {

void needs_matrix(std::string_view op, const Tensor& x, const Where& where) {
  check_value(op, x, where);
  if (x.rank() < 2) throw Error(fmt::format("{}: {} has fewer than two axes", op, to_string(x.type())), where);
}

// Column less row of every element.
Tensor distance(const Tensor& x, const Where& where) {
  return Operand(iota(x.shape(), -1, Dtype::i32, where), where) - iota(x.shape(), -2, Dtype::i32, where);
}

}  // namespace

Tensor diagonal(const Tensor& x, int offset, Where where) {
  needs_matrix("diagonal", x, where);
  const std::int64_t rows = x.size(-2).pin(), columns = x.size(-1).pin();
  const std::int64_t count =
      std::max<std::int64_t>(0, std::min(rows + std::min(offset, 0), columns - std::max(offset, 0)));
  Shape shape(x.shape().begin(), x.shape().end() - 2);
  if (count == 0) {
    shape.push_back(0);
    return zeros(shape, x.dtype(), where);
  }
  // In a row, two neighbours on a diagonal are columns + 1 apart.
  shape.push_back(rows * columns);
  const std::int64_t first = offset < 0 ? -offset * columns : offset;
  return slice(reshape(x, shape, where), -1, first, first + (count - 1) * (columns + 1) + 1, columns + 1, where);
}

Tensor trace(const Tensor& x, int offset, Where where) {
  needs_matrix("trace", x, where);
  return sum(diagonal(x, offset, where), -1, false, where);
}

Tensor tril(const Tensor& x, int offset, Where where) {
  needs_matrix("tril", x, where);
  return tapeloop::where(Operand(Operand(distance(x, where), where) <= offset, where), x, 0);
}

Tensor triu(const Tensor& x, int offset, Where where) {
  needs_matrix("triu", x, where);
  return tapeloop::where(Operand(Operand(distance(x, where), where) >= offset, where), x, 0);
}

Tensor tile(const Tensor& x, const std::vector<int>& times, Where where) {
  check_value("tile", x, where);
  for (int n : times)
    if (n < 0) throw Error(fmt::format("tile: {} times", n), where);
  if (int(times.size()) < x.rank())
    throw Error(fmt::format("tile: {} numbers for {}", times.size(), to_string(x.shape())), where, "one for each axis");
  // [a, b] becomes [n, a, m, b], whose neighbours are then joined.
  const std::size_t fresh = times.size() - x.shape().size();
  Shape spread, joined;
  Ints axes;
  for (std::size_t i = 0; i < times.size(); ++i) {
    const Extent size = i < fresh ? Extent(1) : x.shape()[i - fresh];
    spread.push_back(times[i]);
    if (i >= fresh) {
      axes.push_back(std::int64_t(spread.size()));
      spread.push_back(size);
    }
    joined.push_back(Extent(times[i]) * size);
  }
  return reshape(broadcast_axes(x, spread, axes, where), joined, where);
}

Tensor repeat(const Tensor& x, int n, int axis, Where where) {
  check_value("repeat", x, where);
  axis = normal_axis("repeat", axis, x.rank(), where);
  if (n < 0) throw Error(fmt::format("repeat: {} times", n), where);
  Shape spread = x.shape(), joined = x.shape();
  spread.insert(spread.begin() + axis + 1, n);
  joined[std::size_t(axis)] = joined[std::size_t(axis)] * Extent(n);
  Ints axes;
  for (int i = 0; i < x.rank(); ++i) axes.push_back(i <= axis ? i : i + 1);
  return reshape(broadcast_axes(x, spread, axes, where), joined, where);
}

Tensor roll(const Tensor& x, int shift, int axis, Where where) {
  check_value("roll", x, where);
  axis = normal_axis("roll", axis, x.rank(), where);
  const std::int64_t n = x.size(axis).pin();
  const std::int64_t by = n == 0 ? 0 : (shift % n + n) % n;
  if (by == 0) return x;
  return concat({slice_at(x, axis, n - by, by, where), slice_at(x, axis, 0, n - by, where)}, axis, where);
}

}  // namespace tapeloop
