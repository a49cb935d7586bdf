#include "models/optimizer.h"

#include <fmt/format.h>

#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace tapeloop::detail {
namespace {

bool same(const Type& a, const Type& b) { return a.dtype == b.dtype && agree(a.shape, b.shape); }

}  // namespace

void check_gradients_of(std::string_view op, const Description& model, const Description& grads, const Where& where) {
  if (model.names != grads.names) throw Error(fmt::format("{}: the gradients are not those of this model", op), where);
  for (std::size_t i = 0; i < model.names.size(); ++i)
    if (!same(grads.types[i], model.types[i]))
      throw Error(fmt::format("{}: {} is {}, its gradient {}", op, model.names[i], to_string(model.types[i]),
                              to_string(grads.types[i])),
                  where);
}

void check_memory_of(std::string_view op, const Description& model, const Description& kept, const Where& where) {
  if (model.names != kept.names) throw Error(fmt::format("{}: made for a model with other tensors", op), where);
  for (std::size_t i = 0; i < model.names.size(); ++i)
    if (!same(kept.types[i], model.types[i]))
      throw Error(fmt::format("{}: {} is {} here and {} in the model that it was made for", op, model.names[i],
                              to_string(model.types[i]), to_string(kept.types[i])),
                  where);
}

void check_trainable(std::string_view op, const Description& model, const Where& where) {
  for (std::size_t i = 0; i < model.names.size(); ++i)
    if (!is_float(model.types[i].dtype))
      throw Error(fmt::format("{}: {} is {}: integers are not trained", op, model.names[i], to_string(model.types[i])),
                  where, "keep it outside of the model, or cast() it to a float dtype");
}

void ReplaceByZeros::operator()(Tensor& t) const {
  if (!t.is_empty()) t = t.is_recorded() ? zeros_like(t) : zeros_like(t).materialized();
}

Tensor scalar_for(const Description& model, double value) {
  return full({}, value, model.types.empty() ? Dtype::f32 : model.types[0].dtype).materialized();
}

Tensor global_norm(const Description& tree, const Tensors& leaves, const Where& where) {
  if (leaves.empty()) throw Error("global_norm: the tree has no tensors", where);
  check_trainable("global_norm", tree, where);
  Tensor total = sum(square(leaves[0]));
  for (std::size_t i = 1; i < leaves.size(); ++i) total = total + cast(sum(square(leaves[i])), total.dtype());
  return sqrt(total);
}

void clip_by_norm(const Handles& handles, const Tensor& norm, double max_norm) {
  const Tensor scale = minimum(max_norm / (norm + 1e-6), 1);
  for (Tensor* g : handles) *g = *g * cast(scale, g->dtype());
}

void clip_by_value(const Handles& handles, double limit) {
  for (Tensor* g : handles) *g = maximum(minimum(*g, limit), -limit);
}

void update_sgd(const Parameters& params, const Handles& velocities, const Tensor& lr, const SgdOptions& o) {
  for (std::size_t i = 0; i < params.handles.size(); ++i) {
    Tensor& p = *params.handles[i];
    Tensor g = params.grads[i];
    if (o.weight_decay != 0) g = g + o.weight_decay * p;
    if (!velocities.empty()) {
      Tensor& v = *velocities[i];
      v = o.momentum * v + g;
      g = o.nesterov ? g + o.momentum * v : v;
    }
    p = p - cast(lr, g.dtype()) * g;
  }
}

void update_rms_prop(const Parameters& params, const Handles& squares, const Handles& velocities, const Tensor& lr,
                     const RmsPropOptions& o) {
  for (std::size_t i = 0; i < params.handles.size(); ++i) {
    Tensor &p = *params.handles[i], &s = *squares[i];
    Tensor g = params.grads[i];
    if (o.weight_decay != 0) g = g + o.weight_decay * p;
    s = o.alpha * s + (1 - o.alpha) * square(g);
    Tensor change = g / (sqrt(s) + o.eps);
    if (!velocities.empty()) change = *velocities[i] = o.momentum * *velocities[i] + change;
    p = p - cast(lr, g.dtype()) * change;
  }
}

void update_adam(const Parameters& params, const Handles& ms, const Handles& vs, Tensor& step, const Tensor& lr,
                 const AdamOptions& o, bool decoupled) {
  step = step + 1;
  for (std::size_t i = 0; i < params.handles.size(); ++i) {
    Tensor g = params.grads[i], p = *params.handles[i], &m = *ms[i], &v = *vs[i];
    const Tensor rate = cast(lr, p.dtype()), t = cast(step, p.dtype());
    if (o.weight_decay != 0 && decoupled) p = p * (1 - rate * o.weight_decay);
    if (o.weight_decay != 0 && !decoupled) g = g + o.weight_decay * p;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * square(g);
    // 1 − βᵗ without cancellation while t is small.
    const Tensor unbias1 = -expm1(t * std::log(o.beta1)), unbias2 = -expm1(t * std::log(o.beta2));
    *params.handles[i] = p - rate / unbias1 * (m / (sqrt(v) / sqrt(unbias2) + o.eps));
  }
}

}  // namespace tapeloop::detail
