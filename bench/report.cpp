#include "bench/report.h"

#include <fmt/format.h>

#include "ad/error.h"

namespace tapeloop::bench {

void count(benchmark::State& state, const std::vector<Measurement>& measurements) {
  for (const Measurement& m : measurements) {
    state.counters[m.system + "_ms"] = m.ms_median;
    state.counters[m.system + "_percent_of_peak"] = m.percent_of_peak;
    state.counters[m.system + "_ratio"] = m.ratio;
  }
}

std::string to_json(const Measurement& m) {
  const Row& row = m.problem.row;
  return fmt::format(R"({{"system":"{}","cell":"{}","task":"{}","B":{},"T":{},"I":{},"H":{},"threads":{},)"
                     R"("ms_median":{:.6g},"ms_min":{:.6g},"gflops":{:.6g},"percent_of_peak":{:.4g}{}{}}})",
                     m.system == "from disk" ? "tapeloop" : m.system, m.problem.cell, to_string(m.problem.task),
                     row.batch, row.steps, row.size, row.size, m.problem.threads, m.ms_median, m.ms_min, m.gflops,
                     m.percent_of_peak,
                     m.workspace_bytes ? fmt::format(R"(,"workspace_bytes":{})", m.workspace_bytes) : "",
                     m.system == "from disk" ? R"(,"from_disk":true)" : "");
}

Table::Table(const std::string& json) {
  if (json.empty()) return;
  json_ = std::fopen(json.c_str(), "w");
  if (!json_) throw Error("bench: cannot write " + json);
}

Table::~Table() {
  if (json_) std::fclose(json_);
}

bool Table::ReportContext(const Context&) {
  fmt::print("{:<8} {:<9} {:>4} {:>5} {:>4} {:>3}  {:<9} {:>11} {:>11} {:>9} {:>7} {:>8} {:>7}\n", "task", "cell", "B",
             "T", "H", "thr", "system", "ms", "ms min", "GFLOP/s", "% peak", "ratio", "MB");
  return true;
}

void Table::add(const std::vector<Measurement>& measurements) {
  pending_.insert(pending_.end(), measurements.begin(), measurements.end());
}

void Table::ReportRuns(const std::vector<Run>& runs) {
  for (const Run& run : runs)
    if (run.error_occurred) fmt::print("{}: {}\n", run.benchmark_name(), run.error_message);
  for (const Measurement& m : pending_) {
    const Row& row = m.problem.row;
    // The ratio is this system's time by ours; the memory is what it works in beside arguments and results.
    const std::string memory =
        m.workspace_bytes ? fmt::format("{:.3g}", double(m.workspace_bytes) / (1 << 20)) : std::string();
    fmt::print("{:<8} {:<9} {:>4} {:>5} {:>4} {:>3}  {:<9} {:>11.5g} {:>11.5g} {:>9.4g} {:>7.1f} {:>8.3f} {:>7}\n",
               to_string(m.problem.task), m.problem.cell, row.batch, row.steps, row.size, m.problem.threads, m.system,
               m.ms_median, m.ms_min, m.gflops, m.percent_of_peak, m.ratio, memory);
    if (json_) fmt::print(json_, "{}\n", to_json(m));
  }
  std::fflush(stdout);
  if (json_) std::fflush(json_);
  pending_.clear();
}

}  // namespace tapeloop::bench
