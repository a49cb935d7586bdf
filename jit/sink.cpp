#include <algorithm>
#include <map>
#include <set>

#include "ad/arithmetic.h"
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

// A value over time that takes no more to compute in the step that reads it than to write down and read again.
bool is_cheap_over_time(const Record& r, const Extent& length) {
  return r.op->kind == Kind::elementwise && r.op->cheap && !r.type.shape.empty() && r.type.shape[0] == length;
}
// The same in every step.
bool is_alike_over_time(const Record& r) {
  const auto is_of_time = [&] {
    const Ints& axes = r.attrs.get<Ints>("axes");
    return std::find(axes.begin(), axes.end(), 0) != axes.end();
  };
  return r.op == &full_op || (r.op == &broadcast_op && !is_of_time());
}

// `tape` is the one that is being rebuilt on `outer`, and `uses` counts the readers of its records.
Tensor with_values_inside(const Tape& tape, const std::vector<int>& uses, const Record& r, const Tensors& in,
                          Recorder& outer) {
  LoweredLoop loop(r.attrs);
  const Tape body = *loop.body;
  const auto is_read_elementwise = [&](Id id) {
    return std::find(body.outputs.begin(), body.outputs.end(), id) == body.outputs.end() &&
           std::all_of(body.records.begin(), body.records.end(), [&](const Record& reader) {
             return reader.op->kind == Kind::elementwise ||
                    std::find(reader.in.begin(), reader.in.end(), id) == reader.in.end();
           });
  };
  std::vector<bool> sinks(in.size(), false);
  std::set<Id> computed, alike, given;  // on `outer`
  for (std::size_t i = loop.first_x(); i < in.size(); ++i) {
    sinks[i] =
        is_cheap_over_time(tape[r.in[i]], loop.length) && uses[r.in[i]] == 1 && is_read_elementwise(body.inputs[i]);
    // The same record on both tapes.
    std::vector<std::pair<Id, Id>> work;
    if (sinks[i]) work.emplace_back(r.in[i], in[i].id());
    while (!work.empty()) {
      const auto [before, now] = work.back();
      work.pop_back();
      if (is_alike_over_time(tape[before])) {
        alike.insert(now);
      } else if (!is_cheap_over_time(tape[before], loop.length) || uses[before] != 1) {
        given.insert(now);
      } else if (computed.insert(now).second) {
        for (std::size_t k = 0; k < tape[before].in.size(); ++k)
          work.emplace_back(tape[before].in[k], outer[now].in[k]);
      }
    }
  }
  if (computed.empty()) return {};

  auto recorder = Recorder::start();
  Tensors operands, inside(body.size());
  std::map<Id, Tensor> value;
  const auto on_outer = [&](Id id) { return Tensor::recorded(outer[id].type, outer.shared_from_this(), id); };
  const auto of_step = [](Type type) {
    type.shape.erase(type.shape.begin());
    return type;
  };
  const auto take = [&](std::size_t i) {
    inside[body.inputs[i]] = recorder->input(body.input_type(i));
    operands.push_back(in[i]);
  };
  for (std::size_t i = 0; i < loop.constants; ++i) take(i);
  std::map<Id, Tensor> source;  // of what is broadcast
  for (Id id : alike) {
    if (outer[id].op == &full_op || !source[outer[id].in[0]].is_empty()) continue;
    source[outer[id].in[0]] = recorder->input(outer[outer[id].in[0]].type);
    operands.push_back(on_outer(outer[id].in[0]));
  }
  const std::size_t constants = operands.size();
  for (std::size_t i = loop.constants; i < in.size(); ++i)
    if (!sinks[i]) take(i);
  for (Id id : given) {
    value[id] = recorder->input(of_step(outer[id].type));
    operands.push_back(on_outer(id));
  }
  for (Id id : alike) {
    const Record& look = outer[id];
    const Type type = of_step(look.type);
    Attrs attrs = look.attrs.with("shape", type.shape);
    std::vector<Id> from;
    if (look.op == &broadcast_op) {
      Ints axes = look.attrs.get<Ints>("axes");
      for (std::int64_t& axis : axes) --axis;
      attrs = attrs.with("axes", axes);
      from.push_back(source[look.in[0]].id());
    }
    value[id] = recorder->append(*look.op, from, attrs, type, look.where);
  }
  for (Id id : computed) {
    std::vector<Id> from;
    for (Id operand : outer[id].in) from.push_back(value[operand].id());
    value[id] = recorder->append(*outer[id].op, from, outer[id].attrs, of_step(outer[id].type), outer[id].where);
  }
  for (std::size_t i = loop.first_x(); i < in.size(); ++i)
    if (sinks[i]) inside[body.inputs[i]] = value[in[i].id()];
  append_rest(*recorder, body, inside);
  Tensors outputs;
  for (Id id : body.outputs) outputs.push_back(inside[id]);
  loop.constants = constants;
  loop.body = recorder->finish(outputs);
  return record(loop_op, operands, loop.attrs(), r.where);
}

}  // namespace

TapePtr sink_values(const TapePtr& tape) {
  std::vector<int> uses(tape->size(), 0);
  for (const Record& r : tape->records)
    for (Id operand : r.in) ++uses[operand];
  for (Id id : tape->outputs) uses[id] += 2;
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder& recorder) -> Tensor {
    const Record& r = (*tape)[id];
    if (!is_loop(r)) return {};
    Record with_inner = r;
    with_inner.attrs = r.attrs.with("body", sink_values(r.attrs.get<TapePtr>("body")));
    const Tensor sunk = with_values_inside(*tape, uses, with_inner, in, recorder);
    return sunk.is_empty() ? record(loop_op, in, with_inner.attrs, r.where) : sunk;
  });
}

TapePtr sink_views(const TapePtr& tape) {
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder& recorder) {
    const Record& r = (*tape)[id];
    return is_loop(r) ? with_looks_inside(r, in, recorder) : Tensor();
  });
}

}  // namespace tapeloop
