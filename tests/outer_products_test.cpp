// Products of a column and a row are elementwise (jit/outer_products.cpp), in the compiler and where a gradient decides what it
// keeps over time; those that add up over the steps of a loop stay products.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "ad/grad.h"
#include "cells.h"
#include "compiled.h"
#include "jit/hoist.h"
#include "jit/loop.h"
#include "models/cell.h"
#include "models/lstm.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

template <class F, class... In>
TapePtr loops_of(const F& f, const In&... in) {
  return lower_scans(trace(f, Recorder::Captures::recorded, in...).tape);
}

// Products in a tape and in the bodies of its loops.
int products(const Tape& tape) {
  int count = 0;
  for (const Record& r : tape.records)
    count += is_loop(r) ? products(*LoweredLoop(r.attrs).body) : int(r.op == &matmul_op);
  return count;
}

// A memory that is written by outer products, of which a gradient needs what it was before each step and after it.
struct Memory {
  Tensor w;  // [D, 3D]

  auto operator()(const Tensor& c, const Tensor& x) const {
    const auto [q, k, v] = chunk<3>(matmul(x, w));
    const Tensor next = expand_dims(sigmoid(sum(x, 1, true)), 2) * c + matmul(expand_dims(v, 2), expand_dims(k, 1));
    return std::pair{next, squeeze(matmul(next, expand_dims(q, 2)), 2)};
  }
};

auto loss_of_memory() {
  return [](const Tensor& w, const Tensor& c, const Tensor& xs) {
    const auto [last, ys] = unroll(Memory{w}, c, xs);
    return sum(ys * ys);
  };
}

}  // namespace

TEST_CASE("outer products: they are the interpreter's, whichever way the operands lie") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  // Zeros of both signs, what rounds to them, and what has no number.
  const Tensor some =
      Tensor::of<float>({0.0f, -0.0f, 1e-30f, -1e-30f, -3.5f, inf, std::numeric_limits<float>::quiet_NaN()}, {7});
  const auto both = [](const Tensor& x, Dtype dtype) { return std::pair{cast(x, dtype), flip(cast(x, dtype), 0)}; };
  for (const Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const auto& [m, n] : {std::pair{7, 7}, {1, 7}, {7, 1}, {1, 1}})
      for (const bool ta : {false, true})
        for (const bool tb : {false, true}) {
          CAPTURE(m);
          CAPTURE(n);
          CAPTURE(ta);
          CAPTURE(tb);
          const auto [left, right] = both(some, dtype);
          const Tensor a = concat({slice(left, 0, 0, m), slice(right, 0, 0, m)}, 0).materialized();
          const Tensor b = concat({slice(right, 0, 0, n), slice(left, 0, 0, n)}, 0).materialized();
          const auto f = [=, m = m, n = n](const Tensor& x, const Tensor& y, const Tensor& start) {
            const MatmulOptions how{.transpose_a = ta, .transpose_b = tb};
            const Tensor column = reshape(x, ta ? Shape{2, 1, m} : Shape{2, m, 1});
            const Tensor row = reshape(y, tb ? Shape{2, n, 1} : Shape{2, 1, n});
            return std::tuple{matmul(column, row, how), tanh(matmul(column, row, start - 1, how)),
                              matmul(squeeze(slice(column, 0, 0, 1), 0), squeeze(slice(row, 0, 1, 2), 0), how)};
          };
          check_with_and_without("outer_products", f, a, b, numbers(1, {2, m, n}, dtype));
        }
}

TEST_CASE("outer products: a memory written by them has the interpreter's bits, forward and backward") {
  const Tensor w = numbers(1, {24, 72}), c = numbers(2, {3, 24, 24}), xs = numbers(3, {5, 3, 24});
  check_with_and_without("outer_products", loss_of_memory(), w, c, xs);
  check_with_and_without("outer_products", grad<0, 1, 2>(loss_of_memory()), w, c, xs);
}

TEST_CASE("outer products: what adds up over the steps, one for each row of a single sequence, stays a product") {
  const auto loss = [](const Lstm& cell, const Tensor& xs) { return sum(unroll(cell, cell.initial(1), xs).outputs); };
  const TapePtr tape = loops_of(grad<0, 1>(loss), Lstm::init(key(1), 3, 4), numbers(1, {7, 1, 3}));
  CHECK(products(*tape) == 6);  // x·W, h·U, and of each the two gradients
  CHECK(products(*outer_products(tape)) == 6);
  const TapePtr memory =
      loops_of(grad<0, 1, 2>(loss_of_memory()), numbers(1, {8, 24}), numbers(2, {3, 8, 8}), numbers(3, {5, 3, 8}));
  CHECK(products(*memory) - products(*outer_products(memory)) == 2);  // v kᵀ, and q ȳᵀ of the gradient
}

TEST_CASE("outer products: a gradient computes them again, and of a memory it keeps one history") {
  const TapePtr tape =
      loops_of(grad<0, 1, 2>(loss_of_memory()), numbers(1, {8, 24}), numbers(2, {3, 8, 8}), numbers(3, {5, 3, 8}));
  std::vector<Shape> kept;
  std::size_t read = 0;
  for (const Record& r : tape->records) {
    if (!is_loop(r)) continue;
    const LoweredLoop loop(r.attrs);
    for (std::size_t i = 0; i < loop.ys(); ++i)
      if (const Type type = loop.result(loop.states + i); type.rank() == 4) kept.push_back(type.shape);
    for (std::size_t i = loop.first_x(); i < r.in.size(); ++i) read += (*tape)[r.in[i]].type.rank() == 4;
  }
  REQUIRE(kept.size() == 1);
  CHECK(kept[0][0].value() == 6);  // the initial state and that after each step
  CHECK(read == 2);                // both are views of it
}
