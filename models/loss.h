// What to minimise. Losses are scalar tensors.
#pragma once

#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/reduce.h"

namespace tapeloop {

// The mean over all leading axes of −log softmax(logits)[target], in nats: logits [..., V], targets integers [...].
// Computed from the logits, so that nothing overflows. Targets outside of [−V, V) count as 0, see pick_along.
inline Tensor cross_entropy(const Tensor& logits, const Tensor& targets, Where where = Where::current()) {
  check_value("cross_entropy", logits, where);
  check_value("cross_entropy", targets, where);
  const Shape leading(logits.shape().begin(), logits.shape().end() - (logits.rank() > 0 ? 1 : 0));
  if (logits.rank() == 0 || !is_integer(targets.dtype()) || !agree(leading, targets.shape()))
    throw Error("cross_entropy: logits " + to_string(logits.type()) + " and targets " + to_string(targets.type()) + " do not fit",
                where, "targets are integers, of the shape of the logits without their last axis");
  return -mean(pick_along(log_softmax(logits, -1, where), targets, -1, where), Axes::everything(), false, where);
}

// The mean of (x − y)².
inline Tensor mse(const Tensor& x, const Tensor& y, Where where = Where::current()) {
  check_value("mse", x, where);
  check_value("mse", y, where);
  if (x.dtype() != y.dtype() || !agree(x.shape(), y.shape()))
    throw Error("mse: types differ: " + to_string(x.type()) + " and " + to_string(y.type()), where,
                "nothing is broadcast here");
  return mean(square(Operand(Operand(x, where) - y, where)), Axes::everything(), false, where);
}

}  // namespace tapeloop
