#include "bench/problem.h"

#include <fmt/format.h>

namespace tapeloop::bench {

std::string to_string(Task task) {
  switch (task) {
    case Task::train:
      return "train";
    case Task::infer:
      return "infer";
    case Task::stream:
      return "stream";
    case Task::compile:
      return "compile";
  }
  return "";
}

const std::vector<std::string>& all_cells() {
  static const std::vector<std::string> cells{"rnn", "lstm", "gru", "mgu", "peephole", "lnlstm", "sru"};
  return cells;
}

int gates(const std::string& cell) {
  if (cell == "rnn") return 1;
  if (cell == "mgu") return 2;
  if (cell == "gru" || cell == "sru") return 3;
  return 4;
}

double Problem::gflop() const {
  if (task == Task::compile) return 0;
  const double left = double(cell == "sru" ? row.size : 2 * row.size);  // it multiplies the input only
  const double forward = 2.0 * gates(cell) * double(row.size) * left * double(row.batch * row.steps) * 1e-9;
  return task == Task::train ? 3 * forward : forward;
}

std::string Problem::name() const {
  return fmt::format("{}/{}/B:{}/T:{}/H:{}/threads:{}", to_string(task), cell, row.batch, row.steps, row.size, threads);
}

const std::vector<Row>& training_rows() {
  static const std::vector<Row> rows{{1, 64, 32},    {1, 100, 128}, {16, 64, 128},  {20, 35, 200}, {32, 64, 256},
                                     {32, 512, 128}, {64, 50, 512}, {128, 35, 650}, {256, 100, 64}};
  return rows;
}

std::vector<Row> inference_rows(std::int64_t steps) {
  std::vector<Row> rows;
  for (std::int64_t size : {8, 16, 24, 32, 40, 64, 128, 256, 512}) rows.push_back({1, steps, size});
  return rows;
}

}  // namespace tapeloop::bench
