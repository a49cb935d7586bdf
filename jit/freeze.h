// Taking out of a program what depends on arguments that will not change again, such as the packing of weights.
#pragma once

#include "ad/tape.h"

namespace tapeloop {

struct Frozen {
  TapePtr once;   // of the first inputs: what is computed once
  TapePtr every;  // of the other inputs, then the results of `once`: the results of the tape
};

// `tape`, all of whose extents are numbers, in two, for given values of its first `count` inputs.
Frozen freeze(const TapePtr& tape, std::size_t count);

}  // namespace tapeloop
