// A loop becomes several, one after the other, where a part of its state never looks at another: the layers of a stack, a
// controller and the memory that it writes, the count of steps that masks what follows. What the first hands over is given over
// time to the next, so that products of it can leave that (see hoist_before).
#include <algorithm>
#include <optional>

#include "jit/depend.h"
#include "jit/hoist.h"
#include "jit/rewrite_loops.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

using Flags = std::vector<bool>;

bool has_loop(const Tape& body) {
  return std::any_of(body.records.begin(), body.records.end(),
                     [](const Record& r) { return r.op->kind == Kind::loop || r.op->kind == Kind::branch; });
}

void mark_operands(const Tape& body, Flags& marked) {
  for (Id id = Id(body.size()); id-- > 0;)
    if (marked[id])
      for (Id operand : body[id].in) marked[operand] = true;
}

// Which states a first loop can go through alone.
class Cut {
 public:
  explicit Cut(const LoweredLoop& loop) : loop_(loop), on_(loop), graph_(loop) {}

  // The states of a first loop, as many as need no product that could leave a second one; none where nothing is gained.
  Flags first_states() const {
    Flags first(graph_.size(), false);
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t s = 0; s < first.size(); ++s) {
        if (first[s] || !may_follow(s, first)) continue;
        first[s] = changed = true;
        StateGraph::add(first, graph_.before(s));
      }
    }
    return std::find(first.begin(), first.end(), false) == first.end() ? Flags() : first;
  }

  // The records that compute the next of these states.
  Flags computing(const Flags& states) const {
    Flags records(loop_.body->size(), false);
    for (std::size_t s = 0; s < states.size(); ++s)
      if (states[s]) records[loop_.body->outputs[s]] = true;
    mark_operands(*loop_.body, records);
    return records;
  }
  // Whether a value is computed from none but these states, and from any of them.
  bool reads_only(Id id, const Flags& states) const {
    const Flags& reads = graph_.read_by(id);
    return std::equal(reads.begin(), reads.end(), states.begin(), [](bool read, bool given) { return !read || given; });
  }
  bool reads_any(Id id, const Flags& states) const {
    const Flags& reads = graph_.read_by(id);
    return !std::equal(reads.begin(), reads.end(), states.begin(),
                       [](bool read, bool given) { return !(read && given); });
  }
  bool varies(Id id) const { return on_.varies(id); }
  // A product of what a first loop with these states hands over, which can leave the second.
  bool may_leave(Id id, const Flags& first) const {
    return on_.is_product(*loop_.body, id) && reads_any(id, first) && reads_only(id, first);
  }

 private:
  // Whether a state, and those that come from it and it from them, can be added to these: without a product of what these hand
  // over.
  bool may_follow(std::size_t state, const Flags& first) const {
    Flags added(first.size(), false);
    added[state] = true;
    for (std::size_t s = 0; s < first.size(); ++s) {
      if (first[s] || !graph_.before(state)[s]) continue;
      if (!graph_.before(s)[state]) return false;  // it comes first
      added[s] = true;
    }
    const Flags there = computing(first), records = computing(added);
    for (Id id = 0; id < loop_.body->size(); ++id)
      if (records[id] && !there[id] && may_leave(id, first)) return false;
    return true;
  }

  const LoweredLoop& loop_;
  const Dependences on_;
  const StateGraph graph_;
};

// A loop as two. The second has what the first hands over as further xs.
struct Halves {
  LoweredLoop first, second;
  std::vector<std::size_t> first_in, second_in;  // operands of the whole loop
  struct Link {
    std::size_t result;  // of the first
    int shift;           // -1: as it is; else of a history, from there on
  };
  std::vector<Link> links;
  struct Part {
    bool in_first;
    std::size_t index;
  };
  std::vector<Part> parts;  // the results of the whole loop
};

// How much more may be handed over than the products that leave for it read and give.
constexpr double kMostHanded = 4;

class Parting {
 public:
  Parting(const LoweredLoop& loop, const Cut& cut, const Flags& first)
      : loop_(loop), body_(*loop.body), cut_(cut), first_(first), halves_{loop, loop, {}, {}, {}, {}} {}

  // Nothing where too much would be handed over.
  std::optional<Halves> operator()() {
    choose_results();
    compute_what_is_small();
    find_handed();
    if (!is_worth_it()) return {};
    make_first();
    make_second();
    return std::move(halves_);
  }

 private:
  std::size_t state_of(Id id) const {
    const auto at = std::find(body_.inputs.begin(), body_.inputs.end(), id) - body_.inputs.begin();
    return std::size_t(at) - loop_.constants;
  }
  // An input of the second loop as of the whole.
  bool is_given(Id id) const { return body_[id].op == &input_op && !cut_.reads_any(id, first_); }

  // A result over time is one of the first loop when that has all it needs.
  void choose_results() {
    in_first_ = cut_.computing(first_);
    for (std::size_t i = 0; i < body_.outputs.size(); ++i) {
      const int history = i < loop_.states ? -1 : loop_.history[i - loop_.states];
      const bool here = i < loop_.states ? first_[i]
                        : history >= 0   ? bool(first_[std::size_t(history)])
                                         : cut_.reads_only(body_.outputs[i], first_);
      is_result_.push_back(here);
      if (here) in_first_[body_.outputs[i]] = true;
    }
    mark_operands(body_, in_first_);
  }

  double size_of(Id id) const { return size_of_row(body_[id].type.shape); }

  // What needs states of the first loop alone and is no larger than what it reads of them is computed there: what is read of a
  // memory, not the memory, is handed over.
  void compute_what_is_small() {
    for (Id id = 0; id < body_.size(); ++id) {
      const Record& r = body_[id];
      if (in_first_[id] || r.op == &input_op || !cut_.reads_any(id, first_) || !cut_.reads_only(id, first_) ||
          cut_.may_leave(id, first_))
        continue;
      double largest = 0;
      bool there = true;
      for (Id operand : r.in) {
        if (!cut_.reads_any(operand, first_)) continue;
        there = there && (in_first_[operand] || body_[operand].op == &input_op);
        largest = std::max(largest, size_of(looked_at(body_, operand)));
      }
      in_first_[id] = there && size_of(id) <= largest;
    }
    mark_operands(body_, in_first_);
  }

  // A view is handed over only where it is smaller than what it shows.
  bool is_looked_through(Id id) const {
    const Id shown = looked_at(body_, id);
    return shown != id && !body_[shown].type.parts && size_of(shown) <= size_of(id);
  }
  // A state before the step may be read by the second loop alone; cheap values of xs are computed once more.
  bool is_handed(Id id) const {
    const Record& r = body_[id];
    const bool reads_state = cut_.reads_any(id, first_), there = in_first_[id] || r.op == &input_op;
    return there && cut_.varies(id) && !r.type.parts && !is_looked_through(id) &&
           (reads_state || r.op->kind != Kind::elementwise);
  }

  // What the second loop computes, and which values of the first it reads.
  void find_handed() {
    in_second_.assign(body_.size(), false);
    handed_ = in_second_;
    Flags wanted = in_second_;
    for (std::size_t i = 0; i < body_.outputs.size(); ++i)
      if (!is_result_[i]) wanted[body_.outputs[i]] = true;
    for (Id id = Id(body_.size()); id-- > 0;) {
      if (!wanted[id] || is_given(id)) continue;
      handed_[id] = is_handed(id);
      if (handed_[id]) continue;
      in_second_[id] = true;
      for (Id operand : body_[id].in) wanted[operand] = true;
    }
  }

  bool is_worth_it() const {
    double handed = 0, leaves = 0;
    for (Id id = 0; id < body_.size(); ++id) {
      if (handed_[id]) handed += size_of(id);
      if (in_second_[id] && cut_.may_leave(id, first_)) leaves += size_of(body_[id].in[0]) + size_of(id);
    }
    return handed <= kMostHanded * leaves;
  }

  void make_first() {
    LoweredLoop& loop = halves_.first;
    loop.history.clear();
    std::vector<Id> outputs;
    std::vector<int> place(loop_.states, -1);
    for (std::size_t i = 0; i < body_.outputs.size(); ++i) {
      if (!is_result_[i]) continue;
      if (i < loop_.states)
        place[i] = int(outputs.size());
      else
        loop.history.push_back(
            loop_.history[i - loop_.states] < 0 ? -1 : place[std::size_t(loop_.history[i - loop_.states])]);
      outputs.push_back(body_.outputs[i]);
    }
    loop.states = std::size_t(std::count(first_.begin(), first_.end(), true));
    // Where a result over time, or the history of a state, is kept; another one is added where there is none.
    const auto kept = [&](Id id, int history) {
      for (std::size_t i = loop.states; i < outputs.size(); ++i)
        if (outputs[i] == id && loop.history[i - loop.states] == history) return i;
      outputs.push_back(id);
      loop.history.push_back(history);
      return outputs.size() - 1;
    };
    for (Id id = 0; id < body_.size(); ++id) {
      if (!handed_[id]) continue;
      if (body_[id].op != &input_op) {
        halves_.links.push_back({kept(id, -1), -1});
      } else {
        const std::size_t state = state_of(id);
        halves_.links.push_back({kept(body_.outputs[state], place[state]), loop_.reverse ? 1 : 0});
      }
    }
    auto recorder = Recorder::start();
    Tensors value(body_.size());
    for (std::size_t i = 0; i < body_.inputs.size(); ++i) {
      if (loop_.is_state(i) && !first_[i - loop_.constants]) continue;
      value[body_.inputs[i]] = recorder->input(body_.input_type(i));
      halves_.first_in.push_back(i);
    }
    loop.body = finish(*recorder, in_first_, value, outputs);
  }

  void make_second() {
    LoweredLoop& loop = halves_.second;
    loop.history.clear();
    loop.states = 0;
    auto recorder = Recorder::start();
    Tensors value(body_.size());
    std::vector<int> place(loop_.states, -1);
    for (std::size_t i = 0; i < body_.inputs.size(); ++i) {
      if (loop_.is_state(i)) {
        if (first_[i - loop_.constants]) continue;
        place[i - loop_.constants] = int(loop.states++);
      }
      value[body_.inputs[i]] = recorder->input(body_.input_type(i));
      halves_.second_in.push_back(i);
    }
    for (Id id = 0; id < body_.size(); ++id)
      if (handed_[id]) value[id] = recorder->input(body_[id].type);
    std::vector<Id> outputs;
    std::size_t of_first = 0;
    for (std::size_t i = 0; i < body_.outputs.size(); ++i) {
      if (is_result_[i]) {
        halves_.parts.push_back({true, of_first++});
        continue;
      }
      if (i >= loop_.states) {
        const int history = loop_.history[i - loop_.states];
        loop.history.push_back(history < 0 ? -1 : place[std::size_t(history)]);
      }
      halves_.parts.push_back({false, outputs.size()});
      outputs.push_back(body_.outputs[i]);
    }
    loop.body = finish(*recorder, in_second_, value, outputs);
  }

  // Appends the records that are marked and have no value yet.
  TapePtr finish(Recorder& recorder, const Flags& marked, Tensors& value, const std::vector<Id>& outputs) const {
    for (Id id = 0; id < body_.size(); ++id) {
      if (!marked[id] || !value[id].is_empty()) continue;
      Tensors in;
      for (Id operand : body_[id].in) in.push_back(value[operand]);
      value[id] = append(recorder, body_[id], in);
    }
    Tensors results;
    for (Id id : outputs) results.push_back(value[id]);
    return prune(recorder.finish(results));
  }

  const LoweredLoop& loop_;
  const Tape& body_;
  const Cut& cut_;
  const Flags& first_;
  Flags in_first_, in_second_, handed_, is_result_;
  Halves halves_;
};

std::optional<Halves> halves_of(const LoweredLoop& loop) {
  if (loop.states < 2 || loop.states > StateGraph::kMostStates || loop.is_blocked() || has_loop(*loop.body)) return {};
  const Cut cut(loop);
  const Flags first = cut.first_states();
  if (first.empty()) return {};
  return Parting(loop, cut, first)();
}

Rewritten in_parts(const LoweredLoop& loop, const Tensors& in, const Where& where) {
  const std::optional<Halves> halves = halves_of(loop);
  if (!halves) return as_it_is(loop, in, where);
  Tensors operands;
  for (std::size_t i : halves->first_in) operands.push_back(in[i]);
  const Tensor tuple = record(loop_op, operands, halves->first.attrs(), where);
  const Tensors first = picks(tuple);
  operands.clear();
  for (std::size_t i : halves->second_in) operands.push_back(in[i]);
  for (const auto& [result, shift] : halves->links)
    operands.push_back(shift < 0 ? first[result] : slice_at(first[result], 0, shift, loop.length, where));
  const Rewritten second = in_parts(halves->second, operands, where);
  Tensors parts;
  for (const auto& [in_first, index] : halves->parts) parts.push_back(in_first ? first[index] : second.parts[index]);
  return {second.tuple, parts};
}

}  // namespace

TapePtr part_loops(const TapePtr& tape) { return rewrite_loops(tape, in_parts); }

std::vector<LoweredLoop> loops_parted(const LoweredLoop& loop) {
  const std::optional<Halves> halves = halves_of(loop);
  if (!halves) return {loop};
  std::vector<LoweredLoop> parts = loops_parted(halves->second);
  parts.insert(parts.begin(), halves->first);
  return parts;
}

}  // namespace tapeloop
