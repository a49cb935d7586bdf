// Views and masks that are made of other ops: diagonals, triangles, repetitions. All are linear; their derivatives follow.
#pragma once

#include "ad/op.h"

namespace tapeloop {

// The elements [i, i + offset] of the last two axes, along a new last axis; `offset` may be negative.
Tensor diagonal(const Tensor& x, int offset = 0, Where where = Where::current());
// Their sum.
Tensor trace(const Tensor& x, int offset = 0, Where where = Where::current());

// x on and below (above) the diagonal `offset` of the last two axes, 0 elsewhere, whatever stood there.
Tensor tril(const Tensor& x, int offset = 0, Where where = Where::current());
Tensor triu(const Tensor& x, int offset = 0, Where where = Where::current());

// x side by side, times[i] of it along axis i. x may have fewer axes than `times`: they are aligned at the last one.
Tensor tile(const Tensor& x, const std::vector<int>& times, Where where = Where::current());

// Each element n times in a row along `axis`.
Tensor repeat(const Tensor& x, int n, int axis = -1, Where where = Where::current());

// The elements moved on by `shift` places along `axis`; those that leave at one end return at the other.
Tensor roll(const Tensor& x, int shift, int axis = -1, Where where = Where::current());

}  // namespace tapeloop
