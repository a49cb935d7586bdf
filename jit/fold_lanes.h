// Constants in lane programs.
#pragma once

#include <cstdint>

#include "ad/lanes.h"

namespace tapeloop {

// The program with every instruction that depends on literals only replaced by the literal that it amounts to, under
// the options in force. The interpreter computes it: LLVM does not flush denormals in all the constants that it folds.
LaneProgram fold_constants(const LaneProgram& program);

constexpr std::uint64_t sign_bit(Dtype dtype) { return std::uint64_t(1) << (dtype == Dtype::f64 ? 63 : 31); }

// A literal 0, 1 or -1: by these LLVM knows an operation to do nothing but move or negate.
bool is_neutral(const LaneInstr& instr);

// A literal below the normal range of its floating-point dtype, and not zero.
bool is_denormal(const LaneInstr& instr);

}  // namespace tapeloop
