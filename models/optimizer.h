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

#include "ad/trace.h"
#include "models/arguments.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace tapeloop {

namespace detail {

template <class Tree>
std::vector<Tensor*> handles_of(Tree& tree) {
  std::vector<Tensor*> handles;
  for_each_tensor(tree, [&](Tensor& t) {
    if (!t.is_empty()) handles.push_back(&t);
  });
  return handles;
}

// The tensors of a model beside its gradients. Throws Error when they do not belong together.
template <class Model>
std::pair<std::vector<Tensor*>, Tensors> parameters(std::string_view op, Model& model, const Model& grads,
                                                    const Where& where) {
  std::pair result{handles_of(model), leaves_of(grads)};
  const std::vector<std::string> names = names_of(model);
  if (names != names_of(grads)) throw Error(std::string(op) + ": the gradients are not those of this model", where);
  for (std::size_t i = 0; i < names.size(); ++i)
    if (result.second[i].dtype() != result.first[i]->dtype() ||
        !agree(result.second[i].shape(), result.first[i]->shape()))
      throw Error(std::string(op) + ": " + names[i] + " is " + to_string(result.first[i]->type()) + ", its gradient " +
                      to_string(result.second[i].type()),
                  where);
  return result;
}

// What an optimiser or an average keeps of each tensor of the model. Throws Error when it was made for another model.
template <class Model>
std::vector<Tensor*> memory(std::string_view op, Model& kept, const Model& model, const Where& where) {
  const std::vector<Tensor*> result = handles_of(kept);
  const Tensors params = leaves_of(model);
  const std::vector<std::string> names = names_of(model);
  if (names != names_of(kept)) throw Error(std::string(op) + ": made for a model with other tensors", where);
  for (std::size_t i = 0; i < names.size(); ++i)
    if (result[i]->dtype() != params[i].dtype() || !agree(result[i]->shape(), params[i].shape()))
      throw Error(std::string(op) + ": " + names[i] + " is " + to_string(params[i].type()) + " here and " +
                      to_string(result[i]->type()) + " in the model that it was made for",
                  where);
  return result;
}

// Throws Error when a tensor of the model cannot be trained.
template <class Model>
void check_trainable(std::string_view op, const Model& model, const Where& where) {
  const std::vector<std::string> names = names_of(model);
  const Tensors leaves = leaves_of(model);
  for (std::size_t i = 0; i < leaves.size(); ++i)
    if (!is_float(leaves[i].dtype()))
      throw Error(
          std::string(op) + ": " + names[i] + " is " + to_string(leaves[i].type()) + ": integers are not trained",
          where, "keep it outside of the model, or cast() it to a float dtype");
}

template <class Model>
Model zeros_for(Model model) {
  for_each_tensor(model, [](Tensor& t) {
    if (!t.is_empty()) t = t.is_recorded() ? zeros_like(t) : zeros_like(t).materialized();
  });
  return model;
}

// A number as a scalar of the model's dtype.
template <class Model>
Tensor scalar_for(const Model& model, double value) {
  const Tensors leaves = leaves_of(model);
  return full({}, value, leaves.empty() ? Dtype::f32 : leaves[0].dtype()).materialized();
}

}  // namespace detail

// √Σ x² over all tensors of a tree.
template <class Tree>
Tensor global_norm(const Tree& tree, Where where = Where::current()) {
  const Tensors leaves = leaves_of(tree);
  if (leaves.empty()) throw Error("global_norm: the tree has no tensors", where);
  detail::check_trainable("global_norm", tree, where);
  Tensor total = sum(square(leaves[0]));
  for (std::size_t i = 1; i < leaves.size(); ++i) total = total + cast(sum(square(leaves[i])), total.dtype());
  return sqrt(total);
}

// The tree times min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ (Pascanu, Mikolov and Bengio 2013).
template <class Tree>
Tree clip_by_global_norm(Tree grads, double max_norm, Where where = Where::current()) {
  check_range("clip_by_global_norm", "the norm", max_norm, 0, HUGE_VAL, where);
  const Tensor scale = minimum(max_norm / (global_norm(grads, where) + 1e-6), 1);
  for (Tensor* g : detail::handles_of(grads)) *g = *g * cast(scale, g->dtype());
  return grads;
}

// Every element brought into [−limit, limit].
template <class Tree>
Tree clip_by_value(Tree grads, double limit, Where where = Where::current()) {
  check_range("clip_by_value", "the limit", limit, 0, HUGE_VAL, where);
  for (Tensor* g : detail::handles_of(grads)) *g = maximum(minimum(*g, limit), -limit);
  return grads;
}

struct SgdOptions {
  double lr = 1e-2, momentum = 0, weight_decay = 0;
  bool nesterov = false;
};

// g ← ∇ + λθ;  v ← μv + g;  θ ← θ − lr · v, or with Nesterov's θ ← θ − lr · (g + μv)
template <class Model>
struct Sgd {
  std::optional<Model> velocity;  // absent without momentum
  Tensor lr;
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;

  static Sgd init(const Model& model, const SgdOptions& o, Where where = Where::current()) {
    detail::check_trainable("Sgd", model, where);
    check_range("Sgd", "lr", o.lr, 0, HUGE_VAL, where);
    check_range("Sgd", "momentum", o.momentum, 0, HUGE_VAL, where);
    return {o.momentum != 0 ? std::optional(detail::zeros_for(model)) : std::nullopt, detail::scalar_for(model, o.lr),
            o.momentum, o.weight_decay, o.nesterov};
  }

  void update(Model& model, const Model& grads, Where where = Where::current()) {
    auto [params, gs] = detail::parameters("Sgd", model, grads, where);
    const std::vector<Tensor*> vs = velocity ? detail::memory("Sgd", *velocity, model, where) : std::vector<Tensor*>{};
    for (std::size_t i = 0; i < params.size(); ++i) {
      Tensor g = gs[i];
      if (weight_decay != 0) g = g + weight_decay * *params[i];
      if (velocity) {
        *vs[i] = momentum * *vs[i] + g;
        g = nesterov ? g + momentum * *vs[i] : *vs[i];
      }
      *params[i] = *params[i] - cast(lr, g.dtype()) * g;
    }
  }
};

struct RmsPropOptions {
  double lr = 1e-2, alpha = 0.99, eps = 1e-8, momentum = 0, weight_decay = 0;
};

// s ← αs + (1 − α)g²;  v ← μv + g / (√s + ε);  θ ← θ − lr · v   (Tieleman and Hinton 2012)
template <class Model>
struct RmsProp {
  Model squares;
  std::optional<Model> velocity;  // absent without momentum
  Tensor lr;
  double alpha = 0.99, eps = 1e-8, momentum = 0, weight_decay = 0;

  static RmsProp init(const Model& model, const RmsPropOptions& o, Where where = Where::current()) {
    detail::check_trainable("RmsProp", model, where);
    check_range("RmsProp", "lr", o.lr, 0, HUGE_VAL, where);
    check_range("RmsProp", "alpha", o.alpha, 0, 1, where);
    check_range("RmsProp", "momentum", o.momentum, 0, HUGE_VAL, where);
    return {detail::zeros_for(model),
            o.momentum != 0 ? std::optional(detail::zeros_for(model)) : std::nullopt,
            detail::scalar_for(model, o.lr),
            o.alpha,
            o.eps,
            o.momentum,
            o.weight_decay};
  }

  void update(Model& model, const Model& grads, Where where = Where::current()) {
    auto [params, gs] = detail::parameters("RmsProp", model, grads, where);
    const std::vector<Tensor*> ss = detail::memory("RmsProp", squares, model, where);
    const std::vector<Tensor*> vs =
        velocity ? detail::memory("RmsProp", *velocity, model, where) : std::vector<Tensor*>{};
    for (std::size_t i = 0; i < params.size(); ++i) {
      Tensor g = gs[i];
      if (weight_decay != 0) g = g + weight_decay * *params[i];
      *ss[i] = alpha * *ss[i] + (1 - alpha) * square(g);
      Tensor change = g / (sqrt(*ss[i]) + eps);
      if (velocity) change = *vs[i] = momentum * *vs[i] + change;
      *params[i] = *params[i] - cast(lr, g.dtype()) * change;
    }
  }
};

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
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
    detail::check_trainable("Adam", model, where);
    check_range("Adam", "lr", o.lr, 0, HUGE_VAL, where);
    check_decay("Adam", "beta1", o.beta1, where);
    check_decay("Adam", "beta2", o.beta2, where);
    return {detail::zeros_for(model),
            detail::zeros_for(model),
            full({}, 0).materialized(),
            detail::scalar_for(model, o.lr),
            o.beta1,
            o.beta2,
            o.eps,
            o.weight_decay,
            decoupled};
  }

  void update(Model& model, const Model& grads, Where where = Where::current()) {
    auto [params, gs] = detail::parameters("Adam", model, grads, where);
    const std::vector<Tensor*> ms = detail::memory("Adam", m, model, where),
                               vs = detail::memory("Adam", v, model, where);
    step = step + 1;
    for (std::size_t i = 0; i < params.size(); ++i) {
      Tensor g = gs[i], p = *params[i];
      const Tensor rate = cast(lr, p.dtype()), t = cast(step, p.dtype());
      if (weight_decay != 0 && decoupled) p = p * (1 - rate * weight_decay);
      if (weight_decay != 0 && !decoupled) g = g + weight_decay * p;
      *ms[i] = beta1 * *ms[i] + (1 - beta1) * g;
      *vs[i] = beta2 * *vs[i] + (1 - beta2) * square(g);
      // 1 − βᵗ without cancellation while t is small.
      const Tensor unbias1 = -expm1(t * std::log(beta1)), unbias2 = -expm1(t * std::log(beta2));
      *params[i] = p - rate / unbias1 * (*ms[i] / (sqrt(*vs[i]) / sqrt(unbias2) + eps));
    }
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
