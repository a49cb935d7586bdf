// Optimisers: plain trees that hold what they remember. update(model, gradients) gives the handles in the model and in the
// optimiser new values, so it works the same on numbers and while a program is recorded.
//
//   auto opt = adam(model, {.lr = 3e-3});
//   opt.update(model, clip_by_global_norm(grads, 1.0));
//
// `lr` is a scalar tensor: a schedule may change it at every step without a new program. The other coefficients are static.
// Formulas, defaults and places of eps are those of PyTorch (https://pytorch.org/docs/1.13/optim.html).
#pragma once

#include <cmath>
#include <optional>

#include "ad/arithmetic.h"
#include "ad/trace.h"
#include "models/arguments.h"

namespace tapeloop {

namespace detail {

// The tensors of a tree that have a value, to be given others.
using Handles = std::vector<Tensor*>;
struct CollectHandles {
  Handles& handles;
  void operator()(Tensor& t) const {
    if (!t.is_empty()) handles.push_back(&t);
  }
};
template <class Tree>
Handles handles_of(Tree& tree) {
  Handles handles;
  for_each_tensor(tree, CollectHandles{handles});
  return handles;
}

// What a model's tensors are called, and their types.
struct Description {
  std::vector<std::string> names;
  std::vector<Type> types;
};
template <class Tree>
Description described(const Tree& tree) {
  return {names_of(tree), types_of(leaves_of(tree))};
}

// Throws Error when the gradients do not belong to the model.
void check_gradients_of(std::string_view op, const Description& model, const Description& grads, const Where& where);
// Throws Error when what an optimiser or an average keeps of each tensor was made for another model.
void check_memory_of(std::string_view op, const Description& model, const Description& kept, const Where& where);
// Throws Error when a tensor of the model cannot be trained.
void check_trainable(std::string_view op, const Description& model, const Where& where);

// The tensors of a model beside its gradients.
struct Parameters {
  Description model;
  Handles handles;
  Tensors grads;
};
template <class Model>
Parameters parameters(std::string_view op, Model& model, const Model& grads, const Where& where) {
  Parameters result{detail::described(model), detail::handles_of(model), leaves_of(grads)};
  check_gradients_of(op, result.model, detail::described(grads), where);
  return result;
}

// What an optimiser or an average keeps of each tensor of the model.
template <class Model>
Handles memory(std::string_view op, Model& kept, const Description& model, const Where& where) {
  check_memory_of(op, model, detail::described(kept), where);
  return detail::handles_of(kept);
}
template <class Model>
Handles memory(std::string_view op, std::optional<Model>& kept, const Description& model, const Where& where) {
  return kept ? detail::memory(op, *kept, model, where) : Handles{};
}

struct ReplaceByZeros {
  void operator()(Tensor& t) const;
};
template <class Model>
Model zeros_for(Model model) {
  for_each_tensor(model, ReplaceByZeros());
  return model;
}

// A number as a scalar of the model's dtype.
Tensor scalar_for(const Description& model, double value);

Tensor global_norm(const Description& tree, const Tensors& leaves, const Where& where);
void clip_by_norm(const Handles& handles, const Tensor& norm, double max_norm);
void clip_by_value(const Handles& handles, double limit);

}  // namespace detail

// √Σ x² over all tensors of a tree.
template <class Tree>
Tensor global_norm(const Tree& tree, Where where = Where::current()) {
  return detail::global_norm(detail::described(tree), leaves_of(tree), where);
}

// The tree times min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ (Pascanu, Mikolov and Bengio 2013).
template <class Tree>
Tree clip_by_global_norm(Tree grads, double max_norm, Where where = Where::current()) {
  check_range("clip_by_global_norm", "the norm", max_norm, 0, HUGE_VAL, where);
  detail::clip_by_norm(detail::handles_of(grads), global_norm(grads, where), max_norm);
  return grads;
}

// Every element brought into [−limit, limit].
template <class Tree>
Tree clip_by_value(Tree grads, double limit, Where where = Where::current()) {
  check_range("clip_by_value", "the limit", limit, 0, HUGE_VAL, where);
  detail::clip_by_value(detail::handles_of(grads), limit);
  return grads;
}

struct SgdOptions {
  double lr = 1e-2, momentum = 0, weight_decay = 0;
  bool nesterov = false;
};
struct RmsPropOptions {
  double lr = 1e-2, alpha = 0.99, eps = 1e-8, momentum = 0, weight_decay = 0;
};
struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
};

namespace detail {
// One update of all parameters. `lr` is a tensor, that of the options is not looked at.
void update_sgd(const Parameters& params, const Handles& velocities, const Tensor& lr, const SgdOptions& o);
void update_rms_prop(const Parameters& params, const Handles& squares, const Handles& velocities, const Tensor& lr,
                     const RmsPropOptions& o);
void update_adam(const Parameters& params, const Handles& ms, const Handles& vs, Tensor& step, const Tensor& lr,
                 const AdamOptions& o, bool decoupled);
}  // namespace detail

// g ← ∇ + λθ;  v ← μv + g;  θ ← θ − lr · v, or with Nesterov's θ ← θ − lr · (g + μv)
template <class Model>
struct Sgd {
  std::optional<Model> velocity;  // absent without momentum
  Tensor lr;
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;

  static Sgd init(const Model& model, const SgdOptions& o, Where where = Where::current()) {
    const detail::Description tensors = detail::described(model);
    detail::check_trainable("Sgd", tensors, where);
    check_range("Sgd", "lr", o.lr, 0, HUGE_VAL, where);
    check_range("Sgd", "momentum", o.momentum, 0, HUGE_VAL, where);
    return {o.momentum != 0 ? std::optional(detail::zeros_for(model)) : std::nullopt, detail::scalar_for(tensors, o.lr),
            o.momentum, o.weight_decay, o.nesterov};
  }

  void update(Model& model, const Model& grads, Where where = Where::current()) {
    const detail::Parameters params = detail::parameters("Sgd", model, grads, where);
    detail::update_sgd(params, detail::memory("Sgd", velocity, params.model, where), lr,
                       {.momentum = momentum, .weight_decay = weight_decay, .nesterov = nesterov});
  }
};

// s ← αs + (1 − α)g²;  v ← μv + g / (√s + ε);  θ ← θ − lr · v   (Tieleman and Hinton 2012)
template <class Model>
struct RmsProp {
  Model squares;
  std::optional<Model> velocity;  // absent without momentum
  Tensor lr;
  double alpha = 0.99, eps = 1e-8, momentum = 0, weight_decay = 0;

  static RmsProp init(const Model& model, const RmsPropOptions& o, Where where = Where::current()) {
    const detail::Description tensors = detail::described(model);
    detail::check_trainable("RmsProp", tensors, where);
    check_range("RmsProp", "lr", o.lr, 0, HUGE_VAL, where);
    check_range("RmsProp", "alpha", o.alpha, 0, 1, where);
    check_range("RmsProp", "momentum", o.momentum, 0, HUGE_VAL, where);
    return {detail::zeros_for(model),
            o.momentum != 0 ? std::optional(detail::zeros_for(model)) : std::nullopt,
            detail::scalar_for(tensors, o.lr),
            o.alpha,
            o.eps,
            o.momentum,
            o.weight_decay};
  }

  void update(Model& model, const Model& grads, Where where = Where::current()) {
    const detail::Parameters params = detail::parameters("RmsProp", model, grads, where);
    detail::update_rms_prop(params, detail::memory("RmsProp", squares, params.model, where),
                            detail::memory("RmsProp", velocity, params.model, where), lr,
                            {.alpha = alpha, .eps = eps, .momentum = momentum, .weight_decay = weight_decay});
  }
};

// m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  θ ← θ − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)   (Kingma and Ba 2015)
// Weight decay is added to the gradient, or with `decoupled` taken from θ: θ ← θ(1 − lr·λ)   (Loshchilov and Hutter 2019)
template <class Model>
struct Adam {
  Model m, v;
  Tensor step;  // f32: how many updates there have been
  Tensor lr;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;

  static Adam init(const Model& model, const AdamOptions& o, bool decoupled = false, Where where = Where::current()) {
    const detail::Description tensors = detail::described(model);
    detail::check_trainable("Adam", tensors, where);
    check_range("Adam", "lr", o.lr, 0, HUGE_VAL, where);
    check_decay("Adam", "beta1", o.beta1, where);
    check_decay("Adam", "beta2", o.beta2, where);
    return {detail::zeros_for(model),
            detail::zeros_for(model),
            full({}, 0).materialized(),
            detail::scalar_for(tensors, o.lr),
            o.beta1,
            o.beta2,
            o.eps,
            o.weight_decay,
            decoupled};
  }

  void update(Model& model, const Model& grads, Where where = Where::current()) {
    const detail::Parameters params = detail::parameters("Adam", model, grads, where);
    const detail::Handles ms = detail::memory("Adam", m, params.model, where),
                          vs = detail::memory("Adam", v, params.model, where);
    detail::update_adam(params, ms, vs, step, lr,
                        {.beta1 = beta1, .beta2 = beta2, .eps = eps, .weight_decay = weight_decay}, decoupled);
  }
};

template <class Model>
Sgd<Model> sgd(const Model& model, const SgdOptions& options = {}, Where where = Where::current()) {
  return Sgd<Model>::init(model, options, where);
}
template <class Model>
RmsProp<Model> rms_prop(const Model& model, const RmsPropOptions& options = {}, Where where = Where::current()) {
  return RmsProp<Model>::init(model, options, where);
}
template <class Model>
Adam<Model> adam(const Model& model, const AdamOptions& options = {}, Where where = Where::current()) {
  return Adam<Model>::init(model, options, false, where);
}
// Adam with decoupled weight decay; PyTorch's default for it is 0.01.
template <class Model>
Adam<Model> adam_w(const Model& model, const AdamOptions& options = {.weight_decay = 1e-2},
                   Where where = Where::current()) {
  return Adam<Model>::init(model, options, true, where);
}

}  // namespace tapeloop
