// vmap in company: through loops, over gradients, inside gradients, in itself and compiled; and what it says to mistakes.
#include <doctest/doctest.h>

#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "ops/batch.h"
#include "ops/index.h"
#include "ops/matmul.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

template <class Tree>
Tree example(const Tree& tree, int i) {
  Tree one = tree;
  for_each_tensor(one, [&](Tensor& t) {
    if (!t.is_empty()) t = at(t, 0, i);
  });
  return one;
}

}  // namespace

TEST_CASE("vmap: per-example gradients of every cell are the gradients of the examples") {
  constexpr int examples = 3;
  for_each_cell([](const std::string& name, const auto& cell) {
    INFO(name);
    const auto state = state_of(cell, 2);
    const Tensor xs = noise(60, {examples, 4, 2, 3}), w = weights_for(4);
    auto gradients = [](const auto& c, const auto& s, const Tensor& x, const Tensor& weights) {
      return value_and_grad<0, 1, 2>(weighted())(c, s, x, weights);
    };
    const VmapOptions options{.in = {none, none, 0, none}};
    const auto all = vmap(gradients, options)(cell, state, xs, w);
    const auto compiled = jit(vmap(gradients, options))(cell, state, xs, w);
    CHECK(same(leaves_of(compiled), leaves_of(all)));
    for (int i = 0; i < examples; ++i)
      CHECK(same(leaves_of(example(all, i)), leaves_of(gradients(cell, state, at(xs, 0, i), w))));

    // Many cells on one sequence: an ensemble.
    auto many = cell;
    for_each_tensor(many, [&](Tensor& t) {
      if (!t.is_empty()) t = stack({t, t * 0.5}, 0);
    });
    const auto ensemble = vmap(gradients, {.in = {0, none, none, none}})(many, state, at(xs, 0, 0), w);
    for (int i = 0; i < 2; ++i) {
      auto one = cell;
      if (i == 1)
        for_each_tensor(one, [](Tensor& t) {
          if (!t.is_empty()) t = t * 0.5;
        });
      CHECK(same(leaves_of(example(ensemble, i)), leaves_of(gradients(one, state, at(xs, 0, 0), w))));
    }
    tapeloop::testing::cases += 3;
  });
}

TEST_CASE("vmap: a state that becomes batched only after some steps, and results that never do") {
  auto f = [](const Tensor& h, const Tensor& c, const Tensor& xs, const Tensor& us) {
    auto step = [](const std::pair<Tensor, Tensor>& s, const std::pair<Tensor, Tensor>& x) {
      return std::pair{std::pair{s.first * x.second, s.second + s.first}, std::pair{s.second, s.first * x.first}};
    };
    return scan(step, std::pair{h, c}, std::pair{us, xs});
  };
  const Tensor h = noise(1, {2}), c = noise(2, {2}), xs = noise(3, {3, 5, 2}), us = noise(4, {5, 2});
  const auto all = vmap(f, {.in = {none, none, 0, none}})(h, c, xs, us);
  for (int i = 0; i < 3; ++i) CHECK(same(leaves_of(example(all, i)), leaves_of(f(h, c, at(xs, 0, i), us))));
}

TEST_CASE("vmap: axes of arguments and results") {
  auto f = [](const Tensor& a, const Tensor& b) { return std::pair{matmul(a, b), sum(a)}; };
  const Tensor a = noise(1, {2, 3, 4}), b = noise(2, {3, 5});
  const auto [products, sums] = vmap(f, {.in = {-1, none}, .out = -1})(a, b);
  CHECK(values_of(products.shape()) == std::vector<std::int64_t>{2, 5, 4});
  for (int i = 0; i < 4; ++i) {
    const auto [product, total] = f(at(a, -1, i), b);
    CHECK(same_bits(at(products, -1, i), product));
    CHECK(same_bits(at(sums, 0, i), total));
  }
  // What does not depend on the example is repeated.
  CHECK(same_bits(vmap([](const Tensor&, const Tensor& y) { return y; }, {.in = {0, none}})(a, b), stack({b, b})));
}

TEST_CASE("vmap: in itself, inside grad, inside jvp, inside scan") {
  const Tensor xs = noise(1, {3, 5}), ys = noise(2, {4, 5});
  auto dot = [](const Tensor& x, const Tensor& y) { return sum(x * y); };
  const Tensor table = vmap(vmap(dot, {.in = {none, 0}}), {.in = {0, none}})(xs, ys);
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 4; ++j) CHECK(same_bits(at(at(table, 0, i), 0, j), dot(at(xs, 0, i), at(ys, 0, j))));

  auto row = [](const Tensor& x, const Tensor& w) { return logsumexp(matmul(x, w) * x); };
  const Tensor w = noise(3, {5, 5});
  auto by_vmap = [&](const Tensor& x, const Tensor& m) { return sum(vmap(row, {.in = {0, none}})(x, m)); };
  auto by_hand = [&](const Tensor& x, const Tensor& m) {
    Tensor total = row(at(x, 0, 0), m);
    for (int i = 1; i < 3; ++i) total = total + row(at(x, 0, i), m);
    return total;
  };
  CHECK(distance(leaves_of(grad<0, 1>(by_vmap)(xs, w)), leaves_of(grad<0, 1>(by_hand)(xs, w))) <= 1e-14);
  const Tensor v = noise(4, {3, 5});
  CHECK(distance({hvp(by_vmap)(v, xs, w)}, {hvp(by_hand)(v, xs, w)}) <= 1e-13);

  // A loop whose step is batched: rows that do not know of each other.
  auto step = [&](const Tensor& h, const Tensor& x) {
    const Tensor next = vmap([](const Tensor& a, const Tensor& b) { return tanh(a * sum(b)); })(h, x);
    return std::pair{next, next};
  };
  const Tensor sequence = noise(5, {6, 3, 5}), h = noise(6, {3, 5});
  auto plain = [](const Tensor& state, const Tensor& x) {
    const Tensor next = tanh(state * sum(x, -1, true));
    return std::pair{next, next};
  };
  CHECK(same(leaves_of(scan(step, h, sequence)), leaves_of(scan(plain, h, sequence))));
}

TEST_CASE("vmap: indices outside the table stay outside in every example") {
  const Tensor table = noise(1, {3, 4, 2}),
               indices = Tensor::of(std::vector<int>{0, -1, 4, 3, -4, -5, 9, 1, -9}, {3, 3});
  auto look_up = [](const Tensor& t, const Tensor& i) { return gather(t, i); };
  auto spread = [](const Tensor& t, const Tensor& i) { return scatter_add(i, gather(t, i), t); };
  const Tensor both = vmap(look_up)(table, indices),
               one_table = vmap(look_up, {.in = {none, 0}})(at(table, 0, 0), indices),
               one_list = vmap(look_up, {.in = {0, none}})(table, at(indices, 0, 1)),
               added = vmap(spread)(table, indices);
  for (int e = 0; e < 3; ++e) {
    CHECK(same_bits(at(both, 0, e), look_up(at(table, 0, e), at(indices, 0, e))));
    CHECK(same_bits(at(one_table, 0, e), look_up(at(table, 0, 0), at(indices, 0, e))));
    CHECK(same_bits(at(one_list, 0, e), look_up(at(table, 0, e), at(indices, 0, 1))));
    CHECK(same_bits(at(added, 0, e), spread(at(table, 0, e), at(indices, 0, e))));
  }
  const Tensor unsigned_indices = Tensor::of(std::vector<std::uint32_t>{0, 3, 4, 4000000000u}, {2, 2});
  const Tensor found = vmap(look_up, {.in = {none, 0}})(at(table, 0, 0), unsigned_indices);
  for (int e = 0; e < 2; ++e) CHECK(same_bits(at(found, 0, e), look_up(at(table, 0, 0), at(unsigned_indices, 0, e))));
}

TEST_CASE("vmap: one compiled program serves every number of examples") {
  auto f = jit(vmap([](const Tensor& x, const Tensor& w) { return tanh(matmul(x, w)); }, {.in = {0, none}}));
  const Tensor w = noise(1, {3, 4});
  (void)f(noise(2, {5, 2, 3}), w);
  const auto before = programs_compiled();
  for (int n : {2, 7, 64}) {
    const Tensor x = noise(n, {n, 2, 3});
    CHECK(same_bits(f(x, w), tanh(matmul(x, w))));
  }
  CHECK(programs_compiled() == before);
}

TEST_CASE("vmap: mistakes") {
  auto f = [](const Tensor& a, const Tensor& b) { return a + b; };
  const Tensor a = noise(1, {3, 4}), b = noise(2, {2, 4}), s = ones({});
  CHECK_THROWS_WITH_AS(vmap(f)(a, b), doctest::Contains("vmap: argument 0 has 3 examples, argument 1 has 2"), Error);
  CHECK_THROWS_WITH_AS(vmap(f)(a, s), doctest::Contains("vmap: argument 1 is a scalar"), Error);
  CHECK_THROWS_WITH_AS(vmap(f, {.in = {0}})(a, a), doctest::Contains("vmap: .in has 1 entries for 2 arguments"), Error);
  CHECK_THROWS_WITH_AS(vmap(f, {.in = {none, none}})(a, a),
                       doctest::Contains("vmap: no argument has an axis of examples"), Error);
  CHECK_THROWS_WITH_AS(vmap(f, {.in = {2, 0}})(a, a), doctest::Contains("vmap: axis 2 of a tensor with 2 axes"), Error);
  CHECK_THROWS_WITH_AS(vmap(f, {.out = 3})(a, a), doctest::Contains("vmap: axis 3 of a tensor with 2 axes"), Error);
  CHECK_THROWS_WITH_AS(vmap(f, {.in = {2, 0}})(a, a), doctest::Contains("vmap_test.cpp"), Error);
}
