// Convolution over time: views and one matmul.
#pragma once

#include "ad/op.h"

namespace tapeloop {

enum class Padding {
  causal,  // zeros before the first step: y[t] sees x[t] and earlier only, and has as many steps
  same,    // zeros on both sides, one more at the end if their number is odd: as many steps
  valid,   // no zeros: fewer steps
};

struct ConvOptions {
  Padding padding = Padding::causal;
  int dilation = 1;  // steps between two that the kernel reads
};

// y[t, …, o] = Σ_k Σ_c x[t + (k − K + 1)·dilation, …, c] · w[k, c, o], for x [time, …, channels] and w [kernel, channels,
// outputs]; shown for `causal`, whose last tap is the present. (A correlation, as in all frameworks: w is not turned round.)
// Throws Error when channels differ, when the kernel is empty, and when x is shorter than it with `valid`.
Tensor conv1d(const Tensor& x, const Tensor& w, const ConvOptions& options = {}, Where where = Where::current());

// Each channel for itself: w is [kernel, channels].
Tensor depthwise_conv1d(const Tensor& x, const Tensor& w, const ConvOptions& options = {},
                        Where where = Where::current());

}  // namespace tapeloop
