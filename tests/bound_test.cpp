// The bound form of a compiled function: the same numbers, in fixed places, without a single allocation.
#include <doctest/doctest.h>

#include <algorithm>

#include "allocations.h"
#include "ad/grad.h"
#include "jit/jit.h"
#include "models/cell.h"
#include "models/dense.h"
#include "models/gru.h"
#include "models/lstm.h"
#include "ops/elementwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace tapeloop;

namespace {

Tensor row(int seed, int size) { return normal(key(std::uint64_t(seed)), {1, size}).materialized(); }

void write(std::span<float> place, const Tensor& values) { std::ranges::copy(values.data<float>(), place.begin()); }

std::vector<float> numbers(std::span<const float> place) { return {place.begin(), place.end()}; }

const auto cell_step = [](const auto& cell, const auto& state, const Tensor& x) { return cell(state, x); };

}  // namespace

TEST_CASE_TEMPLATE("a bound cell takes the same steps as the compiled one", Cell, Lstm, Gru) {
  for (int size : {1, 7, 16, 33}) {
    CAPTURE(size);
    const Cell cell = Cell::init(key(1), size, size);
    auto step = jit(cell_step);
    auto bound = step.bind(cell, cell.initial(1), zeros({1, size}));
    auto state = cell.initial(1);
    for (int t = 0; t < 5; ++t) {
      const Tensor x = row(t, size);
      write(bound.template input<2>(), x);
      if (t % 2 == 0)
        bound();
      else
        bound.function()(bound.context());
      state = step(cell, state, x);
      const Tensors expected = leaves_of(state);
      for (std::size_t k = 0; k < expected.size(); ++k) {
        CHECK(numbers(bound.template output<0>(k)) == expected[k].template to_vector<float>());
        CHECK(numbers(bound.template input<1>(k)) == expected[k].template to_vector<float>());
      }
    }
  }
}

// Small products have a form of their own, by their rows and columns.
TEST_CASE_TEMPLATE("a bound cell takes the interpreter's steps, whatever its batch and size", Cell, Lstm, Gru) {
  for (int size : {1, 3, 8, 16, 24, 40, 64, 100})
    for (int batch : {1, 2, 5, 9}) {
      CAPTURE(size);
      CAPTURE(batch);
      const Cell cell = Cell::init(key(1), 5, size);
      auto bound = jit(cell_step).bind(cell, cell.initial(batch), zeros({batch, 5}));
      auto state = cell.initial(batch);
      for (int t = 0; t < 3; ++t) {
        const Tensor x = normal(key(std::uint64_t(t)), {batch, 5}).materialized();
        write(bound.template input<2>(), x);
        bound();
        state = cell(state, x);
        const Tensors expected = leaves_of(state);
        for (std::size_t k = 0; k < expected.size(); ++k)
          CHECK(numbers(bound.template output<0>(k)) == expected[k].template to_vector<float>());
      }
    }
}

TEST_CASE("a cell with an output beside its state") {
  struct Model {
    Lstm cell;
    Dense out;
  };
  const Model m{Lstm::init(key(1), 3, 12), Dense::init(key(2), 12, 2)};
  auto step = jit([](const Model& model, const Lstm::State& s, const Tensor& x) {
    const Lstm::State next = model.cell(s, x);
    return std::pair{next, model.out(next.h)};
  });
  auto bound = step.bind(m, m.cell.initial(2), zeros({2, 3}));
  Lstm::State state = m.cell.initial(2);
  for (int t = 0; t < 4; ++t) {
    const Tensor x = normal(key(std::uint64_t(t)), {2, 3}).materialized();
    write(bound.input<2>(), x);
    bound();
    Tensor y;
    std::tie(state, y) = step(m, state, x);
    CHECK(numbers(bound.output<0>(0)) == state.h.to_vector<float>());
    CHECK(numbers(bound.output<0>(1)) == state.c.to_vector<float>());
    CHECK(numbers(bound.output<1>()) == y.to_vector<float>());
  }
  // The state can be put back.
  for (std::size_t k : {0U, 1U}) std::ranges::fill(bound.input<1>(k), 0.0F);
  const Tensor x = row(9, 6);
  write(bound.input<2>(), x);
  bound();
  CHECK(numbers(bound.output<1>()) == step(m, m.cell.initial(2), reshape(x, {2, 3})).second.to_vector<float>());
}

TEST_CASE("a bound call allocates nothing") {
  if (!testing::allocations_are_counted()) return;
  const Lstm cell = Lstm::init(key(1), 24, 24);
  auto step = jit(cell_step);
  auto bound = step.bind(cell, cell.initial(1), zeros({1, 24}));
  bound();
  const auto before = testing::allocations();
  for (int i = 0; i < 100; ++i) {
    bound.input<2>()[0] = float(i);
    bound();
    (void)bound.output<0>();
  }
  CHECK(testing::allocations() - before == 0);
}

TEST_CASE("a bound program keeps the weights that it was given") {
  Dense layer = Dense::init(key(1), 3, 3);
  const Tensor weight = layer.w;
  auto f = jit([](const Dense& d, const Tensor& x) { return d(x); });
  auto bound = f.bind(layer, zeros({1, 3}));
  layer = Dense::init(key(5), 3, 3);
  const Tensor x = row(1, 3);
  write(bound.input<1>(), x);
  bound();
  bound();  // x is no state: it stays
  CHECK(numbers(bound.input<1>()) == x.to_vector<float>());
  CHECK(numbers(bound.output<0>()) == f(Dense{weight, Dense::init(key(1), 3, 3).b}, x).to_vector<float>());
}

TEST_CASE("what a bound program does not have is an error that says so") {
  auto f = jit([](const Tensor& h, const Tensor& x) { return std::pair{h + x, cast(x, Dtype::i32)}; });
  auto bound = f.bind(zeros({4}), zeros({4}));
  bound.input<1>()[2] = 3;
  bound();
  bound();
  CHECK(numbers(bound.output<0>()) == std::vector<float>{0, 0, 6, 0});
  CHECK(bound.output<1, std::int32_t>()[2] == 3);
  CHECK_THROWS_WITH_AS(bound.output<1>(), doctest::Contains("i32[4], asked for f32"), Error);
  CHECK_THROWS_WITH_AS(bound.output<2>(), doctest::Contains("no tensor 0 in part 2"), Error);
  CHECK_THROWS_WITH_AS(bound.input<1>(1), doctest::Contains("no tensor 1 in part 1"), Error);
  auto g = jit([](const Tensor& w, const Tensor& x) { return sum(w * x); });
  auto frozen = g.bind(zeros({4}), zeros({4}));
  CHECK_THROWS_WITH_AS(frozen.input<0>(), doctest::Contains("taken over"), Error);
}

// All states of a loop are kept with the initial one before them, and the program's result is a part of that memory.
TEST_CASE_TEMPLATE(
    "states over time are computed where the result lies, forward and in reverse, and stay when moved on", Cell, Lstm,
    Gru) {
  for (auto [size, reverse] : {std::pair{16, false}, {16, true}, {13, false}, {13, true}}) {
    const Cell cell = Cell::init(key(1), size, size);
    auto f = [backwards = reverse](const Cell& c, const Tensor& xs) {
      auto loss = [&](const Cell& model, const Tensor& x) {
        const auto outputs = unroll(model, model.initial(x.size(1)), x, {.reverse = backwards}).outputs;
        return std::pair{sum(square(outputs)), outputs};
      };
      const auto [l, outputs, grads] = value_and_grad(loss)(c, xs);
      return std::tuple{outputs, grads, outputs * 2};
    };
    auto compiled = jit(f);
    auto next = jit([](const Tensor& y) { return y + 1; });
    for (int steps : {1, 2, 9}) {
      const Tensor xs = normal(key(2), {steps, 3, size}).materialized();
      const auto expected = f(cell, xs);
      auto [outputs, grads, twice] = compiled(cell, xs);
      CHECK(same_bits(outputs, std::get<0>(expected)));
      CHECK(same_bits(twice, std::get<2>(expected)));
      for (std::size_t i = 0; i < leaves_of(grads).size(); ++i)
        CHECK(same_bits(leaves_of(grads)[i], leaves_of(std::get<1>(expected))[i]));
      CHECK(same_bits(next(std::move(outputs)), std::get<0>(expected) + 1));
    }
  }
}

TEST_CASE("a bound program whose state is all states of a loop keeps to their memory") {
  const Gru cell = Gru::init(key(1), 16, 16);
  auto f = [](const Gru& c, const Tensor& before, const Tensor& xs) {
    const auto first = at(before, 0, 4);
    return unroll(c, first, xs + before).outputs;
  };
  const Tensor xs = normal(key(2), {5, 2, 16}).materialized();
  Tensor state = zeros({5, 2, 16}).materialized();
  auto bound = jit(f).bind(cell, state, xs);
  for (int call = 0; call < 4; ++call) {
    write(bound.input<2>(), xs);
    bound();
    state = f(cell, state, xs);
    CHECK(numbers(bound.output<0>()) == state.to_vector<float>());
  }
}
