// What the records of a loop's body depend on.
#pragma once

#include <vector>

#include "jit/loop.h"
#include "ops/matmul.h"

namespace tapeloop {

inline bool is_view(const Record& r) { return r.op->kind == Kind::view || r.op->kind == Kind::pick; }

// What a value looks at, through all views of one operand; or itself.
inline Id looked_at(const Tape& body, Id id) {
  while (is_view(body[id]) && body[id].in.size() == 1) id = body[id].in[0];
  return id;
}

// Elements of one row of a batch: extents that are symbols count as one.
inline double size_of_row(const Shape& shape) {
  double size = 1;
  for (const Extent& extent : shape) size *= extent.is_number() ? double(extent.value()) : 1;
  return size;
}

struct Dependences {
  std::vector<bool> on_state, on_x;

  explicit Dependences(const LoweredLoop& loop) : on_state(loop.body->size(), false), on_x(loop.body->size(), false) {
    const Tape& body = *loop.body;
    for (std::size_t i = loop.constants; i < body.inputs.size(); ++i)
      (i < loop.first_x() ? on_state : on_x)[body.inputs[i]] = true;
    for (Id id = 0; id < body.size(); ++id)
      for (Id operand : body[id].in) {
        if (on_state[operand]) on_state[id] = true;
        if (on_x[operand]) on_x[id] = true;
      }
  }
  bool varies(Id id) const { return on_state[id] || on_x[id]; }
  // The rows of one step times a matrix that all steps share.
  bool is_product(const Tape& body, Id id) const {
    const Record& r = body[id];
    return r.op == &matmul_op && r.type.rank() == 2 && !r.attrs.flag("transpose_a") && varies(r.in[0]) &&
           !varies(r.in[1]);
  }
};

// Which states of a loop need which others.
class StateGraph {
 public:
  explicit StateGraph(const LoweredLoop& loop)
      : states_(loop.states <= kMostStates ? loop.states : 1), reads_(loop.body->size(), Flags(states_, false)) {
    const Tape& body = *loop.body;
    for (std::size_t s = 0; s < loop.states; ++s) reads_[body.inputs[loop.constants + s]][node(s)] = true;
    for (Id id = 0; id < body.size(); ++id)
      for (Id operand : body[id].in) add(reads_[id], reads_[operand]);
    from_.resize(states_, Flags(states_, false));
    for (std::size_t s = 0; s < loop.states; ++s) add(from_[node(s)], reads_[body.outputs[s]]);
    for (std::size_t via = 0; via < states_; ++via)
      for (std::size_t s = 0; s < states_; ++s)
        if (from_[s][via]) add(from_[s], from_[via]);
  }

  using Flags = std::vector<bool>;
  // Those before the step that a value of it is computed from.
  const Flags& read_by(Id id) const { return reads_[id]; }
  // Those that one comes from, in any number of steps.
  const Flags& before(std::size_t state) const { return from_[state]; }
  // How many there are. A loop of training steps has more than any cell; all of them count as one.
  std::size_t size() const { return states_; }

  static constexpr std::size_t kMostStates = 200;

  static void add(Flags& to, const Flags& more) {
    for (std::size_t s = 0; s < more.size(); ++s)
      if (more[s]) to[s] = true;
  }

 private:
  std::size_t node(std::size_t state) const { return states_ == 1 ? 0 : state; }

  std::size_t states_;
  std::vector<Flags> reads_, from_;
};

}  // namespace tapeloop
