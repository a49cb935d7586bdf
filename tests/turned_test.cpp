// Transposes, which are read along one axis and written along another: in memory, as parts of larger values, packed for a
// product, in every order of axes and with extents that fill no squares. Compiled they have the interpreter's bits.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "ad/grad.h"
#include "cases.h"
#include "jit/jit.h"
#include "models/cell.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace tapeloop;

namespace {

Tensor numbers(int seed, const Shape& shape, Dtype dtype = Dtype::f32) {
  const Tensor x = normal(key(std::uint64_t(seed)), shape, is_float(dtype) ? dtype : Dtype::f64);
  return (is_float(dtype) ? x : cast(x * 100, dtype)).materialized();
}

Options changed(const std::string& isa, int threads, bool compiled) {
  Options o = options();
  o.isa = isa;
  o.threads = threads;
  o.all_threads = threads > 1;
  o.jit = compiled;
  return o;
}

// f is a function of tensors whose results, a tree, have the same bits compiled and interpreted.
template <class F, class... In>
void check_compiled(const F& f, const In&... in) {
  const auto run = [&](const Options& o) {
    const ScopedOptions scope(o);
    return leaves_of(jit(f)(in...));
  };
  const Tensors expected = run(changed("", 1, false));
  for (const auto& [isa, threads] :
       {std::pair{"avx512", 1}, std::pair{"avx512", 2}, std::pair{"avx2", 2}, std::pair{"sse2", 1}}) {
    CAPTURE(isa);
    CAPTURE(threads);
    const Tensors compiled = run(changed(isa, threads, true));
    REQUIRE(compiled.size() == expected.size());
    for (std::size_t i = 0; i < compiled.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(compiled[i], expected[i]));
    }
  }
}

// Fewer than a vector, one vector, several and some; both sides.
const std::vector<Shape> kMatrices = {{3, 37}, {37, 3}, {16, 16}, {37, 53}, {64, 32}, {1, 40}, {40, 1}};

}  // namespace

TEST_CASE("turned: a transpose of any element type and size") {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::i32, Dtype::i64})
    for (const Shape& shape : kMatrices) {
      CAPTURE(name_of(dtype));
      CAPTURE(to_string(shape));
      check_compiled([](const Tensor& x) { return transpose(x); }, numbers(1, shape, dtype));
    }
  check_compiled([](const Tensor& x) { return transpose(x > 0); }, numbers(1, {37, 53}));
}

TEST_CASE("turned: axes in every order") {
  for (const std::vector<int>& order :
       std::vector<std::vector<int>>{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    CAPTURE(order[0]);
    CAPTURE(order[1]);
    check_compiled([&order](const Tensor& x) { return transpose(x, order); }, numbers(2, {5, 19, 35}));
    check_compiled([&order](const Tensor& x) { return transpose(x * 2 + 1, order) * x.size(0).value(); },
                   numbers(2, {21, 2, 18}));
  }
}

TEST_CASE("turned: elementwise code, sums and concatenations around a transpose") {
  const Tensor x = numbers(3, {37, 53}), y = numbers(4, {53, 37}), square = numbers(5, {45, 45});
  check_compiled([](const Tensor& a, const Tensor& b) { return transpose(a) * 2 + b; }, x, y);
  check_compiled([](const Tensor& a, const Tensor& b) { return transpose(a * transpose(b)) + b; }, x, y);
  check_compiled([](const Tensor& a) { return a + transpose(a); }, square);
  check_compiled([](const Tensor& a) { return std::pair{transpose(a), transpose(a) * 3}; }, x);
  check_compiled([](const Tensor& a) { return std::pair{sum(transpose(a), -1), softmax(transpose(a))}; }, x);
  check_compiled([](const Tensor& a, const Tensor& b) { return concat({transpose(a), b}, 1); }, x, y);
  check_compiled([](const Tensor& a, const Tensor& b) { return concat({transpose(a), b}, 0); }, x, y);
  check_compiled([](const Tensor& a) { return exp(slice(transpose(a), 0, 3, 41)); }, x);
  check_compiled([](const Tensor& a) { return exp(slice(transpose(a), 1, 5, 29)); }, x);
  check_compiled([](const Tensor& a) { return chunk<3>(transpose(a)); }, numbers(6, {51, 40}));
}

TEST_CASE("turned: the right operand of a product, from where it stands") {
  const Tensor x = numbers(7, {9, 53}), w = numbers(8, {75, 53}), v = numbers(9, {53, 75}), m = numbers(10, {75, 53});
  check_compiled([](const Tensor& a, const Tensor& b) { return matmul(a, transpose(b)); }, x, w);
  check_compiled([](const Tensor& a, const Tensor& b) { return matmul(a, transpose(b), {.transpose_b = true}); }, x, v);
  check_compiled([](const Tensor& a, const Tensor& b) { return matmul(a, slice(transpose(b), 1, 2, 37)); }, x, w);
  check_compiled([](const Tensor& a, const Tensor& b, const Tensor& c) { return matmul(a, transpose(b * c)); }, x, w,
                 m);
  check_compiled(
      [](const Tensor& a, const Tensor& b) {
        const auto [p, q, r] = chunk<3>(transpose(b));
        return tanh(matmul(a, p)) * matmul(a, q) + matmul(a, r);
      },
      x, w);
  check_compiled([](const Tensor& a, const Tensor& b) { return matmul(transpose(a), transpose(b)); },
                 numbers(7, {53, 9}), w);
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
    check_compiled(grad<0, 1, 2>(loss), cell, numbers(14, {batch, hidden}), numbers(15, {6, batch, 10}));
  }
}
