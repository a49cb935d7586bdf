// What tests ask of a tape.
#pragma once

#include "ad/tape.h"

namespace tapeloop::testing {

// How many records of a tape, and of the tapes in it, are of an op.
inline int count_op(const Tape& tape, const Op& op) {
  int n = 0;
  for (const Record& r : tape.records) {
    n += r.op == &op;
    for (const auto& [name, value] : r.attrs.entries())
      if (const auto* body = std::get_if<TapePtr>(&value)) n += count_op(**body, op);
  }
  return n;
}

}  // namespace tapeloop::testing
