// Counts what is asked of the C library's allocator, which operator new asks too.
#pragma once

#include <cstdint>

namespace tapeloop::testing {

// Sanitizers have an allocator of their own, which cannot be counted.
bool allocations_are_counted();

// Allocations so far, by all threads, and the bytes asked for in all of them, whether given back or not.
std::int64_t allocations();
std::int64_t allocated_bytes();

}  // namespace tapeloop::testing
