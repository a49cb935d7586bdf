#include "ops/call.h"

#include <fmt/format.h>

#include <algorithm>

#include "ad/transform.h"
#include "ops/batch.h"
#include "ops/reduce.h"

namespace tapeloop {
namespace {

const TapePtr& body_of(const Record& r) { return r.attrs.get<TapePtr>("body"); }

Type infer_call(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const Tape& body = *attrs.get<TapePtr>("body");
  if (in.size() != body.inputs.size())
    throw InternalError(fmt::format("{}: {} operands for {} inputs", op.name, in.size(), body.inputs.size()), where);
  for (std::size_t i = 0; i < in.size(); ++i)
    if (in[i].dtype != body.input_type(i).dtype || !agree(in[i].shape, body.input_type(i).shape))
      throw InternalError(
          fmt::format("{}: operand {} is {}, not {}", op.name, i, to_string(in[i]), to_string(body.input_type(i))),
          where);
  std::vector<Type> parts;
  for (std::size_t i = 0; i < body.outputs.size(); ++i) parts.push_back(body.output_type(i));
  return tuple_type(std::move(parts));
}

Tensor run_call(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type&) {
  return Tensor::tuple(run(*attrs.get<TapePtr>("body"), Tensors(in.begin(), in.end())));
}

// --- checkpoint ---------------------------------------------------------------------------------------------------------------

// The function again, from its operands behind barriers, and its own derivative. The cotangents of the operands begin at what
// has been summed up for them so far, so that the additions are those of the function written out.
Pullback vjp_checkpoint(const Record& r, const Tensors& in, const Demand& demand) {
  Pullback rule;
  rule.value = record(checkpoint_op, in, r.attrs, r.where);
  rule.pull_onto = [body = body_of(r), in, demand, where = r.where](const Tensors& cts, const Tensors& sums) {
    const std::vector<bool> active = differentiable_from(*body, demand.wanted);
    VjpRequest request{demand.wanted, {}, std::vector<bool>(in.size(), false)};
    Tensors arguments, live_cts, starts;
    for (std::size_t i = 0; i < cts.size(); ++i) {
      request.live.push_back(!cts[i].is_empty() && active[body->outputs[i]]);
      if (request.live.back()) live_cts.push_back(cts[i]);
    }
    for (std::size_t i = 0; i < in.size(); ++i) {
      arguments.push_back(live_cts.empty() ? in[i] : barrier(in[i], live_cts[0], where));
      request.accumulating[i] = demand.wanted[i] && !sums[i].is_empty();
      if (request.accumulating[i]) starts.push_back(sums[i]);
    }
    const TapePtr both = vjp(body, request);
    const Tensors results = inline_tape(*both, joined(joined(arguments, live_cts), starts));
    Tensors gradients(in.size());
    std::size_t next = body->outputs.size();
    for (std::size_t i = 0; i < in.size(); ++i)
      if (demand.wanted[i]) gradients[i] = results[next++];
    return gradients;
  };
  return rule;
}

Pushforward jvp_checkpoint(const Record& r, const Tensors& in, const Tensors& dots) {
  std::vector<bool> varying;
  Tensors operands = in;
  for (const Tensor& dot : dots) {
    varying.push_back(!dot.is_empty());
    if (!dot.is_empty()) operands.push_back(dot);
  }
  const TapePtr& body = body_of(r);
  const Tensors results = picks(record(checkpoint_op, operands, {{"body", jvp(body, varying)}}, r.where));
  const std::size_t values = body->outputs.size();
  Tensors tangents(values);
  std::size_t next = values;
  for (std::size_t i = 0; i < values; ++i)
    if (is_float(body->output_type(i).dtype)) tangents[i] = results[next++];
  return {Tensor::tuple(Tensors(results.begin(), results.begin() + std::ptrdiff_t(values))), tangents};
}

Batched batch_checkpoint(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  const BatchedTape body = batch(body_of(r), batched, n);
  return {record(checkpoint_op, in, {{"body", body.tape}}, r.where), body.outputs};
}

// --- barrier ------------------------------------------------------------------------------------------------------------------

Type infer_barrier(const Op&, std::span<const Type> in, const Attrs&, const Where&) { return in[0]; }
Tensor run_barrier(const Op&, std::span<const Tensor> in, const Attrs&, const Type&) { return in[0]; }
Pullback vjp_barrier(const Record& r, const Tensors& in, const Demand&) {
  return {record(barrier_op, in, r.attrs, r.where), [](const Tensors& cts) { return Tensors{cts[0], Tensor()}; }};
}
Pushforward jvp_barrier(const Record& r, const Tensors& in, const Tensors& dots) {
  return {record(barrier_op, in, r.attrs, r.where), {dots[0].is_empty() ? Tensor() : barrier(dots[0], in[1], r.where)}};
}
Batched batch_barrier(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent&) {
  return {record(barrier_op, in, r.attrs, r.where), {bool(batched[0])}};
}

// --- custom rules -------------------------------------------------------------------------------------------------------------

// The positions of the floating-point ones among the first `count` inputs (all outputs) of a tape.
std::vector<std::size_t> float_inputs(const Tape& tape, std::size_t count) {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < count; ++i)
    if (is_float(tape.input_type(i).dtype)) result.push_back(i);
  return result;
}
std::vector<std::size_t> float_outputs(const Tape& tape) {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < tape.outputs.size(); ++i)
    if (is_float(tape.output_type(i).dtype)) result.push_back(i);
  return result;
}

// What a rule that is linear in its last inputs gives for `changes` of them (empty: zero), and its transpose: the cotangents of
// those inputs for the cotangents `changes` of its outputs.
Tensors apply(const Tape& rule, const Tensors& fixed, const Tensors& changes) {
  Tensors arguments = fixed;
  for (const Tensor& change : changes) {
    const Type& type = rule.input_type(arguments.size());
    arguments.push_back(change.is_empty() ? zeros(type.shape, type.dtype) : change);
  }
  return inline_tape(rule, arguments);
}
Tensors apply_transposed(const TapePtr& rule, const Tensors& fixed, const Tensors& changes) {
  VjpRequest request{std::vector<bool>(rule->inputs.size(), true), std::vector<bool>(rule->outputs.size(), true), {}};
  std::fill_n(request.wanted.begin(), fixed.size(), false);
  Tensors arguments = fixed;
  for (std::size_t i = fixed.size(); i < rule->inputs.size(); ++i)
    arguments.push_back(zeros(rule->input_type(i).shape, rule->input_type(i).dtype));
  for (std::size_t i = 0; i < changes.size(); ++i)
    arguments.push_back(changes[i].is_empty() ? zeros(rule->output_type(i).shape, rule->output_type(i).dtype)
                                              : changes[i]);
  const Tensors results = inline_tape(*vjp(rule, request), arguments);
  return Tensors(results.begin() + std::ptrdiff_t(rule->outputs.size()), results.end());
}

Tensors chosen(const Tensors& from, const std::vector<std::size_t>& positions) {
  Tensors result;
  for (std::size_t i : positions) result.push_back(from[i]);
  return result;
}
Tensors placed(const Tensors& values, const std::vector<std::size_t>& positions, std::size_t count) {
  Tensors result(count);
  for (std::size_t i = 0; i < values.size(); ++i) result[positions[i]] = values[i];
  return result;
}

struct Custom {
  TapePtr body, rule;
  bool is_reverse;
  std::vector<std::size_t> xs, ys;  // floating-point arguments and results

  explicit Custom(const Record& r)
      : body(body_of(r)),
        rule(r.attrs.get<TapePtr>("rule")),
        is_reverse(r.op == &custom_vjp_op),
        xs(float_inputs(*body, std::size_t(r.attrs.integer("arguments")))),
        ys(float_outputs(*body)) {}
};

Pullback vjp_custom(const Record& r, const Tensors& in, const Demand&) {
  const Custom c(r);
  const Tensor value = record(*r.op, in, r.attrs, r.where);
  return {value, [c, in, value](const Tensors& cts) {
            const Tensors fixed = joined(in, picks(value)), changes = chosen(cts, c.ys);
            return placed(c.is_reverse ? apply(*c.rule, fixed, changes) : apply_transposed(c.rule, fixed, changes),
                          c.xs, in.size());
          }};
}

Pushforward jvp_custom(const Record& r, const Tensors& in, const Tensors& dots) {
  const Custom c(r);
  const Tensor value = record(*r.op, in, r.attrs, r.where);
  const Tensors fixed = joined(in, picks(value)), changes = chosen(dots, c.xs);
  return {value, placed(c.is_reverse ? apply_transposed(c.rule, fixed, changes) : apply(*c.rule, fixed, changes), c.ys,
                        c.body->outputs.size())};
}

// The rule for all examples. An argument that is the same for all of them gets the sum of their cotangents.
Batched batch_custom(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  const Custom c(r);
  const BatchedTape body = batch(c.body, batched, n, std::vector<bool>(c.body->outputs.size(), true));
  std::vector<bool> inputs = batched, asked;
  inputs.insert(inputs.end(), body.outputs.begin(), body.outputs.end());
  for (std::size_t i : c.is_reverse ? c.ys : c.xs) inputs.push_back(c.is_reverse || batched[i]);
  for (std::size_t i : c.is_reverse ? c.xs : c.ys) asked.push_back(!c.is_reverse || batched[i]);
  BatchedTape rule = batch(c.rule, inputs, n, asked);
  if (c.is_reverse) {
    auto recorder = Recorder::start();
    Tensors arguments;
    for (std::size_t i = 0; i < rule.tape->inputs.size(); ++i)
      arguments.push_back(recorder->input(rule.tape->input_type(i)));
    Tensors results = inline_tape(*rule.tape, arguments);
    for (std::size_t i = 0; i < results.size(); ++i)
      if (rule.outputs[i] && !asked[i]) results[i] = sum(results[i], 0, false, r.where);
    rule.tape = recorder->finish(results);
  }
  return {record(*r.op, in, r.attrs.with("body", body.tape).with("rule", rule.tape), r.where), {}};
}

// A function with a rule of its own; the name says of which mode.
constexpr Op custom(std::string_view name) {
  Op op;
  op.name = name;
  op.kind = Kind::call;
  op.infer = infer_call;
  op.run = run_call;
  op.vjp = vjp_custom;
  op.jvp = jvp_custom;
  op.batch = batch_custom;
  return op;
}

}  // namespace

constinit const Op checkpoint_op = {.name = "checkpoint",
                                    .kind = Kind::call,
                                    .infer = infer_call,
                                    .run = run_call,
                                    .vjp = vjp_checkpoint,
                                    .jvp = jvp_checkpoint,
                                    .batch = batch_checkpoint};
constinit const Op custom_vjp_op = custom("custom_vjp");
constinit const Op custom_jvp_op = custom("custom_jvp");
constinit const Op barrier_op = {.name = "barrier",
                                 .kind = Kind::view,
                                 .infer = infer_barrier,
                                 .run = run_barrier,
                                 .vjp = vjp_barrier,
                                 .jvp = jvp_barrier,
                                 .batch = batch_barrier};

Tensor barrier(const Tensor& x, const Tensor& after, const Where& where) {
  return record(barrier_op, Tensors{x, after}, {}, where);
}

namespace detail {

std::vector<bool> matched(std::string_view op, const Tensors& like, const std::vector<std::string>& names,
                          const Tensors& given, const Where& where) {
  if (given.size() != like.size())
    throw Error(fmt::format("{}: the rule gives {} tensors for {}", op, given.size(), like.size()), where,
                "it returns a tree like the one it differentiates; an empty Tensor stands for zero");
  std::vector<bool> present;
  for (std::size_t i = 0; i < like.size(); ++i) {
    const bool is_wanted = !like[i].is_empty() && is_float(like[i].dtype());
    if (!is_wanted && !given[i].is_empty())
      throw Error(fmt::format("{}: the rule gives a derivative for tensor {}, which takes none", op, names[i]), where,
                  "leave it empty");
    if (!is_wanted) continue;
    present.push_back(!given[i].is_empty());
    if (!given[i].is_empty() && (given[i].dtype() != like[i].dtype() || !agree(given[i].shape(), like[i].shape())))
      throw Error(fmt::format("{}: the rule gives {} for tensor {}, which is {}", op, to_string(given[i].type()),
                              names[i], to_string(like[i].type())),
                  where, "a derivative has the type of what it belongs to");
  }
  return present;
}

Tensors checkpoint_leaves(const TapePtr& body, const Tensors& operands, const Where& where) {
  return picks(record(checkpoint_op, operands, {{"body", body}}, where));
}

Tensors placeholders(const Tape& tape) {
  Tensors result;
  for (std::size_t i = 0; i < tape.outputs.size(); ++i)
    result.push_back(zeros(tape.output_type(i).shape, tape.output_type(i).dtype));
  return result;
}

Tensors custom_leaves(const Op& op, const TapePtr& body, const Tensors& arguments, const Tensors& captured,
                      const CustomRule& rule, const Where& where) {
  for (const Tensors* list : {&captured, &rule.captured})
    for (const Tensor& tensor : *list)
      if (tensor.is_recorded())
        throw Error(fmt::format("{}: {} uses a recorded value {} that is not an argument", op.name,
                                list == &captured ? "the function" : "the rule", to_string(tensor.type())),
                    where, "it would get no gradient; pass it as an argument");
  const Tensors operands = joined(joined(arguments, captured), rule.captured);
  const std::size_t n = arguments.size();
  auto inputs_of = [](const std::shared_ptr<Recorder>& recorder, const Tensors& like) {
    Tensors inputs;
    for (const Tensor& tensor : like) inputs.push_back(recorder->input(tensor.type()));
    return inputs;
  };
  // Both tapes take all the operands.
  auto recorder = Recorder::start();
  Tensors inputs = inputs_of(recorder, operands);
  inputs.resize(n + captured.size());
  const TapePtr whole_body = recorder->finish(inline_tape(*body, inputs));

  recorder = Recorder::start();
  inputs = inputs_of(recorder, operands);
  Tensors taken(inputs.begin(), inputs.begin() + std::ptrdiff_t(n)),
      rest(inputs.end() - std::ptrdiff_t(rule.captured.size()), inputs.end());
  const std::size_t own = rule.tape->inputs.size() - rule.captured.size();
  for (std::size_t i = n; i < own; ++i) taken.push_back(recorder->input(rule.tape->input_type(i)));
  const Tensors given = inline_tape(*rule.tape, joined(taken, rest));
  Tensors outputs;
  std::size_t next = 0, output = 0;
  const bool is_reverse = &op == &custom_vjp_op;
  for (std::size_t i : is_reverse ? float_inputs(*body, n) : float_outputs(*body)) {
    const Type& type = is_reverse ? body->input_type(i) : body->output_type(i);
    outputs.push_back(rule.given[output++] ? given[next++] : zeros(type.shape, type.dtype));
  }
  const TapePtr whole_rule = prune(recorder->finish(outputs));
  return picks(
      record(op, operands, {{"body", whole_body}, {"rule", whole_rule}, {"arguments", std::int64_t(n)}}, where));
}

}  // namespace detail

}  // namespace tapeloop
