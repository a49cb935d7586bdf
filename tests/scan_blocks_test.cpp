// Strip-mining: a loop taken apart into blocks is the loop that it was, for every length, block and direction.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "ops/scan_blocks.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

// A loop with a captured constant, two tensors of state, two sequences and two outputs.
TapePtr loop_of(int steps, bool reverse) {
  auto f = [=](const Tensor& w, const Tensor& a, const Tensor& b, const Tensor& xs, const Tensor& us) {
    auto step = [&](const std::pair<Tensor, Tensor>& state, const std::pair<Tensor, Tensor>& x) {
      const Tensor h = tanh(matmul(state.first, w) + x.first), c = state.second * 0.5 + h * x.second;
      return std::pair{std::pair{h, c}, std::pair{h * c, sum(c)}};
    };
    return scan(step, std::pair{a, b}, std::pair{xs, us}, {.reverse = reverse});
  };
  return trace(f, Recorder::Captures::recorded, noise(1, {3, 3}), noise(2, {2, 3}), noise(3, {2, 3}),
               noise(4, {steps, 2, 3}), noise(5, {steps, 1}))
      .tape;
}

// The tape with its loop taken apart; the bodies that are called are added to `called`.
TapePtr taken_apart(const TapePtr& tape, std::int64_t k, const StripOptions& options) {
  auto recorder = Recorder::start();
  Tensors value(tape->size());
  for (Id id : tape->inputs) value[id] = recorder->input((*tape)[id].type);
  for (Id id = 0; id < tape->size(); ++id) {
    const Record& r = (*tape)[id];
    Tensors in;
    for (Id operand : r.in) in.push_back(value[operand]);
    if (r.op == &scan_op)
      value[id] = Tensor::tuple(strip_mine(Loop(r.attrs), in, k, options, r.where));
    else if (r.op == &pick_op)
      value[id] = pick(in[0], r.attrs.integer("index"));
  }
  Tensors outputs;
  for (Id id : tape->outputs) outputs.push_back(value[id]);
  return recorder->finish(outputs);
}

void collect_bodies(const Tape& tape, const Tape* original, int& calls) {
  for (const Record& r : tape.records) {
    if (r.op != &scan_op) continue;
    const TapePtr body = Loop(r.attrs).body;
    if (body.get() == original)
      ++calls;
    else
      collect_bodies(*body, original, calls);
  }
}

TapePtr gradient_of_all(const TapePtr& tape) {
  return vjp(tape, {std::vector<bool>(tape->inputs.size(), true), std::vector<bool>(tape->outputs.size(), true), {}});
}

}  // namespace

TEST_CASE("blocks: a loop taken apart gives the same bits, and its parts call the same body") {
  for (int steps : {0, 1, 5, 8, 9})
    for (bool reverse : {false, true}) {
      const TapePtr whole = loop_of(steps, reverse);
      const Tape* body = nullptr;
      for (const Record& r : whole->records)
        if (r.op == &scan_op) body = Loop(r.attrs).body.get();
      REQUIRE(body);
      Tensors inputs{noise(1, {3, 3}), noise(2, {2, 3}), noise(3, {2, 3}), noise(4, {steps, 2, 3}),
                     noise(5, {steps, 1})};
      Tensors with_cts = inputs;
      for (std::size_t i = 0; i < whole->outputs.size(); ++i)
        with_cts.push_back(noise(int(20 + i), whole->output_type(i).shape));
      for (std::int64_t k : {1, 2, 4, 8, 20})
        for (auto rest : {StripOptions::Rest::last, StripOptions::Rest::first})
          for (bool full : {false, true}) {
            INFO(steps << " steps in blocks of " << k << ", reverse " << reverse << ", rest last "
                       << (rest == StripOptions::Rest::last) << ", rest full " << full);
            const TapePtr apart = taken_apart(whole, k, {.rest = rest, .full_rest = full});
            verify(*apart);
            CHECK(same(run(*apart, inputs), run(*whole, inputs)));
            int calls = 0;
            collect_bodies(*apart, body, calls);
            const std::int64_t left = full ? (steps > 0 ? (steps - 1) % k + 1 : 0) : steps % k;
            CHECK(calls == (left < steps ? 1 : 0) + (left > 0 || steps == 0 ? 1 : 0));
            // Each part adds up its own share of the gradient of what both use: the weights.
            CHECK(distance(run(*gradient_of_all(apart), with_cts), run(*gradient_of_all(whole), with_cts)) <= 1e-14);
            tapeloop::testing::cases += 2;
          }
    }
}

TEST_CASE("blocks: the state between blocks goes through what is asked for, after every block and nowhere else") {
  const TapePtr whole = loop_of(7, false);
  int called = 0;
  auto halve_first = [&](const Tensors& state) {
    ++called;
    return Tensors{state[0] * 0.5, state[1]};
  };
  const TapePtr apart = taken_apart(whole, 3, {.between = halve_first});
  CHECK(called == 1);
  const Tensors in{noise(1, {3, 3}), noise(2, {2, 3}), noise(3, {2, 3}), noise(4, {7, 2, 3}), noise(5, {7, 1})};
  Tensors state{in[1], in[2]}, first_ys;
  for (int begin = 0; begin < 7; begin += 3) {
    const int end = std::min(begin + 3, 7);
    const Tensors part = run(*loop_of(end - begin, false),
                             {in[0], state[0], state[1], slice(in[3], 0, begin, end), slice(in[4], 0, begin, end)});
    state = {end - begin == 3 ? part[0] * 0.5 : part[0], part[1]};
    first_ys.push_back(part[2]);
  }
  const Tensors results = run(*apart, in);
  CHECK(same({results[0], results[1], results[2]}, {state[0], state[1], concat(first_ys, 0)}));
}

TEST_CASE("blocks: one compiled program truncates sequences of every length") {
  for (bool reverse : {false, true}) {
    const UnrollOptions options{.truncate = 4, .reverse = reverse};
    const Mgu cell{noise(1, {3, 8}), noise(2, {4, 8}), noise(3, {8})};
    auto gradient = [&](const Mgu& c, const Tensor& h, const Tensor& xs, const Tensor& w) {
      return grad<0, 1, 2>(weighted(options))(c, h, xs, w);
    };
    auto compiled = jit(gradient);
    std::int64_t before = 0;
    for (int steps : {11, 9, 13, 6, 23, 3, 4}) {
      INFO(steps << " steps, reverse " << reverse);
      const Tensor h = noise(9, {2, 4}), xs = noise(60, {steps, 2, 3}), w = weights_for(steps);
      CHECK(same(leaves_of(compiled(cell, h, xs, w)), leaves_of(gradient(cell, h, xs, w))));
      if (steps == 11)
        before = programs_compiled();
      else
        CHECK(programs_compiled() == before);
      ++tapeloop::testing::cases;
    }
  }
}

TEST_CASE("blocks: a block has at least one step, and truncation is not negative") {
  CHECK_THROWS_WITH_AS(taken_apart(loop_of(5, false), 0, {}), doctest::Contains("blocks of 0 steps"), InternalError);
  auto step = [](const Tensor& h, const Tensor& x) { return std::pair{h + x, h}; };
  CHECK_THROWS_WITH_AS(scan(step, zeros({2}), ones({5, 2}), {.truncate = -2}),
                       doctest::Contains("scan: truncate is -2"), Error);
}
