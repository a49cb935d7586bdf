// Counts what is asked of the C library's allocator, which operator new asks too.
#pragma once

#include <cstdint>

namespace tapeloop::testing {

// Sanitizers have an allocator of their own, which cannot be counted.
bool allocations_are_counted();

// Allocations so far, by all threads.
std::int64_t allocations();

}  // namespace tapeloop::testing
