// Forward mode. dot = tangent: the change of a value when the inputs change along a given direction.
#include "ad/arithmetic.h"
#include "ad/transform.h"

namespace tapeloop {
namespace {

// ẏ = Σᵢ ∂y/∂xᵢ · ẋᵢ
Pushforward elementwise_pushforward(const Record& r, const Tensors& in, const Tensors& dots) {
  Tensor y = record(*r.op, in, r.attrs, r.where);
  Tensor dot;
  if (r.op->flow) {
    for (std::size_t i = 0; i < in.size(); ++i)
      if (!dots[i].is_empty()) dot = accumulate(dot, r.op->flow(in, y, dots[i])[i]);
  } else {
    const Tensors partials = r.op->partials(in, y);
    for (std::size_t i = 0; i < in.size(); ++i)
      if (!dots[i].is_empty() && !partials[i].is_empty())
        dot =
            accumulate(dot, is_full_of(partials[i], 1) ? dots[i] : record(mul_op, {dots[i], partials[i]}, {}, r.where));
  }
  return {y, {dot}};
}

// The tangent of a linear op is the op of the tangents.
Pushforward linear_pushforward(const Record& r, const Tensors& in, const Tensors& dots) {
  Tensors full_dots;
  for (std::size_t i = 0; i < in.size(); ++i)
    full_dots.push_back(dots[i].is_empty() && is_float(in[i].dtype()) ? zeros_like(in[i])
                        : dots[i].is_empty()                          ? in[i]
                                                                      : dots[i]);
  Tensor y = record(*r.op, in, r.attrs, r.where);
  Tensor dot = record(*r.op, full_dots, r.attrs, r.where);
  if (r.type.parts) return {y, picks(dot)};
  return {y, {dot}};
}

}  // namespace

TapePtr jvp(const TapePtr& tape, const std::vector<bool>& varying) {
  const Tape& t = *tape;
  const std::vector<bool> active = differentiable_from(t, varying);

  auto recorder = Recorder::start();
  Tensors value(t.size());
  std::vector<Tensors> dots(t.size());
  for (Id id : t.inputs) value[id] = recorder->input(t[id].type, t[id].where);
  for (std::size_t i = 0; i < t.inputs.size(); ++i)
    if (varying[i]) dots[t.inputs[i]] = {recorder->input(t.input_type(i))};

  auto dot_of = [&](Id id) { return dots[id].empty() ? Tensor() : dots[id][0]; };
  for (Id id = 0; id < t.size(); ++id) {
    const Record& r = t[id];
    if (r.op == &input_op) continue;
    Tensors in, in_dots;
    bool moves = false;
    for (Id operand : r.in) {
      in.push_back(value[operand]);
      in_dots.push_back(active[operand] && t[operand].type.dtype != Dtype::tuple ? dot_of(operand) : Tensor());
      moves = moves || !in_dots.back().is_empty();
    }
    if (r.op == &pick_op) {
      const auto part = std::size_t(r.attrs.integer("index"));
      value[id] = pick(in[0], int(part));
      if (part < dots[r.in[0]].size()) dots[id] = {dots[r.in[0]][part]};
    } else if (active[id] && moves) {
      Pushforward rule = r.op->jvp      ? r.op->jvp(r, in, in_dots)
                         : r.op->linear ? linear_pushforward(r, in, in_dots)
                                        : elementwise_pushforward(r, in, in_dots);
      value[id] = rule.value;
      dots[id] = std::move(rule.tangents);
    } else {
      value[id] = in.empty() ? recorder->adopt(generate(*r.op, r.attrs, r.where), r.op->name, r.where)
                             : record(*r.op, in, r.attrs, r.where);
    }
  }

  Tensors outputs;
  for (Id id : t.outputs) outputs.push_back(value[id]);
  for (Id id : t.outputs) {
    if (!is_float(t[id].type.dtype)) continue;
    Tensor dot = dot_of(id);
    outputs.push_back(dot.is_empty() ? recorder->adopt(zeros_like(value[id]), "jvp", t[id].where) : dot);
  }
  return prune(recorder->finish(outputs));
}

}  // namespace tapeloop
