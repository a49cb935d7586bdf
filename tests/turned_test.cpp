// Transposes, which are read along one axis and written along another: in memory, as parts of larger values, packed for a
// product, in every order of axes and with extents that fill no squares. Compiled they have the interpreter's bits.
#include <doctest/doctest.h>

#include <vector>

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
  check_compiled({{"avx512", 1}, {"avx512", 2}, {"avx2", 2}, {"sse2", 1}}, f, in...);
}

// Fewer than a vector, one vector, several and some; both sides.
const std::vector<Shape> kMatrices = {{3, 37}, {37, 3}, {16, 16}, {37, 53}, {64, 32}, {1, 40}, {40, 1}};

}  // namespace

TEST_CASE("turned: a transpose of any element type and size") {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::i32, Dtype::i64})
    for (const Shape& shape : kMatrices) {
      CAPTURE(name_of(dtype));
      CAPTURE(to_string(shape));
      check([](const Tensor& x) { return transpose(x); }, numbers(1, shape, dtype));
    }
  check([](const Tensor& x) { return transpose(x > 0); }, numbers(1, {37, 53}));
}

TEST_CASE("turned: axes in every order") {
  for (const std::vector<int>& order :
       std::vector<std::vector<int>>{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    CAPTURE(order[0]);
    CAPTURE(order[1]);
    check([&order](const Tensor& x) { return transpose(x, order); }, numbers(2, {5, 19, 35}));
    check([&order](const Tensor& x) { return transpose(x * 2 + 1, order) * x.size(0).value(); },
          numbers(2, {21, 2, 18}));
  }
}

TEST_CASE("turned: elementwise code, sums and concatenations around a transpose") {
  const Tensor x = numbers(3, {37, 53}), y = numbers(4, {53, 37}), square = numbers(5, {45, 45});
  check([](const Tensor& a, const Tensor& b) { return transpose(a) * 2 + b; }, x, y);
  check([](const Tensor& a, const Tensor& b) { return transpose(a * transpose(b)) + b; }, x, y);
  check([](const Tensor& a) { return a + transpose(a); }, square);
  check([](const Tensor& a) { return std::pair{transpose(a), transpose(a) * 3}; }, x);
  check([](const Tensor& a) { return std::pair{sum(transpose(a), -1), softmax(transpose(a))}; }, x);
  check([](const Tensor& a, const Tensor& b) { return concat({transpose(a), b}, 1); }, x, y);
  check([](const Tensor& a, const Tensor& b) { return concat({transpose(a), b}, 0); }, x, y);
  check([](const Tensor& a) { return exp(slice(transpose(a), 0, 3, 41)); }, x);
  check([](const Tensor& a) { return exp(slice(transpose(a), 1, 5, 29)); }, x);
  check([](const Tensor& a) { return chunk<3>(transpose(a)); }, numbers(6, {51, 40}));
}

TEST_CASE("turned: the right operand of a product, from where it stands") {
  const Tensor x = numbers(7, {9, 53}), w = numbers(8, {75, 53}), v = numbers(9, {53, 75}), m = numbers(10, {75, 53});
  check([](const Tensor& a, const Tensor& b) { return matmul(a, transpose(b)); }, x, w);
  check([](const Tensor& a, const Tensor& b) { return matmul(a, transpose(b), {.transpose_b = true}); }, x, v);
  check([](const Tensor& a, const Tensor& b) { return matmul(a, slice(transpose(b), 1, 2, 37)); }, x, w);
  check([](const Tensor& a, const Tensor& b, const Tensor& c) { return matmul(a, transpose(b * c)); }, x, w, m);
  check(
      [](const Tensor& a, const Tensor& b) {
        const auto [p, q, r] = chunk<3>(transpose(b));
        return tanh(matmul(a, p)) * matmul(a, q) + matmul(a, r);
      },
      x, w);
  check([](const Tensor& a, const Tensor& b) { return matmul(transpose(a), transpose(b)); }, numbers(7, {53, 9}), w);
}

TEST_CASE("turned: weights kept as [outputs, inputs], over time, with their gradients") {
  struct Cell {
    Tensor w, u, b;  // [2H, D], [2H, H], [2H]
    Tensor operator()(const Tensor& h, const Tensor& x) const {
      const auto [z, g] = chunk<2>(matmul(x, transpose(w)) + matmul(h, transpose(u)) + b);
      return sigmoid(z) * h + (1 - sigmoid(z)) * tanh(g);
    }
  };
  const auto loss = [](const Cell& cell, const Tensor& h, const Tensor& xs) {
    const Tensor y = unroll(cell, h, xs).outputs;
    return sum(y * y);
  };
  for (const auto& [batch, hidden] : {std::pair{1, 40}, std::pair{7, 21}, std::pair{18, 32}}) {
    CAPTURE(batch);
    CAPTURE(hidden);
    const Cell cell{numbers(11, {2 * hidden, 10}), numbers(12, {2 * hidden, hidden}), numbers(13, {2 * hidden})};
    check(grad<0, 1, 2>(loss), cell, numbers(14, {batch, hidden}), numbers(15, {6, batch, 10}));
  }
}
