#include <algorithm>

#include "ad/cut.h"
#include "ad/transform.h"

namespace tapeloop {
namespace {

bool is_cheap(const Tape& t, const Record& r) {
  return r.op != &input_op && (r.op->cheap || (r.op->cheap_for && r.op->cheap_for(t, r)));
}

// Which early records the late half computes again. Of all the ways to hand over what it needs the one with the fewest bytes:
// a cut between what is dear and what is needed, through records that are kept. To keep a value costs writing and reading
// it, to compute a cheap one again a fraction of that.
std::vector<bool> computed_again(const Tape& t, const std::vector<bool>& late, const std::vector<bool>& needed,
                                 const std::vector<bool>& free) {
  constexpr std::int64_t kKeep = 16, kCompute = 1;  // a byte
  std::vector<bool> is_free(t.size(), false), again(t.size(), false);
  for (std::size_t i = 0; i < t.inputs.size(); ++i) is_free[t.inputs[i]] = free[i];
  // Two nodes for each record: between them it is kept, before the first its operands are at hand.
  const std::size_t source = 2 * t.size(), sink = source + 1;
  MinimumCut cut(sink + 1);
  for (Id id = 0; id < t.size(); ++id) {
    if (late[id] || is_free[id]) continue;
    const Record& r = t[id];
    const bool cheap = is_cheap(t, r), computes = r.op->kind == Kind::elementwise || r.op->kind == Kind::matmul;
    const bool tuple = r.type.dtype == Dtype::tuple;
    const std::int64_t bytes = tuple ? 0 : bytes_of(r.type);
    cut.edge(source, 2 * id, !cheap ? MinimumCut::kNever : computes ? kCompute * bytes : 0);
    cut.edge(2 * id, 2 * id + 1, tuple ? MinimumCut::kNever : kKeep * bytes + 1);
    if (cheap)
      for (Id operand : r.in)
        if (!is_free[operand]) cut.edge(2 * operand + 1, 2 * id, MinimumCut::kNever);
    if (needed[id] && !tuple) cut.edge(2 * id + 1, sink, MinimumCut::kNever);
  }
  const std::vector<bool> side = cut.sink_side(source, sink);
  for (Id id = 0; id < t.size(); ++id) again[id] = side[2 * id];
  return again;
}

// All that the late half reads, when it computes what is marked in `again`; takes the marks from what it need not compute.
std::vector<bool> all_read(const Tape& t, std::vector<bool> needed, std::vector<bool>& again) {
  for (Id id = Id(t.size()); id-- > 0;) {
    again[id] = again[id] && needed[id];
    if (again[id])
      for (Id operand : t[id].in) needed[operand] = true;
  }
  return needed;
}

// Whether a product of the late half has the value for an operand, which has to lie in memory.
bool is_multiplied(const Tape& t, Id id, const std::vector<bool>& late, const std::vector<bool>& again) {
  std::vector<bool> shows(t.size(), false);
  shows[id] = true;
  for (Id reader = id + 1; reader < t.size(); ++reader) {
    if (!late[reader] && !again[reader]) continue;
    const Record& r = t[reader];
    const bool reads = std::any_of(r.in.begin(), r.in.end(), [&](Id operand) { return shows[operand]; });
    if (reads && r.op->kind == Kind::matmul) return true;
    shows[reader] = reads && r.op->kind == Kind::view;
  }
  return false;
}

}  // namespace

Split split(const TapePtr& tape, const std::vector<bool>& late_input, const std::vector<bool>& free,
            std::size_t early_outputs, std::size_t first_state, std::size_t states) {
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

  std::vector<bool> again = computed_again(t, late, needed, free);
  // What a state becomes is kept together with what it was, as one history: for nothing, where it must be in memory anyway.
  const std::vector<bool> read = all_read(t, needed, again);
  for (std::size_t s = 0; s < states; ++s) {
    const Id before = t.inputs[first_state + s], after = t.outputs[s];
    if (again[after] && read[before] && is_multiplied(t, after, late, again)) again[after] = false;
  }
  needed = all_read(t, needed, again);
  std::vector<bool> kept(t.size(), false), there(t.size(), false);
  for (std::size_t i = 0; i < t.inputs.size(); ++i) there[t.inputs[i]] = free[i];
  for (Id id = 0; id < t.size(); ++id) there[id] = there[id] || again[id];
  for (Id id = 0; id < t.size(); ++id)
    kept[id] = !late[id] && needed[id] && !there[id] && t[id].type.dtype != Dtype::tuple;

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
