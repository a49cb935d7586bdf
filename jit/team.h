// The threads that run a program together.
#pragma once

#include <cstdint>
#include <functional>

namespace tapeloop {

// As many as TAPELOOP_THREADS says, or as the process may run on (affinity mask and cgroup quota).
int threads_available();

// Runs work(team, thread) on `threads` threads, the caller being thread 0, and returns when all are done. `team` is what
// meet() takes. Each thread has the caller's floating-point mode.
void run_together(int threads, const std::function<void(void* team, std::int64_t thread)>& work);

}  // namespace tapeloop

// Where the threads of a team wait for one another; called by compiled code.
extern "C" void tapeloop_meet(void* team, std::int64_t thread);
