// A program in the disk cache: what it is found by, and what is kept of it.
#pragma once

#include <optional>
#include <string>

#include "jit/emit.h"
#include "jit/serial.h"
#include "jit/target.h"

namespace tapeloop {

struct StoredProgram {
  Recipe recipe;
  std::string object;
};

// All that machine code depends on: the tape after all transformations with its lane programs, the processor, the switches
// that the code generator looks at, and the versions of LLVM and of this library. Does nothing when options().cache is off.
class ProgramKey {
 public:
  ProgramKey(const Tape& tape, const Target& target, Threads threads);
  std::optional<StoredProgram> load(const Tape& tape) const;
  void store(const Recipe& recipe, const std::string& object) const;

 private:
  std::string key_;  // empty: no cache
  Symbols symbols_;
};

}  // namespace tapeloop
