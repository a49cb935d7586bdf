// The results as a table for people and as lines of JSON for programs.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>

#include "bench/measure.h"

namespace tapeloop::bench {

// What a benchmark hands to Google Benchmark, so that its own outputs (--benchmark_out) hold everything too.
void count(benchmark::State& state, const std::vector<Measurement>& measurements);

// {"system", "cell", "task", "B", "T", "I", "H", "threads", "ms_median", "ms_min", "gflops", "percent_of_peak"}
std::string to_json(const Measurement& m);

// Prints a line for each measurement as soon as it is there. Given to Google Benchmark in place of its own table.
class Table final : public benchmark::BenchmarkReporter {
 public:
  // `json`, when it is not empty, names the file that the lines of JSON go to. Throws Error when it cannot be written.
  explicit Table(const std::string& json);
  ~Table() override;
  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& runs) override;
  // The measurements of the benchmark that runs now.
  void add(const std::vector<Measurement>& measurements);

 private:
  std::FILE* json_ = nullptr;
  std::vector<Measurement> pending_;
};

}  // namespace tapeloop::bench
