// Loops in which every row goes its own way, as the examples of a batch do: a thread that keeps to its rows need not wait for
// the others until the loop ends.
#pragma once

#include "jit/plan.h"

namespace tapeloop {

// Whether in each step row i (along the first axis of all its nests) of whatever the step computes is made of rows i of what
// earlier steps and nests have computed. `body` is the plan of a loop with so many constants and states.
bool keeps_rows_apart(const Plan& body, std::size_t constants, std::size_t states);

}  // namespace tapeloop
