// Mistakes that a user may make, and what the library says to each: golden texts in tests/golden/errors/.
//
//   const Mistake mistakes[] = {
//       {"matmul: inner sizes", [] { (void)matmul(zeros({32, 128}), zeros({64, 512})); }},  // <-
//   };
//   check_mistakes("matmul", mistakes);
//
// Every mistake must throw an Error that names the user's line: a line of the test that ends in the marker `// <-`. In the
// golden text a line of the test stands as its source, so the texts hold when lines move, and show which line was blamed.
// After a change of the texts:  TAPELOOP_GOLDEN=write build/release/tapeloop_tests -tc='mistakes*'
#pragma once

#include <source_location>
#include <span>
#include <string>

namespace tapeloop::testing {

struct Mistake {
  const char* name;
  void (*make)();
};

// Compares with, or writes, tests/golden/errors/<group>.txt; the mistakes are in the file that calls.
void check_mistakes(const std::string& group, std::span<const Mistake> mistakes,
                    const std::source_location& file = std::source_location::current());

}  // namespace tapeloop::testing
