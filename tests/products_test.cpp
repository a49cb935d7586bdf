// Products of matrices: beside one another and one at the other's end, of sums longer than what is taken at a time, of columns
// that fill no whole vectors, and the gradients of weights over many rows and steps. Compiled they have the interpreter's bits
// on instruction sets that pack their operands in different ways.
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

TEST_CASE("products: one that starts at elementwise code on another goes on beside it") {
  // As start and beside it, of all columns and of chunks; the third product needs the second.
  const auto f = [](const Tensor& h, const Tensor& x, const Tensor& w, const Tensor& u, const Tensor& b) {
    const auto [r, z, n] = chunk<3>(tanh(matmul(x, w) * b) + b);
    const auto [ur, uz, un] = chunk<3>(u);
    const Tensor gate = sigmoid(matmul(h, ur, r));
    const auto [p, q, s] = chunk<3>(matmul(x, u, matmul(h, w) - b));
    return std::pair{gate * matmul(gate * h, un, n) + matmul(h, uz, z) * n, p * q + s};
  };
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (int size : {5, 16, 40})
      for (int rows : {1, 2}) {
        if (rows == 2 && size != 16) continue;
        CAPTURE(size);
        const Tensor h = numbers(1, {rows, size}, dtype), x = numbers(2, {rows, size}, dtype),
                     w = numbers(3, {size, 3 * size}, dtype), u = numbers(4, {size, 3 * size}, dtype),
                     b = numbers(5, {3 * size}, dtype);
        check_same_bits(jit(f)(h, x, w, u, b), f(h, x, w, u, b));
      }
}

TEST_CASE("products: one that another starts at keeps its own value for who else reads it") {
  const auto f = [](const Tensor& h, const Tensor& x, const Tensor& w, const Tensor& u) {
    const Tensor first = matmul(x, w), whole = matmul(h, u, first), third = matmul(whole, w, whole);
    return std::tuple{tanh(first), whole, whole * first, sum(first, 0), third - whole};
  };
  for (int rows : {1, 2, 30})
    for (int size : {5, 40}) {
      const Tensor h = numbers(1, {rows, size}), x = numbers(2, {rows, size}), w = numbers(3, {size, size}),
                   u = numbers(4, {size, size});
      check_same_bits(jit(f)(h, x, w, u), f(h, x, w, u));
    }
}

TEST_CASE("products: of more rows and longer sums than are taken at once are the interpreter's, bit for bit") {
  // More than 256 of both, and columns that do not fill the last panel or its last vector; several products side by side too.
  const auto products = [](const Tensor& x, const Tensor& w, const Tensor& start) {
    const auto left = [](const Tensor& a, const Tensor& b) { return matmul(a, b, {.transpose_a = true}); };
    return std::tuple{matmul(x, w), matmul(x, w, start), left(x, start), left(x, x),
                      matmul(start, w, {.transpose_b = true})};
  };
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (int columns : {37, 40, 48, 80}) {
      CAPTURE(columns);
      const Tensor x = numbers(1, {301, 530}, dtype), w = numbers(2, {530, columns}, dtype),
                   start = numbers(3, {301, columns}, dtype);
      for (int threads : {1, 2}) {
        ScopedOptions scope(changed([&](Options& o) { o.threads = threads, o.all_threads = true; }));
        check_same_bits(jit(products)(x, w, start), products(x, w, start));
      }
    }
}

TEST_CASE(
    "products: whatever part of a vector the last columns fill, products and what follows on them are the "
    "interpreter's") {
  const auto f = [](const Tensor& x, const Tensor& w, const Tensor& b) {
    const auto [p, q] = chunk<2>(matmul(x, w, broadcast_to(b, {x.size(0), b.size(0)})));
    // Starts at what all columns share.
    const Tensor r = matmul(x, w, broadcast_to(tanh(sum(b)), {x.size(0), b.size(0)}));
    return std::tuple{sigmoid(p) * exp(q), matmul(exp(p), w) + b, r, matmul(x, w, exp(r) * mean(b))};
  };
  for (const std::string isa : {"", "sse2"})
    for (Dtype dtype : {Dtype::f32, Dtype::f64})
      for (int rows : {1, 13})
        for (int columns : {1, 5, 12, 20}) {
          CAPTURE(isa);
          CAPTURE(rows);
          CAPTURE(columns);
          const Tensor x = numbers(1, {rows, columns}, dtype), w = numbers(2, {columns, 2 * columns}, dtype),
                       b = numbers(3, {2 * columns}, dtype);
          ScopedOptions scope(changed([&](Options& o) { o.isa = isa; }));
          check_same_bits(jit(f)(x, w, b), f(x, w, b));
        }
}

TEST_CASE("products: weights that are walked to and fro give the same bits") {
  const auto cell = Lstm::init(key(1), 3, 200);
  for (bool reverse : {false, true})
    for (int threads : {1, 2}) {
      const auto f = [&](const Lstm& c, const Lstm::State& s, const Tensor& xs) {
        auto [last, outputs] = unroll(c, s, xs, {.reverse = reverse});
        return std::pair{last, outputs};
      };
      const Tensor xs = numbers(2, {5, 1, 3});
      ScopedOptions scope(changed([&](Options& o) { o.threads = threads; }));
      check_same_bits(jit(f)(cell, cell.initial(1), xs), f(cell, cell.initial(1), xs));
    }
}
