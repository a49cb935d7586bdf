// From a LaneProgram to LLVM IR.
#pragma once

#include <span>

#include "ad/lanes.h"
#include "jit/target.h"

namespace llvm {
class IRBuilderBase;
class Value;
}  // namespace llvm

namespace tapeloop {

// Writes `program` down at the builder's place, for `width` elements at once, and returns its result. Operands and
// result are vectors <width x T>, or scalars if width is 1, where T is float, double, i32 (also for u32) or, for
// booleans, i1. The bits are those of run_lanes. The function must have been through prepare().
llvm::Value* emit_lanes(llvm::IRBuilderBase& b, const LaneProgram& program, std::span<llvm::Value* const> operands,
                        int width, const Target& target);

}  // namespace tapeloop
