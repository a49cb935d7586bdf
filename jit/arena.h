// Where the buffers of a program lie in its one block of memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tapeloop {

// A buffer, and the first and the last place in the program where it is alive.
struct Lifetime {
  int first, last;
  std::int64_t bytes;
};

struct Arena {
  std::vector<std::int64_t> offsets;  // one for each buffer, multiples of 64
  std::int64_t bytes = 0;
};

// Places so that buffers which are alive at the same time do not overlap, and with a little space between them.
Arena arrange(std::span<const Lifetime> buffers);

}  // namespace tapeloop
