// Dropout (Srivastava et al. 2014).
#pragma once

#include "models/arguments.h"
#include "ops/elementwise.h"
#include "ops/random.h"

namespace tapeloop {

// Each element is zero with probability `rate`, in [0, 1], and x / (1 − rate) otherwise, so that the mean stays. It is a
// pure function of the key: use fold_in(key, step) for another choice at every step.
inline Tensor dropout(const Tensor& x, double rate, const Tensor& key, Where caller = Where::current()) {
  check_value("dropout", x, caller);
  check_range("dropout", "the rate", rate, 0, 1, caller);
  if (!is_float(x.dtype()))
    throw Error("dropout: needs a floating-point operand, got " + to_string(x.type()), caller,
                "cast(x, Dtype::f32) converts");
  if (rate == 0) return x;
  if (rate == 1) return zeros_like(x, caller);
  const Tensor kept = bernoulli(key, Operand(1 - rate, caller), x.shape());
  return where(Operand(kept, caller), Operand(x, caller) * (1 / (1 - rate)), 0);
}

}  // namespace tapeloop
