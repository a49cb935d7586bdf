#include "ops/cond.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ad/arithmetic.h"
#include "ad/transform.h"
#include "ops/batch.h"
#include "ops/compare.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

using Bodies = std::array<TapePtr, 2>;  // where the predicate holds, where it does not

Bodies bodies_of(const Attrs& attrs) { return {attrs.get<TapePtr>("on_true"), attrs.get<TapePtr>("on_false")}; }
Attrs attrs_of(const Bodies& bodies) { return {{"on_true", bodies[0]}, {"on_false", bodies[1]}}; }

Tensors after_predicate(const Tensors& in) { return {in.begin() + 1, in.end()}; }

std::vector<bool> after_predicate(const std::vector<bool>& flags) { return {flags.begin() + 1, flags.end()}; }

Type infer_cond(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  if (in[0].dtype != Dtype::boolean)
    throw Error(fmt::format("cond: the predicate is {}, not a boolean", to_string(in[0])), where,
                "compare it with something: x > 0");
  if (in[0].rank() != 0)
    throw Error(
        fmt::format("cond: the predicate is {}, not a scalar", to_string(in[0])), where,
        "any(p) and all(p) make one of many; where(p, a, b) chooses element by element, vmap(f) for each example");
  const Bodies bodies = bodies_of(attrs);
  std::vector<Type> parts;
  for (std::size_t i = 0; i < bodies[0]->outputs.size(); ++i) {
    const Type &a = bodies[0]->output_type(i), &b = bodies[1]->output_type(i);
    if (a.dtype != b.dtype || !agree(a.shape, b.shape))
      throw Error(fmt::format("cond: tensor {} of the result is {} where the predicate holds and {} where it does not",
                              i, to_string(a), to_string(b)),
                  where, "both functions must return the same shapes and dtypes; cast or broadcast one of them");
    parts.push_back(a);
  }
  return tuple_type(std::move(parts));
}

Tensor run_cond(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type&) {
  return Tensor::tuple(run(*bodies_of(attrs)[in[0].item<bool>() ? 0 : 1], Tensors(in.begin() + 1, in.end())));
}

// The vjp of each function, parted into what computes the results and what waits for their cotangents. What crosses over is
// kept in slots that both share: each is as large as one function needs, and zero where the other one ran.
struct Slots {
  std::vector<Type> types;
  std::array<std::vector<std::size_t>, 2> of;  // of each value that a function keeps

  void place(std::size_t function, const Split& halves, std::size_t outputs) {
    std::vector<bool> taken(types.size(), false);
    for (std::size_t i = 0; i < halves.residuals; ++i) {
      const Type& type = halves.early->output_type(outputs + i);
      std::size_t slot = 0;
      while (slot < types.size() && (taken[slot] || !(types[slot] == type))) ++slot;
      if (slot == types.size()) {
        types.push_back(type);
        taken.push_back(false);
      }
      taken[slot] = true;
      of[function].push_back(slot);
    }
  }

  TapePtr keep(std::size_t function, const Split& halves, std::size_t outputs) const {
    auto recorder = Recorder::start();
    Tensors inputs;
    for (const Type& type : input_types(*halves.early)) inputs.push_back(recorder->input(type));
    const Tensors all = inline_tape(*halves.early, inputs);
    Tensors results(all.begin(), all.begin() + std::ptrdiff_t(outputs));
    for (const Type& type : types) results.push_back(zeros(type.shape, type.dtype));
    for (std::size_t i = 0; i < of[function].size(); ++i) results[outputs + of[function][i]] = all[outputs + i];
    return recorder->finish(results);
  }
};

Pullback vjp_cond(const Record& r, const Tensors& in, const Demand& demand) {
  const Bodies bodies = bodies_of(r.attrs);
  const std::size_t operands = bodies[0]->inputs.size(), outputs = bodies[0]->outputs.size();
  VjpRequest request{after_predicate(demand.wanted), {}, {}};
  const std::vector<bool> active[] = {differentiable_from(*bodies[0], request.wanted),
                                      differentiable_from(*bodies[1], request.wanted)};
  for (std::size_t i = 0; i < outputs; ++i)
    request.live.push_back(demand.live[i] && (active[0][bodies[0]->outputs[i]] || active[1][bodies[1]->outputs[i]]));
  Slots slots;
  std::array<Split, 2> halves;
  for (std::size_t f = 0; f < 2; ++f) {
    const TapePtr both = vjp(bodies[f], request);
    std::vector<bool> is_late(both->inputs.size(), true);
    std::fill_n(is_late.begin(), operands, false);
    std::vector<bool> is_free = is_late;
    is_free.flip();
    halves[f] = split(both, is_late, is_free, outputs);
    slots.place(f, halves[f], outputs);
  }
  const Tensor forward =
      record(cond_op, in, attrs_of({slots.keep(0, halves[0], outputs), slots.keep(1, halves[1], outputs)}), r.where);

  // Operands of the way back: those of the cond, what was kept, the cotangents.
  std::vector<Type> types = input_types(*bodies[0]);
  types.insert(types.end(), slots.types.begin(), slots.types.end());
  for (std::size_t i = 0; i < outputs; ++i)
    if (request.live[i]) types.push_back(bodies[0]->output_type(i));
  Bodies late;
  for (std::size_t f = 0; f < 2; ++f) {
    std::vector<std::size_t> place;
    for (std::size_t i = 0; i < operands; ++i) place.push_back(i);
    for (std::size_t slot : slots.of[f]) place.push_back(operands + slot);
    for (std::size_t i = operands + slots.types.size(); i < types.size(); ++i) place.push_back(i);
    late[f] = rewired(*halves[f].late, types, place);
  }
  auto pull = [=, types = slots.types, where = r.where](const Tensors& cts) {
    Tensors arguments = in;
    for (std::size_t i = 0; i < types.size(); ++i) arguments.push_back(pick(forward, int(outputs + i)));
    for (std::size_t i = 0; i < outputs; ++i) {
      if (!request.live[i]) continue;
      const Type& type = bodies[0]->output_type(i);
      arguments.push_back(cts[i].is_empty() ? zeros(type.shape, type.dtype, where) : cts[i]);
    }
    const Tensor backward = record(cond_op, arguments, attrs_of(late), where);
    Tensors result(in.size());
    int part = 0;
    for (std::size_t i = 0; i < operands; ++i)
      if (request.wanted[i]) result[1 + i] = pick(backward, part++);
    return result;
  };
  return {forward, pull};
}

Pushforward jvp_cond(const Record& r, const Tensors& in, const Tensors& dots) {
  const Bodies bodies = bodies_of(r.attrs);
  std::vector<bool> varying;
  Tensors operands = in;
  for (std::size_t i = 1; i < in.size(); ++i) {
    varying.push_back(!dots[i].is_empty());
    if (varying.back()) operands.push_back(dots[i]);
  }
  const Tensors results =
      picks(record(cond_op, operands, attrs_of({jvp(bodies[0], varying), jvp(bodies[1], varying)}), r.where));
  const std::size_t values = bodies[0]->outputs.size();
  Tensors tangents(values);
  std::size_t next = values;
  for (std::size_t i = 0; i < values; ++i)
    if (is_float(bodies[0]->output_type(i).dtype)) tangents[i] = results[next++];
  return {Tensor::tuple(Tensors(results.begin(), results.begin() + std::ptrdiff_t(values))), tangents};
}

// With one predicate for all examples it stays a cond; else every example takes its own from what both functions give.
Batched batch_cond(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  const Bodies bodies = bodies_of(r.attrs);
  const std::vector<bool> inputs = after_predicate(batched);
  std::vector<bool> outputs(bodies[0]->outputs.size(), bool(batched[0]));
  for (const TapePtr& body : bodies) {
    const std::vector<bool> has_axis = batch(body, inputs, n).outputs;
    for (std::size_t i = 0; i < outputs.size(); ++i) outputs[i] = outputs[i] || has_axis[i];
  }
  const Bodies all{batch(bodies[0], inputs, n, outputs).tape, batch(bodies[1], inputs, n, outputs).tape};
  if (!batched[0]) return {record(cond_op, in, attrs_of(all), r.where), outputs};
  const Tensors a = inline_tape(*all[0], after_predicate(in)), b = inline_tape(*all[1], after_predicate(in));
  Tensors parts;
  for (std::size_t i = 0; i < a.size(); ++i) {
    Shape shape(a[i].shape().size(), Extent(1));
    shape[0] = n;
    parts.push_back(where({reshape(in[0], shape, r.where), r.where}, {a[i], r.where}, {b[i], r.where}));
  }
  return {Tensor::tuple(std::move(parts)), {}};
}

// Without the results that nobody reads and the operands that neither function does.
Tensors narrow_cond(const Record& r, const Tensors& in, const std::vector<bool>& live) {
  Bodies bodies = bodies_of(r.attrs);
  std::vector<std::size_t> outputs;
  for (std::size_t i = 0; i < live.size(); ++i)
    if (live[i]) outputs.push_back(i);
  std::vector<bool> read(in.size() - 1, false);
  for (TapePtr& body : bodies) {
    body = prune(with_outputs(*body, outputs));
    const std::vector<bool> by_body = inputs_used(*body);
    for (std::size_t i = 0; i < read.size(); ++i) read[i] = read[i] || by_body[i];
  }
  Tensors operands{in[0]};
  std::vector<Type> types;
  std::vector<std::size_t> place(read.size(), kNowhere);
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (!read[i]) continue;
    place[i] = types.size();
    types.push_back(bodies[0]->input_type(i));
    operands.push_back(in[1 + i]);
  }
  for (TapePtr& body : bodies) body = rewired(*body, types, place);
  const Tensor narrowed = record(cond_op, operands, attrs_of(bodies), r.where);
  Tensors parts(live.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) parts[outputs[i]] = pick(narrowed, int(i));
  return parts;
}

}  // namespace

constinit const Op cond_op = {.name = "cond",
                              .kind = Kind::branch,
                              .infer = infer_cond,
                              .run = run_cond,
                              .vjp = vjp_cond,
                              .jvp = jvp_cond,
                              .batch = batch_cond,
                              .narrow = narrow_cond};

namespace detail {

void check_same_tree(const std::string& on_true, const std::string& on_false, const Where& where) {
  if (on_true != on_false)
    throw Error("cond: the two functions return different structures", where,
                "sizes of vectors, which tensors are empty, flags and numbers beside the tensors must be the same");
}

void place_once(const Tensors& captured, std::size_t first, Tensors& operands, std::vector<std::size_t>& place) {
  for (const Tensor& tensor : captured) {
    const auto known = std::find_if(operands.begin() + std::ptrdiff_t(first), operands.end(),
                                    [&](const Tensor& other) { return other.identity() == tensor.identity(); });
    place.push_back(std::size_t(known - operands.begin()));
    if (known == operands.end()) operands.push_back(tensor);
  }
}

Tensors cond_leaves(const Operand& predicate, const TracedBody& on_true, const TracedBody& on_false,
                    const Tensors& arguments) {
  Tensors operands = arguments;
  std::array<std::vector<std::size_t>, 2> place;
  for (std::size_t i = 0; i < arguments.size(); ++i) place[0].push_back(i);
  place[1] = place[0];
  place_once(on_true.captured, arguments.size(), operands, place[0]);
  place_once(on_false.captured, arguments.size(), operands, place[1]);
  const std::vector<Type> types = types_of(operands);
  const Bodies bodies{rewired(*on_true.tape, types, place[0]), rewired(*on_false.tape, types, place[1])};
  const Tensor p =
      predicate.is_scalar ? full({}, predicate.scalar != 0, Dtype::boolean, predicate.where) : predicate.tensor;
  return picks(record(cond_op, joined({p}, operands), attrs_of(bodies), predicate.where));
}

}  // namespace detail

}  // namespace tapeloop
