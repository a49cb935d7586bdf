// The derivatives of a loop over time, derived from those of its body.
#include "ad/arithmetic.h"
#include "ad/transform.h"
#include "ops/scan_parts.h"

namespace tapeloop {

namespace detail {
namespace {

// Which tensors of the state move when the marked operands do: found by following the body until nothing changes.
std::vector<bool> moving_inputs(const Loop& loop, std::vector<bool> moving) {
  for (bool changed = true; changed;) {
    changed = false;
    const std::vector<bool> active = differentiable_from(*loop.body, moving);
    for (std::size_t i = 0; i < loop.states; ++i)
      if (active[loop.body->outputs[i]] && !moving[loop.constants + i]) moving[loop.constants + i] = changed = true;
  }
  return moving;
}

// The vjp of the body, parted into what runs forward in time and what waits for cotangents.
Split halves_of(const Loop& loop, const VjpRequest& request) {
  const TapePtr both = vjp(loop.body, request);
  std::vector<bool> is_late(both->inputs.size(), false), is_free(both->inputs.size(), false);
  for (std::size_t i = 0; i < both->inputs.size(); ++i) {
    is_late[i] = i >= loop.body->inputs.size();
    is_free[i] = !is_late[i] && (i < loop.constants || i >= loop.first_x());
  }
  return split(both, is_late, is_free, loop.body->outputs.size(), loop.constants, loop.states);
}

}  // namespace

Pullback vjp_scan(const Record& r, const Tensors& in, const Demand& demand) {
  const Loop loop(r.attrs);
  VjpRequest request;
  request.wanted = moving_inputs(loop, demand.wanted);
  // A state that steps read but do not write differentiably still has a cotangent to hand out: that of its initial value.
  const std::vector<bool> active = differentiable_from(*loop.body, request.wanted);
  for (std::size_t i = 0; i < loop.body->outputs.size(); ++i)
    request.live.push_back(i < loop.states ? bool(request.wanted[loop.constants + i])
                                           : active[loop.body->outputs[i]] && demand.live[i]);
  request.accumulating.assign(loop.body->inputs.size(), false);
  for (std::size_t i = 0; i < loop.constants; ++i) request.accumulating[i] = request.wanted[i];
  const Split halves = halves_of(loop, request);
  const Tensor forward =
      record(scan_op, in, loop_attrs(halves.early, loop.constants, loop.states, loop.length, loop.reverse), r.where);

  // Indices in the late half: constants, xs, residuals, cotangents of states and ys, accumulators.
  std::vector<std::size_t> state_in, y_in, const_of, state_of, y_of;
  std::size_t next = loop.constants + loop.xs + halves.residuals;
  for (std::size_t i = 0; i < loop.body->outputs.size(); ++i) {
    if (!request.live[i]) continue;
    (i < loop.states ? state_in : y_in).push_back(next++);
    (i < loop.states ? state_of : y_of).push_back(i);
  }
  std::vector<std::size_t> start_in;
  for (std::size_t i = 0; i < loop.constants; ++i)
    if (request.wanted[i]) {
      start_in.push_back(next++);
      const_of.push_back(i);
    }
  std::vector<std::size_t> const_out, state_out, x_out, x_of;
  std::size_t output = 0;
  for (std::size_t i = 0; i < loop.body->inputs.size(); ++i) {
    if (!request.wanted[i]) continue;
    if (i < loop.constants)
      const_out.push_back(output);
    else if (i < loop.first_x())
      state_out.push_back(output);
    else {
      x_out.push_back(output);
      x_of.push_back(i);
    }
    ++output;
  }
  std::vector<std::size_t> inputs = range(0, loop.constants), outputs;
  append(inputs, state_in);
  append(inputs, start_in);
  append(inputs, range(loop.constants, loop.xs + halves.residuals));
  append(inputs, y_in);
  append(outputs, state_out);
  append(outputs, const_out);
  append(outputs, x_out);
  const TapePtr late = reorder(halves.late, inputs, outputs);

  auto pull_onto = [=, where = r.where](const Tensors& cts, const Tensors& sums) {
    Tensors operands(in.begin(), in.begin() + std::ptrdiff_t(loop.constants));
    for (std::size_t i : state_of) operands.push_back(cts[i].is_empty() ? zeros_like(in[loop.constants + i]) : cts[i]);
    for (std::size_t i : const_of) operands.push_back(sums[i].is_empty() ? zeros_like(in[i]) : sums[i]);
    operands.insert(operands.end(), in.begin() + std::ptrdiff_t(loop.first_x()), in.end());
    for (std::size_t i = 0; i < halves.residuals; ++i)
      operands.push_back(pick(forward, int(loop.body->outputs.size() + i)));
    for (std::size_t i : y_of) {
      const Type& type = loop.body->output_type(i);
      operands.push_back(cts[i].is_empty() ? zeros(stacked(type, loop.length).shape, type.dtype, where) : cts[i]);
    }
    const Tensor backward =
        record(scan_op, operands,
               loop_attrs(late, loop.constants, state_of.size() + const_of.size(), loop.length, !loop.reverse), where);
    Tensors result(in.size());
    int part = 0;
    for (std::size_t i : state_of)
      result[loop.constants + i] = accumulate(sums[loop.constants + i], pick(backward, part++));
    for (std::size_t i : const_of) result[i] = pick(backward, part++);
    for (std::size_t i : x_of) result[i] = accumulate(sums[i], pick(backward, part++));
    return result;
  };
  return {forward, nullptr, pull_onto};
}

Pushforward jvp_scan(const Record& r, const Tensors& in, const Tensors& dots) {
  const Loop loop(r.attrs);
  std::vector<bool> given;
  for (const Tensor& dot : dots) given.push_back(!dot.is_empty());
  const std::vector<bool> moving = moving_inputs(loop, given);
  const TapePtr both = jvp(loop.body, moving);

  // Inputs of `both`: constants, states, xs, then tangents of the moving ones in the same order.
  std::vector<std::size_t> groups[3];
  Tensors group_dots[3];
  std::size_t next = loop.body->inputs.size();
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!moving[i]) continue;
    const int group = i < loop.constants ? 0 : i < loop.first_x() ? 1 : 2;
    groups[group].push_back(next++);
    group_dots[group].push_back(dots[i].is_empty() ? zeros_like(in[i]) : dots[i]);
  }
  std::vector<std::size_t> inputs = range(0, loop.constants);
  append(inputs, groups[0]);
  append(inputs, range(loop.constants, loop.states));
  append(inputs, groups[1]);
  append(inputs, range(loop.first_x(), loop.xs));
  append(inputs, groups[2]);
  // Outputs of `both`: states, ys, then tangents of those that are floating-point.
  std::vector<std::size_t> dot_of(loop.body->outputs.size(), 0);
  next = loop.body->outputs.size();
  for (std::size_t i = 0; i < loop.body->outputs.size(); ++i)
    if (is_float(loop.body->output_type(i).dtype)) dot_of[i] = next++;
  std::vector<std::size_t> outputs = range(0, loop.states), part_of(loop.body->outputs.size(), 0);
  for (std::size_t i = 0; i < loop.states; ++i)
    if (moving[loop.constants + i]) {
      part_of[i] = outputs.size();
      outputs.push_back(dot_of[i]);
    }
  const std::size_t states = outputs.size();
  append(outputs, range(loop.states, loop.ys));
  for (std::size_t i = loop.states; i < loop.body->outputs.size(); ++i)
    if (dot_of[i]) {
      part_of[i] = outputs.size();
      outputs.push_back(dot_of[i]);
    }

  auto slice_of = [&](std::size_t begin, std::size_t count) {
    return Tensors(in.begin() + std::ptrdiff_t(begin), in.begin() + std::ptrdiff_t(begin + count));
  };
  Tensors operands = slice_of(0, loop.constants);
  auto add = [&](const Tensors& more) { operands.insert(operands.end(), more.begin(), more.end()); };
  add(group_dots[0]);
  add(slice_of(loop.constants, loop.states));
  add(group_dots[1]);
  add(slice_of(loop.first_x(), loop.xs));
  add(group_dots[2]);
  const Tensor wide = record(
      scan_op, operands,
      loop_attrs(reorder(both, inputs, outputs), loop.constants + groups[0].size(), states, loop.length, loop.reverse),
      r.where);
  // The value is read from the widened loop, so that nothing runs twice: its results in the order of the original.
  Tensors parts;
  for (std::size_t i = 0; i < loop.states; ++i) parts.push_back(pick(wide, int(i)));
  for (std::size_t i = 0; i < loop.ys; ++i) parts.push_back(pick(wide, int(states + i)));
  Tensors tangents;
  for (std::size_t i = 0; i < loop.body->outputs.size(); ++i)
    tangents.push_back(part_of[i] ? pick(wide, int(part_of[i])) : Tensor());
  return {Tensor::tuple(std::move(parts)), std::move(tangents)};
}

}  // namespace detail

std::int64_t bytes_kept_per_step(const Loop& loop) {
  VjpRequest request;
  for (std::size_t i = 0; i < loop.body->inputs.size(); ++i)
    request.wanted.push_back(is_float(loop.body->input_type(i).dtype));
  const std::vector<bool> active = differentiable_from(*loop.body, request.wanted);
  for (Id id : loop.body->outputs) request.live.push_back(active[id]);
  const Split halves = detail::halves_of(loop, request);
  std::int64_t bytes = 0;
  for (std::size_t i = loop.body->outputs.size(); i < halves.early->outputs.size(); ++i)
    bytes += count_of(halves.early->output_type(i).shape) * size_of(halves.early->output_type(i).dtype);
  return bytes;
}

}  // namespace tapeloop
