// All that a compiled program is beside its machine code: where its memory lies, how much work it is, and which results
// may take the place of an argument. It is made once, from the plan; running a program needs no plan.
#pragma once

#include <vector>

#include "jit/emit.h"
#include "jit/plan.h"

namespace tapeloop {

struct Recipe {
  ProgramLayout layout;
  // Work as a function of the extents: products of extents and their weights, in operations.
  struct Work {
    std::vector<Extent> factors;
    double weight;
  };
  std::vector<Work> work, meetings;  // and how often the threads meet
  std::vector<int> donors;           // for each output: the input whose memory it may take, or -1
  std::vector<Margin> margins;       // for each output
};

Recipe make_recipe(const Plan& plan, ProgramLayout layout);

// For each output of a planned tape, an input of the same type that is dead or read at the very place that is being
// written when the output is written; -1 for none. Holds as long as nests run in order, the threads meet between them, and
// a nest reads all it needs at a place before it writes there.
std::vector<int> find_donors(const Plan& plan);

}  // namespace tapeloop
