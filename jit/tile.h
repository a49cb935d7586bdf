// What the inner loop of a product (emit_tile.cpp) and its callers (emit_product.cpp, emit_long_product.cpp) agree on.
#pragma once

#include <algorithm>
#include <vector>

#include "jit/pack.h"
#include "jit/target.h"

namespace llvm {
class IRBuilderBase;
class Value;
}  // namespace llvm

namespace tapeloop {

inline constexpr int kMostRows = 8;  // of a tile
inline constexpr int kBytesOfLine = 64;
inline constexpr int kUnrolled = 2;  // of a sum, in the inner loop, which asks for one line of each operand meanwhile

// The table of strides that a tile is given, in bytes but for the counts. `a` and `b` are walked over `steps` steps of
// `depth` each; `in` is where the sums start, `out` where they go. `a_row + i` leads i + 1 rows further: were they computed
// from the first, LLVM would walk from row to row, with an addition each.
namespace stride {
enum Stride {
  a_depth,
  a_step,
  b_depth,
  b_step,
  steps,
  depth,
  in_row,
  in_vector,
  out_row,
  out_vector,
  a_row,
  strides = a_row + kMostRows - 1
};
}

// What the code of a tile depends on.
struct TileKind {
  int vectors;
  int used, columns;                      // of every `used` vectors the last has so many columns
  std::int64_t a_depth = 0, b_depth = 0;  // strides that are known to the compiler; 0: the table has them
};

inline bool has_few_registers(const Target& target) { return target.vector_registers < 32; }

// Lanes of one vector of columns. Where registers are few it is one of them: the vectors of a panel leave room for several
// rows then, each of which meets all that is loaded.
inline int lanes_of_panels(const Target& target, Dtype dtype) {
  return has_few_registers(target) ? target.vector_bytes / size_of(dtype) : 16;
}

// How many rows of a tile fit into the registers beside the operands.
inline int rows_of_tile(const Target& target, Dtype dtype, int vectors) {
  const int registers = vectors * lanes_of_panels(target, dtype) * size_of(dtype) / target.vector_bytes;
  return std::clamp((has_few_registers(target) ? 12 : 24) / registers, 1, kMostRows);
}

// A prefetch, into the nearest cache or the one behind it, which has room for what is needed later.
enum class Near { first = 3, second = 2 };
void ask_for(llvm::IRBuilderBase& b, llvm::Value* place, Near cache);

// Of so many lanes, those that `columns` columns take: all, half or a quarter of them where they fit. On processors with
// shorter registers everything takes that part of the time, on others at least a division does.
inline int lanes_for(std::int64_t lanes, std::int64_t columns) {
  while (lanes > 4 && 2 * columns <= lanes) lanes /= 2;
  return int(lanes);
}

// Which of `lanes` lanes hold `columns` columns; null for all.
llvm::Value* mask_of(llvm::IRBuilderBase& b, int lanes, std::int64_t columns);

// `scalar` in every lane: the first lanes of `wide`, which has it already, unless that is null.
llvm::Value* spread(llvm::IRBuilderBase& b, llvm::Value* scalar, int lanes, llvm::Value* wide);

// Vectors as the rows of a square, which become its columns.
void turn(llvm::IRBuilderBase& b, std::vector<llvm::Value*>& square);

}  // namespace tapeloop
