// Initial values of parameters. All are pure functions of a key.
#pragma once

#include "ops/random.h"

namespace tapeloop {

// Uniform in [-bound, bound).
Tensor uniform_init(const Tensor& key, const Shape& shape, double bound, Dtype dtype = Dtype::f32,
                    Where where = Where::current());

// Uniform with variance 2 / (inputs + outputs) (Glorot and Bengio 2010, equation 16); `blocks` matrices [inputs, outputs]
// side by side, as the gates of a cell are.
Tensor glorot_uniform(const Tensor& key, std::int64_t inputs, std::int64_t outputs, std::int64_t blocks = 1,
                      Dtype dtype = Dtype::f32, Where where = Where::current());

// Orthonormal rows or columns, whichever are fewer, uniform among all such matrices (Saxe, McClelland and Ganguli 2013);
// `blocks` of them side by side. Computed in f64 from a concrete key.
Tensor orthogonal(const Tensor& key, std::int64_t rows, std::int64_t columns, std::int64_t blocks = 1,
                  Dtype dtype = Dtype::f32, Where where = Where::current());

}  // namespace tapeloop
