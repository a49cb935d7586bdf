// Loops in which every element of the state goes its own way: all steps are elementwise, and what a step reads of the state
// is the element that it writes. Such a loop can be turned inside out: a few vectors of elements at a time go through all
// steps, and the state stays in registers. No thread waits for another before the last step.
#pragma once

#include <optional>

#include "jit/loop.h"
#include "jit/plan.h"

namespace tapeloop {

struct Channels {
  // Where a value stands while an element of the space is computed: for each of its axes an axis of the space, or -1 for
  // position 0.
  using Place = std::vector<int>;

  // A result over time, and how it is written.
  struct Given {
    const Write* write;
    std::size_t output;
    Place place;
  };

  Shape space;
  std::vector<Place> states;
  std::vector<Given> given;
  std::vector<bool> constant;  // of the records of the body: the same in every step
  int size = 0;                // how many elementwise values a step has
  bool flat = true;            // all that is read is read at the element's own place in memory, or is a single element
};

// `body` is the plan of the loop's body, and outlives what is found.
std::optional<Channels> find_channels(const LoweredLoop& loop, const Plan& body);

}  // namespace tapeloop
