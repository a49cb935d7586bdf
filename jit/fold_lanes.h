// Constants in lane programs.
#pragma once

#include "ad/lanes.h"

namespace tapeloop {

// The program with every instruction that depends on literals only replaced by the literal that it amounts to, under
// the options in force. The interpreter computes it: LLVM does not flush denormals in all the constants that it folds.
LaneProgram fold_constants(const LaneProgram& program);

}  // namespace tapeloop
