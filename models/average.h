// A running average of a model's parameters. While the learning rate is high it does better on new data than the parameters
// themselves, which jump about their optimum (Polyak and Juditsky 1992).
//
//   auto mean = average(model, 0.998);
//   opt.update(model, grads);
//   mean.update(model);  // at every step; mean.model is what to evaluate and to ship
#pragma once

#include "models/optimizer.h"

namespace tapeloop {

namespace detail {
void update_average(const Handles& means, const Tensors& params, Tensor& step, double decay);
}  // namespace detail

// θ̄ ← θ̄ + (1 − d)(θ − θ̄),  d = min(decay, (1 + t)/(10 + t)) at update t = 0, 1, …: it soon forgets where training began,
// and later remembers about 1/(1 − decay) updates (the form of TensorFlow's ExponentialMovingAverage).
template <class Model>
struct Average {
  Model model;
  Tensor step;  // f32: how many updates there have been
  double decay = 0.998;

  static Average init(const Model& model, double decay, Where where = Where::current()) {
    detail::check_trainable("Average", detail::described(model), where);
    check_decay("Average", "decay", decay, where);
    return {model, full({}, 0).materialized(), decay};
  }

  // Throws Error when `latest` has tensors of other names, shapes or dtypes than the model that this was made for.
  void update(const Model& latest, Where where = Where::current()) {
    detail::update_average(detail::memory("Average", model, detail::described(latest), where), leaves_of(latest), step,
                           decay);
  }
};

template <class Model>
Average<Model> average(const Model& model, double decay = 0.998, Where where = Where::current()) {
  return Average<Model>::init(model, decay, where);
}

}  // namespace tapeloop
