#include "jit/hoist.h"

#include <algorithm>

#include "jit/loop.h"
#include "jit/rebuild.h"

namespace tapeloop {
namespace {

// The records of a loop's body that depend on nothing that changes, and which of them are worth a place in memory.
struct Invariants {
  std::vector<bool> invariant, handed;

  explicit Invariants(const LoweredLoop& loop) : invariant(loop.body->size(), false), handed(loop.body->size(), false) {
    const Tape& body = *loop.body;
    std::vector<bool> dear(body.size(), false);
    for (std::size_t i = 0; i < loop.constants; ++i) invariant[body.inputs[i]] = true;
    for (Id b = 0; b < body.size(); ++b) {
      const Record& r = body[b];
      if (r.op == &input_op) continue;
      invariant[b] = std::all_of(r.in.begin(), r.in.end(), [&](Id operand) { return bool(invariant[operand]); });
      const bool cheap = r.op == &pick_op ? body[r.in[0]].op->cheap : r.op->cheap;
      dear[b] = invariant[b] && !cheap && r.type.dtype != Dtype::tuple;
    }
    // Only the last of a chain is handed in; a cheap value over a dear one is computed again from it.
    auto hand = [&](Id operand) { handed[operand] = handed[operand] || dear[operand]; };
    for (Id b = 0; b < body.size(); ++b)
      if (!invariant[b]) std::for_each(body[b].in.begin(), body[b].in.end(), hand);
    for (Id b = Id(body.size()); b-- > 0;)
      if (invariant[b] && !dear[b]) std::for_each(body[b].in.begin(), body[b].in.end(), hand);
    std::for_each(body.outputs.begin(), body.outputs.end(), hand);
  }
  bool any() const { return std::find(handed.begin(), handed.end(), true) != handed.end(); }
};

Tensor without_invariants(const Record& r, const Tensors& in, Recorder& outer) {
  LoweredLoop loop(r.attrs);
  loop.body = hoist_invariants(loop.body);
  const Tape& body = *loop.body;
  const Invariants found(loop);
  if (!found.any()) return record(loop_op, in, loop.attrs(), r.where);

  Tensors outside(body.size()), operands(in.begin(), in.begin() + std::ptrdiff_t(loop.constants));
  for (std::size_t i = 0; i < loop.constants; ++i) outside[body.inputs[i]] = in[i];
  auto inner = Recorder::start();
  Tensors inside(body.size());
  for (std::size_t i = 0; i < loop.constants; ++i) inside[body.inputs[i]] = inner->input(body.input_type(i));
  for (Id b = 0; b < body.size(); ++b) {
    if (!found.invariant[b] || body[b].op == &input_op) continue;
    Tensors values;
    for (Id operand : body[b].in) values.push_back(outside[operand]);
    outside[b] = append(outer, body[b], values);
    if (!found.handed[b]) continue;
    inside[b] = inner->input(body[b].type);
    operands.push_back(outside[b]);
  }
  for (std::size_t i = loop.constants; i < body.inputs.size(); ++i)
    inside[body.inputs[i]] = inner->input(body.input_type(i));
  append_rest(*inner, body, inside);
  Tensors outputs;
  for (Id b : body.outputs) outputs.push_back(inside[b]);
  const std::size_t handed = operands.size() - loop.constants;
  operands.insert(operands.end(), in.begin() + std::ptrdiff_t(loop.constants), in.end());
  loop.body = prune(inner->finish(outputs));
  loop.constants += handed;
  return record(loop_op, operands, loop.attrs(), r.where);
}

}  // namespace

TapePtr hoist_invariants(const TapePtr& tape) {
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder& recorder) {
    const Record& r = (*tape)[id];
    return is_loop(r) ? without_invariants(r, in, recorder) : Tensor();
  });
}

}  // namespace tapeloop
