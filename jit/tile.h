// What the inner loop of a product (emit_tile.cpp) and its callers (emit_product.cpp, emit_long_product.cpp) agree on.
#pragma once

#include <algorithm>

#include "jit/pack.h"
#include "jit/target.h"

namespace llvm {
class IRBuilderBase;
class Value;
}  // namespace llvm

namespace tapeloop {

// The table of strides that a tile is given, in bytes but for the counts. `a` and `b` are walked over `steps` steps of
// `depth` each; `in` is where the sums start, `out` where they go.
namespace stride {
enum Stride { a_row, a_depth, a_step, b_depth, b_step, steps, depth, in_row, in_vector, out_row, out_vector, strides };
}

// How many rows of a tile fit into the registers beside the operands.
inline int rows_of_tile(const Target& target, Dtype dtype, int vectors) {
  const int registers = vectors * std::max(1, int(kLanes) * size_of(dtype) / target.vector_bytes);
  return std::clamp((target.vector_registers >= 32 ? 24 : 12) / registers, 1, 8);
}

// Lanes of vector `v` of a panel that exist when `valid` columns do; null for all.
llvm::Value* mask_of(llvm::IRBuilderBase& b, std::int64_t valid, std::int64_t v);

}  // namespace tapeloop
