// hoist_before and hoist_after: what leaves a loop to be computed for all its steps at once.
#include <algorithm>

#include "jit/depend.h"
#include "jit/hoist.h"
#include "jit/pack.h"
#include "jit/rewrite_loops.h"
#include "ops/batch.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

using Flags = std::vector<bool>;

// Whether it can be done for all steps at once. A loop inside the loop cannot: often it is there to keep less; nor a branch,
// of which every step runs one side.
bool can_batch(const Record& r) {
  if (r.op->kind == Kind::loop || r.op->kind == Kind::branch) return false;
  return r.op->batch || r.op->kind == Kind::elementwise || r.op->kind == Kind::pick || r.in.empty();
}

// Whether an elementwise value is several times as large as what it is computed from, such as the outer product of two rows:
// for all steps at once it would have to be written down and read again.
bool grows(const Tape& body, const Record& r) {
  if (r.op->kind != Kind::elementwise || r.in.empty()) return false;
  double largest = 1;
  for (Id operand : r.in) largest = std::max(largest, size_of_row(body[looked_at(body, operand)].type.shape));
  return size_of_row(r.type.shape) > 4 * largest;
}

// The part of a loop's body that can run before it, and the values that the rest wants of it.
struct Before {
  Flags part, handed;

  Before(const LoweredLoop& loop, const Dependences& on) : part(loop.body->size(), false), handed(part) {
    const Tape& body = *loop.body;
    const auto n = Id(body.size());
    Flags may(n, false), follows(n, false), multiplied(n, false);  // multiplied: by a matrix, as it is or through views
    for (Id id = n; id-- > 0;)
      if (on.is_product(body, id) || (multiplied[id] && is_view(body[id]))) multiplied[body[id].in[0]] = true;
    for (Id id = 0; id < n; ++id) {
      const Record& r = body[id];
      auto is_there = [&](Id operand) { return may[operand] || body[operand].op == &input_op || !on.on_x[operand]; };
      may[id] = r.op != &input_op && on.on_x[id] && !on.on_state[id] && can_batch(r) &&
                (multiplied[id] || !grows(body, r)) && std::all_of(r.in.begin(), r.in.end(), is_there);
      if (!may[id]) continue;
      follows[id] = on.is_product(body, id);
      for (Id operand : body[id].in) follows[id] = follows[id] || follows[operand];
    }
    // With what leads there; but views at the end stay in the loop, since looking costs nothing.
    Flags read_before(n, false);
    for (Id id = n; id-- > 0;) {
      part[id] = may[id] && (read_before[id] || (follows[id] && !is_view(body[id])));
      if (part[id])
        for (Id operand : body[id].in) read_before[operand] = true;
    }
    // What only looks at a value does so once more: as a value over time it would be a copy.
    const auto hand = [&](Id operand) {
      const Id value = looked_at(body, operand);
      handed[value] = handed[value] || part[value];
    };
    for (Id id = 0; id < n; ++id)
      if (!part[id]) std::for_each(body[id].in.begin(), body[id].in.end(), hand);
    for (std::size_t i = 0; i < loop.states; ++i)
      handed[body.outputs[i]] = handed[body.outputs[i]] || part[body.outputs[i]];
  }
  bool any() const { return std::find(part.begin(), part.end(), true) != part.end(); }
};

// A state that is a sum over the steps.
struct Sum {
  std::size_t state;
  Id next;
};
// What is added in each step: the left operand of a product, the operand of a sum, or what is added as it is.
Id summand(const Record& r) { return r.op == &add_op ? r.in[1] : r.in[0]; }

// The part of a loop's body that can run after it, and the values that it wants of the loop.
struct After {
  Flags part, wanted;
  std::vector<Sum> sums;

  After(const LoweredLoop& loop, const Dependences& on) : part(loop.body->size(), false), wanted(part) {
    const Tape& body = *loop.body;
    const auto n = Id(body.size());
    std::vector<int> uses(n, 0);
    for (const Record& r : body.records)
      for (Id operand : r.in) ++uses[operand];
    for (Id id : body.outputs) ++uses[id];
    for (std::size_t i = 0; i < loop.states; ++i) {
      const Id acc = body.inputs[loop.constants + i], next = body.outputs[i];
      const Record& r = body[next];
      if (uses[acc] != 1 || uses[next] != 1 || r.in.size() < 2 || r.in.back() != acc) continue;
      const bool product = r.op == &matmul_op && r.in.size() == 3 && r.type.rank() == 2 &&
                           r.attrs.flag("transpose_a") && !r.attrs.flag("transpose_b") && on.varies(r.in[0]) &&
                           on.varies(r.in[1]);
      const bool rows = r.op == &sum_op && r.in.size() == 2 && r.attrs.get<Ints>("axes") == Ints{0} &&
                        body[r.in[0]].type.rank() > 1 && on.varies(r.in[0]);
      if (product || rows) sums.push_back({i, next});
    }
    // What later steps need.
    Flags stays(n, false);
    for (std::size_t i = 0; i < loop.states; ++i)
      if (!is_sum(i)) stays[body.outputs[i]] = true;
    for (const Sum& sum : sums)
      for (std::size_t k = 0; k + 1 < body[sum.next].in.size(); ++k) stays[body[sum.next].in[k]] = true;
    for (Id id = n; id-- > 0;) {
      stays[id] = stays[id] || !can_batch(body[id]);
      if (stays[id])
        for (Id operand : body[id].in) stays[operand] = true;
    }
    for (Id id = 0; id < n; ++id) {
      if (stays[id] || body[id].op == &input_op || !on.on_state[id] || is_next(id)) continue;
      part[id] = on.is_product(body, id);
      for (Id operand : body[id].in) part[id] = part[id] || part[operand];
    }
    auto want = [&](Id id) { wanted[id] = wanted[id] || (!part[id] && on.varies(id)); };
    for (Id id = 0; id < n; ++id)
      if (part[id]) std::for_each(body[id].in.begin(), body[id].in.end(), want);
    // A plain sum of what leaves the loop anyway goes along.
    for (std::size_t i = 0; i < loop.states; ++i) {
      const Id acc = body.inputs[loop.constants + i], next = body.outputs[i];
      const Record& r = body[next];
      if (r.op == &add_op && r.in[0] == acc && uses[acc] == 1 && uses[next] == 1 && wanted[r.in[1]])
        sums.push_back({i, next});
    }
  }
  bool any() const { return !sums.empty() || std::find(part.begin(), part.end(), true) != part.end(); }
  bool is_sum(std::size_t state) const {
    return std::any_of(sums.begin(), sums.end(), [&](const Sum& s) { return s.state == state; });
  }
  bool is_next(Id id) const {
    return std::any_of(sums.begin(), sums.end(), [&](const Sum& s) { return s.next == id; });
  }
};

// The loop's body with further xs in the place of the records `given`, and other outputs.
TapePtr with_given(const LoweredLoop& loop, const std::vector<Id>& given, const std::vector<Id>& outputs) {
  const Tape& body = *loop.body;
  auto recorder = Recorder::start();
  Tensors value(body.size());
  for (Id id : body.inputs) value[id] = recorder->input(body[id].type);
  for (Id id : given) value[id] = recorder->input(body[id].type);
  append_rest(*recorder, body, value);
  Tensors results;
  for (Id id : outputs) results.push_back(value[id]);
  return prune(recorder->finish(results));
}

// The values of `outputs`, records of the loop's body that need no state, for all steps at once. `extra` holds those of
// the records `given`, for all steps.
Tensors for_all_steps(const LoweredLoop& loop, const Tensors& in, const std::vector<Id>& outputs,
                      const std::vector<Id>& given = {}, const Tensors& extra = {}) {
  Tensors arguments = in;
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  Flags batched(arguments.size());
  for (std::size_t i = 0; i < arguments.size(); ++i) batched[i] = i >= loop.first_x();
  const BatchedTape all = batch(with_given(loop, given, outputs), batched, loop.length, Flags(outputs.size(), true));
  return inline_tape(*all.tape, arguments);
}

Rewritten before_loop(const LoweredLoop& loop, const Tensors& in, const Where& where) {
  const Tape& body = *loop.body;
  const Before before(loop, Dependences(loop));
  if (!before.any()) return as_it_is(loop, in, where);
  std::vector<Id> handed, wanted;
  for (Id id = 0; id < body.size(); ++id)
    if (before.handed[id]) handed.push_back(id);
  wanted = handed;
  // A result over time that needs no state needs no loop either, but for a history, before which the initial state stands.
  const auto leaves = [&](std::size_t i) {
    return i >= loop.states && before.part[body.outputs[i]] && loop.history[i - loop.states] < 0;
  };
  std::vector<Id> outputs;
  std::vector<int> history;
  for (std::size_t i = 0; i < body.outputs.size(); ++i) {
    const Id id = body.outputs[i];
    if (leaves(i)) {
      wanted.push_back(id);
    } else {
      outputs.push_back(id);
      if (i >= loop.states) history.push_back(loop.history[i - loop.states]);
    }
  }
  const Tensors values = for_all_steps(loop, in, wanted);
  LoweredLoop rest = loop;
  rest.body = with_given(loop, handed, outputs);
  rest.history = history;
  Tensors operands = in;
  operands.insert(operands.end(), values.begin(), values.begin() + std::ptrdiff_t(handed.size()));
  const Tensor tuple = record(loop_op, operands, rest.attrs(), where);
  Tensors parts;
  std::size_t next = 0, hoisted = handed.size();
  for (std::size_t i = 0; i < body.outputs.size(); ++i)
    parts.push_back(leaves(i) ? values[hoisted++] : pick(tuple, int(next++)));
  return {tuple, parts};
}

// Streams of a packed operand: the parts of a concatenation, if they are equal and few.
Panels panels_of(const Tape& body, Id id) {
  const Record& r = body[id];
  const std::int64_t columns = r.type.shape[1].pin();
  if (r.op == &concat_op && r.attrs.integer("axis") == 1 && std::int64_t(r.in.size()) <= kMostStreams &&
      std::all_of(r.in.begin(), r.in.end(),
                  [&](Id part) { return body[part].type.shape[1] == body[r.in[0]].type.shape[1]; }))
    return Panels::of(r.type.dtype, std::int64_t(r.in.size()), columns / std::int64_t(r.in.size()));
  return Panels::of(r.type.dtype, 1, columns);
}

// Rows so short that a block of them stays in the cache as they lie need not be packed; only whole vectors are read then.
constexpr std::int64_t kBytesOfShortRow = 2048;
bool is_read_as_it_lies(const Type& type) {
  const std::int64_t columns = type.shape[1].pin();
  return columns % Panels::lanes_of(type.dtype) == 0 && columns * size_of(type.dtype) <= kBytesOfShortRow;
}

Rewritten after_loop(const LoweredLoop& loop, const Tensors& in, const Where& where) {
  const Tape& body = *loop.body;
  const After after(loop, Dependences(loop));
  if (!after.any()) return as_it_is(loop, in, where);
  auto is_x = [&](Id id) {
    return std::find(body.inputs.begin() + std::ptrdiff_t(loop.first_x()), body.inputs.end(), id) != body.inputs.end();
  };
  LoweredLoop rest = loop;
  rest.history.clear();
  auto recorder = Recorder::start();
  Tensors value(body.size()), outputs, operands;
  for (std::size_t i = 0; i < body.inputs.size(); ++i) {
    if (i >= loop.constants && i < loop.first_x() && after.is_sum(i - loop.constants)) continue;
    value[body.inputs[i]] = recorder->input(body.input_type(i));
    operands.push_back(in[i]);
  }
  rest.states -= after.sums.size();
  for (Id id = 0; id < body.size(); ++id) {
    if (body[id].op == &input_op || after.part[id] || after.is_next(id)) continue;
    Tensors from;
    for (Id operand : body[id].in) from.push_back(value[operand]);
    value[id] = append(*recorder, body[id], from);
  }
  // What stays of the results, and then what the part after the loop wants of every step.
  std::vector<int> part(body.outputs.size(), -1), plain(body.size(), -1), packed(body.size(), -1);
  auto leave = [&](const Tensor& y, int history) {
    outputs.push_back(y);
    if (outputs.size() > rest.states) rest.history.push_back(history);
    return int(outputs.size()) - 1;
  };
  for (std::size_t i = 0; i < body.outputs.size(); ++i) {
    if (i < loop.states ? after.is_sum(i) : bool(after.part[body.outputs[i]])) continue;
    part[i] = leave(value[body.outputs[i]], i < loop.states ? -1 : loop.history[i - loop.states]);
  }
  auto want = [&](Id id) {
    if (plain[id] < 0 && !is_x(id)) plain[id] = leave(value[id], -1);
  };
  auto panels = [&](Id b) { return panels_of(body, b).attrs().with("transpose", std::int64_t(0)); };
  for (const Sum& sum : after.sums) {
    const Record& r = body[sum.next];
    want(summand(r));
    if (r.op != &matmul_op || packed[r.in[1]] >= 0 || is_x(r.in[1])) continue;
    if (is_read_as_it_lies(body[r.in[1]].type)) {
      want(r.in[1]);
      continue;
    }
    packed[r.in[1]] = leave(record(pack_op, {value[r.in[1]]}, panels(r.in[1]), r.where), -1);
  }
  for (Id id = 0; id < body.size(); ++id)
    if (after.wanted[id]) want(id);
  rest.body = prune(recorder->finish(outputs));
  const Tensor tuple = record(loop_op, operands, rest.attrs(), where);
  auto over_time = [&](Id id) {
    if (plain[id] >= 0) return pick(tuple, plain[id]);
    const auto x = std::find(body.inputs.begin(), body.inputs.end(), id) - body.inputs.begin();
    return in[std::size_t(x)];
  };

  Tensors parts(body.outputs.size());
  for (const Sum& sum : after.sums) {
    const Record& r = body[sum.next];
    const Tensor& start = in[loop.constants + sum.state];
    Tensor x = over_time(summand(r));
    if (r.op != &matmul_op) {
      if (loop.reverse) x = flip(x, 0, r.where);
      parts[sum.state] = record(sum_op, {x, start}, {{"axes", r.op == &add_op ? Ints{0} : Ints{0, 1}}}, r.where);
      continue;
    }
    const Id b = r.in[1];
    const bool as_it_lies = is_read_as_it_lies(body[b].type);
    const Tensor right = as_it_lies       ? over_time(b)
                         : packed[b] >= 0 ? pick(tuple, packed[b])
                                          : record(pack_op, {over_time(b)}, panels(b), r.where);
    const Panels layout =
        as_it_lies ? Panels::of(body[b].type.dtype, 1, body[b].type.shape[1].pin()) : panels_of(body, b);
    const Attrs attrs = layout.attrs()
                            .with("as_it_lies", std::int64_t(as_it_lies))
                            .with("transpose_a", std::int64_t(1))
                            .with("steps", std::int64_t(1))
                            .with("reverse", std::int64_t(loop.reverse))
                            .with("starts", Ints{0});
    parts[sum.state] = record(packed_matmul_op, {x, right, start}, attrs, r.where);
  }
  std::vector<Id> given, late;
  Tensors extra;
  for (Id id = 0; id < body.size(); ++id)
    if (after.wanted[id] && !is_x(id)) {
      given.push_back(id);
      extra.push_back(over_time(id));
    }
  for (std::size_t i = loop.states; i < body.outputs.size(); ++i)
    if (after.part[body.outputs[i]]) late.push_back(body.outputs[i]);
  const Tensors values = late.empty() ? Tensors() : for_all_steps(loop, in, late, given, extra);
  std::size_t next = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (part[i] >= 0) parts[i] = pick(tuple, part[i]);
    if (i >= loop.states && after.part[body.outputs[i]]) parts[i] = values[next++];
  }
  return {tuple, parts};
}

}  // namespace

TapePtr hoist_before(const TapePtr& tape) { return rewrite_loops(tape, before_loop); }
TapePtr hoist_after(const TapePtr& tape) { return rewrite_loops(tape, after_loop); }

std::vector<Type> values_that_may_leave(const LoweredLoop& loop) {
  const Tape& body = *loop.body;
  const Dependences on(loop);
  const Before before(loop, on);
  const After after(loop, on);
  std::vector<bool> leaves(body.size(), false);
  for (Id id = 0; id < body.size(); ++id)
    leaves[id] = before.handed[id] || (after.wanted[id] && body[id].op != &input_op);
  for (const Sum& sum : after.sums)
    for (std::size_t k = 0; k + 1 < body[sum.next].in.size(); ++k)
      leaves[body[sum.next].in[k]] = body[body[sum.next].in[k]].op != &input_op;
  std::vector<Type> types;
  for (Id id = 0; id < body.size(); ++id)
    if (leaves[id]) types.push_back(body[id].type);
  // Sums of what is there anyway gain too.
  if (types.empty() && (before.any() || after.any())) types.push_back({Dtype::f32, {Extent(1)}, nullptr});
  return types;
}

}  // namespace tapeloop
