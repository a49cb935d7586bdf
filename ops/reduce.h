// Reductions. The order of the additions is part of their meaning:
//
//   over axes that are not all at the end   an in-order chain in row-major order, from `start` if there is one
//   over the last axes                      16 interleaved partial sums (element j of the flattened axes goes to sum
//                                           j mod 16), added up by a fixed tree; then start + that
//
// so that a vector unit can follow it and every thread count and instruction set gives the same bits.
#pragma once

#include "ad/op.h"

namespace tapeloop {

struct Axes {
  std::vector<int> list;
  bool all = false;
  Axes(int axis) : list{axis} {}  // NOLINT(google-explicit-constructor)
  Axes(std::initializer_list<int> axes) : list(axes) {}
  Axes(std::vector<int> axes) : list(std::move(axes)) {}  // NOLINT(google-explicit-constructor)
  static Axes everything() {
    Axes axes(0);
    axes.all = true;
    return axes;
  }
};

// Sums over the given axes (default: all), which disappear unless `keep`. Integers wrap. An empty sum is 0.
Tensor sum(const Tensor& x, const Axes& axes = Axes::everything(), bool keep = false, Where where = Where::current());

// The product, in the same order as the sum. Integers wrap. An empty product is 1. Its derivative is right where elements
// are zero, of any order: it multiplies the others, it does not divide.
Tensor prod(const Tensor& x, const Axes& axes = Axes::everything(), bool keep = false, Where where = Where::current());

// The mean; its divisor is an extent of the program, so it holds for any batch size. The mean of nothing is NaN.
Tensor mean(const Tensor& x, const Axes& axes = Axes::everything(), bool keep = false, Where where = Where::current());

// The largest (smallest) element; a NaN gives NaN. In the derivative ties share equally.
// Over an axis of extent 0: -inf (+inf), or the least (greatest) integer.
Tensor max(const Tensor& x, const Axes& axes = Axes::everything(), bool keep = false, Where where = Where::current());
Tensor min(const Tensor& x, const Axes& axes = Axes::everything(), bool keep = false, Where where = Where::current());

// Whether any (every) element is true. Of nothing: false (true). x is boolean.
Tensor any(const Tensor& x, const Axes& axes = Axes::everything(), bool keep = false, Where where = Where::current());
Tensor all(const Tensor& x, const Axes& axes = Axes::everything(), bool keep = false, Where where = Where::current());

// log Σ exp(x), without overflow: the largest element is taken out first.
Tensor logsumexp(const Tensor& x, const Axes& axes = Axes::everything(), bool keep = false,
                 Where where = Where::current());
Tensor softmax(const Tensor& x, int axis = -1, Where where = Where::current());
Tensor log_softmax(const Tensor& x, int axis = -1, Where where = Where::current());

// The index (i32) of the first largest element along `axis`; a NaN counts as largest. Throws Error when the axis is empty.
Tensor argmax(const Tensor& x, int axis = -1, Where where = Where::current());

// The same of the first smallest; a NaN counts as smallest.
Tensor argmin(const Tensor& x, int axis = -1, Where where = Where::current());

// What leaves every x as it is under `fold` (add, mul, max or min): what a reduction of nothing gives.
double neutral_of(LaneOp fold, Dtype dtype);

// The value of an extent as a scalar tensor: what mean and step counts divide by.
Tensor extent(const Extent& value, Dtype dtype = Dtype::f32, Where where = Where::current());

extern const Op sum_op, prod_op, max_op, min_op, argmax_op, extent_op;

}  // namespace tapeloop
