// The loop over time as the compiler sees it: a scan with what only the compiler needs to say of it.
#pragma once

#include <vector>

#include "ad/tape.h"

namespace tapeloop {

// operands  constants ++ state ++ xs        body  (constants, state, x) → (state', y)
// results   final state ++ ys
//
// What one turn of the loop takes of xs and gives to ys is a step; or, when the loop has a `block`, that many steps at once
// (the last turn takes what is left). The extent of the block is a symbol that the loop itself binds.
//
// A y that is the state after each step can be kept with its *history*: the initial state stands in front of it (behind
// it, when the loop runs in reverse), so that the state before each step and after each step are two views of one tensor.
struct LoweredLoop {
  TapePtr body;
  std::size_t constants = 0, states = 0;
  Extent length;
  bool reverse = false;
  std::vector<int> history;  // for each y: the state whose history it is, -1 for none
  Extent block, most = 0;    // the symbol of the block and the greatest value it takes; 0: single steps

  explicit LoweredLoop(const Attrs& attrs);
  Attrs attrs() const;

  std::size_t first_x() const { return constants + states; }
  bool is_state(std::size_t input) const { return input >= constants && input < first_x(); }
  std::size_t xs() const { return body->inputs.size() - first_x(); }
  std::size_t ys() const { return body->outputs.size() - states; }
  bool is_blocked() const { return !(most.is_number() && most.value() == 0); }
  // The type of a result: the state, or y over all steps.
  Type result(std::size_t output) const;
};

extern const Op loop_op;
inline bool is_loop(const Record& r) { return r.op == &loop_op; }

// Scans become loops; a y that is the state before each step becomes a view of the state's history.
TapePtr lower_scans(const TapePtr& tape);

}  // namespace tapeloop
