#include "bench/measure.h"

#include <algorithm>
#include <cmath>

#include "bench/peak.h"

namespace tapeloop::bench {
namespace {

constexpr double sample_ms = 4;  // short calls are timed together, so that the clock's own cost and noise do not count
constexpr double refill_ms =
    20;  // a shorter call is made once untimed first: the contender before left the cache to it
constexpr int fewest_turns = 5, most_turns = 200;

struct Side {
  Contender* contender;
  int calls = 1;
  bool refill = true;
  std::vector<double> ms, percent;
};

}  // namespace

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<Measurement> measure(const Problem& problem, const Contenders& contenders, double seconds) {
  std::vector<Side> sides;
  double turn_ms = 0;
  const bool compiling = problem.task == Task::compile;
  for (const auto& contender : contenders) {
    if (!contender->prepare(problem)) continue;
    Side side{contender.get()};
    const double once = std::min(contender->run(1), contender->run(1));
    side.refill = !compiling && once < refill_ms;
    side.calls = compiling ? 1 : std::max(1, int(std::ceil(sample_ms / once)));
    turn_ms = std::max(turn_ms, once * (side.calls + int(side.refill)));
    sides.push_back(std::move(side));
  }
  const int turns = std::clamp(int(seconds * 1e3 / std::max(turn_ms, 1e-3)), fewest_turns, most_turns);
  for (int turn = 0; turn < turns; ++turn) {
    std::vector<double> ms;
    const double before = fma_peak(problem.threads);
    for (Side& side : sides) {
      if (side.refill) (void)side.contender->run(1);
      ms.push_back(side.contender->run(side.calls));
    }
    const double peak = 0.5 * (before + fma_peak(problem.threads));
    for (std::size_t i = 0; i < sides.size(); ++i) {
      sides[i].ms.push_back(ms[i]);
      sides[i].percent.push_back(100 * problem.gflop() / (ms[i] * 1e-3) / peak);
    }
  }
  std::vector<Measurement> results;
  for (const Side& side : sides) {
    Measurement m{side.contender->name(), problem};
    m.ms_median = median(side.ms);
    m.ms_min = *std::min_element(side.ms.begin(), side.ms.end());
    m.gflops = problem.gflop() / (m.ms_median * 1e-3);
    m.percent_of_peak = median(side.percent);
    m.workspace_bytes = side.contender->workspace_bytes();
    std::vector<double> ratios;
    for (std::size_t turn = 0; turn < side.ms.size(); ++turn) ratios.push_back(side.ms[turn] / sides.front().ms[turn]);
    m.ratio = median(ratios);
    results.push_back(std::move(m));
  }
  return results;
}

}  // namespace tapeloop::bench
