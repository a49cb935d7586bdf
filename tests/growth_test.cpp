// Long chains and long loops: nothing overflows a stack, and time and memory grow with the length and no faster.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "ad/grad.h"
#include "cells.h"
#include "jit/jit.h"
#include "models/lstm.h"
#include "ops/scan_blocks.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

template <class F>
double seconds(F&& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / 1024;
}

// The loss of an LSTM of 64 units on a long sequence, added up inside the loop: nothing is kept for each step but what the
// derivative needs.
auto long_loss(std::int64_t budget) {
  return [=](const Lstm& cell, const Tensor& xs) {
    auto step = [&](const std::pair<Lstm::State, Tensor>& state, const Tensor& x) {
      const auto next = cell(state.first, x);
      return std::pair{std::pair{next, state.second + mean(square(next.h))}, std::monostate{}};
    };
    auto [last, nothing] = scan(step, std::pair{cell.initial(1), zeros({})}, xs, {.memory_budget = budget});
    return last.second / 1000;
  };
}

}  // namespace

TEST_CASE("growth: a chain of 100,000 ops") {
  auto chain = [](int n) {
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
  (void)f(decay, small);
  const double short_time = seconds([&] { (void)f(decay, small); });
  std::tuple<Tensor, Tensor> result;
  const double long_time = seconds([&] { result = f(decay, large); });
  CHECK(std::get<0>(result).item<float>() == 2);
  CHECK(std::get<1>(result).item<float>() == 4);  // d/da Σ aⁱ = 1/(1 − a)²
  CHECK(long_time < 30 * short_time + 0.5);
  // The interpreter takes as many steps without a compiler.
  auto interpret = value_and_grad(loss);
  const Tensor tenth = steps(100'000);
  const double tenth_time = seconds([&] { (void)interpret(decay, tenth); });
  CHECK(seconds([&] { result = interpret(decay, small); }) < 30 * tenth_time + 0.5);
  CHECK(std::get<1>(result).item<float>() == 4);
}

// Run by the next test in a process of its own, whose peak is then the program's.
TEST_CASE("growth: child: an LSTM over a million steps" * doctest::skip()) {
  const std::int64_t steps = 1'000'000, budget = 64 << 20;
  const Lstm cell = Lstm::init(key(1), 1, 64);
  const Tensor xs = normal(key(2), {steps, 1, 1}).materialized();
  std::tuple<Tensor, Lstm> result;
  // A smaller one first, so that the compiler and the threads have what they need.
  result = jit(value_and_grad(long_loss(1 << 20)))(cell, normal(key(2), {10'000, 1, 1}).materialized());
  auto f = jit(value_and_grad(long_loss(budget)));
  const double before = peak_megabytes(), time = seconds([&] { result = f(cell, xs); });
  std::printf("steps %ld before %.1f peak %.1f seconds %.2f loss %.9g\n", long(steps), before, peak_megabytes(), time,
              double(std::get<0>(result).item<float>()));
}

TEST_CASE("growth: the gradient of an LSTM over a million steps keeps within its memory budget" *
          doctest::test_suite("slow")) {
  std::FILE* child = popen("/proc/$PPID/exe --no-skip -tc='growth: child: *'", "r");
  REQUIRE(child);
  char line[512];
  double before = 0, peak = 0, time = 0, loss = 0;
  long steps = 0;
  while (std::fgets(line, sizeof line, child))
    (void)std::sscanf(line, "steps %ld before %lf peak %lf seconds %lf loss %lf", &steps, &before, &peak, &time, &loss);
  REQUIRE(pclose(child) == 0);
  INFO("before ", before, " MB, peak ", peak, " MB, ", time, " s");
  CHECK(steps == 1'000'000);
  CHECK(peak < 256);
  CHECK(std::isfinite(loss));

  // The forward pass runs twice, the backward pass once: about a third more than keeping all. Here at a length where both fit.
  const Lstm cell = Lstm::init(key(1), 1, 64);
  const Tensor xs = normal(key(2), {20'000, 1, 1}).materialized();
  auto plain = jit(value_and_grad(long_loss(0))), within = jit(value_and_grad(long_loss(2 << 20)));
  CHECK(same(leaves_of(within(cell, xs)), leaves_of(plain(cell, xs))));
  double plain_time = 1e9, within_time = 1e9;
  for (int i = 0; i < 5; ++i) {
    plain_time = std::min(plain_time, seconds([&] { (void)plain(cell, xs); }));
    within_time = std::min(within_time, seconds([&] { (void)within(cell, xs); }));
  }
  INFO("all kept ", plain_time, " s, within the budget ", within_time, " s");
  CHECK(within_time < 1.75 * plain_time);
}
