// Writing into a tensor at places that integer tensors name. What indices mean is said in ops/index.h; what is outside is
// left out. Of several updates of one element the last one stays (set) or all are added, in the order of the indices (add).
#pragma once

#include "ad/op.h"

namespace tapeloop {

enum class Scatter { set, add };

// `start` with rows (axis 0) replaced by, or increased by, the rows of `updates`, which has the axes of `indices`, then those
// of a row. The derivative of a replaced row is that of the update that stayed.
Tensor scatter(const Tensor& start, const Tensor& indices, const Tensor& updates, Scatter mode = Scatter::set,
               Where where = Where::current());

// One element for each index: y[i, j, …] at the place that take_along(y, indices, axis) reads it from.
Tensor scatter_along(const Tensor& start, const Tensor& indices, const Tensor& updates, int axis = -1,
                     Scatter mode = Scatter::set, Where where = Where::current());

// At the places that gather_nd(y, indices) reads.
Tensor scatter_nd(const Tensor& start, const Tensor& indices, const Tensor& updates, Scatter mode = Scatter::set,
                  Where where = Where::current());

// `sizes` elements of x from positions that are computed: one scalar integer tensor for each axis. A start is moved so that
// all elements are inside, as in JAX. The result has the shape `sizes`.
Tensor dynamic_slice(const Tensor& x, const Tensors& starts, const Shape& sizes, Where where = Where::current());

// x with the elements that dynamic_slice(x, starts, update.shape()) reads replaced by `update`.
Tensor dynamic_update(const Tensor& x, const Tensor& update, const Tensors& starts, Where where = Where::current());

extern const Op scatter_set_op;  // operands: indices, updates, start

}  // namespace tapeloop
