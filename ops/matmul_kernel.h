// The interpreter's matrix product: every element is one chain of fma in the order of k.
#pragma once

#include <cstdint>

namespace tapeloop {

struct MatmulShape {
  std::int64_t batch, m, k, n;
  bool transpose_a, transpose_b;
};

// out = start + a·b; `start` may be null (zero).
void multiply(const MatmulShape& shape, const float* a, const float* b, const float* start, float* out);
void multiply(const MatmulShape& shape, const double* a, const double* b, const double* start, double* out);

}  // namespace tapeloop
