#include "ops/while_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "ad/arithmetic.h"
#include "ad/transform.h"
#include "ops/batch.h"
#include "ops/compare.h"
#include "ops/cond.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

Type infer_while(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const While loop(attrs);
  const Type& answer = loop.condition->output_type(0);
  if (answer.dtype != Dtype::boolean || answer.rank() != 0)
    throw Error(fmt::format("while_loop: the condition is {}, not a boolean scalar", to_string(answer)), where,
                "compare with something (x > 0); any(p) and all(p) make one of many");
  std::vector<Type> parts;
  for (std::size_t i = 0; i < loop.states; ++i) {
    const Type &before = in[loop.constants + i], &after = loop.body->output_type(i);
    if (before.dtype != after.dtype || !agree(before.shape, after.shape))
      throw Error(fmt::format("while_loop: tensor {} of the state is {} before a step and {} after it", i,
                              to_string(before), to_string(after)),
                  where, "the state must keep its type; check the initial state's shape and dtype");
    parts.push_back(before);
  }
  return tuple_type(std::move(parts));
}

Tensor run_while(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type&) {
  const While loop(attrs);
  Tensors arguments(in.begin(), in.end());
  for (std::int64_t step = 0; loop.bound == 0 || step < loop.bound; ++step) {
    if (!run(*loop.condition, arguments)[0].item<bool>()) break;
    Tensors next = run(*loop.body, arguments);
    std::move(next.begin(), next.end(), arguments.begin() + std::ptrdiff_t(loop.constants));
  }
  return Tensor::tuple(Tensors(arguments.begin() + std::ptrdiff_t(loop.constants), arguments.end()));
}

// Reverse mode: of as many steps as there may be, each taken or not.
Pullback vjp_while(const Record& r, const Tensors& in, const Demand& demand) {
  const While loop(r.attrs);
  if (loop.bound == 0)
    throw Error("while_loop: reverse mode needs to know how many steps there may be", r.where,
                "give WhileOptions{.bound = n}, the most steps that it may take; forward mode (jvp) needs no bound");
  return scan_op.vjp(Record{&scan_op, r.in, loop.bounded(), r.type, r.where}, in, demand);
}

// Which tensors of the state change when the marked operands do: `reaches` follows one step, until nothing changes.
template <class Reaches>
std::vector<bool> closure(const While& loop, std::vector<bool> marked, const Reaches& reaches) {
  for (bool changed = true; changed;) {
    changed = false;
    const std::vector<bool> outputs = reaches(marked);
    for (std::size_t i = 0; i < loop.states; ++i)
      if (outputs[i] && !marked[loop.constants + i]) marked[loop.constants + i] = changed = true;
  }
  return marked;
}

// Forward mode: values and tangents in one loop, whose condition looks at the values.
Pushforward jvp_while(const Record& r, const Tensors& in, const Tensors& dots) {
  const While loop(r.attrs);
  std::vector<bool> given;
  for (const Tensor& dot : dots) given.push_back(!dot.is_empty());
  const std::vector<bool> moving = closure(loop, given, [&](const std::vector<bool>& from) {
    const std::vector<bool> active = differentiable_from(*loop.body, from);
    std::vector<bool> outputs;
    for (Id id : loop.body->outputs) outputs.push_back(active[id]);
    return outputs;
  });
  // Constants, their tangents, state, its tangents. The jvp of the body has all tangents last.
  While wide = loop;
  Tensors operands;
  std::vector<Type> types;
  std::vector<std::size_t> value_at, dot_at;
  auto add = [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      value_at.push_back(operands.size());
      operands.push_back(in[i]);
    }
    for (std::size_t i = begin; i < end; ++i) {
      if (!moving[i]) continue;
      dot_at.push_back(operands.size());
      operands.push_back(dots[i].is_empty() ? zeros_like(in[i]) : dots[i]);
    }
  };
  add(0, loop.constants);
  wide.constants = operands.size();
  add(loop.constants, in.size());
  wide.states = operands.size() - wide.constants;
  for (const Tensor& operand : operands) types.push_back(operand.type());

  std::vector<std::size_t> outputs, dot_of;
  std::size_t next = loop.states;
  for (std::size_t i = 0; i < loop.states; ++i) outputs.push_back(i);
  for (std::size_t i = 0; i < loop.states; ++i) {
    if (!is_float(loop.body->output_type(i).dtype)) continue;
    if (moving[loop.constants + i]) outputs.push_back(next);
    ++next;
  }
  std::vector<std::size_t> place = value_at;
  place.insert(place.end(), dot_at.begin(), dot_at.end());
  wide.condition = rewired(*loop.condition, types, value_at);
  wide.body = rewired(*with_outputs(*jvp(loop.body, moving), outputs), types, place);
  const Tensors results = picks(record(while_op, operands, wide.attrs(), r.where));
  Tensors tangents(loop.states);
  next = loop.states;
  for (std::size_t i = 0; i < loop.states; ++i)
    if (moving[loop.constants + i]) tangents[i] = results[next++];
  return {Tensor::tuple(Tensors(results.begin(), results.begin() + std::ptrdiff_t(loop.states))), tangents};
}

// Examples that have finished keep their state while others go on.
void mask(While& loop, const std::vector<bool>& inputs, const Extent& n, const Where& where) {
  const TapePtr condition = batch(loop.condition, inputs, n, {true}).tape;
  auto recorder = Recorder::start();
  Tensors arguments;
  for (const Type& type : input_types(*condition)) arguments.push_back(recorder->input(type));
  const Tensor goes_on = inline_tape(*condition, arguments)[0];
  Tensors next = inline_tape(*loop.body, arguments);
  for (std::size_t i = 0; i < next.size(); ++i) {
    const Tensor& before = arguments[loop.constants + i];
    Shape shape(before.shape().size(), Extent(1));
    shape[0] = n;
    next[i] = tapeloop::where({reshape(goes_on, shape, where), where}, {next[i], where}, {before, where});
  }
  loop.body = recorder->finish(next);
  recorder = Recorder::start();
  arguments.clear();
  for (const Type& type : input_types(*condition)) arguments.push_back(recorder->input(type));
  loop.condition = recorder->finish({any(inline_tape(*condition, arguments)[0], Axes::everything(), false, where)});
}

Batched batch_while(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  While loop(r.attrs);
  std::vector<bool> inputs =
      closure(loop, batched, [&](const std::vector<bool>& from) { return batch(loop.body, from, n).outputs; });
  const bool one_by_one = batch(loop.condition, inputs, n).outputs[0];
  if (one_by_one) std::fill(inputs.begin() + std::ptrdiff_t(loop.constants), inputs.end(), true);
  const std::vector<bool> states(inputs.begin() + std::ptrdiff_t(loop.constants), inputs.end());
  loop.body = batch(loop.body, inputs, n, states).tape;
  if (one_by_one)
    mask(loop, inputs, n, r.where);
  else
    loop.condition = batch(loop.condition, inputs, n).tape;
  Tensors operands = in;
  for (std::size_t i = 0; i < in.size(); ++i)
    if (inputs[i] && !batched[i]) operands[i] = repeated(in[i], n, r.where);
  return {record(while_op, operands, loop.attrs(), r.where), states};
}

// Without the tensors of the state that neither a reader nor the condition needs, and operands that are ignored.
Tensors narrow_while(const Record& r, const Tensors& in, const std::vector<bool>& live_parts) {
  While loop(r.attrs);
  std::vector<bool> live = live_parts, read = inputs_read(*loop.condition, {true});
  live.resize(loop.states);
  for (bool changed = true; changed;) {
    changed = false;
    const std::vector<bool> by_body = inputs_read(*loop.body, live);
    for (std::size_t i = 0; i < in.size(); ++i) {
      read[i] = read[i] || by_body[i];
      if (i >= loop.constants && read[i] && !live[i - loop.constants]) live[i - loop.constants] = changed = true;
    }
  }
  std::vector<std::size_t> outputs, place(in.size(), kNowhere);
  std::vector<Type> types;
  Tensors operands;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const bool is_state = i >= loop.constants;
    if (is_state ? !live[i - loop.constants] : !read[i]) continue;
    place[i] = operands.size();
    types.push_back(in[i].type());
    operands.push_back(in[i]);
    if (is_state) outputs.push_back(i - loop.constants);
  }
  loop.constants = operands.size() - outputs.size();
  loop.states = outputs.size();
  loop.body = rewired(*prune(with_outputs(*loop.body, outputs)), types, place);
  loop.condition = rewired(*prune(loop.condition), types, place);
  const Tensor narrowed = record(while_op, operands, loop.attrs(), r.where);
  Tensors parts(live.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) parts[outputs[i]] = pick(narrowed, int(i));
  return parts;
}

}  // namespace

constinit const Op while_op = {.name = "while_loop",
                               .kind = Kind::loop,
                               .infer = infer_while,
                               .run = run_while,
                               .vjp = vjp_while,
                               .jvp = jvp_while,
                               .batch = batch_while,
                               .narrow = narrow_while};

While::While(const Attrs& attrs)
    : condition(attrs.get<TapePtr>("condition")),
      body(attrs.get<TapePtr>("body")),
      constants(std::size_t(attrs.integer("constants"))),
      states(std::size_t(attrs.integer("states"))),
      bound(attrs.get<std::int64_t>("bound")) {}

Attrs While::attrs() const {
  return {{"condition", condition},
          {"body", body},
          {"constants", std::int64_t(constants)},
          {"states", std::int64_t(states)},
          {"bound", bound}};
}

Attrs While::bounded() const {
  const std::vector<Type> types = input_types(*body);
  auto recorder = Recorder::start();
  Tensors inputs;
  for (const Type& type : types) inputs.push_back(recorder->input(type));
  const TapePtr stay = recorder->finish({inputs.begin() + std::ptrdiff_t(constants), inputs.end()});
  recorder = Recorder::start();
  inputs.clear();
  for (const Type& type : types) inputs.push_back(recorder->input(type));
  Tensors operands = inline_tape(*condition, inputs);
  operands.insert(operands.end(), inputs.begin(), inputs.end());
  const TapePtr step =
      recorder->finish(picks(record(cond_op, operands, {{"on_true", body}, {"on_false", stay}}, Where::current())));
  return {{"body", step},
          {"constants", std::int64_t(constants)},
          {"states", std::int64_t(states)},
          {"length", Shape{Extent(bound)}},
          {"reverse", std::int64_t(0)}};
}

namespace detail {

Tensors while_leaves(const TracedBody& condition, const TracedBody& body, const Tensors& state,
                     const WhileOptions& options, const Where& where) {
  if (state.empty())
    throw Error("while_loop: the state has no tensors", where,
                "what the condition looks at and the body changes is the state");
  if (options.bound < 0) throw Error(fmt::format("while_loop: bound is {}", options.bound), where, "0 means no bound");
  if (condition.tape->outputs.empty())
    throw Error("while_loop: the condition returns an empty tensor", where, "it returns a boolean scalar");
  // The constants of both, each once.
  Tensors operands;
  std::vector<std::size_t> test, step;
  place_once(condition.captured, 0, operands, test);
  place_once(body.captured, 0, operands, step);
  const std::size_t constants = operands.size();
  operands.insert(operands.end(), state.begin(), state.end());
  for (auto* place : {&test, &step}) {
    std::vector<std::size_t> of_state(state.size());
    std::iota(of_state.begin(), of_state.end(), constants);
    place->insert(place->begin(), of_state.begin(), of_state.end());
  }
  const std::vector<Type> types = types_of(operands);
  const Attrs attrs{{"condition", rewired(*condition.tape, types, test)},
                    {"body", rewired(*body.tape, types, step)},
                    {"constants", std::int64_t(constants)},
                    {"states", std::int64_t(state.size())},
                    {"bound", options.bound}};
  return picks(record(while_op, operands, attrs, where));
}

}  // namespace detail

}  // namespace tapeloop
