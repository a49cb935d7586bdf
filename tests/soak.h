// Many random programs of a kind against the laws that hold of all; one that breaks a law is made smaller and printed.
//
// TAPELOOP_RANDOM_SEED=S begins with seed S.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "cases.h"
#include "random_program.h"

namespace tapeloop::testing {

inline unsigned number(const char* variable, unsigned otherwise) {
  const char* text = std::getenv(variable);
  return text ? unsigned(std::strtoul(text, nullptr, 10)) : otherwise;
}

// The law that a program breaks, or the first line of an error; empty when there is neither.
template <class Program, class Law>
std::string broken(const Program& p, const Law& broken_law) {
  try {
    return broken_law(p);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return what.substr(0, what.find('\n'));
  }
}

// The same failure in as few steps as can be reached by leaving out one at a time.
template <class Program, class Law>
Program smallest(Program p, const std::string& law, const Law& broken_law) {
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = count_steps(p.steps); i-- > 0;) {
      Program fewer = p;
      erase_step(fewer.steps, i);
      if (fewer.steps.empty() || broken(fewer, broken_law) != law) continue;
      p = fewer;
      changed = true;
      break;
    }
  }
  return p;
}

// Tries every second program, of even or of odd seeds: a half for each of two test cases, which run side by side. As many as
// the variable `how_many` says, else `otherwise`.
template <class Program, class Law, class Describe>
void soak(unsigned half, const char* how_many, unsigned otherwise, const Law& broken_law, const Describe& describe) {
  const unsigned first = number("TAPELOOP_RANDOM_SEED", 1), count = number(how_many, otherwise);
  int failures = 0;
  for (unsigned seed = first + half; seed < first + count && failures < 5; seed += 2) {
    const Program p(seed);
    ++cases;
    const std::string law = broken(p, broken_law);
    CHECK(law.empty());
    if (law.empty()) continue;
    ++failures;
    FAIL_CHECK("seed " << seed << ": " << law << "\n" << describe(smallest(p, law, broken_law)));
  }
}

}  // namespace tapeloop::testing
