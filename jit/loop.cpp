#include "jit/loop.h"

#include <algorithm>

#include "jit/rebuild.h"
#include "ops/scan.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

Type infer_loop(const Op&, std::span<const Type>, const Attrs& attrs, const Where&) {
  const LoweredLoop loop(attrs);
  std::vector<Type> parts;
  for (std::size_t i = 0; i < loop.body->outputs.size(); ++i) parts.push_back(loop.result(i));
  return tuple_type(std::move(parts));
}

// The loop without operands that its body ignores.
Tensors narrow_loop(const Record& r, const Tensors& in, const std::vector<bool>&) {
  LoweredLoop loop(r.attrs);
  std::vector<bool> used = inputs_used(*loop.body);
  // A record without operands would be on no tape.
  if (loop.states == 0 && std::find(used.begin(), used.end(), true) == used.end()) used[0] = true;
  std::vector<Type> types;
  std::vector<std::size_t> place(in.size(), kNowhere);
  Tensors operands;
  std::size_t constants = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!used[i] && !loop.is_state(i)) continue;
    place[i] = operands.size();
    types.push_back(loop.body->input_type(i));
    operands.push_back(in[i]);
    constants += i < loop.constants;
  }
  loop.body = rewired(*loop.body, types, place);
  loop.constants = constants;
  return picks(record(loop_op, operands, loop.attrs(), r.where));
}

struct Lowered {
  Tensor tuple;
  std::vector<std::size_t> part;  // of each result of the scan
  std::vector<int> shift;         // -1: the part itself; else the view of a history that begins there
};

Lowered lower(const Record& r, const Tensors& in) {
  LoweredLoop loop(r.attrs);
  loop.body = lower_scans(loop.body);
  const Tape& body = *loop.body;
  const std::size_t states = loop.states;
  std::vector<Id> outputs(body.outputs.begin(), body.outputs.begin() + std::ptrdiff_t(states));
  Lowered result{{}, {}, std::vector<int>(body.outputs.size(), -1)};
  std::vector<int> history_part(states, -1);
  loop.history.clear();
  for (std::size_t i = states; i < body.outputs.size(); ++i)
    for (std::size_t s = 0; s < states; ++s)
      if (body.outputs[i] == body.inputs[loop.constants + s]) history_part[s] = 0;
  auto history_of = [&](std::size_t s) {
    if (history_part[s] <= 0) {
      history_part[s] = int(outputs.size());
      outputs.push_back(body.outputs[s]);
      loop.history.push_back(int(s));
    }
    return std::size_t(history_part[s]);
  };
  for (std::size_t i = 0; i < body.outputs.size(); ++i) {
    if (i < states) {
      result.part.push_back(i);
      continue;
    }
    const Id y = body.outputs[i];
    std::size_t before = states, after = states;
    for (std::size_t s = 0; s < states; ++s) {
      if (y == body.inputs[loop.constants + s]) before = s;
      if (y == body.outputs[s] && history_part[s] >= 0) after = s;
    }
    if (before < states || after < states) {
      result.part.push_back(history_of(before < states ? before : after));
      result.shift[i] = (before < states) == loop.reverse ? 1 : 0;
    } else {
      result.part.push_back(outputs.size());
      outputs.push_back(y);
      loop.history.push_back(-1);
    }
  }
  loop.body = rebuild(loop.body, outputs, [](Id, const Tensors&, Recorder&) { return Tensor(); });
  result.tuple = record(loop_op, in, loop.attrs(), r.where);
  return result;
}

}  // namespace

constinit const Op loop_op = {.name = "loop", .kind = Kind::loop, .infer = infer_loop, .narrow = narrow_loop};

LoweredLoop::LoweredLoop(const Attrs& a)
    : body(a.get<TapePtr>("body")),
      constants(std::size_t(a.integer("constants"))),
      states(std::size_t(a.integer("states"))),
      length(a.extent("length")),
      reverse(a.flag("reverse")),
      history(body->outputs.size() - states, -1) {
  if (a.has("history")) {
    const Ints& list = a.get<Ints>("history");
    history.assign(list.begin(), list.end());
  }
  if (a.has("block")) {
    block = a.get<Shape>("block")[0];
    most = a.get<Shape>("block")[1];
  }
}

Attrs LoweredLoop::attrs() const {
  Attrs a{{"body", body},
          {"constants", std::int64_t(constants)},
          {"states", std::int64_t(states)},
          {"length", Shape{length}},
          {"reverse", std::int64_t(reverse)}};
  if (std::any_of(history.begin(), history.end(), [](int s) { return s >= 0; }))
    a = a.with("history", Ints(history.begin(), history.end()));
  if (is_blocked()) a = a.with("block", Shape{block, most});
  return a;
}

Type LoweredLoop::result(std::size_t output) const {
  Type type = body->output_type(output);
  if (output < states) return type;
  const Extent steps = history[output - states] >= 0 ? length + 1 : length;
  if (is_blocked())
    type.shape[0] = steps;
  else
    type.shape.insert(type.shape.begin(), steps);
  return type;
}

TapePtr lower_scans(const TapePtr& tape) {
  std::vector<Lowered> lowered(tape->size());
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder&) -> Tensor {
    const Record& r = (*tape)[id];
    if (r.op == &scan_op) {
      lowered[id] = lower(r, in);
      return lowered[id].tuple;
    }
    if (r.op != &pick_op || (*tape)[r.in[0]].op != &scan_op) return {};
    const Lowered& from = lowered[r.in[0]];
    const auto index = std::size_t(r.attrs.integer("index"));
    const Tensor part = pick(from.tuple, int(from.part[index]));
    if (from.shift[index] < 0) return part;
    return slice_at(part, 0, Extent(from.shift[index]), (*tape)[r.in[0]].attrs.extent("length"), r.where);
  });
}

}  // namespace tapeloop
