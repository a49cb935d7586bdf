// Functions kept whole: checkpoint computes again and changes no bit; custom rules are taken at their word, in both modes.
#include <doctest/doctest.h>

#include "ad/check.h"
#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "ops/batch.h"
#include "ops/call.h"
#include "ops/jacobian.h"
#include "ops/scan_blocks.h"
#include "tapes.h"

using namespace tapeloop;
using namespace tapeloop::testing;

TEST_CASE("checkpoint: the same bits in every mode, and the inside is computed again") {
  auto f = [](const Tensor& x, const Tensor& w) { return matmul(tanh(matmul(x, w)), w) * x; };
  auto plain = [&](const Tensor& x, const Tensor& w) { return sum(square(f(f(x, w), w))); };
  auto kept = [&](const Tensor& x, const Tensor& w) { return sum(square(checkpoint(f)(checkpoint(f)(x, w), w))); };
  const Tensor x = noise(1, {3, 4}), w = noise(2, {4, 4}), v = noise(3, {3, 4});
  CHECK(same_bits(kept(x, w), plain(x, w)));
  const auto gradient = leaves_of(grad<0, 1>(plain)(x, w));
  CHECK(same(leaves_of(grad<0, 1>(kept)(x, w)), gradient));
  CHECK(same(leaves_of(jit(grad<0, 1>(kept))(x, w)), gradient));
  CHECK(same({hvp(kept)(v, x, w)}, {hvp(plain)(v, x, w)}));
  CHECK(same(leaves_of(jvp(kept)(std::tuple{x, w}, std::tuple{v, w})),
             leaves_of(jvp(plain)(std::tuple{x, w}, std::tuple{v, w}))));
  const Tensor xs = noise(4, {5, 3, 4});
  const VmapOptions over_xs{.in = {0, none}};
  CHECK(same(leaves_of(vmap(grad<0, 1>(kept), over_xs)(xs, w)), leaves_of(vmap(grad<0, 1>(plain), over_xs)(xs, w))));
  check_gradients(kept, x, w);

  // The hyperbolic tangents: two in the value, two more in the derivative; not merged, and each behind a barrier.
  const TapePtr tape = trace(grad<0>(kept), Recorder::Captures::recorded, x, w).tape;
  CHECK(count_op(*tape, tanh_op) == 4);
  CHECK(count_op(*tape, barrier_op) > 0);
  CHECK(count_op(*trace(grad<0>(plain), Recorder::Captures::recorded, x, w).tape, tanh_op) == 2);
}

TEST_CASE("checkpoint: a captured value has its gradient, an unused one has none, integers pass") {
  const Tensor x = noise(1, {3}), c = noise(2, {3}), i = Tensor::of(std::vector<int>{2, 0, 1}, {3});
  auto f = [&](const Tensor& a, const Tensor& b) {
    auto inner = [&](const Tensor& y, const Tensor& index) { return std::pair{y * b + constant(c), index + 1}; };
    const auto [y, index] = checkpoint(inner)(a, constant(i));
    return sum(y * cast(index, f64));
  };
  CHECK(same_bits(std::get<1>(grad<0, 1>(f)(x, c)), (x * cast(i + 1, f64)).materialized()));
  check_gradients(f, x, c);
}

TEST_CASE("checkpoint over time: every cell, every block, both directions: the same bits" *
          doctest::test_suite("long")) {
  for_each_cell([](const std::string& name, const auto& cell) {
    const auto state = state_of(cell, 2);
    const int steps = 7;
    const Tensor xs = noise(60, {steps, 2, 3}), w = weights_for(steps);
    for (bool reverse : {false, true}) {
      const auto plain = leaves_of(value_and_grad<0, 1, 2>(weighted({.reverse = reverse}))(cell, state, xs, w));
      for (int k : {1, 2, 3, 7, 20}) {
        INFO(name << ", checkpoint " << k << ", reverse " << reverse);
        auto f = value_and_grad<0, 1, 2>(weighted({.checkpoint = k, .reverse = reverse}));
        CHECK(same(leaves_of(f(cell, state, xs, w)), plain));
        if (k == 3) CHECK(same(leaves_of(jit(f)(cell, state, xs, w)), plain));
        ++tapeloop::testing::cases;
      }
    }
  });
}

TEST_CASE("memory budget: schedules fit, use as few levels as will do, and change no bit") {
  const Lstm cell = Lstm::init(key(3), 3, 4, {.dtype = f64});
  const auto state = state_of(cell, 2);
  const int steps = 97;
  const Tensor xs = noise(60, {steps, 2, 3}), w = weights_for(steps);
  auto f = [&](const UnrollOptions& options) {
    return leaves_of(value_and_grad<0, 1, 2>(weighted(options))(cell, state, xs, w));
  };
  const Tensors plain = f({});
  const TapePtr tape = trace(weighted(), Recorder::Captures::recorded, cell, state, xs, w).tape;
  for (const Record& r : tape->records) {
    if (r.op != &scan_op) continue;
    const Loop loop(r.attrs);
    const std::int64_t s = bytes_of_state(loop), step = bytes_kept_per_step(loop);
    CHECK(s == 2 * 2 * 4 * 8);
    CHECK(step > s);
    std::size_t levels = 0;
    for (std::int64_t budget :
         {steps * step, steps * step - 1, 30 * step, 12 * s + 10 * step, 10 * s + 5 * step, 8 * s + 4 * step}) {
      INFO("budget " << budget);
      const auto blocks = blocks_within(loop, budget, r.where);
      CHECK(blocks.size() >= levels);
      levels = blocks.size();
      std::int64_t bytes = 0, now = steps;
      for (std::int64_t k : blocks) {
        bytes += (now + k - 1) / k * s;
        now = k;
      }
      CHECK(bytes + now * step <= budget);
      CHECK(same(f({.memory_budget = budget}), plain));
    }
    CHECK(levels >= 2);
    CHECK_THROWS_WITH_AS(blocks_within(loop, step, r.where),
                         doctest::Contains("no schedule keeps within memory_budget"), Error);
  }
  CHECK_THROWS_WITH_AS(f({.truncate = 2, .checkpoint = 2}), doctest::Contains("given together"), Error);
  CHECK_THROWS_WITH_AS(f({.checkpoint = -1}), doctest::Contains("checkpoint is -1"), Error);
}

TEST_CASE("custom_vjp: its rule is used, in reverse and transposed in forward mode") {
  // The identity that clips what flows back; a rule that is no derivative of anything, and therefore seen to be used.
  auto clipped = custom_vjp([](const Tensor& x) { return x * 1; },
                            [](const Tensor&, const Tensor&, const Tensor& ct) { return minimum(maximum(ct, -1), 1); });
  const Tensor x = noise(1, {5});
  auto f = [&](const Tensor& a) { return sum(square(clipped(a))); };
  CHECK(same_bits(grad(f)(x), minimum(maximum(2 * x, -1), 1)));
  CHECK(same_bits(jit(grad(f))(x), minimum(maximum(2 * x, -1), 1)));
  CHECK_THROWS_AS(check_gradients(f, x), Error);

  // A right one, of two arguments and with two results.
  auto pair_of = [](const Tensor& a, const Tensor& b) { return std::pair{a * b, sin(a)}; };
  auto rule = [](const Tensor& a, const Tensor& b, const std::pair<Tensor, Tensor>&,
                 const std::pair<Tensor, Tensor>& ct) {
    return std::tuple{ct.first * b + ct.second * cos(a), ct.first * a};
  };
  auto own = [&](const Tensor& a, const Tensor& b) {
    const auto [p, q] = custom_vjp(pair_of, rule)(a, b);
    return sum(square(p) * q);
  };
  auto plain = [&](const Tensor& a, const Tensor& b) {
    const auto [p, q] = pair_of(a, b);
    return sum(square(p) * q);
  };
  const Tensor y = noise(2, {5}), v = noise(3, {5});
  check_gradients(own, x, y);
  CHECK(distance(leaves_of(grad<0, 1>(own)(x, y)), leaves_of(grad<0, 1>(plain)(x, y))) <= 1e-15);
  CHECK(distance({hvp(own)(v, x, y)}, {hvp(plain)(v, x, y)}) <= 1e-14);
  CHECK(distance(leaves_of(jvp(own)(std::tuple{x, y}, std::tuple{v, v})),
                 leaves_of(jvp(plain)(std::tuple{x, y}, std::tuple{v, v}))) <= 1e-15);
  const Tensor xs = noise(4, {3, 5});
  const VmapOptions over_x{.in = {0, none}};
  CHECK(distance(leaves_of(vmap(grad<0, 1>(own), over_x)(xs, y)), leaves_of(vmap(grad<0, 1>(plain), over_x)(xs, y))) <=
        1e-15);
  auto together = [&](auto& g) {
    return [&](const Tensor& many, const Tensor& b) { return sum(vmap(g, over_x)(many, b)); };
  };
  CHECK(distance(leaves_of(grad<0, 1>(together(own))(xs, y)), leaves_of(grad<0, 1>(together(plain))(xs, y))) <= 1e-15);
  // In a loop.
  auto over_time = [&](auto& g) {
    return [&](const Tensor& h, const Tensor& sequence) {
      auto step = [&](const Tensor& s, const Tensor& now) { return std::pair{tanh(s * g(s, now)), s}; };
      auto [last, ys] = scan(step, h, sequence);
      return sum(last) + sum(ys);
    };
  };
  CHECK(distance(leaves_of(grad<0, 1>(over_time(own))(x, xs)), leaves_of(grad<0, 1>(over_time(plain))(x, xs))) <=
        1e-14);
  CHECK(same(leaves_of(jit(grad<0, 1>(over_time(own)))(x, xs)), leaves_of(grad<0, 1>(over_time(own))(x, xs))));
}

TEST_CASE("custom_jvp: its rule is used in forward and transposed in reverse mode") {
  auto f = [](const Tensor& a, const Tensor& b) { return exp(a) * b; };
  auto rule = [](const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& da, const Tensor& db) {
    return y * da + exp(a) * db + 0 * b;
  };
  auto own = [&](const Tensor& a, const Tensor& b) { return sum(square(custom_jvp(f, rule)(a, b))); };
  auto plain = [&](const Tensor& a, const Tensor& b) { return sum(square(f(a, b))); };
  const Tensor x = noise(1, {5}), y = noise(2, {5}), v = noise(3, {5});
  check_gradients(own, x, y);
  CHECK(distance(leaves_of(grad<0, 1>(own)(x, y)), leaves_of(grad<0, 1>(plain)(x, y))) <= 1e-15);
  CHECK(distance({hvp(own)(v, x, y)}, {hvp(plain)(v, x, y)}) <= 1e-14);
  const Tensor xs = noise(4, {3, 5});
  CHECK(distance(leaves_of(vmap(grad<0, 1>(own), {.in = {0, none}})(xs, y)),
                 leaves_of(vmap(grad<0, 1>(plain), {.in = {0, none}})(xs, y))) <= 1e-15);
  auto wrong = [&](const Tensor& a) {
    return sum(custom_jvp([](const Tensor& z) { return square(z); },
                          [](const Tensor& z, const Tensor&, const Tensor& dz) { return z * dz; })(a));
  };
  CHECK_THROWS_AS(check_gradients(wrong, x), Error);
}

TEST_CASE("custom rules: mistakes are told") {
  const Tensor x = noise(1, {5}), i = Tensor::of(std::vector<int>{1, 2}, {2});
  auto twice = [](const Tensor& a) { return a * 2; };
  auto shape = custom_vjp(twice, [](const Tensor&, const Tensor&, const Tensor& ct) { return sum(ct); });
  CHECK_THROWS_WITH_AS(shape(x), doctest::Contains("the rule gives f64[] for tensor 0, which is f64[5]"), Error);
  auto number = custom_vjp([](const Tensor& a, const Tensor& b) { return a * b; },
                           [](const Tensor&, const Tensor&, const Tensor&, const Tensor& ct) { return ct; });
  CHECK_THROWS_WITH_AS(number(x, x), doctest::Contains("the rule gives 1 tensors for 2"), Error);
  auto integer =
      custom_vjp([](const Tensor& a, const Tensor&) { return a * 2; },
                 [](const Tensor&, const Tensor& b, const Tensor&, const Tensor& ct) { return std::tuple{ct * 2, b}; });
  CHECK_THROWS_WITH_AS(integer(x, i), doctest::Contains("derivative for tensor 1, which takes none"), Error);
  auto captures = [&](const Tensor& a) {
    return sum(custom_vjp([&](const Tensor& b) { return b * a; },
                          [](const Tensor&, const Tensor&, const Tensor& ct) { return ct; })(a));
  };
  CHECK_THROWS_WITH_AS(grad(captures)(x), doctest::Contains("uses a recorded value f64[5] that is not an argument"),
                       Error);
  // An empty tensor stands for zero.
  auto none_at_all = custom_vjp(twice, [](const Tensor&, const Tensor&, const Tensor&) { return Tensor(); });
  CHECK(same_bits(grad([&](const Tensor& a) { return sum(none_at_all(a)); })(x), zeros({5}, f64)));
}

TEST_CASE("what is made of a function may be called where it is const, even if the function changes itself") {
  const Tensor x = noise(1, {3});
  auto counts = [calls = 0](const Tensor& v) mutable { return sum(square(v)) + ++calls; };
  const auto value = value_and_grad(counts);
  const double first = std::get<0>(value(x)).item<double>();
  CHECK(std::get<0>(value(x)).item<double>() == doctest::Approx(first + 1));
  const auto gradient = grad(counts);
  CHECK(same_bits(gradient(x), x + x));
  const auto forward = jvp(counts);
  CHECK(same_bits(forward(std::tuple{x}, std::tuple{x}).second, sum(x * (x + x))));
  const auto reverse = vjp(counts);
  CHECK(same_bits(std::get<0>(reverse(x).second(ones({}, f64))), x + x));
  const auto second = hvp(counts);
  const auto along = hessian(counts);
  CHECK(same_bits(second(x, x), x + x));
  CHECK(same_bits(matmul(along(x), x), x + x));
  const auto rows = vmap(counts);
  const auto kept = checkpoint(counts);
  const auto compiled = jit(counts);
  CHECK(rows(expand_dims(x, 0)).shape() == Shape{1});
  CHECK(same_bits(kept(x), compiled(x)));
  const auto rule = [calls = 0](const Tensor& v, const Tensor&, const Tensor& ct) mutable { return v * ct * ++calls; };
  const auto custom = custom_vjp(counts, rule);
  CHECK(same_bits(grad(custom)(x), x));
}

TEST_CASE("copies of a compiled function have what was compiled together") {
  const auto f = jit([](const Tensor& x) { return tanh(x) * 0.375; });
  const auto copy = f;
  const Tensor x = noise(2, {7});
  const Tensor y = f(x);
  const auto before = programs_compiled();
  CHECK(same_bits(copy(x), y));
  CHECK(programs_compiled() == before);
}
