// associative_scan: its partial results are those of a loop, its derivatives too, and its tape grows with log n.
#include <doctest/doctest.h>

#include "ad/check_doctest.h"
#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "ops/associative_scan.h"
#include "ops/batch.h"
#include "ops/prefix.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

struct Affine {
  Tensor a, b;
};
Affine composed(const Affine& first, const Affine& second) {
  return {second.a * first.a, second.a * first.b + second.b};
}
Tensor recurrence(const Tensor& a, const Tensor& b, bool reverse = false) {
  auto order = [&](const Affine& s, const Affine& t) { return reverse ? composed(t, s) : composed(s, t); };
  return associative_scan(order, Affine{a, b}, reverse).b;
}

}  // namespace

TEST_CASE("associative scan: a linear recurrence of every length, both ways, with its derivatives") {
  for (int n : {0, 1, 2, 3, 4, 5, 7, 8, 31}) {
    INFO(n);
    const Tensor a = 0.7 * noise(1, {n, 3}), b = noise(2, {n, 3});
    for (bool reverse : {false, true})
      CHECK(distance({recurrence(a, b, reverse)}, {linear_recurrence(a, b, 0, reverse)}) <= 1e-14);
    auto loss = [](const Tensor& x, const Tensor& y) { return sum(square(recurrence(x, y))); };
    auto by_loop = [](const Tensor& x, const Tensor& y) { return sum(square(linear_recurrence(x, y))); };
    CHECK(distance(leaves_of(grad<0, 1>(loss)(a, b)), leaves_of(grad<0, 1>(by_loop)(a, b))) <= 1e-13);
    if (n == 7) {
      TAPELOOP_CHECK_GRADIENTS(loss, a, b);
      CHECK(same(leaves_of(jit(grad<0, 1>(loss))(a, b)), leaves_of(grad<0, 1>(loss)(a, b))));
      const Tensor many = stack({a, a * 0.5}, 0);
      const Tensor both =
          vmap([](const Tensor& x, const Tensor& y) { return recurrence(x, y); }, {.in = {0, none}})(many, b);
      CHECK(same_bits(at(both, 0, 1), recurrence(a * 0.5, b)));
    }
    tapeloop::testing::cases += 3;
  }
}

TEST_CASE("associative scan: an operation that does not commute: products of matrices") {
  const Tensor m = noise(3, {6, 2, 2});
  auto product = [](const Tensor& s, const Tensor& t) { return matmul(s, t); };
  const Tensor all = associative_scan(product, m);
  Tensor by_hand = at(m, 0, 0);
  for (int i = 1; i < 6; ++i) {
    by_hand = matmul(by_hand, at(m, 0, i));
    CHECK(distance({at(all, 0, i)}, {by_hand}) <= 1e-14);
  }
  // In reverse y[i] = x[i]·x[i + 1]·…
  CHECK(distance({at(associative_scan(product, m, true), 0, 0)}, {by_hand}) <= 1e-14);
}

TEST_CASE("associative scan: the tape grows with the logarithm") {
  auto records = [](int n) {
    return trace([](const Tensor& a, const Tensor& b) { return recurrence(a, b); }, Recorder::Captures::recorded,
                 noise(1, {n}), noise(2, {n}))
        .tape->size();
  };
  const auto step = records(2048) - records(1024);
  CHECK(step < 40);
  CHECK(records(4096) - records(2048) == step);
}

TEST_CASE("associative scan: mistakes") {
  CHECK_THROWS_WITH_AS(recurrence(noise(1, {3}), noise(2, {4})), doctest::Contains("xs have 3 and 4 steps"), Error);
  CHECK_THROWS_WITH_AS(recurrence(noise(1, {}), noise(2, {})), doctest::Contains("hold a scalar"), Error);
}
