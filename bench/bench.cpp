// How fast recurrent networks train and run, beside the peers that this machine has.
//
//   ./dev bench                                               everything
//   ./dev bench --cells lstm --rows 16,64,128 --threads 1 --systems tapeloop        one number, in seconds
//   ./dev bench --json results.json
//   ./dev bench --passes --tasks train --threads 1 --systems tapeloop      what each pass of the compiler is worth
//
// Every benchmark is one problem. In it all systems take turns, and the machine's limit is measured around each turn.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "ad/error.h"
#include "bench/measure.h"
#include "bench/peer.h"
#include "bench/report.h"
#include "jit/passes.h"

namespace tapeloop::bench {
namespace {

struct Choice {
  std::vector<std::string> tasks{"train", "infer", "stream", "compile"}, cells, rows,
      systems{"tapeloop", "onednn", "torch"};
  std::vector<int> threads{1, 2};
  double seconds = 0.5;
  bool passes = false;
  std::string json;
};

std::vector<Row> chosen_rows(const Choice& choice, Task task) {
  // Compiling depends on no size but H; the long sequence is there to show it.
  if (choice.rows.empty() && task == Task::compile) return {{16, 64, 128}, {2, 10, 16}, {2, 100'000, 16}};
  if (choice.rows.empty())
    return task == Task::train ? training_rows() : inference_rows(task == Task::infer ? 1000 : 1);
  std::vector<Row> rows;
  for (const std::string& text : choice.rows) {
    Row row{};
    if (std::sscanf(text.c_str(), "%ld,%ld,%ld", &row.batch, &row.steps, &row.size) != 3 || row.batch < 1 ||
        row.steps < 1 || row.size < 1)
      throw Error("bench: a row is B,T,H, and " + text + " is not");
    rows.push_back(row);
  }
  return rows;
}

std::vector<Problem> chosen_problems(const Choice& choice) {
  std::vector<Problem> problems;
  for (Task task : {Task::train, Task::infer, Task::stream, Task::compile}) {
    if (std::find(choice.tasks.begin(), choice.tasks.end(), to_string(task)) == choice.tasks.end()) continue;
    // One row at a time goes through one core alone.
    const std::vector<int> threads = task == Task::train ? choice.threads : std::vector{1};
    const std::vector<std::string> usual = task == Task::train ? all_cells()
                                           : task == Task::compile
                                               ? std::vector<std::string>{"lstm", "gru", "lnlstm", "4 lstm"}
                                               : std::vector<std::string>{"lstm", "gru"};
    for (const Row& row : chosen_rows(choice, task))
      for (const std::string& cell : choice.cells.empty() ? usual : choice.cells)
        for (int n : threads) problems.push_back({task, cell, row, n});
  }
  return problems;
}

Contenders chosen_contenders(const Choice& choice) {
  Contenders contenders;
  for (const std::string& system : choice.systems) {
    auto contender = system == "tapeloop" ? tapeloop_contender() : peer_contender(peer_command(system));
    if (contender)
      contenders.push_back(std::move(contender));
    else
      fmt::print(stderr, "bench: {} is not here to be measured\n", system);
    if (system == "tapeloop" && choice.passes)
      for (const std::string_view pass : pass_names()) contenders.push_back(tapeloop_without(pass));
    if (system == "tapeloop")
      for (bool from_disk : {false, true}) contenders.push_back(compiler_contender(from_disk));
  }
  return contenders;
}

int run(int argc, char** argv) {
  Choice choice;
  CLI::App app{
      "Times recurrent networks, this library's and its peers'. Options that begin with --benchmark_ go to Google "
      "Benchmark."};
  app.allow_extras();
  app.add_option("--tasks", choice.tasks, "train, infer, stream, compile")
      ->delimiter(',')
      ->check(CLI::IsMember({"train", "infer", "stream", "compile"}));
  std::vector<std::string> cells = all_cells();
  cells.emplace_back("4 lstm");  // to be compiled only
  app.add_option("--cells", choice.cells, "rnn, lstm, gru, mgu, peephole, lnlstm, sru; for compiling also \"4 lstm\"")
      ->delimiter(',')
      ->check(CLI::IsMember(cells));
  app.add_option("--rows", choice.rows, "sizes B,T,H, separated by semicolons or given one by one")->delimiter(';');
  app.add_option("--threads", choice.threads, "numbers of threads")->delimiter(',')->check(CLI::PositiveNumber);
  app.add_option("--systems", choice.systems, "tapeloop, onednn, torch")
      ->delimiter(',')
      ->check(CLI::IsMember({"tapeloop", "onednn", "torch"}));
  app.add_flag("--passes", choice.passes, "also measure this library without each pass of its compiler, one by one");
  app.add_option("--seconds", choice.seconds, "about so long for a system and a problem")->check(CLI::PositiveNumber);
  app.add_option("--json", choice.json, "write one JSON object a line to this file");
  CLI11_PARSE(app, argc, argv);

  std::vector<std::string> rest = app.remaining();
  std::vector<char*> flags{argv[0]};
  for (std::string& flag : rest) flags.push_back(flag.data());
  int count_of_flags = int(flags.size());
  benchmark::Initialize(&count_of_flags, flags.data());
  if (benchmark::ReportUnrecognizedArguments(count_of_flags, flags.data())) return 1;

  Table table(choice.json);
  const Contenders contenders = chosen_contenders(choice);
  for (const Problem& problem : chosen_problems(choice)) {
    benchmark::RegisterBenchmark(problem.name().c_str(),
                                 [&table, &contenders, &choice, problem](benchmark::State& state) {
                                   for (auto _ : state) {
                                     try {
                                       const auto measurements = measure(problem, contenders, choice.seconds);
                                       if (measurements.empty()) {
                                         state.SkipWithError("no system offers this");
                                         break;
                                       }
                                       state.SetIterationTime(measurements.front().ms_median * 1e-3);
                                       count(state, measurements);
                                       table.add(measurements);
                                     } catch (const std::exception& error) {
                                       state.SkipWithError(error.what());
                                       break;
                                     }
                                   }
                                 })
        ->Iterations(1)  // measure() takes turns itself
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks(&table);
  return 0;
}

}  // namespace
}  // namespace tapeloop::bench

int main(int argc, char** argv) {
  try {
    return tapeloop::bench::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
