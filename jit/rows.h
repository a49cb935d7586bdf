// Loops in which every row goes its own way, as the examples of a batch do: a thread that keeps to its rows need not wait for
// the others until the loop ends.
#pragma once

#include <optional>

#include "jit/plan.h"

namespace tapeloop {

// Whether in each step row i (along the first axis of all its nests) of whatever the step computes is made of rows i of what
// earlier steps and nests have computed. `body` is the plan of a loop with so many constants and states.
bool keeps_rows_apart(const Plan& body, std::size_t constants, std::size_t states);

// The states of such a loop: what a row has of them, and how few rows are worth going through the steps by themselves.
struct RowStates {
  std::int64_t bytes = 0;   // of a row, twice where a step reads one place and writes another
  std::int64_t fewest = 1;  // rows
};
// None where they are little, or of a size that is not known yet, or where the weights that every few rows would read again
// are more than a fraction of the cache.
std::optional<RowStates> states_by_rows(const Plan& body, std::size_t constants, std::size_t states,
                                        std::int64_t cache_bytes);

}  // namespace tapeloop
