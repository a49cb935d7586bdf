// Sorting along an axis. The order is stable (equal elements stay as they are), −0 equals +0, and NaN comes last, in
// descending order too.
#pragma once

#include "ad/op.h"

namespace tapeloop {

// The positions (i32) of the elements in ascending (descending) order. No gradient flows.
Tensor argsort(const Tensor& x, int axis = -1, bool descending = false, Where where = Where::current());

// The elements in that order; their gradients go where they came from.
Tensor sort(const Tensor& x, int axis = -1, bool descending = false, Where where = Where::current());

// The k largest elements, greatest first, and their positions (i32). Throws Error when the axis has fewer than k.
struct TopK {
  Tensor values, indices;
};
TopK topk(const Tensor& x, int k, int axis = -1, Where where = Where::current());

extern const Op argsort_op;  // kind sort; attributes: axis, descending

}  // namespace tapeloop
