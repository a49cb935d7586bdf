#include "jit/arena.h"

#include <algorithm>
#include <numeric>

namespace tapeloop {
namespace {

std::int64_t padded(std::int64_t bytes) { return (bytes + 127) / 64 * 64; }

bool meet(const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; }

// First fit: each buffer in turn goes to the lowest place where nothing lives that lives with it.
Arena first_fit(std::span<const Lifetime> buffers, std::span<const std::size_t> order) {
  struct Placed {
    std::int64_t begin, end;
  };
  Arena arena{std::vector<std::int64_t>(buffers.size()), 0};
  std::vector<Placed> rivals;
  for (std::size_t turn = 0; turn < order.size(); ++turn) {
    const std::size_t i = order[turn];
    rivals.clear();
    for (std::size_t j : order.first(turn))
      if (meet(buffers[i], buffers[j]))
        rivals.push_back({arena.offsets[j], arena.offsets[j] + padded(buffers[j].bytes)});
    std::sort(rivals.begin(), rivals.end(), [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
    const std::int64_t size = padded(buffers[i].bytes);
    std::int64_t at = 0;
    for (const Placed& p : rivals) {
      if (at + size <= p.begin) break;
      at = std::max(at, p.end);
    }
    arena.offsets[i] = at;
    arena.bytes = std::max(arena.bytes, at + size);
  }
  return arena;
}

// What is alive at once, at most: no arena is smaller. The most is reached where some buffer begins.
std::int64_t alive_at_once(std::span<const Lifetime> buffers) {
  std::int64_t most = 0;
  for (const Lifetime& a : buffers) {
    std::int64_t sum = 0;
    for (const Lifetime& b : buffers)
      if (b.first <= a.first && a.first <= b.last) sum += padded(b.bytes);
    most = std::max(most, sum);
  }
  return most;
}

}  // namespace

// In the order of the program, neighbours in time are neighbours in memory, which suits the cache. But small buffers that
// live long may then lie in the way of large ones; where that costs more than a cache holds, the large ones choose first.
Arena arrange(std::span<const Lifetime> buffers) {
  constexpr std::int64_t tolerable = 1 << 20;
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  Arena in_order = first_fit(buffers, order);
  if (in_order.bytes <= tolerable || in_order.bytes - alive_at_once(buffers) <= tolerable) return in_order;
  // Not std::stable_sort: that of libstdc++ 12 uses what C++20 has deprecated, and clang says so.
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(-buffers[a].bytes, a) < std::pair(-buffers[b].bytes, b);
  });
  Arena large_first = first_fit(buffers, order);
  return large_first.bytes < in_order.bytes ? large_first : in_order;
}

}  // namespace tapeloop
