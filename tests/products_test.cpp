// Products whose sums are longer than what is taken at a time, and whose columns fill no whole vectors: the gradients of
// weights over many rows and steps. Compiled they have the interpreter's bits on instruction sets that pack their operands in
// different ways.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "compiled.h"
#include "models/cell.h"
#include "models/gru.h"
#include "models/lstm.h"
#include "models/rnn.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/reduce.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

struct Sizes {
  int steps, batch, inputs, hidden;
};

template <class Cell>
void check_gradients(const Sizes& n, Dtype dtype) {
  CAPTURE(n.batch);
  CAPTURE(n.inputs);
  CAPTURE(n.hidden);
  const auto loss = [](const Cell& cell, const Tensor& xs) {
    const auto [last, hs] = unroll(cell, cell.initial(xs.size(1)), xs);
    return sum(hs * hs);
  };
  const Cell cell = Cell::init(key(5), n.inputs, n.hidden, {.dtype = dtype});
  const Tensor xs = numbers(6, {n.steps, n.batch, n.inputs}, dtype);
  check_compiled({{"avx512", 2}, {"avx2", 1}}, grad<0, 1>(loss), cell, xs);
}

}  // namespace

TEST_CASE("products: a step has more rows than a chunk of the sum") {
  check_gradients<Lstm>({3, 131, 9, 33}, Dtype::f32);
}

TEST_CASE("products: a chunk of the sum has several steps, and the last has fewer") {
  check_gradients<Lstm>({11, 20, 70, 40}, Dtype::f32);
  check_gradients<Rnn>({9, 17, 3, 140}, Dtype::f64);
}

TEST_CASE("products: hoisted sums over more inputs than a chunk") {
  check_gradients<Lstm>({3, 5, 270, 13}, Dtype::f32);
}

TEST_CASE("products: of a single row and many steps") { check_gradients<Gru>({300, 1, 4, 44}, Dtype::f32); }
