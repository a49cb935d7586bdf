// Loops whose rows have more state than the cache holds: they run with some rows after the others, whichever thread they belong to,
// and give the interpreter's bits. Sizes are such that caches of up to 2 MB are too small (jit/rows.h).
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "compiled.h"
#include "models/cell.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

// Decays, and is written with what the input says. The gradient keeps the memory of every step.
struct Memory {
  Tensor w;  // [D, 2n + 1]

  auto operator()(const Tensor& c, const Tensor& x) const {
    const Extent rows = x.size(0);
    const std::int64_t n = c.size(2).value();
    const Tensor a = matmul(x, w), f = sigmoid(slice(a, 1, 2 * n, 2 * n + 1));
    const Tensor k = reshape(slice(a, 1, 0, n), {rows, n, 1}), q = reshape(slice(a, 1, n, 2 * n), {rows, 1, n});
    const Tensor read = reshape(matmul(q, c), {rows, n});
    const Tensor next = c * expand_dims(f, 2) + k * expand_dims(tanh(read), 1);
    return std::pair{next, read};
  }
};

struct Normalised {
  Tensor w, u, scale, bias;

  Tensor operator()(const Tensor& h, const Tensor& x) const {
    return tanh(layer_norm(matmul(x, w) + matmul(h, u), scale, bias));
  }
};

template <class Cell>
auto gradient_of_last() {
  return value_and_grad<0, 1, 2>([](const Cell& cell, const Tensor& state, const Tensor& xs) {
    const auto [last, outputs] = unroll(cell, state, xs);
    return sum(last * last) + sum(outputs);
  });
}

const std::initializer_list<Machine> kMachines = {{"", 1}, {"", 2}, {"avx2", 3}};

}  // namespace

TEST_CASE("row parts: a memory of many rows, of which the cache holds a few, forward and backward") {
  for (const auto& [batch, n] : {std::pair{20, 120}, {7, 190}, {25, 97}}) {
    CAPTURE(batch);
    const Memory cell{numbers(1, {3, 2 * n + 1})};
    const Tensor c = numbers(2, {batch, n, n}), xs = numbers(3, {4, batch, 3});
    check_compiled(
        kMachines, [](const Memory& m, const Tensor& s, const Tensor& x) { return unroll(m, s, x); }, cell, c, xs);
    check_compiled(kMachines, gradient_of_last<Memory>(), cell, c, xs);
  }
}

TEST_CASE("row parts: a cell with products of its state, in blocks of steps as well") {
  constexpr int hidden = 48;
  const Normalised cell{numbers(1, {4, 4 * hidden}, f64), numbers(2, {4 * hidden, 4 * hidden}, f64),
                        numbers(3, {4 * hidden}, f64), numbers(4, {4 * hidden}, f64)};
  for (const auto& [batch, steps] : {std::pair{301, 3}, {450, 20}}) {
    CAPTURE(batch);
    check_compiled({{"", 1}, {"", 2}}, gradient_of_last<Normalised>(), cell, numbers(5, {batch, 4 * hidden}, f64),
                   numbers(6, {steps, batch, 4}, f64));
  }
}

TEST_CASE("row parts: one program for a batch of which the cache holds the state and for one of which it does not") {
  const Memory cell{numbers(1, {3, 2 * 64 + 1})};
  const auto gradient = gradient_of_last<Memory>();
  const auto compiled = jit(gradient);
  for (const int batch : {2, 60, 1, 0, 100}) {
    CAPTURE(batch);
    const Tensor c = numbers(2, {batch, 64, 64}), xs = numbers(3, {3, batch, 3});
    CHECK(same(leaves_of(compiled(cell, c, xs)), leaves_of(gradient(cell, c, xs))));
    ++cases;
  }
}

TEST_CASE("row parts: without the pass the bits are the same") {
  check_with_and_without("rows_in_parts", gradient_of_last<Memory>(), Memory{numbers(1, {3, 2 * 110 + 1})},
                         numbers(2, {21, 110, 110}), numbers(3, {3, 21, 3}));
}

// Threads take panels of a product that starts at one with a transposed operand: then no rows are anybody's own.
TEST_CASE("row parts: an input with its features first is multiplied in the product of the state") {
  constexpr int batch = 64, hidden = 64;
  const auto f = [](const Tensor& u, const Tensor& w, const std::pair<Tensor, Tensor>& state, const Tensor& xs) {
    return scan(
        [&](const std::pair<Tensor, Tensor>& s, const Tensor& x) {  // x: [5, B]
          (void)x.size(0).pin(), (void)s.second.size(1).pin();
          const Tensor now = tanh(matmul(s.first, u, matmul(x, w, {.transpose_a = true})));
          return std::pair{std::pair{now, 0.9 * s.second + mean(now, 1, true)}, now};
        },
        state, xs);
  };
  check_compiled({{"", 1}, {"", 2}, {"avx2", 3}}, f, numbers(1, {hidden, hidden}), numbers(2, {5, hidden}),
                 std::pair{numbers(3, {batch, hidden}), numbers(4, {batch, 5000})}, numbers(5, {20, 5, batch}));
}
