// A LaneProgram compiled on its own, as a loop over arrays: run_lanes in machine code.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "ad/lanes.h"
#include "jit/target.h"

namespace tapeloop {

class CompiledModule;

class CompiledLanes {
 public:
  // `steps` has one entry per operand, as in LaneOperand. The loop takes `width` elements at once and the rest one by
  // one.
  CompiledLanes(const LaneProgram& program, std::span<const int> steps, int width, const Target& target);

  // What run_lanes does with operands of these steps. The arrays must not overlap `out`. As there, flushing denormals
  // is up to the caller (ad/denormals.h).
  void run(std::span<const void* const> operands, void* out, std::int64_t count) const;

 private:
  std::shared_ptr<const CompiledModule> code_;
  void (*loop_)(const void* const* operands, void* out, std::int64_t count);
};

}  // namespace tapeloop
