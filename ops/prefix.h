// Every partial result along an axis: cumulative sums and their like, and the linear recurrence that is their derivative.
//
// The steps are done one after the other, in the order of the axis or, with `reverse`, from its end; that order is part of
// the meaning, so that every thread count and instruction set gives the same bits. The shape stays what it was.
#pragma once

#include "ad/op.h"

namespace tapeloop {

// y[i] = x[i] + y[i − 1]. Integers wrap. With `keep`, a boolean tensor of the same shape, the sum begins anew wherever it is
// false.
Tensor cumsum(const Tensor& x, int axis = -1, bool reverse = false, Where where = Where::current());
Tensor cumsum(const Tensor& x, const Tensor& keep, int axis = -1, bool reverse = false, Where where = Where::current());

// y[i] = x[i] · y[i − 1]. Integers wrap. The derivative is right where elements are zero.
Tensor cumprod(const Tensor& x, int axis = -1, bool reverse = false, Where where = Where::current());

// y[i] = max(x[i], y[i − 1]) (min): a NaN stays. Of equal elements the last so far has the gradient,
// as in PyTorch.
Tensor cummax(const Tensor& x, int axis = -1, bool reverse = false, Where where = Where::current());
Tensor cummin(const Tensor& x, int axis = -1, bool reverse = false, Where where = Where::current());

// y[i] = log(exp x[i] + exp y[i − 1]), without overflow.
Tensor logcumsumexp(const Tensor& x, int axis = -1, bool reverse = false, Where where = Where::current());

// y[i] = a[i] · y[i − 1] + b[i], from y[−1] = 0, rounded twice a step: diagonal recurrent layers. a and b have one shape.
Tensor linear_recurrence(const Tensor& a, const Tensor& b, int axis = 0, bool reverse = false,
                         Where where = Where::current());

// attributes: axis, reverse
extern const Op cumsum_op;  // operands: x, optional keep
extern const Op cumprod_op, cummax_op, logcumsumexp_op;
extern const Op linear_recurrence_op;  // operands: a, b

}  // namespace tapeloop
