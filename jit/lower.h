// Tape to tape: what the compiler rewrites before it decides on loop nests. No pass here changes a bit.
#pragma once

#include "ad/tape.h"

namespace tapeloop {

// Matrix products become products with a packed right operand. `pack` lays the right operand out in panels that the
// kernel reads from front to back; being a record of its own, it can leave a loop whose weights do not change.
//
// A product whose result is only ever taken apart into equal chunks (the gates of a cell) is packed by `streams`: a panel
// holds the same columns of every chunk, so that all chunks of one hidden unit end up in registers together.
TapePtr pack_matmuls(const TapePtr& tape);

// What a loop computes from its constants alone is computed before it.
TapePtr hoist_invariants(const TapePtr& tape);

// packed: operand [K, N] (or [N, K] when `transpose`), result [panels, K, streams, width·16]
// attributes: transpose, streams, width (vectors of 16 columns from each stream in a panel)
extern const Op pack_op;
// operands a, packed b, optional start; attributes: transpose_a, n, streams, width
extern const Op packed_matmul_op;

}  // namespace tapeloop
