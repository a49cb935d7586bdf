// Dropout (Srivastava et al. 2014).
#pragma once

#include "ops/elementwise.h"
#include "ops/random.h"

namespace tapeloop {

// Each element is zero with probability `rate`, in [0, 1], and x / (1 − rate) otherwise, so that the mean stays. It is a
// pure function of the key: use fold_in(key, step) for another choice at every step.
inline Tensor dropout(const Tensor& x, double rate, const Tensor& key, Where caller = Where::current()) {
  if (!(rate >= 0 && rate <= 1)) throw Error("dropout: the rate is " + std::to_string(rate) + ", not in [0, 1]", caller);
  if (rate == 0) return x;
  if (rate == 1) return zeros_like(x, caller);
  return where(bernoulli(key, 1 - rate, x.shape()), x * (1 / (1 - rate)), 0);
}

}  // namespace tapeloop
