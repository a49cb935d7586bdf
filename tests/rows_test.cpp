// Cells whose steps couple the elements of a row: normalisation, softmax, a memory that is looked at. Compiled they run row by
// row, several kernels at once, and give the interpreter's bits whatever the sizes and the number of threads.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

constexpr int kSteps = 3, kInputs = 5;

Tensor numbers(int seed, const Shape& shape, double scale = 0.3) {
  return (scale * normal(key(std::uint64_t(seed)), shape)).materialized();
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor centred = x - mean(x, -1, true);
  return centred / sqrt(mean(square(centred), -1, true) + 1e-5) * weight + bias;
}

Tensor rms_norm(const Tensor& x, const Tensor& weight) { return x / sqrt(mean(square(x), -1, true) + 1e-5) * weight; }

using Pair = std::pair<Tensor, Tensor>;

struct LayerNormLstm {
  Tensor w, u, weight, bias, cell_weight, cell_bias;
  Pair operator()(const Pair& state, const Tensor& x) const {
    const auto [i, f, g, o] = chunk<4>(matmul(x, w) + layer_norm(matmul(state.first, u), weight, bias));
    const Tensor c = layer_norm(sigmoid(f) * state.second + sigmoid(i) * tanh(g), cell_weight, cell_bias);
    return {sigmoid(o) * tanh(c), c};
  }
  static LayerNormLstm of(int hidden) {
    return {numbers(1, {kInputs, 4 * hidden}),
            numbers(2, {hidden, 4 * hidden}),
            numbers(3, {4 * hidden}),
            numbers(4, {4 * hidden}),
            numbers(5, {hidden}),
            numbers(6, {hidden})};
  }
  static Pair initial(int batch, int hidden) { return {numbers(7, {batch, hidden}), numbers(8, {batch, hidden})}; }
};

struct SoftmaxGates {
  Tensor w, u, b;
  Tensor operator()(const Tensor& h, const Tensor& x) const {
    const auto [a, g] = chunk<2>(matmul(h, u, matmul(x, w) + b));
    const Tensor p = softmax(a), q = log_softmax(g);
    return h + p * (tanh(q) - h) + max(a, -1, true) * 0.01;
  }
  static SoftmaxGates of(int hidden) {
    return {numbers(1, {kInputs, 2 * hidden}), numbers(2, {hidden, 2 * hidden}), numbers(3, {2 * hidden})};
  }
  static Tensor initial(int batch, int hidden) { return numbers(7, {batch, hidden}); }
};

// Its new state is normalised, so what the next step reads has gone through a reduction.
struct RmsNormRnn {
  Tensor w, u, b, weight;
  Tensor operator()(const Tensor& h, const Tensor& x) const {
    return rms_norm(h + tanh(matmul(x, w) + matmul(h, u) + b), weight);
  }
  static RmsNormRnn of(int hidden) {
    return {numbers(1, {kInputs, hidden}), numbers(2, {hidden, hidden}), numbers(3, {hidden}), numbers(4, {hidden})};
  }
  static Tensor initial(int batch, int hidden) { return numbers(7, {batch, hidden}); }
};

// Groups of eight units, each normalised by itself.
struct GroupNormRnn {
  Tensor w, u, weight;
  Tensor operator()(const Tensor& h, const Tensor& x) const {
    const Tensor a = matmul(h, u, matmul(x, w));
    const Tensor groups = reshape(a, {a.size(0), a.size(1) / 8, 8});
    const Tensor centred = groups - mean(groups, -1, true);
    const Tensor normal = centred / sqrt(mean(square(centred), -1, true) + 1e-5);
    return tanh(reshape(normal, a.shape()) * weight) + 0.5 * h;
  }
  static GroupNormRnn of(int hidden) {
    return {numbers(1, {kInputs, 8 * hidden}), numbers(2, {8 * hidden, 8 * hidden}), numbers(3, {8 * hidden})};
  }
  static Tensor initial(int batch, int hidden) { return numbers(7, {batch, 8 * hidden}); }
};

// A step that asks four memory cells of its row, and writes to them.
struct Memory {
  Tensor w, u;
  Pair operator()(const Pair& state, const Tensor& x) const {
    const auto& [h, cells] = state;
    const Tensor score = softmax(sum(cells * expand_dims(h, 1), -1), -1);
    const Tensor read = sum(cells * expand_dims(score, 2), 1);
    const Tensor now = tanh(matmul(x, w) + matmul(read, u) + h);
    return {now, cells + expand_dims(score, 2) * (expand_dims(now, 1) - cells)};
  }
  static Memory of(int hidden) { return {numbers(1, {kInputs, hidden}), numbers(2, {hidden, hidden})}; }
  static Pair initial(int batch, int hidden) { return {numbers(7, {batch, hidden}), numbers(8, {batch, 4, hidden})}; }
};

template <class Cell, class State>
auto step(const Cell& cell, const State& state, const Tensor& xs) {
  auto loss = [](const Cell& c, const State& s, const Tensor& x) {
    const auto [last, hs] = unroll(c, s, x);
    return std::pair{sum(hs * hs * 0.5 + hs), hs};
  };
  return value_and_grad<0, 1, 2>(loss)(cell, state, xs);
}

template <class Result>
std::vector<Tensor> tensors_of(const Result& result) {
  std::vector<Tensor> list;
  for_each_tensor(result, [&](const Tensor& t) { list.push_back(t.materialized()); });
  return list;
}

template <class Cell>
void check_cell(const std::vector<int>& sizes) {
  for (int hidden : sizes) {
    const Cell cell = Cell::of(hidden);
    using State = decltype(Cell::initial(1, 1));
    auto compiled = jit([](const Cell& c, const State& s, const Tensor& xs) { return step(c, s, xs); });
    for (int batch : {1, 5, 16, 33}) {
      const State state = Cell::initial(batch, hidden);
      const Tensor xs = numbers(9, {kSteps, batch, kInputs});
      std::vector<Tensor> expected;
      {
        ScopedOptions interpreted(changed([](Options& o) { o.jit = false; }));
        expected = tensors_of(compiled(cell, state, xs));
      }
      for (int threads : {1, 2}) {
        CAPTURE(hidden);
        CAPTURE(batch);
        CAPTURE(threads);
        ScopedOptions with(changed([&](Options& o) { o.threads = threads; }));
        const auto got = tensors_of(compiled(cell, state, xs));
        REQUIRE(got.size() == expected.size());
        for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
        ++cases;
      }
    }
  }
}

}  // namespace

TEST_CASE("rows: a layer norm cell") { check_cell<LayerNormLstm>({1, 7, 16, 40, 130}); }
TEST_CASE("rows: a cell with softmax in its step") { check_cell<SoftmaxGates>({1, 7, 16, 40, 130}); }
TEST_CASE("rows: an RMS norm cell") { check_cell<RmsNormRnn>({1, 7, 16, 40, 130}); }
TEST_CASE("rows: a group norm cell") { check_cell<GroupNormRnn>({1, 5}); }
TEST_CASE("rows: a cell with a small memory") { check_cell<Memory>({7, 40}); }

TEST_CASE("rows: without the pass the bits are the same") {
  const auto cell = LayerNormLstm::of(20);
  const Tensor xs = numbers(9, {kSteps, 6, kInputs});
  const auto run = [&] {
    return tensors_of(jit([](const LayerNormLstm& c, const Pair& s, const Tensor& x) { return step(c, s, x); })(
        cell, LayerNormLstm::initial(6, 20), xs));
  };
  const auto expected = run();
  for (const char* without : {"group_rows", "fold_reductions", "group_rows,fold_reductions", "states_in_place"}) {
    CAPTURE(without);
    ScopedOptions options(changed([&](Options& o) { o.without = without; }));
    const auto got = run();
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
    ++cases;
  }
}

TEST_CASE("rows: what is read across rows waits until all rows are there") {
  const auto f = [](const Tensor& x) {
    const Tensor s = sum(x, -1, true), y = x / s;
    const Tensor turned = flip(y, 0) + slice(y, 0, 0, 1) + transpose(y);
    return std::pair{turned / max(turned, -1, true), concat({sum(turned, -1), sum(y, -1)}, 0)};
  };
  const Tensor x = numbers(1, {33, 33});
  const auto [a, b] = f(x);
  const auto [a2, b2] = jit(f)(x);
  CHECK(same_bits(a, a2));
  CHECK(same_bits(b, b2));
  ++cases;
}

TEST_CASE("rows: a state that other rows still need is not overwritten") {
  const auto f = [](const Tensor& h, const Tensor& xs) {
    return scan(
        [](const Tensor& s, const Tensor& x) {
          const Tensor others = s - mean(s + flip(s, 0) * x, -1, true);
          return std::pair{others / sqrt(sum(square(others), -1, true) + 1), sum(others, -1)};
        },
        h, xs);
  };
  const Tensor h = numbers(1, {9, 21}), xs = numbers(2, {4, 9, 21});
  const auto [last, ys] = f(h, xs);
  const auto [last2, ys2] = jit(f)(h, xs);
  CHECK(same_bits(last, last2));
  CHECK(same_bits(ys, ys2));
  ++cases;
}

// Found by the samples of any and norm: what has one place in each row is also walked in memory, by a reduction of several axes.
TEST_CASE("rows: a reduction over several axes of one place each reads what the nest before it computed") {
  auto f = [](const Tensor& x) { return sum(square(x) + 1, Axes{1, 2}) * 2; };
  for (const Shape& shape : {Shape{3, 1, 1}, Shape{3, 1, 2}, Shape{1, 1, 1}, Shape{20, 1, 1}}) {
    const Tensor x = normal(key(1), shape).materialized();
    CHECK(same_bits(jit(f)(x), f(x)));
  }
}
