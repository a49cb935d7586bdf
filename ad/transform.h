// The transformations: functions from tape to tape, whose results can be transformed again.
#pragma once

#include <vector>

#include "ad/tape.h"

namespace tapeloop {

// Reverse mode. From (x…) → (y…) makes
//
//   (x…, ȳ of the live outputs…, start of the accumulating inputs…) → (y…, x̄ of the wanted inputs…)
//
// Values and cotangents are one tape, so the result composes. An accumulating input is a wanted one whose cotangent begins
// at a given value instead of zero: a loop passes the sum of its earlier steps this way, so that (acc + g1) + g2 is what is
// recorded and not acc + (g1 + g2).
struct VjpRequest {
  std::vector<bool> wanted;        // one for each input; others get no cotangent
  std::vector<bool> live;          // one for each output; a cotangent is given for these only
  std::vector<bool> accumulating;  // one for each input, or empty for none
};
TapePtr vjp(const TapePtr& tape, const VjpRequest& request);

// Forward mode. From (x…) → (y…) makes (x…, ẋ of the varying inputs…) → (y…, ẏ of the floating-point outputs…).
TapePtr jvp(const TapePtr& tape, const std::vector<bool>& varying);

// Parts a tape into what can be computed early and what has to wait for the late inputs.
//
//   early: (inputs that are not late) → (the first `early_outputs` outputs…, residuals…)
//   late:  (inputs that are free…, residuals…, late inputs…) → (the other outputs…)
//
// An input is *free* when the late half gets it for nothing (constants and xs of a loop, not its state). A residual is an
// early value that the late half needs. Cheap values are computed again where that leaves fewer bytes to keep: a value that
// is the same along a row is kept once, whatever it is stretched to. The first outputs may be what the inputs from
// `first_state` on are in the next turn of a loop: where such an input is kept over time, so is what it becomes, for products
// to read (the compiler keeps both as one history).
struct Split {
  TapePtr early, late;
  std::size_t residuals = 0;
};
Split split(const TapePtr& tape, const std::vector<bool>& late, const std::vector<bool>& free,
            std::size_t early_outputs, std::size_t first_state = 0, std::size_t states = 0);

// The record that a value is computed by: of what is picked, that which has several results.
inline Id owner_of(const Tape& tape, Id id) { return tape[id].op == &pick_op ? tape[id].in[0] : id; }

// Which records can pass a gradient on from the inputs marked in `from` (integers, comparisons, stop_gradient do not).
std::vector<bool> differentiable_from(const Tape& tape, const std::vector<bool>& from);

}  // namespace tapeloop
