// Tensors made from nothing but a shape. They are kept as recipes and made anew on whatever tape they meet; a compiler
// reads them as functions of the position. (full, zeros and ones: ad/arithmetic.h.)
#pragma once

#include "ad/op.h"

namespace tapeloop {

// Every element is its own position: along `axis` when that is given, else among all elements in row-major order.
// Positions beyond what the dtype holds wrap (integers) or are rounded (floats).
struct Flattened {};
Tensor iota(const Shape& shape, Flattened, Dtype dtype = Dtype::i32, Where where = Where::current());
Tensor iota(const Shape& shape, int axis, Dtype dtype = Dtype::i32, Where where = Where::current());

// 0, 1, …, n − 1
Tensor arange(const Extent& n, Dtype dtype = Dtype::i32, Where where = Where::current());

// start, start + step, … before `stop`: ⌈(stop − start)/step⌉ of them. Throws Error when step is 0.
Tensor arange(double start, double stop, double step, Dtype dtype = Dtype::f32, Where where = Where::current());

// n numbers evenly from start to stop, both included; only `start` when n is 1.
Tensor linspace(double start, double stop, std::int64_t n, Dtype dtype = Dtype::f32, Where where = Where::current());

// The identity matrix [n, n].
Tensor eye(const Extent& n, Dtype dtype = Dtype::f32, Where where = Where::current());

extern const Op iota_op;  // source; attributes: shape, axis (−1: flattened), dtype

}  // namespace tapeloop
