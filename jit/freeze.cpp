#include "jit/freeze.h"

#include <algorithm>

#include "jit/rebuild.h"

namespace tapeloop {
namespace {

// The records that depend on the first inputs alone, and are not made of something smaller at no cost: a broadcast is better
// made again than read.
std::vector<bool> computed_once(const Tape& t, std::size_t count) {
  std::vector<bool> once(t.size(), false);
  for (std::size_t i = 0; i < count; ++i) once[t.inputs[i]] = true;
  for (Id id = 0; id < t.size(); ++id) {
    const Record& r = t[id];
    if (r.in.empty() || !std::all_of(r.in.begin(), r.in.end(), [&](Id operand) { return bool(once[operand]); }))
      continue;
    std::int64_t operands = 0;
    for (Id operand : r.in) operands += bytes_of(t[operand].type);
    once[id] = !r.op->cheap || r.op == &pick_op || bytes_of(r.type) <= operands;
  }
  return once;
}

}  // namespace

Frozen freeze(const TapePtr& tape, std::size_t count) {
  const Tape& t = *tape;
  const std::vector<bool> once = computed_once(t, count);
  auto first = Recorder::start(), rest = Recorder::start();
  Tensors early(t.size()), late(t.size()), handed;
  for (std::size_t i = 0; i < t.inputs.size(); ++i) {
    const Id id = t.inputs[i];
    (i < count ? early : late)[id] = (i < count ? first : rest)->input(t[id].type);
  }
  const auto read = [&](Id id) {
    if (late[id].is_empty()) {
      late[id] = rest->input(t[id].type);
      handed.push_back(early[id]);
    }
    return late[id];
  };
  for (Id id = 0; id < t.size(); ++id) {
    const Record& r = t[id];
    if (r.op == &input_op) continue;
    Tensors in;
    for (Id operand : r.in) in.push_back(once[id] ? early[operand] : once[operand] ? read(operand) : late[operand]);
    (once[id] ? early : late)[id] = append(once[id] ? *first : *rest, r, in);
  }
  Tensors outputs;
  for (Id id : t.outputs) outputs.push_back(once[id] ? read(id) : late[id]);
  return {prune(first->finish(handed)), rest->finish(outputs)};
}

}  // namespace tapeloop
