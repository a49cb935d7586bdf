// Ops that move elements without computing: reshape, transpose, broadcast, slice, flip, pad, concat, stack, split.
// All are linear and cheap; the compiler turns most of them into index arithmetic of whoever reads the result.
#pragma once

#include <array>

#include "ad/op.h"

namespace tapeloop {

// Records an elementwise op on operands as the user wrote them: C++ scalars take the dtype of the tensors they meet, and
// shapes are broadcast as in NumPy. Throws Error naming the op and the shapes.
Tensor record(const Op& op, std::initializer_list<Operand> operands, Attrs attrs = {});

// The same elements, row-major, under another shape of as many elements. One extent may be -1: it is computed.
Tensor reshape(const Tensor& x, Shape shape, Where where = Where::current());

// Axis i of the result is axis `order[i]` of x; without `order` the last two axes are exchanged.
Tensor transpose(const Tensor& x, std::vector<int> order, Where where = Where::current());
Tensor transpose(const Tensor& x, Where where = Where::current());

// Stretches x to `shape`, aligned at the last axis, as in NumPy.
Tensor broadcast_to(const Tensor& x, const Shape& shape, Where where = Where::current());

// Elements start, start+step, … before `stop` along `axis`. Negative positions count from the end, and positions outside of
// the axis are brought to its ends, as in NumPy; step is positive.
struct SliceTo {
  static constexpr std::int64_t end = INT64_MAX;
};
Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t stop = SliceTo::end, std::int64_t step = 1,
             Where where = Where::current());
// `count` elements from `start`, for extents that may be symbols.
Tensor slice_at(const Tensor& x, int axis, const Extent& start, const Extent& count, Where where = Where::current());

// x[index] along `axis`, which disappears.
Tensor at(const Tensor& x, int axis, std::int64_t index, Where where = Where::current());

// The elements in opposite order along `axis`.
Tensor flip(const Tensor& x, int axis, Where where = Where::current());

// `before` and `after` new elements equal to `value` along `axis`, and `interior` between each two of x.
Tensor pad(const Tensor& x, int axis, Extent before, Extent after, double value = 0, std::int64_t interior = 0,
           Where where = Where::current());

// Joins tensors along an axis they have; all other extents agree.
Tensor concat(const Tensors& xs, int axis = 0, Where where = Where::current());

// Joins tensors of one shape along a new axis.
Tensor stack(const Tensors& xs, int axis = 0, Where where = Where::current());

// Parts of the given sizes along `axis`; they add up to its extent.
Tensors split(const Tensor& x, const Shape& sizes, int axis = -1, Where where = Where::current());

// n equal parts along `axis` (default: the last), as an array for structured bindings: auto [i, f] = chunk<2>(z).
template <std::size_t N>
std::array<Tensor, N> chunk(const Tensor& x, int axis = -1, Where where = Where::current());
Tensors chunk(const Tensor& x, int n, int axis = -1, Where where = Where::current());

// Inserts axes of extent 1 so that they stand at the given places of the result; removes an axis of extent 1.
Tensor expand_dims(const Tensor& x, int axis, Where where = Where::current());
Tensor squeeze(const Tensor& x, int axis, Where where = Where::current());

// Axis i of x becomes axis axes[i] of the result; the other axes of `shape` are new. What broadcasting is made of.
Tensor broadcast_axes(const Tensor& x, const Shape& shape, const Ints& axes, const Where& where);

extern const Op reshape_op, transpose_op, broadcast_op, slice_op, flip_op, pad_op, concat_op, split_op;

template <std::size_t N>
std::array<Tensor, N> chunk(const Tensor& x, int axis, Where where) {
  const Tensors parts = chunk(x, int(N), axis, where);
  std::array<Tensor, N> result;
  for (std::size_t i = 0; i < N; ++i) result[i] = parts[i];
  return result;
}

}  // namespace tapeloop
