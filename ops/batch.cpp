#include "ops/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "ops/shape.h"

namespace tapeloop {

Tensor repeated(const Tensor& x, const Extent& n, const Where& where) {
  Shape shape{n};
  shape.insert(shape.end(), x.shape().begin(), x.shape().end());
  Ints axes(x.shape().size());
  std::iota(axes.begin(), axes.end(), 1);
  return broadcast_axes(x, shape, axes, where);
}

Tensors all_batched(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  Tensors result;
  for (std::size_t i = 0; i < in.size(); ++i) result.push_back(batched[i] ? in[i] : repeated(in[i], n, r.where));
  return result;
}

Tensor move_axis(const Tensor& x, int from, int to, const Where& where) {
  std::vector<int> order;
  for (int axis = 0; axis < x.rank(); ++axis)
    if (axis != from) order.push_back(axis);
  order.insert(order.begin() + to, from);
  return transpose(x, order, where);
}

Batched batch_along_axis(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  const Attrs attrs = r.attrs.with("axis", std::int64_t(r.attrs.integer("axis") + 1));
  return {record(*r.op, all_batched(r, in, batched, n), attrs, r.where), {}};
}

BatchedTape batch(const TapePtr& tape, const std::vector<bool>& batched, const Extent& n,
                  const std::vector<bool>& at_least) {
  const Tape& t = *tape;
  auto recorder = Recorder::start();
  Tensors value(t.size());
  std::vector<std::vector<bool>> has_axis(t.size());  // of each result of a record
  for (std::size_t i = 0; i < t.inputs.size(); ++i) {
    Type type = t.input_type(i);
    if (batched[i]) type.shape.insert(type.shape.begin(), n);
    value[t.inputs[i]] = recorder->input(type, t[t.inputs[i]].where);
    has_axis[t.inputs[i]] = {bool(batched[i])};
  }
  for (Id id = 0; id < t.size(); ++id) {
    const Record& r = t[id];
    if (r.op == &input_op) continue;
    if (r.op == &pick_op) {
      const auto part = std::size_t(r.attrs.integer("index"));
      value[id] = pick(value[r.in[0]], int(part));
      has_axis[id] = {bool(has_axis[r.in[0]][part])};
      continue;
    }
    Tensors in;
    std::vector<bool> in_batched;
    for (Id operand : r.in) {
      in.push_back(value[operand]);
      in_batched.push_back(has_axis[operand][0]);
    }
    const std::size_t results = r.type.parts ? r.type.parts->size() : 1;
    if (std::find(in_batched.begin(), in_batched.end(), true) == in_batched.end()) {
      value[id] = in.empty() ? recorder->adopt(generate(*r.op, r.attrs, r.where), r.op->name, r.where)
                             : record(*r.op, in, r.attrs, r.where);
      has_axis[id].assign(results, false);
    } else if (r.op->batch) {
      Batched rule = r.op->batch(r, in, in_batched, n);
      value[id] = std::move(rule.value);
      has_axis[id] = rule.parts.empty() ? std::vector<bool>(results, true) : std::move(rule.parts);
    } else if (r.op->kind == Kind::elementwise) {
      value[id] = record(*r.op, all_batched(r, in, in_batched, n), r.attrs, r.where);
      has_axis[id] = {true};
    } else {
      throw InternalError(fmt::format("vmap: {} has no batching rule", r.op->name), r.where);
    }
  }
  BatchedTape result;
  Tensors outputs;
  for (std::size_t i = 0; i < t.outputs.size(); ++i) {
    const Id id = t.outputs[i];
    const bool is_asked_for = !at_least.empty() && at_least[i];
    outputs.push_back(is_asked_for && !has_axis[id][0] ? repeated(value[id], n, t[id].where) : value[id]);
    result.outputs.push_back(is_asked_for || has_axis[id][0]);
  }
  result.tape = prune(recorder->finish(outputs));
  return result;
}

namespace detail {

Examples examples_of(const Arguments& given, const VmapOptions& options, const Where& where) {
  const std::size_t count = given.counts.size();
  if (!options.in.empty() && options.in.size() != count)
    throw Error(fmt::format("vmap: .in has {} entries for {} arguments", options.in.size(), count), where,
                "give one axis for each argument, or none where it is the same for all examples");
  std::vector<std::optional<int>> axes;
  for (std::size_t i = 0; i < count; ++i)
    axes.insert(axes.end(), given.counts[i], options.in.empty() ? 0 : options.in[i]);

  const Tensors& leaves = given.leaves;
  const std::vector<std::string>& names = given.names;
  Examples examples;
  std::string first;  // the tensor that gave the number of examples
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    examples.batched.push_back(axes[i].has_value());
    examples.types.push_back(leaves[i].type());
    examples.inputs.push_back(leaves[i]);
    if (!axes[i]) continue;
    if (leaves[i].rank() == 0)
      throw Error(fmt::format("vmap: {} is a scalar, it has no axis of examples", names[i]), where,
                  "give {.in = {…, none, …}} for an argument that is the same for all examples");
    const int axis = normal_axis("vmap", *axes[i], leaves[i].rank(), where);
    Shape& shape = examples.types.back().shape;
    const Extent n = shape[std::size_t(axis)];
    shape.erase(shape.begin() + axis);
    if (first.empty()) {
      examples.n = n;
      first = names[i];
    } else if (!agree(examples.n, n)) {
      throw Error(fmt::format("vmap: {} has {} examples, {} has {}", first, examples.n.value(), names[i], n.value()),
                  where, "the axes named by .in must have one extent; none marks what is the same for all examples");
    }
    examples.inputs.back() = move_axis(leaves[i], axis, 0, where);
  }
  if (first.empty())
    throw Error("vmap: no argument has an axis of examples", where, "at least one entry of .in must be an axis");
  return examples;
}

Tensors evaluate_batch(const TapePtr& tape, Examples examples, const Tensors& captured, int out, const Where& where) {
  examples.inputs.insert(examples.inputs.end(), captured.begin(), captured.end());
  examples.batched.resize(examples.inputs.size(), false);
  const BatchedTape together = batch(tape, examples.batched, examples.n, std::vector<bool>(tape->outputs.size(), true));
  Tensors results = evaluate(*together.tape, examples.inputs);
  for (Tensor& result : results) result = move_axis(result, 0, normal_axis("vmap", out, result.rank(), where), where);
  return results;
}

}  // namespace detail

}  // namespace tapeloop
