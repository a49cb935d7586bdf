#include "ops/scan.h"

#include <fmt/format.h>

#include <cstring>

#include "ad/arithmetic.h"
#include "ad/transform.h"
#include "ops/batch.h"
#include "ops/scan_blocks.h"
#include "ops/scan_parts.h"

namespace tapeloop {

namespace detail {

Attrs loop_attrs(TapePtr body, std::size_t constants, std::size_t states, const Extent& length, bool reverse) {
  return {{"body", std::move(body)},
          {"constants", std::int64_t(constants)},
          {"states", std::int64_t(states)},
          {"length", Shape{length}},
          {"reverse", std::int64_t(reverse)}};
}

Type stacked(Type type, const Extent& length) {
  type.shape.insert(type.shape.begin(), length);
  return type;
}

std::vector<std::size_t> range(std::size_t begin, std::size_t count) {
  std::vector<std::size_t> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = begin + i;
  return result;
}

void append(std::vector<std::size_t>& list, const std::vector<std::size_t>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

TapePtr reorder(const TapePtr& tape, const std::vector<std::size_t>& inputs, const std::vector<std::size_t>& outputs) {
  std::vector<Type> types;
  std::vector<std::size_t> place(tape->inputs.size(), kNowhere);
  for (std::size_t i : inputs) {
    place[i] = types.size();
    types.push_back(tape->input_type(i));
  }
  return rewired(*with_outputs(*tape, outputs), types, place);
}

}  // namespace detail

using detail::append;
using detail::loop_attrs;
using detail::range;
using detail::reorder;
using detail::stacked;

namespace {

Type infer_scan(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const Loop loop(attrs);
  for (std::size_t i = 0; i < loop.states; ++i) {
    const Type &before = in[loop.constants + i], &after = loop.body->output_type(i);
    if (before.dtype != after.dtype || !agree(before.shape, after.shape))
      throw Error(fmt::format("scan: tensor {} of the state is {} before a step and {} after it", i, to_string(before),
                              to_string(after)),
                  where, "the state must keep its type; check the initial state's shape and dtype");
  }
  for (std::size_t i = 0; i < loop.xs; ++i) {
    const Type& x = in[loop.first_x() + i];
    if (!agree(x.shape[0], loop.length))
      throw Error(fmt::format("scan: xs {} has {} steps, the loop has {}", to_string(x), x.shape[0].value(),
                              loop.length.value()),
                  where, "all xs must have the same leading extent");
  }
  std::vector<Type> parts;
  for (std::size_t i = 0; i < loop.body->outputs.size(); ++i)
    parts.push_back(i < loop.states ? loop.body->output_type(i) : stacked(loop.body->output_type(i), loop.length));
  return tuple_type(std::move(parts));
}

Tensor run_scan(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const Loop loop(attrs);
  const std::int64_t steps = loop.length.value();
  Tensors arguments(in.begin(), in.end());
  std::vector<std::shared_ptr<Buffer>> ys;
  for (std::size_t i = loop.states; i < type.parts->size(); ++i)
    ys.push_back(Buffer::allocate(count_of((*type.parts)[i].shape) * size_of((*type.parts)[i].dtype)));
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::int64_t t = loop.reverse ? steps - 1 - step : step;
    for (std::size_t i = loop.first_x(); i < in.size(); ++i) {
      const Type& x = loop.body->input_type(i);
      auto buffer = Buffer::allocate(bytes_of(x));
      std::memcpy(buffer->data(), in[i].bytes() + t * bytes_of(x), std::size_t(bytes_of(x)));
      arguments[i] = Tensor(x, std::move(buffer));
    }
    Tensors results;
    try {
      results = run(*loop.body, arguments);
    } catch (const Error& error) {
      throw Error(fmt::format("{}\n  in time step {}", error.what(), t));
    }
    for (std::size_t i = 0; i < loop.states; ++i) arguments[loop.constants + i] = results[i];
    for (std::size_t i = 0; i < loop.ys; ++i) {
      const Tensor& y = results[loop.states + i];
      std::memcpy(ys[i]->data() + t * bytes_of(y.type()), y.bytes(), std::size_t(bytes_of(y.type())));
    }
  }
  Tensors parts(arguments.begin() + std::ptrdiff_t(loop.constants), arguments.begin() + std::ptrdiff_t(loop.first_x()));
  for (std::size_t i = 0; i < loop.ys; ++i) parts.push_back(Tensor((*type.parts)[loop.states + i], std::move(ys[i])));
  return Tensor::tuple(std::move(parts));
}

// One loop for all examples: its body is batched. A state has the batch axis if it has it after any step.
Batched batch_scan(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  const Loop loop(r.attrs);
  std::vector<bool> inputs = batched, asked(loop.body->outputs.size(), false);
  BatchedTape body;
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = 0; i < loop.states; ++i) asked[i] = inputs[loop.constants + i];
    body = batch(loop.body, inputs, n, asked);
    for (std::size_t i = 0; i < loop.states; ++i)
      if (body.outputs[i] && !inputs[loop.constants + i]) inputs[loop.constants + i] = changed = true;
  }
  // In a sequence time comes first, then the examples.
  Tensors operands = in;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (i >= loop.first_x() && inputs[i])
      operands[i] = move_axis(in[i], 0, 1, r.where);
    else if (inputs[i] && !batched[i])
      operands[i] = repeated(in[i], n, r.where);
  }
  Tensors parts = picks(record(scan_op, operands, loop.attrs(body.tape, loop.length), r.where));
  for (std::size_t i = loop.states; i < parts.size(); ++i)
    if (body.outputs[i]) parts[i] = move_axis(parts[i], 1, 0, r.where);
  return {Tensor::tuple(std::move(parts)), body.outputs};
}

// The loop without the results that nobody reads, the state that only they needed, and operands the body ignores.
Tensors narrow_scan(const Record& r, const Tensors& in, const std::vector<bool>& live_parts) {
  const Loop loop(r.attrs);
  std::vector<bool> live = live_parts;
  live.resize(loop.body->outputs.size());
  // A record without operands would be on no tape: where the steps read nothing any more, something is still given to them.
  if (loop.constants + loop.xs == 0) live[0] = true;
  for (bool changed = true; changed;) {
    changed = false;
    const std::vector<bool> needed = inputs_read(*loop.body, live);
    for (std::size_t i = 0; i < loop.states; ++i)
      if (needed[loop.constants + i] && !live[i]) live[i] = changed = true;
  }
  std::vector<std::size_t> outputs;
  for (std::size_t i = 0; i < live.size(); ++i)
    if (live[i]) outputs.push_back(i);
  const TapePtr body = prune(reorder(loop.body, range(0, loop.body->inputs.size()), outputs));

  std::vector<bool> read = inputs_used(*body);
  for (std::size_t i = 0; i < loop.states; ++i) read[loop.constants + i] = live[i];
  if (std::find(read.begin(), read.end(), true) == read.end()) read[loop.constants > 0 ? 0 : loop.states] = true;
  std::vector<std::size_t> inputs;
  Tensors operands;
  std::size_t constants = 0, states = 0;
  for (std::size_t i = 0; i < body->inputs.size(); ++i) {
    if (!read[i]) continue;
    inputs.push_back(i);
    operands.push_back(in[i]);
    constants += i < loop.constants;
    states += i >= loop.constants && i < loop.first_x();
  }
  const Tensor narrowed =
      record(scan_op, operands,
             loop_attrs(reorder(body, inputs, range(0, outputs.size())), constants, states, loop.length, loop.reverse),
             r.where);
  Tensors parts(live.size());
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i] < live_parts.size() && live_parts[outputs[i]]) parts[outputs[i]] = pick(narrowed, int(i));
  return parts;
}

}  // namespace

Loop::Loop(const Attrs& attrs)
    : body(attrs.get<TapePtr>("body")),
      constants(std::size_t(attrs.integer("constants"))),
      states(std::size_t(attrs.integer("states"))),
      xs(body->inputs.size() - constants - states),
      ys(body->outputs.size() - states),
      length(attrs.extent("length")),
      reverse(attrs.flag("reverse")) {}

std::int64_t bytes_of_state(const Loop& loop) {
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < loop.states; ++i)
    bytes += count_of(loop.body->output_type(i).shape) * size_of(loop.body->output_type(i).dtype);
  return bytes;
}

Attrs Loop::attrs(TapePtr other_body, const Extent& other_length) const {
  return loop_attrs(std::move(other_body), constants, states, other_length, reverse);
}

constinit const Op scan_op = {.name = "scan",
                              .kind = Kind::loop,
                              .infer = infer_scan,
                              .run = run_scan,
                              .vjp = detail::vjp_scan,
                              .jvp = detail::jvp_scan,
                              .batch = batch_scan,
                              .narrow = narrow_scan};

namespace detail {

std::vector<Type> step_types(const Tensors& state, const Tensors& xs, const Where& where) {
  std::vector<Type> types = types_of(state);
  for (const Tensor& x : xs) {
    if (x.rank() == 0) throw Error("scan: xs holds a scalar; every x needs a leading time axis", where);
    types.push_back(x.type());
    types.back().shape.erase(types.back().shape.begin());
  }
  return types;
}

void check_state_names(std::string_view op, const std::vector<std::string>& before,
                       const std::vector<std::string>& after, const Where& where) {
  if (before == after) return;
  auto list = [](const std::vector<std::string>& names) {
    if (names.empty()) return std::string("gone");
    if (names == std::vector<std::string>{""}) return std::string("one");
    return fmt::format("{}", fmt::join(names, ", "));
  };
  throw Error(
      fmt::format("{}: the tensors of the state are {} before a step, {} after it", op, list(before), list(after)),
      where, "a step must keep them all: none may become empty, and vectors may not grow");
}

Tensors scan_leaves(const TapePtr& body, const Tensors& state, const Tensors& xs, const Tensors& captured,
                    std::size_t ys, const ScanOptions& options, const Where& where) {
  if (xs.empty() && !options.length)
    throw Error("scan: without xs the number of steps is unknown", where, "give ScanOptions{.length = n}");
  if (options.truncate < 0)
    throw Error(fmt::format("scan: truncate is {}", options.truncate), where, "0 means no truncation");
  if (options.checkpoint < 0 || options.memory_budget < 0)
    throw Error(fmt::format("scan: checkpoint is {}, memory_budget {}", options.checkpoint, options.memory_budget),
                where, "0 means that every step keeps what its derivative needs");
  if ((options.truncate > 0) + (options.checkpoint > 0) + (options.memory_budget > 0) > 1)
    throw Error("scan: truncate, checkpoint and memory_budget are given together", where,
                "each says where the loop is cut; give one");
  const Extent length = xs.empty() ? *options.length : xs[0].size(0);
  if (options.length && options.length->value() != length.value())
    throw Error(fmt::format("scan: length {} but xs have {} steps", options.length->value(), length.value()), where);
  // Traced as state, xs, captured; recorded as constants, state, xs.
  std::vector<std::size_t> order = range(state.size() + xs.size(), captured.size());
  append(order, range(0, state.size() + xs.size()));
  Tensors operands = captured;
  operands.insert(operands.end(), state.begin(), state.end());
  operands.insert(operands.end(), xs.begin(), xs.end());
  const TapePtr ordered = captured.empty() ? body : reorder(body, order, range(0, state.size() + ys));
  const Attrs attrs = loop_attrs(ordered, captured.size(), state.size(), length, options.reverse);
  if (options.checkpoint > 0 || options.memory_budget > 0) {
    const std::vector<std::int64_t> blocks = options.checkpoint > 0
                                                 ? std::vector{options.checkpoint}
                                                 : blocks_within(Loop(attrs), options.memory_budget, where);
    if (blocks.empty()) return picks(record(scan_op, operands, attrs, where));
    return strip_mine(Loop(attrs), operands, blocks[0],
                      {.recompute = true, .inner = {blocks.begin() + 1, blocks.end()}}, where);
  }
  if (options.truncate == 0) return picks(record(scan_op, operands, attrs, where));
  auto cut = [&](const Tensors& tensors) {
    Tensors result;
    for (const Tensor& t : tensors) result.push_back(is_float(t.dtype()) ? stop_gradient(t, where) : t);
    return result;
  };
  return strip_mine(Loop(attrs), operands, options.truncate, {.full_rest = true, .between = cut}, where);
}

}  // namespace detail

}  // namespace tapeloop
