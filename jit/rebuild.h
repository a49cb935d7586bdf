// Rewriting a tape record by record.
#pragma once

#include "ad/tape.h"

namespace tapeloop {

// Appends the record `r` with other operands.
inline Tensor append(Recorder& recorder, const Record& r, const Tensors& in) {
  std::vector<Id> ids;
  for (const Tensor& tensor : in) ids.push_back(tensor.id());
  return recorder.append(*r.op, std::move(ids), r.attrs, r.type, r.where);
}

// Appends every record of `tape` that has no value yet; what it reads has one, or comes before it.
inline void append_rest(Recorder& recorder, const Tape& tape, Tensors& value) {
  for (Id id = 0; id < tape.size(); ++id) {
    if (tape[id].op == &input_op || !value[id].is_empty()) continue;
    Tensors in;
    for (Id operand : tape[id].in) in.push_back(value[operand]);
    value[id] = append(recorder, tape[id], in);
  }
}

// Builds `tape` anew, with `outputs` of its records as results. `rewrite(id, in, recorder)`, with the record's operands on
// the new tape, may record something else in its place, or return an empty tensor to keep it.
template <class Rewrite>
TapePtr rebuild(const TapePtr& tape, const std::vector<Id>& outputs, const Rewrite& rewrite) {
  auto recorder = Recorder::start();
  Tensors value(tape->size());
  for (std::size_t i = 0; i < tape->inputs.size(); ++i) value[tape->inputs[i]] = recorder->input(tape->input_type(i));
  for (Id id = 0; id < tape->size(); ++id) {
    const Record& r = (*tape)[id];
    if (r.op == &input_op) continue;
    Tensors in;
    for (Id operand : r.in) in.push_back(value[operand]);
    value[id] = rewrite(id, in, *recorder);
    if (value[id].is_empty()) value[id] = append(*recorder, r, in);
  }
  Tensors results;
  for (Id id : outputs) results.push_back(value[id]);
  return prune(recorder->finish(results));
}
template <class Rewrite>
TapePtr rebuild(const TapePtr& tape, const Rewrite& rewrite) {
  return rebuild(tape, tape->outputs, rewrite);
}

}  // namespace tapeloop
