// Strip-mining: a scan as a scan over blocks of steps, each a scan itself, and one scan over the steps that fill no block.
//
// Written once, it serves three ends: blocks whose data fits the cache, blocks that are computed again in the backward pass
// instead of being kept, and blocks between which no gradient passes.
#pragma once

#include <functional>

#include "ops/scan.h"

namespace tapeloop {

struct StripOptions {
  enum class Rest { last, first };  // in running order: where the steps that fill no block run
  Rest rest = Rest::last;

  // The rest has 1 … k steps instead of 0 … k−1 (0 only for a loop without steps): ⌊(length−1)/k⌋ blocks.
  // So the state after the last block is never the loop's result.
  bool full_rest = false;

  // Applied to the state after each block, inside the loop over the blocks; empty for none.
  std::function<Tensors(const Tensors& state)> between = nullptr;

  // The derivative computes each block again from the state before it, instead of keeping what its steps keep.
  bool recompute = false;
  // Blocks, and the rest, are taken apart again, into blocks of inner[0] steps, those into inner[1], …
  std::vector<std::int64_t> inner = {};
};

// The results of a loop (final state ++ ys, in its own order, of its own types) for the operands `in`, recorded as
//
//   outer scan over ⌊length/k⌋ blocks { inner scan over k steps }, then a scan over the remaining length − k·⌊length/k⌋ steps
//
// all calling the loop's body itself, in its own direction, so that every step computes what it did. The length may
// be a symbol: the numbers of blocks and of remaining steps are then extents. A part that is known to have no steps is left
// out. Throws InternalError when k is not positive.
Tensors strip_mine(const Loop& loop, const Tensors& in, const Extent& k, const StripOptions& options,
                   const Where& where);

// The sizes of blocks, outermost first, with which what a loop keeps for its derivative takes at most `bytes`, with as few
// levels as will do, and so as little computed again; empty if all steps fit. Throws Error if nothing does.
std::vector<std::int64_t> blocks_within(const Loop& loop, std::int64_t bytes, const Where& where);

}  // namespace tapeloop
