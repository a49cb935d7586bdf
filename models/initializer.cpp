#include "models/initializer.h"

#include <cmath>

#include "models/arguments.h"

namespace tapeloop {
namespace {

// Modified Gram–Schmidt, twice, which makes the columns orthogonal to rounding ("twice is enough", Giraud et al. 2005). The
// diagonal of R is positive, so Q of a normal matrix is uniform (Mezzadri 2007). `a` holds `count` vectors of `length`.
void orthonormalize(std::vector<double>& a, std::size_t count, std::size_t length) {
  for (std::size_t i = 0; i < count; ++i) {
    double* v = a.data() + i * length;
    for (int round = 0; round < 2; ++round) {
      for (std::size_t j = 0; j < i; ++j) {
        const double* q = a.data() + j * length;
        double product = 0;
        for (std::size_t k = 0; k < length; ++k) product += q[k] * v[k];
        for (std::size_t k = 0; k < length; ++k) v[k] -= product * q[k];
      }
      double norm = 0;
      for (std::size_t k = 0; k < length; ++k) norm += v[k] * v[k];
      norm = std::sqrt(norm);
      for (std::size_t k = 0; k < length; ++k) v[k] /= norm;
    }
  }
}

}  // namespace

Tensor uniform_init(const Tensor& key, const Shape& shape, double bound, Dtype dtype, Where where) {
  check_range("uniform_init", "the bound", bound, 0, HUGE_VAL, where);
  return uniform(key, shape, -bound, bound, dtype, where);
}

Tensor glorot_uniform(const Tensor& key, std::int64_t inputs, std::int64_t outputs, std::int64_t blocks, Dtype dtype,
                      Where where) {
  return uniform_init(key, {inputs, blocks * outputs}, std::sqrt(6.0 / double(inputs + outputs)), dtype, where);
}

Tensor orthogonal(const Tensor& key, std::int64_t rows, std::int64_t columns, std::int64_t blocks, Dtype dtype,
                  Where where) {
  if (key.is_recorded())
    throw Error("orthogonal: the key is recorded, it has no numbers yet", where, "initialise outside of jit");
  check_size("orthogonal", {dtype, {rows, blocks, columns}, nullptr}, where);
  if (!is_float(dtype)) throw Error("orthogonal: the dtype must be f32 or f64", where);
  const auto r = std::size_t(rows), c = std::size_t(columns), n = std::size_t(blocks), few = std::min(r, c),
             many = std::max(r, c);
  std::vector<double> vectors =
      normal(key, {blocks, std::int64_t(few), std::int64_t(many)}, Dtype::f64, where).to_vector<double>(where);
  std::vector<double> joined(r * n * c);
  for (std::size_t b = 0; b < n; ++b) {
    std::vector<double> block(vectors.begin() + std::ptrdiff_t(b * r * c),
                              vectors.begin() + std::ptrdiff_t((b + 1) * r * c));
    orthonormalize(block, few, many);
    for (std::size_t i = 0; i < r; ++i)
      for (std::size_t j = 0; j < c; ++j) joined[(i * n + b) * c + j] = r <= c ? block[i * c + j] : block[j * r + i];
  }
  const Shape shape{rows, blocks * columns};
  if (dtype == Dtype::f64) return Tensor::of(joined, shape, where);
  return Tensor::of(std::vector<float>(joined.begin(), joined.end()), shape, where);
}

}  // namespace tapeloop
