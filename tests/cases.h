// The number of op × check cases that the tests went through, and how long they are.
//
// A doctest case may loop over every op and every shape. It adds one here for each combination that it checks; the sum
// is printed as `N cases` at the end of a run.
#pragma once

#include <atomic>

#include "ad/options.h"

namespace tapeloop::testing {

inline std::atomic<long> cases{0};

// Code watched by sanitizers is ten times slower. There a long list of samples is cut short: what it finds that few of them
// do not is wrong numbers, and these do not depend on who watches.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kInstrumented = true;
#else
inline constexpr bool kInstrumented = false;
#endif

// Where many programs are compiled, most of the time goes to LLVM's own passes. What these make of our code is seen in some
// of the programs, and the others are compiled without.
inline Options quickly(Options o, bool quick) {
  if (quick && o.without.empty()) o.without = "optimise";
  return o;
}

}  // namespace tapeloop::testing
