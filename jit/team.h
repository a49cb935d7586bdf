// The threads that run a program together.
#pragma once

#include <cstdint>

namespace tapeloop {

// A function to be run by every thread of a team, without the allocation of a std::function.
struct TeamWork {
  void (*run)(const void* context, void* team, std::int64_t thread);
  const void* context;
};

// Makes sure that there are as many threads; false when the system gives no more. For callers that must not fail later.
bool hire(int threads);

// Runs the work on `threads` threads, the caller being thread 0, and returns when all are done. Each thread has the
// caller's floating-point mode.
void run_together(int threads, const TeamWork& work);

// The same for work(team, thread), where `team` is what tapeloop_meet() takes.
template <class Work>
void run_together(int threads, const Work& work) {
  run_together(threads, TeamWork{[](const void* context, void* team, std::int64_t thread) {
                                   (*static_cast<const Work*>(context))(team, thread);
                                 },
                                 &work});
}

}  // namespace tapeloop

// Where the threads of a team wait for one another; called by compiled code.
extern "C" void tapeloop_meet(void* team, std::int64_t thread);
