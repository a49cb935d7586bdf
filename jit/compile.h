// The pipeline, for who wants a program of its own making rather than the one that Program::compile gives.
#pragma once

#include <functional>
#include <memory>

#include "jit/emit.h"
#include "jit/program.h"

namespace tapeloop {

// The program of a tape. `change`, if it is not empty, gets the tape as it is after all transformations, and gives the one
// that becomes the program.
std::shared_ptr<const CompiledProgram> compile_tape(const TapePtr& traced,
                                                    const std::function<TapePtr(const TapePtr&)>& change = {},
                                                    Threads threads = Threads::any);

}  // namespace tapeloop
