// The four ops that differentiation itself needs, and therefore the only ones that ad/ owns: cotangents are added,
// multiplied by partials, and begin as zeros.
#pragma once

#include "ad/op.h"

namespace tapeloop {

extern const Op add_op;   // a + b
extern const Op mul_op;   // a · b
extern const Op full_op;  // source; attributes: shape, dtype, value (f64)
extern const Op stop_gradient_op;

// A generated tensor in which every element is `value`; an integer's fraction is cut off. Throws Error when the dtype does
// not hold the value.
Tensor full(const Shape& shape, double value, Dtype dtype = Dtype::f32, const Where& where = Where::current());
Tensor full_like(const Tensor& x, double value, const Where& where = Where::current());
inline Tensor zeros(const Shape& shape, Dtype dtype = Dtype::f32, const Where& where = Where::current()) {
  return full(shape, 0, dtype, where);
}
inline Tensor ones(const Shape& shape, Dtype dtype = Dtype::f32, const Where& where = Where::current()) {
  return full(shape, 1, dtype, where);
}
inline Tensor zeros_like(const Tensor& x, const Where& where = Where::current()) { return full_like(x, 0, where); }
inline Tensor ones_like(const Tensor& x, const Where& where = Where::current()) { return full_like(x, 1, where); }

// The same value, through which no gradient flows.
Tensor stop_gradient(const Tensor& x, const Where& where = Where::current());

// Whether `x` is known, without looking at numbers, to be `value` everywhere.
bool is_full_of(const Tensor& x, double value);
// A concrete tensor of one element as a generated one, which a tape may hold.
Tensor literal(const Tensor& number, const Where& where);

// The sum of two cotangents of one value; an empty one is zero. A contribution that is itself a sum (a matmul, a
// reduction) is recorded as one that *starts* at `sum`: the chain of additions then runs in the same order whether a loop
// is rolled up or written out, and a compiler can take it out of the loop without changing a bit.
Tensor accumulate(const Tensor& sum, const Tensor& contribution);

}  // namespace tapeloop
