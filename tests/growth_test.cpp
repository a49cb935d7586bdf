// Long chains and long loops: nothing overflows a stack, and time and memory grow with the length and no faster.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>

#include "ad/grad.h"
#include "allocations.h"
#include "cells.h"
#include "jit/jit.h"
#include "models/lstm.h"
#include "ops/scan_blocks.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

// Of the processor, all threads together: a machine that others use too gives a program now more of it, now less.
template <class F>
double seconds(F&& f) {
  const std::clock_t begin = std::clock();
  f();
  return double(std::clock() - begin) / CLOCKS_PER_SEC;
}

// What f asks of the allocator, given back or not: its memory at any time is no more.
template <class F>
double bytes(F&& f) {
  const std::int64_t before = allocated_bytes();
  f();
  return double(allocated_bytes() - before);
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / 1024;
}

double megabytes_now() {
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * double(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// The loss of an LSTM of 64 units on a long sequence, added up inside the loop, and no output: nothing is kept for each
// step but what the derivative needs.
struct CellWithLoss {
  using State = std::pair<Lstm::State, Tensor>;
  Lstm cell;
  std::pair<State, std::monostate> operator()(const State& state, const Tensor& x) const {
    const auto next = cell(state.first, x);
    return {{next, state.second + mean(square(next.h))}, {}};
  }
};

auto long_loss(std::int64_t budget) {
  return [=](const Lstm& cell, const Tensor& xs) {
    const CellWithLoss::State start{cell.initial(1), zeros({})};
    return unroll(CellWithLoss{cell}, start, xs, {.memory_budget = budget}).last.second / 1000;
  };
}

constexpr std::int64_t kBudget = 64 << 20;

// Floating-point operations of a tape: two for each multiply-add of a product, one for each element of the rest.
double arithmetic_of(const Tape& tape) {
  double sum = 0;
  for (const Record& r : tape.records) {
    if (r.op->kind == Kind::matmul)
      sum += 2 * double(extent_product(tape[r.in[0]].type.shape).value() * r.type.shape.back().value());
    else if (r.op->kind == Kind::elementwise)
      sum += double(extent_product(r.type.shape).value());
    else if (r.op->kind == Kind::reduce)
      sum += double(extent_product(tape[r.in[0]].type.shape).value());
    const double times = r.op->kind == Kind::loop ? double(r.attrs.extent("length").value()) : 1;
    for (const auto& [name, value] : r.attrs.entries())
      if (const auto* body = std::get_if<TapePtr>(&value)) sum += times * arithmetic_of(**body);
  }
  return sum;
}

TapePtr gradient_tape(std::int64_t budget, const Lstm& cell, const Tensor& xs) {
  return prune(trace(value_and_grad(long_loss(budget)), Recorder::Captures::recorded, cell, xs).tape);
}

}  // namespace

TEST_CASE("growth: a chain of 100,000 ops") {
  auto chain = [](int n) {
    if (tapeloop::testing::kInstrumented) n /= 4;
    return [n](const Tensor& x) {
      Tensor y = x;
      for (int i = 0; i < n; ++i) y = i % 2 ? y * x : y + 0.001;
      return y;
    };
  };
  const Tensor x = full({}, 0.9, f64).materialized();
  const double small = seconds([&] { (void)grad(chain(25'000))(x); });
  Tensor g;
  const double large = seconds([&] { g = grad(chain(100'000))(x); });
  CHECK(g.is_concrete());
  CHECK(large < 12 * small + 0.1);  // four times the ops
  CHECK(seconds([&] { (void)jvp(chain(100'000))(std::tuple{x}, std::tuple{x}); }) < 12 * small + 0.1);
  // Once more for memory; how much of it is kept for reuse already, does not depend on the length.
  auto reverse = [&](int n) { return bytes([&] { (void)grad(chain(n))(x); }); };
  auto forward = [&](int n) { return bytes([&] { (void)jvp(chain(n))(std::tuple{x}, std::tuple{x}); }); };
  if (allocations_are_counted()) {
    CHECK(reverse(100'000) < 5 * reverse(25'000));
    CHECK(forward(100'000) < 5 * forward(25'000));
  }
  // A chain of tensors that are made from nothing.
  Tensor made = zeros({2}, f64);
  for (int i = 0; i < 100'000; ++i) made = made + 1.0;
  CHECK(made.to_vector<double>() == std::vector<double>{1e5, 1e5});
}

TEST_CASE("growth: a loop of 10,000,000 steps" * doctest::test_suite("slow")) {
  auto loss = [](const Tensor& decay, const Tensor& xs) {
    auto [last, ys] = scan([&](const Tensor& h, const Tensor& x) { return std::pair{h * decay + x, std::monostate{}}; },
                           zeros({}), xs);
    return last;
  };
  auto f = jit(value_and_grad(loss));
  const Tensor decay = full({}, 0.5).materialized();
  auto steps = [](std::int64_t n) { return full({n}, 1).materialized(); };
  (void)f(decay, steps(1000));
  const Tensor small = steps(1'000'000), large = steps(10'000'000);
  const double small_bytes = bytes([&] { (void)f(decay, small); });  // the first call asks for what later ones reuse
  const double short_time = seconds([&] { (void)f(decay, small); });
  std::tuple<Tensor, Tensor> result;
  double long_time = 0;
  const double large_bytes = bytes([&] { long_time = seconds([&] { result = f(decay, large); }); });
  CHECK(std::get<0>(result).item<float>() == 2);
  CHECK(std::get<1>(result).item<float>() == 4);  // d/da Σ aⁱ = 1/(1 − a)²
  CHECK(long_time < 30 * short_time + 0.5);
  if (allocations_are_counted()) {
    CHECK(small_bytes > 4e6);  // the state of every step, in f32
    CHECK(large_bytes < 11 * small_bytes);
  }
  // The interpreter takes as many steps without a compiler.
  auto interpret = value_and_grad(loss);
  const Tensor tenth = steps(100'000);
  const double tenth_time = seconds([&] { (void)interpret(decay, tenth); });
  CHECK(seconds([&] { result = interpret(decay, small); }) < 30 * tenth_time + 0.5);
  if (allocations_are_counted())
    CHECK(bytes([&] { (void)interpret(decay, small); }) < 11 * bytes([&] { (void)interpret(decay, tenth); }));
  CHECK(std::get<1>(result).item<float>() == 4);
}

// Run by the next test in a process of its own, whose peak is then the program's.
TEST_CASE("growth: child: an LSTM over a million steps" * doctest::skip()) {
  const std::int64_t steps = 1'000'000;
  const Lstm cell = Lstm::init(key(1), 1, 64);
  const Tensor xs = normal(key(2), {steps, 1, 1}).materialized();
  const TapePtr tape = gradient_tape(kBudget, cell, xs);
  const auto program = Program::compile(tape);
  const Tensors given = leaves_of(std::tuple{cell, xs});
  std::vector<Argument> arguments;
  for (const Tensor& t : given) arguments.push_back({&t, nullptr});
  const double planned = double(program->workspace_bytes(arguments)) / (1 << 20);

  // LLVM has used and given back more memory than it takes now. What the process has before the call must lie above that,
  // or the peak would not show the call.
  const double before = megabytes_now();
  const double spare = std::max(0.0, peak_megabytes() - before);
  Tensors results;
  const double time = seconds([&] { program->run(arguments, results); });
  std::printf("steps %ld planned %.2f before %.2f spare %.2f peak %.2f seconds %.2f loss %.9g\n", long(steps), planned,
              before, spare, peak_megabytes(), time, double(results[0].item<float>()));
}

TEST_CASE("growth: the gradient of an LSTM over a million steps keeps within its memory budget" *
          doctest::test_suite("slow")) {
  std::FILE* child = popen("/proc/$PPID/exe --no-skip -tc='growth: child: *'", "r");
  REQUIRE(child);
  char line[512];
  double planned = 0, before = 0, spare = 0, peak = 0, time = 0, loss = 0;
  long steps = 0;
  while (std::fgets(line, sizeof line, child))
    (void)std::sscanf(line, "steps %ld planned %lf before %lf spare %lf peak %lf seconds %lf loss %lf", &steps,
                      &planned, &before, &spare, &peak, &time, &loss);
  REQUIRE(pclose(child) == 0);
  MESSAGE("planned " << planned << " MB, before " << before << " MB, peak " << peak << " MB, " << time << " s");
  CHECK(steps == 1'000'000);
  CHECK(std::isfinite(loss));
  CHECK(peak < 256);
  CHECK(planned < 1.1 * double(kBudget) / (1 << 20));
  REQUIRE(spare < planned);  // otherwise the peak says nothing about the call
  CHECK(std::abs(peak - before - planned) < 0.1 * planned);

  // What the budget costs, in operations at that length, and in time at one where all can be kept.
  const Lstm cell = Lstm::init(key(1), 1, 64);
  const Tensor million = normal(key(2), {steps, 1, 1}).materialized();
  const double more =
      arithmetic_of(*gradient_tape(kBudget, cell, million)) / arithmetic_of(*gradient_tape(0, cell, million));
  const Tensor xs = normal(key(2), {20'000, 1, 1}).materialized();
  auto plain = jit(value_and_grad(long_loss(0))), within = jit(value_and_grad(long_loss(kBudget / 50)));
  CHECK(same(leaves_of(within(cell, xs)), leaves_of(plain(cell, xs))));
  double plain_time = 1e9, within_time = 1e9;
  for (int i = 0; i < 20; ++i) {
    plain_time = std::min(plain_time, seconds([&] { (void)plain(cell, xs); }));
    within_time = std::min(within_time, seconds([&] { (void)within(cell, xs); }));
  }
  MESSAGE("within the budget " << more << " times the arithmetic; " << within_time << " s instead of " << plain_time);
  CHECK(more < 1.4);
  CHECK(within_time < 1.5 * plain_time);
}
