// Fair comparison: all contenders in turn, again and again, the machine's limit measured around each turn.
#pragma once

#include <memory>
#include <vector>

#include "bench/contender.h"

namespace tapeloop::bench {

struct Measurement {
  std::string system;
  Problem problem;
  double ms_median = 0, ms_min = 0;
  double gflops = 0;           // at the median
  double percent_of_peak = 0;  // the median over the turns, each against the peak measured just before and after it
  std::int64_t workspace_bytes = 0;  // beside arguments and results; 0: not known
  double ratio = 1;                  // the median over the turns of this system's time by the first's
};

using Contenders = std::vector<std::unique_ptr<Contender>>;

// One measurement for each contender that offers the problem; each gets about `seconds` of time, and at least 5 turns.
std::vector<Measurement> measure(const Problem& problem, const Contenders& contenders, double seconds);

// Of a list that is not empty.
double median(std::vector<double> values);

}  // namespace tapeloop::bench
