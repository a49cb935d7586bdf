// The floating-point limit of the machine, measured.
#pragma once

namespace tapeloop::bench {

// GFLOP/s of f32 fused multiply-adds on `threads` cores at once, from registers to registers, with the widest vectors
// that the processor has. Takes a few milliseconds; the best of several tries, since anything else that runs can only
// slow it down.
double fma_peak(int threads);

}  // namespace tapeloop::bench
