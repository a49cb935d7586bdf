// Products with a packed right operand.
//
// The kernel of a product reads its right operand from front to back, in *panels*: a panel holds, for every k, a few
// vectors of columns. `pack` lays the operand out so. Being a record of its own, it leaves a loop whose weights do not
// change. Products that share their left operand become one (the gates of a cell, written as one product and chunked, or
// as several): each keeps its columns as a *stream*, and a panel holds the same columns of every stream, so that all that
// belongs to one hidden unit ends up in registers together.
#pragma once

#include <algorithm>

#include "ad/tape.h"

namespace tapeloop {

// The layout of a packed operand: [panel][k][stream][width · lanes columns].
struct Panels {
  std::int64_t streams, width, lanes, columns;  // lanes of one vector, columns of one stream

  // For `streams` streams of `columns`: as many vectors as keep a tile of accumulators in registers.
  static Panels of(Dtype dtype, std::int64_t streams, std::int64_t columns);
  // Lanes of a vector, for the machine that code is made for.
  static std::int64_t lanes_of(Dtype dtype);
  explicit Panels(const Attrs& attrs);
  Attrs attrs() const;

  std::int64_t panel_columns() const { return width * lanes; }  // of one stream
  std::int64_t vectors() const { return streams * width; }      // of one panel
  std::int64_t count() const { return (columns + panel_columns() - 1) / panel_columns(); }
  std::int64_t whole() const { return columns / panel_columns(); }  // panels without empty columns
  // Vectors of one stream that hold the first `valid` columns of a panel.
  std::int64_t used(std::int64_t valid) const { return (std::min(valid, panel_columns()) + lanes - 1) / lanes; }
  // Columns in vector `v` of these.
  std::int64_t columns_in(std::int64_t valid, std::int64_t v) const { return std::min(lanes, valid - v * lanes); }
  // Panels that have as many vectors as the first.
  std::int64_t alike() const {
    const std::int64_t left = columns - whole() * panel_columns();
    return whole() + (left > 0 && used(left) == used(panel_columns()) ? 1 : 0);
  }
  std::int64_t streams_of(std::int64_t all_columns) const { return columns > 0 ? all_columns / columns : streams; }

 private:
  Panels(std::int64_t s, std::int64_t w, std::int64_t l, std::int64_t c) : streams(s), width(w), lanes(l), columns(c) {}
};

// As many streams as a tile has room for.
inline constexpr std::int64_t kMostStreams = 6;

// Operands [K, N] each (or [N, K] when `transpose`), side by side; a leading axis of steps is kept in front. Result
// [steps…, panels, K, streams, width · lanes]; what is beyond the last column is undefined.
// Attributes: those of Panels, transpose.
extern const Op pack_op;

// Operands: a, packed b, optional start. Result [M, streams · columns].
// Attributes: those of Panels; transpose_a; steps: a is [steps, K, M] and b has a leading axis of steps, and the sum runs
// over both (from the last step to the first when `reverse`), each step's k in order; as_it_lies: b is [steps, K, N], not
// packed.
extern const Op packed_matmul_op;

// Every product of two matrices becomes one with a packed right operand.
TapePtr pack_matmuls(const TapePtr& tape);

}  // namespace tapeloop
