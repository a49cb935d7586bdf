// Chunks are taken before elementwise code instead of after it.
#pragma once

#include "ad/tape.h"

namespace tapeloop {

// In programs for a single row, where a product that starts at (bias +) another goes on in its registers if the two are laid
// out alike:
//
//   chunk<n>(f(matmul(x, w)))                  →  f of the chunks of matmul(x, w)
//   chunk<n>(matmul(h, u, f(matmul(x, w))))    →  matmul(h, chunks of u, f of the chunks of matmul(x, w))
//
// where f is elementwise. No bit changes: every column is computed as before.
TapePtr sink_chunks(const TapePtr& tape);

}  // namespace tapeloop
