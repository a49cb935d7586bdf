#include "ops/matmul_kernel.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tapeloop {
namespace {

// The library is built for any x86-64; this one loop is also built for newer instruction sets and chosen at start. The
// bits do not depend on the choice: fma is rounded once in hardware as in software. Not under ThreadSanitizer: what chooses
// runs while the program is still being loaded, and GCC instruments it with calls that lead nowhere yet.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define TAPELOOP_CLONES __attribute__((target_clones("avx512f", "arch=haswell", "default")))
#else
#define TAPELOOP_CLONES
#endif

TAPELOOP_CLONES void add_scaled(float a, const float* __restrict b, float* __restrict out, std::int64_t n) {
  for (std::int64_t j = 0; j < n; ++j) out[j] = __builtin_fmaf(a, b[j], out[j]);
}
TAPELOOP_CLONES void add_scaled(double a, const double* __restrict b, double* __restrict out, std::int64_t n) {
  for (std::int64_t j = 0; j < n; ++j) out[j] = __builtin_fma(a, b[j], out[j]);
}

template <class T>
void multiply_any(const MatmulShape& s, const T* a, const T* b, const T* start, T* out) {
  std::vector<T> rows;  // b as [K, N] when it is given transposed
  for (std::int64_t batch = 0; batch < s.batch; ++batch) {
    const T* b_rows = b;
    if (s.transpose_b) {
      rows.resize(std::size_t(s.k * s.n));
      for (std::int64_t j = 0; j < s.n; ++j)
        for (std::int64_t k = 0; k < s.k; ++k) rows[std::size_t(k * s.n + j)] = b[j * s.k + k];
      b_rows = rows.data();
    }
    if (start)
      std::copy_n(start, s.m * s.n, out);
    else
      std::fill_n(out, s.m * s.n, T(0));
    for (std::int64_t i = 0; i < s.m; ++i)
      for (std::int64_t k = 0; k < s.k; ++k)
        add_scaled(s.transpose_a ? a[k * s.m + i] : a[i * s.k + k], b_rows + k * s.n, out + i * s.n, s.n);
    a += s.m * s.k;
    b += s.k * s.n;
    out += s.m * s.n;
    if (start) start += s.m * s.n;
  }
}

}  // namespace

void multiply(const MatmulShape& s, const float* a, const float* b, const float* start, float* out) {
  multiply_any(s, a, b, start, out);
}
void multiply(const MatmulShape& s, const double* a, const double* b, const double* start, double* out) {
  multiply_any(s, a, b, start, out);
}

}  // namespace tapeloop
