// What to minimise. Losses are scalar tensors: the mean over all leading axes, unless a comment says otherwise.
#pragma once

#include <cmath>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/reduce.h"

namespace tapeloop {

namespace detail {

inline void check_same_type(std::string_view loss, const Tensor& x, const Tensor& y, const Where& where) {
  check_value(loss, x, where);
  check_value(loss, y, where);
  if (x.dtype() != y.dtype() || !agree(x.shape(), y.shape()))
    throw Error(std::string(loss) + ": types differ: " + to_string(x.type()) + " and " + to_string(y.type()), where,
                "nothing is broadcast here");
}

inline Tensor mean_of(const Tensor& x, const Where& where) { return mean(x, Axes::everything(), false, where); }

}  // namespace detail

// The mean over all leading axes of −log softmax(logits)[target], in nats: logits [..., V], targets integers [...].
// Computed from the logits, so that nothing overflows. The loss is NaN when a target is outside of [−V, V), as
// ops/index.h has it; the gradient leaves such a target out.
// With `smoothing` s the target distribution is 1 − s at the target and s spread evenly over all V (Szegedy et al. 2016,
// arXiv:1512.00567). Throws Error unless 0 ≤ s ≤ 1.
struct CrossEntropyOptions {
  double smoothing = 0;
};
inline Tensor cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options = {},
                            Where where = Where::current()) {
  check_value("cross_entropy", logits, where);
  check_value("cross_entropy", targets, where);
  const Shape leading(logits.shape().begin(), logits.shape().end() - (logits.rank() > 0 ? 1 : 0));
  if (logits.rank() == 0 || !is_integer(targets.dtype()) || !agree(leading, targets.shape()))
    throw Error("cross_entropy: logits " + to_string(logits.type()) + " and targets " + to_string(targets.type()) +
                    " do not fit",
                where, "targets are integers, of the shape of the logits without their last axis");
  const double s = options.smoothing;
  if (!(s >= 0 && s <= 1)) throw Error("cross_entropy: smoothing " + std::to_string(s) + " is not in [0, 1]", where);
  const Tensor log_p = log_softmax(logits, -1, where);
  const Tensor target = narrowed(targets, where), classes = extent(logits.size(-1), target.dtype(), where);
  Tensor exists = Operand(target, where) < classes;
  if (target.dtype() == Dtype::i32)
    exists = logical_and(Operand(exists, where), Operand(target, where) >= -Operand(classes, where));
  const Tensor picked = tapeloop::where(Operand(exists, where), pick_along(log_p, target, -1, where), NAN);
  const Tensor at_target = -detail::mean_of(picked, where);
  return s == 0 ? at_target : (1 - s) * at_target - s * detail::mean_of(log_p, where);
}

// The mean of −(y·log σ(x) + (1 − y)·log(1 − σ(x))), for logits x and targets y in [0, 1] of one shape. Computed from the
// logits, as y·softplus(−x) + (1 − y)·softplus(x), so that nothing overflows or cancels.
inline Tensor binary_cross_entropy(const Tensor& logits, const Tensor& targets, Where where = Where::current()) {
  detail::check_same_type("binary_cross_entropy", logits, targets, where);
  return detail::mean_of(targets * softplus(-logits) + (1 - targets) * softplus(logits), where);
}

// The mean of (x − y)².
inline Tensor mse(const Tensor& x, const Tensor& y, Where where = Where::current()) {
  detail::check_same_type("mse", x, y, where);
  return detail::mean_of(square(Operand(Operand(x, where) - y, where)), where);
}

// The mean of d²/2 where |d| ≤ delta, delta·(|d| − delta/2) beyond, for d = x − y (Huber 1964): the derivative is d, but at
// most delta.
inline Tensor huber(const Tensor& x, const Tensor& y, double delta = 1, Where where = Where::current()) {
  detail::check_same_type("huber", x, y, where);
  if (!(delta > 0)) throw Error("huber: delta " + std::to_string(delta) + " is not positive", where);
  const Tensor distance = abs(x - y), near = minimum(distance, delta);
  return detail::mean_of(near * (distance - 0.5 * near), where);
}

// The Kullback–Leibler divergence Σ p·(log p − log q) over the last axis, averaged over the others, for probabilities p and
// *logarithms* of probabilities log_q, such as log_softmax gives. A p of 0 contributes 0.
inline Tensor kl_divergence(const Tensor& p, const Tensor& log_q, Where where = Where::current()) {
  detail::check_same_type("kl_divergence", p, log_q, where);
  const Tensor safe = tapeloop::where(p > 0, p, 1);
  return detail::mean_of(sum(tapeloop::where(p > 0, p * (log(safe) - log_q), 0), -1, false, where), where);
}

// ⟨a, b⟩/(‖a‖·‖b‖) along `axis`, which disappears; no norm counts as less than epsilon.
inline Tensor cosine_similarity(const Tensor& a, const Tensor& b, int axis = -1, double epsilon = 1e-8,
                                Where where = Where::current()) {
  detail::check_same_type("cosine_similarity", a, b, where);
  const auto inverse_norm = [&](const Tensor& x) {
    return rsqrt(maximum(sum(square(x), axis, false, where), epsilon * epsilon));
  };
  return sum(a * b, axis, false, where) * (inverse_norm(a) * inverse_norm(b));
}

// The mean of 1 − cos(a, b) where `same` holds, of max(0, cos(a, b) − margin) elsewhere: a, b [..., D], same boolean [...].
inline Tensor cosine_embedding(const Tensor& a, const Tensor& b, const Tensor& same, double margin = 0,
                               Where where = Where::current()) {
  const Tensor cosine = cosine_similarity(a, b, -1, 1e-8, where);
  check_value("cosine_embedding", same, where);
  if (same.dtype() != Dtype::boolean || !agree(cosine.shape(), same.shape()))
    throw Error("cosine_embedding: same is " + to_string(same.type()) + " for pairs " + to_string(cosine.shape()),
                where, "a boolean for each pair");
  return detail::mean_of(tapeloop::where(same, 1 - cosine, relu(cosine - margin)), where);
}

}  // namespace tapeloop
