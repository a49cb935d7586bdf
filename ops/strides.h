// What the ops that move elements share: layouts of tensors in memory, copies between them, and the pullback of a move.
#pragma once

#include "ad/op.h"
#include "ad/tape.h"

namespace tapeloop {

using Strides = std::vector<std::int64_t>;  // in elements

Strides row_major(const Shape& shape);

// Copies a box of elements between two layouts; strides and offsets are in elements.
void copy_strided(Dtype dtype, const std::byte* from, std::int64_t from_offset, const Strides& from_strides,
                  std::byte* to, std::int64_t to_offset, const Strides& to_strides,
                  const std::vector<std::int64_t>& sizes);

inline std::shared_ptr<Buffer> buffer_for(const Type& type) { return Buffer::allocate(bytes_of(type)); }

// The pullback of an op that is linear in its one operand.
template <class F>
Pullback linear_pullback(const Record& r, const Tensors& in, F pull) {
  return {record(*r.op, in, r.attrs, r.where), [pull](const Tensors& cts) { return Tensors{pull(cts[0])}; }};
}

}  // namespace tapeloop
