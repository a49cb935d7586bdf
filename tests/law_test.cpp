// The law of the loop: the derivative of a scan is the scan of the derivative. Whatever is derived from a loop must be, to the
// last bit, what is derived from its steps written out.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "ops/batch.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

// The loss of a cell as a tape, with its arguments; of the last state alone, or of all outputs too.
template <class Cell>
std::pair<TapePtr, Tensors> program(const Cell& cell, int steps, bool outputs = true) {
  const auto state = state_of(cell, 2);
  const Tensor xs = noise(60, {steps, 2, 3}), w = weights_for(steps);
  Tensors inputs = leaves_of(std::tuple{cell, state, xs, w});
  if (outputs) return {trace(weighted(), Recorder::Captures::recorded, cell, state, xs, w).tape, inputs};
  auto of_last = [](const auto& c, const auto& s, const Tensor& x, const Tensor& weights) {
    Tensor total = sum(weights);
    for (const Tensor& t : leaves_of(unroll(c, s, x).last)) total = total + sum(square(t));
    return total;
  };
  return {trace(of_last, Recorder::Captures::recorded, cell, state, xs, w).tape, inputs};
}

TapePtr gradient_tape(const TapePtr& tape) {
  VjpRequest request{std::vector<bool>(tape->inputs.size(), true), {true}, {}};
  return vjp(tape, request);
}

// The gradient of the sum of squares of everything that a tape gives.
TapePtr gradient_of_sums(const TapePtr& tape) {
  auto recorder = Recorder::start();
  Tensors inputs;
  for (std::size_t i = 0; i < tape->inputs.size(); ++i) inputs.push_back(recorder->input(tape->input_type(i)));
  Tensor total;
  for (const Tensor& t : inline_tape(*tape, inputs)) total = total.is_empty() ? sum(square(t)) : total + sum(square(t));
  const std::vector<bool> wanted(inputs.size(), true);
  const TapePtr loss = recorder->finish({total});
  recorder = Recorder::start();
  inputs.clear();
  for (std::size_t i = 0; i < loss->inputs.size(); ++i) inputs.push_back(recorder->input(loss->input_type(i)));
  return recorder->finish(detail::value_and_gradients(loss, inputs, wanted, std::vector<std::string>(inputs.size())));
}

int loops(const Tape& tape) {
  int n = 0;
  for (const Record& r : tape.records) n += r.op == &scan_op;
  return n;
}

// The tape in which every loop that runs backwards runs forwards: the mistake that the law has to catch.
TapePtr in_wrong_order(const TapePtr& tape) {
  auto wrong = std::make_shared<Tape>(*tape);
  int changed = 0;
  for (Record& r : wrong->records)
    if (r.op == &scan_op && r.attrs.flag("reverse")) {
      r.attrs = r.attrs.with("reverse", std::int64_t(0));
      ++changed;
    }
  REQUIRE(changed > 0);
  return wrong;
}

}  // namespace

TEST_CASE("law: the derivative of the loop is the loop of the derivative, for every cell" *
          doctest::test_suite("long")) {
  for_each_cell([](const std::string& name, const auto& cell) {
    for (int steps : {1, 2, 5})
      for (bool outputs : {false, true}) {
        INFO(name << ", " << steps << " steps, outputs used " << outputs);
        const auto [rolled, inputs] = program(cell, steps, outputs);
        const TapePtr written_out = expand(rolled);
        REQUIRE(loops(*rolled) == 1);
        REQUIRE(loops(*written_out) == 0);
        CHECK(same(run(*rolled, inputs), run(*written_out, inputs)));

        Tensors with_ct = inputs, dots;
        with_ct.push_back(full({}, 1, f64).materialized());
        const Tensors reverse = run(*gradient_tape(rolled), with_ct);
        CHECK(same(reverse, run(*gradient_tape(written_out), with_ct)));

        int seed = 70;
        for (const Tensor& x : inputs) dots.push_back(noise(seed++, x.shape()));
        Tensors with_dots = inputs;
        with_dots.insert(with_dots.end(), dots.begin(), dots.end());
        const std::vector<bool> all(inputs.size(), true);
        CHECK(same(run(*jvp(rolled, all), with_dots), run(*jvp(written_out, all), with_dots)));

        // hvp: forward over reverse mode
        std::vector<bool> but_ct(inputs.size() + 1, true);
        but_ct.back() = false;
        Tensors second = with_ct;
        second.insert(second.end(), dots.begin(), dots.end());
        const TapePtr rolled_twice = jvp(gradient_tape(rolled), but_ct);
        const Tensors twice = run(*rolled_twice, second);
        CHECK(same(twice, run(*jvp(gradient_tape(written_out), but_ct), second)));

        // The compiler keeps to the rolled tape, and so to the one written out.
        if (steps == 5 && outputs) {
          CHECK(same((*Program::compile(gradient_tape(rolled)))(with_ct), reverse));
          CHECK(same((*Program::compile(rolled_twice))(second), twice));
          tapeloop::testing::cases += 2;
        }

        // Reverse over reverse mode: here a captured value is used by two loops, which add up their shares in another order.
        CHECK(distance(run(*gradient_of_sums(gradient_tape(rolled)), with_ct),
                       run(*gradient_of_sums(gradient_tape(written_out)), with_ct)) <= 1e-13);

        if (steps > 1) CHECK(distance(run(*in_wrong_order(gradient_tape(rolled)), with_ct), reverse) > 1e-3);
        tapeloop::testing::cases += 5;
      }
  });
}

TEST_CASE("law: the gradient's tape is as long for 512 steps as for 8") {
  for_each_cell([](const std::string& name, const auto& cell) {
    INFO(name);
    CHECK(gradient_tape(program(cell, 8).first)->size() == gradient_tape(program(cell, 512).first)->size());
    ++tapeloop::testing::cases;
  });
}

TEST_CASE("law: it holds for loops in loops, padded rows and reversed time" * doctest::test_suite("long")) {
  for_each_cell([](const std::string& name, const auto& cell) {
    const auto state = state_of(cell, 2);
    const Tensor xs = noise(60, {7, 2, 3}), w = weights_for(7), lengths = Tensor::of(std::vector<int>{6, 3}, {2});
    for (const UnrollOptions& options : {UnrollOptions{.truncate = 2}, UnrollOptions{.truncate = 3, .reverse = true},
                                         UnrollOptions{.reverse = true}, UnrollOptions{.lengths = constant(lengths)}}) {
      INFO(name << ", truncate " << options.truncate << ", reverse " << options.reverse);
      const TapePtr rolled = trace(weighted(options), Recorder::Captures::recorded, cell, state, xs, w).tape;
      Tensors inputs = leaves_of(std::tuple{cell, state, xs, w});
      inputs.push_back(full({}, 1, f64).materialized());
      const Tensors reverse = run(*gradient_tape(rolled), inputs),
                    unrolled = run(*gradient_tape(expand(rolled)), inputs);
      // Truncation makes several loops that share the cell, so they add up its gradient in another order.
      if (options.truncate)
        CHECK(distance(reverse, unrolled) <= 1e-13);
      else
        CHECK(same(reverse, unrolled));
      CHECK(same((*Program::compile(gradient_tape(rolled)))(inputs), reverse));
      tapeloop::testing::cases += 2;
    }
  });
}

TEST_CASE("law: a state that no step passes a gradient on to still hands out the one of its first value") {
  for (bool reverse : {false, true})
    for (int steps : {0, 1, 4}) {
      auto f = [&](const Tensor& h, const Tensor& xs) {
        auto step = [](const Tensor& s, const Tensor& x) { return std::pair{stop_gradient(tanh(s + x)), s * x}; };
        auto [last, ys] = scan(step, h, xs, {.reverse = reverse});
        return sum(ys) + sum(last);
      };
      const Tensor h = noise(1, {3}), xs = noise(2, {steps, 3});
      const TapePtr rolled = trace(f, Recorder::Captures::recorded, h, xs).tape;
      const Tensors inputs{h, xs, full({}, 1, f64).materialized()};
      const Tensors gradient = run(*gradient_tape(rolled), inputs);
      CHECK(same(gradient, run(*gradient_tape(expand(rolled)), inputs)));
      CHECK(same_bits(gradient[1], steps == 0 ? ones({3}, f64).materialized() : at(xs, 0, reverse ? -1 : 0)));
      ++tapeloop::testing::cases;
    }
}

TEST_CASE("law: a part of a loop from which no gradient comes is part of it") {
  // Truncated, with a loss of the last state alone: the blocks before the last hand out zeros that depend on nothing.
  auto loss = [](const Tensor& h, const Tensor& xs) {
    auto step = [](const Tensor& s, const Tensor& x) { return std::pair{tanh(0.5 * s + x), x}; };
    return sum(scan(step, h, xs, {.truncate = 2}).first);
  };
  const Tensor h = noise(1, {3});
  auto f = [&](const Tensor& a, const Tensor& b) { return grad<0, 1>(loss)(a, b); };
  auto compiled = jit(f);
  for (int steps : {16, 5, 2, 1, 3, 40}) {
    const Tensor xs = noise(2, {steps, 3});
    const auto [dh, dxs] = f(h, xs);
    const auto [dh2, dxs2] = compiled(h, xs);
    CHECK(same_bits(dh.materialized(), dh2));
    CHECK(same_bits(dxs.materialized(), dxs2));
    const int cut = (steps - 1) / 2 * 2;
    if (cut > 0) CHECK(same_bits(slice(dxs, 0, 0, cut).materialized(), zeros({cut, 3}, f64).materialized()));
    CHECK(sum(abs(slice(dxs, 0, cut))).item<double>() > 0);
    ++tapeloop::testing::cases;
  }
  // Of scalars, from a state that is no argument.
  auto of_scalars = [](const Tensor& xs) {
    return grad([](const Tensor& x) {
      auto step = [](const Tensor& s, const Tensor& t) { return std::pair{tanh(0.5 * s + t), t}; };
      return scan(step, zeros({}, f64), x, {.truncate = 2}).first;
    })(xs);
  };
  const Tensor xs = noise(3, {16});
  CHECK(same_bits(of_scalars(xs).materialized(), jit(of_scalars)(xs)));
  // Steps that read nothing.
  auto counts = [](const Tensor& s) {
    auto [last, ys] = scan([](const Tensor& t, std::tuple<>) { return std::pair{t * 2, zeros({2}, f64) + 1}; }, s,
                           std::tuple<>{}, {.length = 3});
    return sum(ys) * sum(s);
  };
  CHECK(grad(counts)(h).to_vector<double>() == std::vector<double>{6, 6, 6});
  CHECK(jit([&](const Tensor& s) { return grad(counts)(s); })(h).to_vector<double>() == std::vector<double>{6, 6, 6});
}

TEST_CASE("law: a state that is a sum hands its cotangent on as it is, and no chain begins anew in it") {
  auto f = [](const Tensor& h, const Tensor& xs, const Tensor& u, const Tensor& v) {
    auto step = [&](const Tensor& s, const Tensor& x) {
      const Tensor n = tanh(x + matmul(s, u)), carried = n + 0.5 * x;  // recorded before the other uses of n
      return std::pair{carried, n + sigmoid(matmul(n, v))};
    };
    auto [last, ys] = scan(step, h, xs);
    return sum(ys) + sum(square(last));
  };
  const Tensors inputs{noise(1, {3, 5}), noise(2, {4, 3, 5}), noise(3, {5, 5}), noise(4, {5, 5}),
                       full({}, 1, f64).materialized()};
  const TapePtr rolled = trace(f, Recorder::Captures::recorded, inputs[0], inputs[1], inputs[2], inputs[3]).tape;
  CHECK(same(run(*gradient_tape(rolled), inputs), run(*gradient_tape(expand(rolled)), inputs)));
  ++tapeloop::testing::cases;
}

TEST_CASE("law: results that are one value, an input, or read in their own step, stay apart from one another") {
  using Two = std::pair<Tensor, Tensor>;
  const Tensor u = noise(3, {5, 5}) * 0.5;
  const auto check = [&](const auto& step) {
    auto f = [&](const Tensor& h, const Tensor& g, const Tensor& xs, const Tensor& w) {
      auto [last, ys] = scan([&](const Two& s, const Tensor& x) { return step(s, x, w); }, Two{h, g}, xs);
      return sum(sin(ys.first)) + sum(square(ys.second)) + sum(last.first * 2 + square(last.second));
    };
    const Tensors inputs{noise(1, {3, 5}), noise(2, {3, 5}), noise(4, {4, 3, 5}), u, full({}, 1, f64).materialized()};
    const TapePtr rolled = trace(f, Recorder::Captures::recorded, inputs[0], inputs[1], inputs[2], inputs[3]).tape;
    CHECK(same(run(*gradient_tape(rolled), inputs), run(*gradient_tape(expand(rolled)), inputs)));
    ++tapeloop::testing::cases;
  };
  const auto next = [](const Two& s, const Tensor& x, const Tensor& w) {
    return tanh(matmul(s.first, w) + x * s.second);
  };
  check([&](const Two& s, const Tensor& x, const Tensor& w) {
    const Tensor h = next(s, x, w);
    return std::pair{Two{h, h}, Two{h, h}};
  });
  check([&](const Two& s, const Tensor& x, const Tensor& w) {
    const Tensor h = next(s, x, w), y = matmul(h, w);
    return std::pair{Two{h, tanh(y + s.second)}, Two{y, squeeze(expand_dims(h, 0), 0) * y}};
  });
  check([&](const Two& s, const Tensor& x, const Tensor& w) {
    return std::pair{Two{next(s, x, w), s.first}, Two{x, s.second}};
  });
  check([](const Two& s, const Tensor& x, const Tensor&) { return std::pair{Two{x, x}, Two{s.first, s.first}}; });
}

TEST_CASE("law: what moves one state moves those that are made of it, however many steps that takes") {
  // Along a delay line what a step reads comes to the output only two steps later; both orders of the states are tried, since
  // what moves, or is read, is found by going through them.
  auto forwards = [](const std::array<Tensor, 3>& s, const Tensor& x) {
    return std::pair{std::array{s[1] * 2, s[2] * 3, tanh(x)}, square(s[0])};
  };
  auto backwards = [](const std::array<Tensor, 3>& s, const Tensor& x) {
    return std::pair{std::array{tanh(x), s[0] * 3, s[1] * 2}, square(s[2])};
  };
  auto check = [](const auto& step) {
    auto f = [&](const Tensor& xs) {
      const Tensor zero = zeros({3}, f64);
      return sum(scan(step, std::array{zero, zero, zero}, xs).second);
    };
    const Tensor xs = noise(1, {6, 3});
    const TapePtr rolled = trace(f, Recorder::Captures::recorded, xs).tape;
    const Tensors with_ct{xs, full({}, 1, f64).materialized()}, with_dot{xs, noise(2, {6, 3})};
    const Tensor reverse = run(*gradient_tape(rolled), with_ct)[1];
    CHECK(same_bits(reverse, run(*gradient_tape(expand(rolled)), with_ct)[1]));
    CHECK(same(run(*jvp(rolled, {true}), with_dot), run(*jvp(expand(rolled), {true}), with_dot)));
    CHECK(same_bits(reverse, jit(grad(f))(xs)));
    // (36·tanh² x)' of the first three, and nothing of those that have not come out.
    const Tensor first = slice(xs, 0, 0, 3);
    const Tensor want = concat({72 * tanh(first) * (1 - square(tanh(first))), zeros({3, 3}, f64)}, 0);
    CHECK(max(abs(reverse - want)).item<double>() <= 1e-13);
    ++tapeloop::testing::cases;
  };
  check(forwards);
  check(backwards);
}

TEST_CASE("law: every cell in every mode, plain, truncated, checkpointed and with lengths") {
  for_each_cell([](const std::string& name, const auto& cell) {
    const int steps = 5, examples = 2;
    const auto state = state_of(cell, 2);
    const Tensor many = noise(61, {examples, steps, 2, 3}), xs = at(many, 0, 0).materialized(), w = weights_for(steps);
    const Tensor lengths = constant(Tensor::of(std::vector<int>{4, 2}, {2}));
    const std::pair<const char*, UnrollOptions> ways[] = {{"plain", {}},
                                                          {"truncated", {.truncate = 2}},
                                                          {"checkpointed", {.checkpoint = 2}},
                                                          {"lengths", {.lengths = lengths}}};
    for (const auto& [way, options] : ways) {
      INFO(name << ", " << way);
      const TapePtr rolled = trace(weighted(options), Recorder::Captures::recorded, cell, state, xs, w).tape;
      const TapePtr plain = trace(weighted({.truncate = options.truncate, .lengths = options.lengths}),
                                  Recorder::Captures::recorded, cell, state, xs, w)
                                .tape;
      const TapePtr written_out = expand(plain);
      const Tensors inputs = leaves_of(std::tuple{cell, state, xs, w});
      Tensors with_ct = inputs, with_dots = inputs, second;
      with_ct.push_back(full({}, 1, f64).materialized());
      second = with_ct;
      int seed = 70;
      for (const Tensor& x : inputs) {
        with_dots.push_back(noise(seed, x.shape()));
        second.push_back(noise(seed++, x.shape()));
      }
      const std::vector<bool> all(inputs.size(), true);
      std::vector<bool> but_ct(inputs.size() + 1, true);
      but_ct.back() = false;
      CHECK(distance(run(*gradient_tape(rolled), with_ct), run(*gradient_tape(written_out), with_ct)) <= 1e-13);
      CHECK(distance(run(*jvp(rolled, all), with_dots), run(*jvp(written_out, all), with_dots)) <= 1e-13);
      CHECK(distance(run(*jvp(gradient_tape(rolled), but_ct), second),
                     run(*jvp(gradient_tape(written_out), but_ct), second)) <= 1e-13);
      auto gradients = value_and_grad<0, 1, 2>(weighted(options));
      const auto batched = leaves_of(vmap(gradients, {.in = {none, none, 0, none}})(cell, state, many, w));
      for (int i = 0; i < examples; ++i) {
        const auto one = leaves_of(gradients(cell, state, at(many, 0, i), w));
        for (std::size_t k = 0; k < one.size(); ++k) CHECK(distance({at(batched[k], 0, i)}, {one[k]}) <= 1e-13);
      }
      tapeloop::testing::cases += 4;
    }
  });
}
