// The interpreter: the meaning of a tape. It runs the records in order, each by its op's `run`, and drops a value after
// its last reader.
#include <fmt/format.h>

#include <cmath>

#include "ad/denormals.h"
#include "ad/options.h"
#include "ad/tape.h"

namespace tapeloop {
namespace {

bool has_nan(const Tensor& t) {
  if (t.is_empty() || t.dtype() == Dtype::tuple) return false;
  if (t.dtype() == Dtype::f32) {
    for (float x : t.data<float>())
      if (std::isnan(x)) return true;
  } else if (t.dtype() == Dtype::f64) {
    for (double x : t.data<double>())
      if (std::isnan(x)) return true;
  }
  return false;
}

// With TAPELOOP_CHECK: the record that made a NaN from operands that held none.
void check_first_nan(const Record& r, const Tensors& in, const Tensor& result) {
  if (!has_nan(result)) return;
  for (const Tensor& operand : in)
    if (has_nan(operand)) return;
  throw Error(fmt::format("{}: the first NaN appears in its result {}", r.op->name, to_string(r.type)), r.where,
              "its operands hold none; found because TAPELOOP_CHECK is on");
}

}  // namespace

Tensors run(const Tape& tape, const Tensors& arguments) {
  if (arguments.size() != tape.inputs.size())
    throw InternalError(fmt::format("run: {} arguments for {} inputs", arguments.size(), tape.inputs.size()));
  FlushDenormals flush(options().denormals);
  const bool check = options().check;

  std::vector<Id> last_reader(tape.size(), 0);
  for (Id id = 0; id < tape.size(); ++id)
    for (Id operand : tape[id].in) last_reader[operand] = id;
  for (Id id : tape.outputs) last_reader[id] = Id(tape.size());

  Tensors value(tape.size());
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Type& want = tape.input_type(i);
    if (arguments[i].dtype() != want.dtype || values_of(arguments[i].shape()) != values_of(want.shape))
      throw InternalError(
          fmt::format("run: argument {} is {}, the tape wants {}", i, to_string(arguments[i].type()), to_string(want)));
    value[tape.inputs[i]] = arguments[i].materialized();
  }
  Tensors in;
  for (Id id = 0; id < tape.size(); ++id) {
    const Record& r = tape[id];
    if (r.op == &input_op) continue;
    in.clear();
    for (Id operand : r.in) in.push_back(value[operand]);
    value[id] = r.op->run(*r.op, in, r.attrs, r.type);
    if (check) check_first_nan(r, in, value[id]);
    in.clear();
    for (Id operand : r.in)
      if (last_reader[operand] == id) value[operand] = Tensor();
  }
  Tensors outputs;
  for (Id id : tape.outputs) outputs.push_back(value[id]);
  return outputs;
}

}  // namespace tapeloop
