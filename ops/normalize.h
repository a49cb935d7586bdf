// Variance, norms, and the normalisation layers that are made of them.
#pragma once

#include "ops/reduce.h"

namespace tapeloop {

// Σ (x − mean)² / (n − correction) over the axes, in two passes; 0/0 for as few elements as `correction`. Default: of a
// sample, as in PyTorch; 0 is of a population.
Tensor var(const Tensor& x, const Axes& axes = Axes::everything(), int correction = 1, bool keep = false,
           Where where = Where::current());

// √var, with the derivative 0 where it is 0, as in PyTorch.
Tensor stddev(const Tensor& x, const Axes& axes = Axes::everything(), int correction = 1, bool keep = false,
              Where where = Where::current());

// (Σ |x|ᵖ)^(1/p) over the axes. p may be inf (the greatest |x|), −inf (the smallest) and 0 (how many are not 0). For
// other p the derivative of a norm that is 0 is 0, as in PyTorch; ties of infinite ones share.
Tensor norm(const Tensor& x, double p = 2, const Axes& axes = Axes::everything(), bool keep = false,
            Where where = Where::current());

// (x − mean)/√(var + epsilon)·scale + bias over the last axis (Ba et al. 2016, arXiv:1607.06450). scale and bias have the
// extent of the last axis, or are empty: then they are left out.
Tensor layer_norm(const Tensor& x, const Tensor& scale = {}, const Tensor& bias = {}, double epsilon = 1e-5,
                  Where where = Where::current());

// x/√(mean(x²) + epsilon)·scale over the last axis (Zhang and Sennrich 2019, arXiv:1910.07467).
Tensor rms_norm(const Tensor& x, const Tensor& scale = {}, double epsilon = 1e-5, Where where = Where::current());

// layer_norm over each of `groups` equal groups of the channels, which are the last axis, of every position for itself; scale
// and bias have the extent of the last axis (Wu and He 2018, arXiv:1803.08494, for inputs without space). Throws Error when
// the channels do not divide.
Tensor group_norm(const Tensor& x, int groups, const Tensor& scale = {}, const Tensor& bias = {}, double epsilon = 1e-5,
                  Where where = Where::current());

}  // namespace tapeloop
