// Which records of a loop's body depend on what.
#pragma once

#include <vector>

#include "jit/loop.h"
#include "ops/matmul.h"

namespace tapeloop {

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

}  // namespace tapeloop
