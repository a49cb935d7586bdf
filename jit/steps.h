// The steps of a loop whose state is in registers, between emit_channels.cpp and emit_value.cpp.
#pragma once

#include <vector>

#include "jit/channels.h"
#include "jit/emit.h"

namespace tapeloop {

// A vector of elements of the space.
struct Emitter::Vectors {
  Indices at;
  llvm::Value* mask;  // null: all lanes exist
};

struct Emitter::Steps {
  const Channels& channels;
  llvm::BasicBlock* block;           // the step
  llvm::Instruction* before;         // where the code before the first step ends
  std::vector<llvm::Value*> states;  // by record: of the vector that is being computed
};

}  // namespace tapeloop
