// Reverse mode. ct = cotangent: the derivative of what is differentiated with respect to a value.
#include <algorithm>

#include "ad/arithmetic.h"
#include "ad/transform.h"

namespace tapeloop {
namespace {

bool passes_gradient(const Op& op) { return op.partials || op.flow || op.vjp; }

bool has_float(const Type& type) {
  if (!type.parts) return is_float(type.dtype);
  for (const Type& part : *type.parts)
    if (is_float(part.dtype)) return true;
  return false;
}

// x̄ᵢ = ȳ · ∂y/∂xᵢ
Pullback elementwise_pullback(const Record& r, const Tensors& in, const Demand& demand) {
  Tensor y = record(*r.op, in, r.attrs, r.where);
  auto pull = [op = r.op, in, y, wanted = demand.wanted, where = r.where](const Tensors& cts) {
    if (op->flow) return op->flow(in, y, cts[0]);
    Tensors result = op->partials(in, y);
    for (std::size_t i = 0; i < result.size(); ++i) {
      if (!wanted[i] || result[i].is_empty())
        result[i] = Tensor();
      else if (is_full_of(result[i], 1))
        result[i] = cts[0];
      else
        result[i] = record(mul_op, {cts[0], result[i]}, {}, where);
    }
    return result;
  };
  return {y, pull};
}

// The cotangents of each record, one for each of its results.
class Cotangents {
 public:
  explicit Cotangents(std::size_t records) : of_(records) {}

  void add(const Tape& tape, Id id, const Tensor& ct) {
    Tensor& so_far = sum(tape, id);
    so_far = accumulate(so_far, ct);
  }
  // A cotangent that goes through a record as it is (of a sum to its terms) is added, even if it is the end of a chain that
  // could begin with what is there: in a loop it comes from another step, and is no chain to be seen.
  void pass(const Tape& tape, Id id, const Tensor& ct) {
    Tensor& so_far = sum(tape, id);
    so_far = so_far.is_empty() ? ct : record(add_op, {so_far, ct}, {}, Where::current());
  }
  Tensors& operator[](Id id) { return of_[id]; }
  // What has been added up for a record; empty for nothing.
  Tensor& sum(const Tape& tape, Id id) {
    const Record& r = tape[id];
    Tensors& parts = of_[owner_of(tape, id)];
    const std::size_t part = r.op == &pick_op ? std::size_t(r.attrs.integer("index")) : 0;
    if (parts.size() <= part) parts.resize(part + 1);
    return parts[part];
  }

 private:
  std::vector<Tensors> of_;
};

}  // namespace

std::vector<bool> differentiable_from(const Tape& tape, const std::vector<bool>& from) {
  std::vector<bool> active(tape.size(), false);
  for (std::size_t i = 0; i < tape.inputs.size(); ++i)
    active[tape.inputs[i]] = from[i] && is_float(tape.input_type(i).dtype);
  for (Id id = 0; id < tape.size(); ++id) {
    const Record& r = tape[id];
    if (r.op == &input_op || !has_float(r.type)) continue;
    if (r.op != &pick_op && !passes_gradient(*r.op)) continue;
    for (Id operand : r.in) active[id] = active[id] || active[operand];
  }
  return active;
}

TapePtr vjp(const TapePtr& tape, const VjpRequest& request) {
  const Tape& t = *tape;
  const std::vector<bool> active = differentiable_from(t, request.wanted);

  // Which results may receive a cotangent: found before anything is recorded, because a rule that keeps residuals must
  // know for whom.
  std::vector<std::vector<bool>> live(t.size());
  std::vector<bool> any_live(t.size(), false);
  auto mark = [&](Id id) {
    const Record& r = t[id];
    if (!active[id]) return;
    any_live[id] = true;
    if (r.op == &pick_op) {
      any_live[r.in[0]] = true;
      live[r.in[0]].resize(t[r.in[0]].type.parts->size());
      live[r.in[0]][std::size_t(r.attrs.integer("index"))] = true;
    } else if (!r.type.parts) {
      live[id] = {true};
    }
  };
  for (std::size_t i = 0; i < t.outputs.size(); ++i)
    if (request.live[i]) mark(t.outputs[i]);
  for (Id id = Id(t.size()); id-- > 0;)
    if (any_live[id] && t[id].op != &pick_op)
      for (Id operand : t[id].in) mark(operand);

  auto recorder = Recorder::start();
  Tensors value(t.size());
  for (Id id : t.inputs) value[id] = recorder->input(t[id].type, t[id].where);
  Tensors output_cts(t.outputs.size()), starts(t.inputs.size());
  for (std::size_t i = 0; i < t.outputs.size(); ++i)
    if (request.live[i]) output_cts[i] = recorder->input(t.output_type(i));
  for (std::size_t i = 0; i < t.inputs.size(); ++i)
    if (!request.accumulating.empty() && request.accumulating[i]) starts[i] = recorder->input(t.input_type(i));

  // Forward: every value, and the pullbacks of those on a differentiable path.
  std::vector<Pullback> pull(t.size());
  for (Id id = 0; id < t.size(); ++id) {
    const Record& r = t[id];
    if (r.op == &input_op) continue;
    Tensors in;
    std::vector<Id> ids;
    for (Id operand : r.in) in.push_back(value[operand]);
    if (active[id] && any_live[id] && r.op != &pick_op) {
      Demand demand{{}, live[id]};
      demand.live.resize(r.type.parts ? r.type.parts->size() : 1);
      for (Id operand : r.in) demand.wanted.push_back(active[operand]);
      Pullback rule = r.op->vjp ? r.op->vjp(r, in, demand) : elementwise_pullback(r, in, demand);
      value[id] = rule.value;
      pull[id] = std::move(rule);
    } else {
      value[id] = in.empty() ? recorder->adopt(generate(*r.op, r.attrs, r.where), r.op->name, r.where)
                             : record(*r.op, in, r.attrs, r.where);
    }
  }

  // Backward: from the last record to the first, so that every cotangent is complete before it is used.
  Cotangents cts(t.size());
  for (std::size_t i = 0; i < t.inputs.size(); ++i)
    if (!starts[i].is_empty()) cts.add(t, t.inputs[i], starts[i]);
  std::vector<std::vector<std::size_t>> results(t.size());
  for (std::size_t i = 0; i < t.outputs.size(); ++i)
    if (!output_cts[i].is_empty() && active[t.outputs[i]]) results[owner_of(t, t.outputs[i])].push_back(i);
  for (Id id = Id(t.size()); id-- > 0;) {
    // What a result is given comes after what its readers give: in a loop it is the sum over later steps, at which a product
    // over its reader's cotangents would otherwise begin, and have to wait for it.
    for (std::size_t i : results[id]) cts.add(t, t.outputs[i], output_cts[i]);
    if (!pull[id].pull && !pull[id].pull_onto) continue;
    Tensors& ct = cts[id];
    bool present = false;
    for (const Tensor& part : ct) present = present || !part.is_empty();
    if (!present) continue;
    ct.resize(t[id].type.parts ? t[id].type.parts->size() : 1);
    const std::vector<Id>& operands = t[id].in;
    Tensors sums(operands.size());
    if (pull[id].pull_onto)
      for (std::size_t i = 0; i < operands.size(); ++i) {
        const bool is_first = std::find(operands.begin(), operands.begin() + std::ptrdiff_t(i), operands[i]) ==
                              operands.begin() + std::ptrdiff_t(i);
        if (is_first && active[operands[i]]) sums[i] = cts.sum(t, operands[i]);
      }
    const Tensors operand_cts = pull[id].pull_onto ? pull[id].pull_onto(ct, sums) : pull[id].pull(ct);
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (i >= operand_cts.size() || operand_cts[i].is_empty() || !active[operands[i]]) continue;
      const bool passed = std::any_of(ct.begin(), ct.end(), [&](const Tensor& part) {
        return part.is_recorded() && operand_cts[i].is_recorded() && part.id() == operand_cts[i].id();
      });
      if (sums[i].is_empty())
        passed ? cts.pass(t, operands[i], operand_cts[i]) : cts.add(t, operands[i], operand_cts[i]);
      else
        cts.sum(t, operands[i]) = operand_cts[i];
    }
    ct.clear();
    pull[id] = {};
  }

  Tensors outputs;
  for (Id id : t.outputs) outputs.push_back(value[id]);
  for (std::size_t i = 0; i < t.inputs.size(); ++i) {
    if (!request.wanted[i]) continue;
    Tensors& ct = cts[t.inputs[i]];
    outputs.push_back(ct.empty() || ct[0].is_empty()
                          ? recorder->adopt(zeros_like(value[t.inputs[i]]), "vjp", t[t.inputs[i]].where)
                          : ct[0]);
  }
  return prune(recorder->finish(outputs));
}

}  // namespace tapeloop
