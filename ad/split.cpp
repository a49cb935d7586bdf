#include "ad/transform.h"

namespace tapeloop {

Split split(const TapePtr& tape, const std::vector<bool>& late_input, const std::vector<bool>& free,
            std::size_t early_outputs) {
  const Tape& t = *tape;
  std::vector<bool> late(t.size(), false);
  for (std::size_t i = 0; i < t.inputs.size(); ++i) late[t.inputs[i]] = late_input[i];
  for (Id id = 0; id < t.size(); ++id)
    for (Id operand : t[id].in) late[id] = late[id] || late[operand];

  // What the late half reads of the early one.
  std::vector<bool> needed(t.size(), false);
  for (Id id = 0; id < t.size(); ++id)
    if (late[id])
      for (Id operand : t[id].in) needed[operand] = needed[operand] || !late[operand];
  for (std::size_t i = early_outputs; i < t.outputs.size(); ++i)
    if (!late[t.outputs[i]]) needed[t.outputs[i]] = true;

  // Keep what is dear; what is cheap is computed again if everything it reads will be there.
  std::vector<bool> kept(t.size(), false), there(t.size(), false);
  for (std::size_t i = 0; i < t.inputs.size(); ++i) there[t.inputs[i]] = free[i];
  for (Id id = 0; id < t.size(); ++id) {
    if (late[id]) continue;
    const Record& r = t[id];
    if (r.op != &input_op && r.op->cheap) {
      there[id] = true;
      for (Id operand : r.in) there[id] = there[id] && there[operand];
    }
    if (needed[id] && !there[id] && r.type.dtype != Dtype::tuple) kept[id] = there[id] = true;
  }

  std::vector<Id> residuals;
  for (Id id = 0; id < t.size(); ++id)
    if (kept[id]) residuals.push_back(id);

  Split result;
  result.residuals = residuals.size();
  {
    auto recorder = Recorder::start();
    Tensors value(t.size());
    for (std::size_t i = 0; i < t.inputs.size(); ++i)
      if (!late_input[i]) value[t.inputs[i]] = recorder->input(t.input_type(i));
    for (Id id = 0; id < t.size(); ++id) {
      if (late[id] || t[id].op == &input_op) continue;
      std::vector<Id> ids;
      for (Id operand : t[id].in) ids.push_back(value[operand].id());
      value[id] = recorder->append(*t[id].op, std::move(ids), t[id].attrs, t[id].type, t[id].where);
    }
    Tensors outputs;
    for (std::size_t i = 0; i < early_outputs; ++i) outputs.push_back(value[t.outputs[i]]);
    for (Id id : residuals) outputs.push_back(value[id]);
    result.early = prune(recorder->finish(outputs));
  }
  {
    auto recorder = Recorder::start();
    Tensors value(t.size());
    for (std::size_t i = 0; i < t.inputs.size(); ++i)
      if (!late_input[i] && free[i]) value[t.inputs[i]] = recorder->input(t.input_type(i));
    for (Id id : residuals) value[id] = recorder->input(t[id].type);
    for (std::size_t i = 0; i < t.inputs.size(); ++i)
      if (late_input[i]) value[t.inputs[i]] = recorder->input(t.input_type(i));
    for (Id id = 0; id < t.size(); ++id) {
      if (t[id].op == &input_op || kept[id] || !(late[id] || there[id])) continue;
      std::vector<Id> ids;
      for (Id operand : t[id].in) ids.push_back(value[operand].id());
      value[id] = recorder->append(*t[id].op, std::move(ids), t[id].attrs, t[id].type, t[id].where);
    }
    Tensors outputs;
    for (std::size_t i = early_outputs; i < t.outputs.size(); ++i) outputs.push_back(value[t.outputs[i]]);
    result.late = prune(recorder->finish(outputs));
  }
  return result;
}

}  // namespace tapeloop
