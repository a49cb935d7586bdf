// The number of op × check cases that the tests went through.
//
// A doctest case may loop over every op and every shape. It adds one here for each combination that it checks; the sum
// is printed as `N cases` at the end of a run.
#pragma once

#include <atomic>

namespace tapeloop::testing {

inline std::atomic<long> cases{0};

}  // namespace tapeloop::testing
