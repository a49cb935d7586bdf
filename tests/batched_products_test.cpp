// Products with leading axes (jit/emit_matmul.cpp), where every row of a batch has a matrix of its own: attention, and cells
// whose memory is a matrix. Compiled they have the interpreter's bits.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "compiled.h"
#include "models/cell.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

template <class F, class... In>
void check(const F& f, const In&... in) {
  check_compiled({{"avx512", 2}, {"avx2", 1}, {"sse2", 1}}, f, in...);
}

// f(a, b) for a of [lead…, m, k] and b of [lead…, k, n], each as it is and as the transpose of what is in memory.
void check_sizes(const Shape& lead, std::int64_t m, std::int64_t k, std::int64_t n, Dtype dtype) {
  CAPTURE(m);
  CAPTURE(k);
  CAPTURE(n);
  const auto shape = [&](std::int64_t rows, std::int64_t columns) {
    Shape all = lead;
    all.push_back(rows);
    all.push_back(columns);
    return all;
  };
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      CAPTURE(ta);
      CAPTURE(tb);
      const MatmulOptions how{.transpose_a = ta, .transpose_b = tb};
      const Tensor a = numbers(1, ta ? shape(k, m) : shape(m, k), dtype);
      const Tensor b = numbers(2, tb ? shape(n, k) : shape(k, n), dtype);
      check([how](const Tensor& x, const Tensor& y,
                  const Tensor& start) { return std::pair{matmul(x, y, how), matmul(x, y, start * 2, how)}; },
            a, b, numbers(3, shape(m, n), dtype));
    }
}

}  // namespace

TEST_CASE("batched products: rows, columns and sums of fewer than a vector, of several and some") {
  for (const auto& [m, k, n] : {std::tuple{1, 1, 1},
                                {1, 19, 70},
                                {70, 19, 1},
                                {1, 33, 1},
                                {7, 1, 40},
                                {13, 35, 20},
                                {6, 16, 64},
                                {3, 40, 2},
                                {2, 3, 150}})
    check_sizes({3}, m, k, n, Dtype::f32);
  for (const auto& [m, k, n] : {std::tuple{1, 19, 70}, {70, 19, 1}, {13, 35, 20}})
    check_sizes({2, 3}, m, k, n, Dtype::f64);
}

TEST_CASE("batched products: nothing to sum, or nothing to compute") {
  for (const auto& [m, k, n] : {std::tuple{2, 0, 20}, {0, 3, 4}, {2, 3, 0}, {20, 0, 1}})
    check_sizes({2}, m, k, n, Dtype::f32);
}

TEST_CASE("batched products: scores of attention, and what they weigh") {
  const auto attend = [](const Tensor& q, const Tensor& k, const Tensor& v) {
    return matmul(softmax(matmul(q, transpose(k, {0, 2, 1})) / 4.0), v);
  };
  const auto loss = [attend](const Tensor& q, const Tensor& k, const Tensor& v) {
    const Tensor y = attend(q, k, v);
    return sum(y * y);
  };
  for (const auto& [batch, queries, keys] : {std::tuple{2, 1, 35}, {3, 9, 9}, {1, 20, 50}}) {
    const Tensor q = numbers(4, {batch, queries, 18}), k = numbers(5, {batch, keys, 18}),
                 v = numbers(6, {batch, keys, 21});
    check(attend, q, k, v);
    check(grad<0, 1, 2>(loss), q, k, v);
  }
}

namespace {

// A memory that is a matrix, written by outer products and read by a query; what is elementwise on it follows from the inputs
// alone, as do queries, of which only the gradient needs all steps.
struct MatrixMemory {
  Tensor w, b;  // [D, 4D], [4D]: query, key, value, gates

  struct State {
    Tensor c, n;  // [B, D, D], [B, D]
  };
  auto operator()(const State& s, const Tensor& x) const {
    const Extent rows = x.size(0), d = w.size(0);
    const auto [q, k, v, g] = chunk<4>(matmul(x, w) + b);
    const Tensor f = sigmoid(slice(g, 1, 0, 1)), i = sigmoid(slice(g, 1, 1, 2));
    const Tensor written = reshape(v, {rows, d, 1}) * reshape(k, {rows, 1, d});
    const Tensor c = reshape(f, {rows, 1, 1}) * s.c + reshape(i, {rows, 1, 1}) * written;
    const Tensor n = f * s.n + i * k;
    const Tensor read = reshape(matmul(c, reshape(q, {rows, d, 1})), {rows, d});
    return std::pair{State{c, n}, read / (abs(sum(n * q, -1, true)) + 1)};
  }
};

// The delta rule: what the memory holds under a key is replaced.
struct DeltaRule {
  Tensor w;  // [D, 3D]

  auto operator()(const Tensor& c, const Tensor& x) const {
    const Extent rows = x.size(0), d = w.size(0);
    const auto [q, k, v] = chunk<3>(matmul(x, w));
    const Tensor at = reshape(k / sqrt(sum(k * k, -1, true) + 1e-6), {rows, 1, d});
    const Tensor next = c + matmul(transpose(at, {0, 2, 1}), reshape(v, {rows, 1, d}) - matmul(at, c));
    return std::pair{next, reshape(matmul(reshape(q, {rows, 1, d}), next), {rows, d})};
  }
};

// A matrix for each head of each row, which begins where the product of what is written starts.
struct Heads {
  Tensor w;  // [D, heads · 2n]
  std::int64_t heads;

  auto operator()(const Tensor& c, const Tensor& x) const {
    const Extent rows = x.size(0);
    const std::int64_t n = c.size(2).value();
    const auto [k, v] = chunk<2>(reshape(matmul(x, w), {rows, heads, 2 * n}));
    const Tensor scores = softmax(matmul(c, expand_dims(k, 3)), 2);
    const Tensor next = matmul(scores, expand_dims(v, 2), c);
    return std::pair{next - mean(next, {2, 3}, true),
                     reshape(matmul(next, scores, {.transpose_a = true}), {rows, heads * n})};
  }
};

template <class Cell, class State>
auto loss_of(const Cell&, const State&) {
  return [](const Cell& c, const State& s, const Tensor& x) {
    const auto [last, ys] = unroll(c, s, x);
    return sum(ys * ys);
  };
}

template <class Cell, class State>
void check_cell(const Cell& cell, const State& state, const Tensor& xs) {
  const auto loss = loss_of(cell, state);
  check(loss, cell, state, xs);
  check(grad<0, 1, 2>(loss), cell, state, xs);
}

}  // namespace

TEST_CASE("batched products: cells whose memory is a matrix, forward and backward") {
  for (const auto& [batch, size] : {std::pair{1, 20}, {3, 5}, {2, 33}, {5, 24}}) {
    CAPTURE(batch);
    CAPTURE(size);
    const Tensor xs = numbers(7, {6, batch, size}), c = numbers(8, {batch, size, size}), n = numbers(9, {batch, size});
    check_cell(MatrixMemory{numbers(10, {size, 4 * size}), numbers(11, {4 * size})}, MatrixMemory::State{c, n}, xs);
    check_cell(DeltaRule{numbers(12, {size, 3 * size})}, c, xs);
  }
}

// Some of their kernels run row by row (jit/row_groups.cpp), where matrices are large enough for that and small enough.
TEST_CASE(
    "batched products: matrices that go through a step one after the other, of every size and type, change no bit") {
  for (const auto& [batch, heads, size, dtype] : {std::tuple{3, 2, 22, Dtype::f32},
                                                  {2, 3, 23, Dtype::f32},
                                                  {3, 2, 16, Dtype::f64},
                                                  {17, 2, 24, Dtype::f32},
                                                  {0, 2, 24, Dtype::f32}}) {
    CAPTURE(batch);
    CAPTURE(size);
    const Heads cell{numbers(1, {5, heads * 2 * size}, dtype), heads};
    const Tensor c = numbers(2, {batch, heads, size, size}, dtype), xs = numbers(3, {4, batch, 5}, dtype);
    check_cell(cell, c, xs);
    check_with_and_without("group_rows", grad<0, 1, 2>(loss_of(cell, c)), cell, c, xs);
  }
}

TEST_CASE("batched products: one program serves every batch, and arguments that it may overwrite") {
  const DeltaRule cell{numbers(1, {24, 72})};
  const auto gradient = grad<0, 1, 2>(loss_of(cell, Tensor()));
  const auto compiled = jit(gradient);
  for (const int batch : {5, 1, 2, 17, 0, 3}) {
    CAPTURE(batch);
    const Tensor xs = numbers(2, {3, batch, 24});
    Tensor c = numbers(3, {batch, 24, 24});
    const Tensors expected = leaves_of(gradient(cell, c, xs));
    CHECK(same(leaves_of(compiled(cell, std::move(c), xs)), expected));
    ++cases;
  }
}
