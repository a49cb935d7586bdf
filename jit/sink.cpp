#include <algorithm>
#include <map>
#include <set>

#include "jit/hoist.h"
#include "jit/rebuild.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

// What only shows another value, or can be made anywhere.
bool is_look(const Record& r) {
  return r.op->kind == Kind::source || r.op == &split_op || r.op == &pick_op || r.op == &broadcast_op ||
         (r.op == &slice_op && r.attrs.integer("step") == 1);
}

// Whether all that a body does with `id` can be done where it stands in another value: what is elementwise looks there, and
// the right operand of a product is packed, once. Other ops want it in memory of its own.
bool is_read_in_place(const Tape& body, Id id) {
  if (std::find(body.outputs.begin(), body.outputs.end(), id) != body.outputs.end()) return false;
  for (Id reader = id; reader < body.size(); ++reader) {
    const Record& r = body[reader];
    for (std::size_t k = 0; k < r.in.size(); ++k) {
      if (r.in[k] != id || r.op->kind == Kind::elementwise) continue;
      if (r.op == &matmul_op && r.type.rank() == 2 && k >= 1) continue;
      if (is_look(r) && is_read_in_place(body, reader)) continue;
      if (!is_loop(r)) return false;
      const LoweredLoop loop(r.attrs);
      if (k >= loop.constants || !is_read_in_place(*loop.body, loop.body->inputs[k])) return false;
    }
  }
  return true;
}

Tensor with_looks_inside(const Record& r, const Tensors& in, Recorder& outer) {
  LoweredLoop loop(r.attrs);
  const Tape body = *loop.body;
  std::vector<bool> sinks(loop.constants, false);
  std::set<Id> looks, bases;
  for (std::size_t i = 0; i < loop.constants; ++i) {
    sinks[i] = is_look(outer[in[i].id()]) && is_read_in_place(body, body.inputs[i]);
    std::vector<Id> work;
    if (sinks[i]) work.push_back(in[i].id());
    while (!work.empty()) {
      const Id id = work.back();
      work.pop_back();
      const Record& look = outer[id];
      // A part of a loop's results is a value, and no look at one.
      const bool shows = is_look(look) && !(look.op == &pick_op && outer[look.in[0]].op != &split_op);
      if (!(shows ? looks : bases).insert(id).second || !shows) continue;
      work.insert(work.end(), look.in.begin(), look.in.end());
    }
  }

  auto recorder = Recorder::start();
  Tensors operands, inside(body.size());
  std::map<Id, Tensor> shown;
  const auto take = [&](std::size_t i) {
    inside[body.inputs[i]] = recorder->input(body.input_type(i));
    operands.push_back(in[i]);
  };
  for (std::size_t i = 0; i < loop.constants; ++i)
    if (!sinks[i]) take(i);
  for (Id id : bases) {
    shown[id] = recorder->input(outer[id].type);
    operands.push_back(Tensor::recorded(outer[id].type, outer.shared_from_this(), id));
  }
  const std::size_t constants = operands.size();
  for (std::size_t i = loop.constants; i < body.inputs.size(); ++i) take(i);
  for (Id id : looks) {
    Tensors from;
    for (Id operand : outer[id].in) from.push_back(shown[operand]);
    shown[id] = append(*recorder, outer[id], from);
  }
  for (std::size_t i = 0; i < loop.constants; ++i)
    if (sinks[i]) inside[body.inputs[i]] = shown[in[i].id()];
  append_rest(*recorder, body, inside);
  Tensors outputs;
  for (Id id : body.outputs) outputs.push_back(inside[id]);
  loop.constants = constants;
  loop.body = sink_views(prune(recorder->finish(outputs)));
  return record(loop_op, operands, loop.attrs(), r.where);
}

}  // namespace

TapePtr sink_views(const TapePtr& tape) {
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder& recorder) {
    const Record& r = (*tape)[id];
    return is_loop(r) ? with_looks_inside(r, in, recorder) : Tensor();
  });
}

}  // namespace tapeloop
