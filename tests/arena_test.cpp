// Where buffers lie: what lives together does not overlap, and little is lost between.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "jit/arena.h"

using namespace tapeloop;

namespace {

bool live_apart(const std::vector<Lifetime>& buffers, const Arena& arena) {
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if (arena.offsets[i] % 64 != 0 || arena.offsets[i] + buffers[i].bytes > arena.bytes) return false;
    for (std::size_t j = 0; j < i; ++j) {
      const bool together = buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
      const bool overlap = arena.offsets[i] < arena.offsets[j] + buffers[j].bytes &&
                           arena.offsets[j] < arena.offsets[i] + buffers[i].bytes;
      if (together && overlap) return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("arena: buffers that live together do not overlap") {
  std::mt19937 random(1);
  for (int turn = 0; turn < 50; ++turn) {
    std::vector<Lifetime> buffers;
    for (int i = 0; i < 60; ++i) {
      const int first = int(random() % 100);
      buffers.push_back({first, first + int(random() % 20), std::int64_t(random() % (turn < 25 ? 1000 : 10'000'000))});
    }
    CHECK(live_apart(buffers, arrange(buffers)));
  }
  CHECK(arrange({}).bytes == 0);
}

TEST_CASE("arena: small buffers that live long do not keep large ones apart") {
  // In the order of the program the small one lies behind the first large one, and the later ones, together as large as the
  // first, find no room on either side of it.
  constexpr std::int64_t large = 10 << 20, small = 1000;
  const std::vector<Lifetime> buffers = {{0, 1, large}, {1, 9, small}, {2, 5, large + 64}, {6, 9, 2 * large}};
  const Arena arena = arrange(buffers);
  CHECK(live_apart(buffers, arena));
  CHECK(arena.bytes < 2 * large + 2 * small);
}
