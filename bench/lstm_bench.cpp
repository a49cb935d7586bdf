// The time of one LSTM training step, forward and backward through time, at several sizes.
//
//   ./dev bench lstm_bench --benchmark_filter=train/B:32/T:64/H:256
//
// GFLOP/s counts the matrix products only: the forward step has 2·4·H·(I + H) operations for each row and time step, and
// the backward step twice as many, 6·4·H·(I + H)·B·T in all, with I = H. TAPELOOP_THREADS sets the number of threads.
#include <benchmark/benchmark.h>

#include "ad/grad.h"
#include "jit/jit.h"
#include "models/cell.h"
#include "models/lstm.h"

namespace {

using tapeloop::Lstm;
using tapeloop::Tensor;

Tensor loss(const Lstm& cell, const Tensor& xs, const Lstm::State& state) {
  return tapeloop::sum(tapeloop::unroll(cell, state, xs).outputs);
}

struct Problem {
  std::int64_t batch, steps, size;
  Lstm cell = Lstm::init(tapeloop::key(1), size, size);
  Tensor xs = tapeloop::normal(tapeloop::key(2), {steps, batch, size}).materialized();
  Lstm::State state = cell.initial(batch);

  explicit Problem(const benchmark::State& s) : batch(s.range(0)), steps(s.range(1)), size(s.range(2)) {}

  void report(benchmark::State& s, double operations) const {
    const double flop = operations * 4 * double(size) * double(2 * size) * double(batch * steps);
    s.counters["GFLOP/s"] = benchmark::Counter(flop * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  }
};

// Gradients with respect to the weights and the inputs, as a layer in the middle of a network needs them.
void train(benchmark::State& s) {
  const Problem p(s);
  auto step = tapeloop::jit([](const Lstm& cell, const Tensor& xs, const Lstm::State& state) {
    return tapeloop::value_and_grad<0, 1>(loss)(cell, xs, state);
  });
  benchmark::DoNotOptimize(step(p.cell, p.xs, p.state));  // compiles
  for (auto _ : s) benchmark::DoNotOptimize(step(p.cell, p.xs, p.state));
  p.report(s, 6);
}

void forward(benchmark::State& s) {
  const Problem p(s);
  auto step = tapeloop::jit(loss);
  benchmark::DoNotOptimize(step(p.cell, p.xs, p.state));
  for (auto _ : s) benchmark::DoNotOptimize(step(p.cell, p.xs, p.state));
  p.report(s, 2);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"B", "T", "H"})->Unit(benchmark::kMillisecond)->UseRealTime();
  b->Args({32, 64, 256})->Args({1, 64, 256})->Args({32, 64, 128})->Args({64, 64, 512})->Args({32, 10, 256});
}

BENCHMARK(train)->Apply(sizes);
BENCHMARK(forward)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
