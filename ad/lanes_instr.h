// One instruction of a LaneProgram at work on a block of elements. For ad/lanes_run.cpp, which runs whole programs.
#pragma once

#include <array>
#include <cstdint>

#include "ad/lanes.h"

namespace tapeloop {

// The value of a lane during one block: an array, or one element that serves all.
struct LaneValue {
  const void* data = nullptr;
  bool uniform = false;
};

// An instruction at work: its operands, their dtypes, and the block that it fills.
struct LaneBlock {
  const LaneInstr& instr;
  std::array<Dtype, 3> dtypes;
  std::array<LaneValue, 3> operands;
  void* out;
  std::int64_t count;
};

using RunInstr = void (*)(const LaneBlock&);

// For the newest instruction set that the machine has and the options allow. All of them give the same bits.
RunInstr chosen_run_instr();

}  // namespace tapeloop
