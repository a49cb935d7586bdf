// Blocking of time.
#pragma once

#include "ad/tape.h"

namespace tapeloop {

// A loop with products that can leave it becomes a loop over blocks of steps around a loop over the steps of a block, so
// that what goes in and out of the inner loop stays in the cache. The size of a block is an extent, worked out when the
// program is called; the last block takes the steps that are left and runs through the same code. No bit changes: the
// steps come in the same order, and sums go on from block to block.
TapePtr block_time(const TapePtr& tape);

}  // namespace tapeloop
