// Compiled code that ThreadSanitizer sees. The compiler of this library instruments what it compiles itself; the machine code
// that we write would go unseen, and a meeting of threads that the planner forgot with it.
#pragma once

#include <span>

#include "jit/engine.h"

namespace llvm {
class Function;
template <class Unit, class... Extra>
class AnalysisManager;
}  // namespace llvm

namespace tapeloop {

// In a build for ThreadSanitizer (preset tsan), a call before every load and store that tells it which bytes are meant, for
// all instruction sets but AVX2 and AVX-512 where they have instructions for gathers and for vectors of which only some
// lanes are meant: TAPELOOP_ISA=sse2 sees everything. In other builds, nothing.
void watch(llvm::Function& function, llvm::AnalysisManager<llvm::Function>& analyses);

// What these calls call; nothing in other builds.
std::span<const OuterFunction> watchers();

}  // namespace tapeloop
