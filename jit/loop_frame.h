// A loop while it is emitted, between emit_loop.cpp and emit_channels.cpp.
#pragma once

#include <vector>

#include "jit/emit.h"
#include "jit/loop.h"

namespace tapeloop {

struct Emitter::LoopFrame {
  LoweredLoop loop;
  const Record& record;
  Frame inner;
  std::vector<llvm::AllocaInst*> current, next;  // of each state: where the step reads it, and writes it
  std::vector<llvm::Value*> operand, result;     // where xs and ys begin; null for a state that begins as a constant
  // Of a loop turned inside out: where the last states go, and where a state that many elements share is kept for each
  // element on the way.
  std::vector<llvm::Value*> last, kept;
  Frame* outer = nullptr;  // the frame that the loop is in
};

}  // namespace tapeloop
