// Loops written out: the meaning against which their derivatives are tested.
#include "ad/arithmetic.h"
#include "ad/transform.h"
#include "ops/cond.h"
#include "ops/scan.h"
#include "ops/while_loop.h"

namespace tapeloop {
namespace {

Tensors operands_of(const Record& r, const Tensors& value) {
  Tensors in;
  for (Id operand : r.in) in.push_back(value[operand]);
  return in;
}

// A record once more, on other operands.
Tensor again(const Record& r, const Tensors& in, Recorder& recorder) {
  return in.empty() ? recorder.adopt(generate(*r.op, r.attrs, r.where), r.op->name, r.where)
                    : record(*r.op, in, r.attrs, r.where);
}

// The results of one step, recorded where they are computed: what the next step reads is a record of its own beside the value
// itself, so that its cotangent arrives where it does in the rolled loop, after those of all readers in this step, and before
// that of an output over time.
Tensors one_step(const Loop& loop, const TapePtr& body, const Tensors& arguments, Recorder& recorder,
                 const Where& where) {
  Tensors value(body->size()), results(body->outputs.size());
  std::vector<std::vector<std::size_t>> results_at(body->size());
  for (std::size_t i = body->outputs.size(); i-- > 0;) results_at[owner_of(*body, body->outputs[i])].push_back(i);
  for (std::size_t i = 0; i < body->inputs.size(); ++i) value[body->inputs[i]] = arguments[i];
  for (Id id = 0; id < body->size(); ++id) {
    if (value[id].is_empty()) value[id] = again((*body)[id], operands_of((*body)[id], value), recorder);
    for (std::size_t i : results_at[id]) {
      Tensor& result = value[body->outputs[i]];
      if (result.is_empty()) {
        const Record& part = (*body)[body->outputs[i]];
        result = again(part, operands_of(part, value), recorder);
      }
      Shape shape = result.shape();
      if (i >= loop.states) shape.insert(shape.begin(), Extent(1));
      // Results that are equal stay apart.
      results[i] = record(reshape_op, {result}, {{"shape", shape}, {"result", std::int64_t(i)}}, where);
    }
  }
  return results;
}

// The results of a loop's steps, one after the other. Sequences are taken apart before the first step, and an output is set
// aside in the step that makes it: so their cotangents arrive where they do in the rolled loop.
Tensors steps_of(const Loop& loop, const Tensors& in, Recorder& recorder, const Where& where) {
  const TapePtr body = expand(loop.body);
  const std::int64_t steps = loop.length.pin();
  Tensors arguments = in;
  std::vector<Tensors> xs, ys(loop.ys, Tensors(std::size_t(steps)));
  for (std::size_t i = loop.first_x(); i < in.size() && steps > 0; ++i)
    xs.push_back(split(in[i], Shape(std::size_t(steps), Extent(1)), 0, where));
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto time = std::size_t(loop.reverse ? steps - 1 - step : step);
    for (std::size_t i = 0; i < loop.xs; ++i) arguments[loop.first_x() + i] = squeeze(xs[i][time], 0, where);
    const Tensors results = one_step(loop, body, arguments, recorder, where);
    for (std::size_t i = 0; i < loop.states; ++i) arguments[loop.constants + i] = results[i];
    for (std::size_t i = 0; i < loop.ys; ++i) ys[i][time] = results[loop.states + i];
  }
  Tensors results(arguments.begin() + std::ptrdiff_t(loop.constants),
                  arguments.begin() + std::ptrdiff_t(loop.first_x()));
  for (std::size_t i = 0; i < loop.ys; ++i) {
    Type y = body->output_type(loop.states + i);
    y.shape.insert(y.shape.begin(), Extent(0));
    results.push_back(steps ? concat(ys[i], 0, where) : zeros(y.shape, y.dtype));
  }
  return results;
}

}  // namespace

TapePtr expand(const TapePtr& tape) {
  const Tape& t = *tape;
  auto recorder = Recorder::start();
  Tensors value(t.size());
  std::vector<Tensors> written(t.size());
  for (Id id : t.inputs) value[id] = recorder->input(t[id].type, t[id].where);
  for (Id id = 0; id < t.size(); ++id) {
    const Record& r = t[id];
    if (r.op == &input_op) continue;
    const Tensors in = operands_of(r, value);
    if (r.op == &pick_op && !written[r.in[0]].empty()) {
      value[id] = written[r.in[0]][std::size_t(r.attrs.integer("index"))];
    } else if (r.op == &scan_op) {
      written[id] = steps_of(Loop(r.attrs), in, *recorder, r.where);
    } else if (r.op == &while_op && While(r.attrs).bound > 0) {
      written[id] = steps_of(Loop(While(r.attrs).bounded()), in, *recorder, r.where);
    } else if (r.op->kind == Kind::branch || r.op->kind == Kind::loop) {
      value[id] = record(*r.op, in, with_bodies(r.attrs, expand), r.where);
    } else {
      value[id] = again(r, in, *recorder);
    }
  }
  Tensors outputs;
  for (Id id : t.outputs) outputs.push_back(value[id]);
  return prune(recorder->finish(outputs));
}

}  // namespace tapeloop
