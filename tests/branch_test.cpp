// Branches and loops whose length is not known: only the chosen side runs, every derivative of either is that of the side that
// ran or of the steps that were taken, and the compiled program is the interpreter's.
#include <doctest/doctest.h>

#include "ad/check.h"
#include "ad/options.h"
#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "ops/batch.h"
#include "ops/cond.h"
#include "ops/jacobian.h"
#include "ops/while_loop.h"
#include "tapes.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

Tensor positive(const Tensor& x) { return sum(x) > 0; }
Tensor up(const Tensor& x, const Tensor& w) { return tanh(matmul(x, w)) * x; }
Tensor down(const Tensor& x, const Tensor& w) { return exp(-square(x)) + sum(w); }

// One of two functions of x and w, as the sum of x says; and what that is without a branch.
Tensor chosen(const Tensor& x, const Tensor& w) { return sum(square(cond(positive(x), up, down, x, w))); }
Tensor written(const Tensor& x, const Tensor& w) {
  return sum(square(sum(x).item<double>() > 0 ? up(x, w) : down(x, w)));
}
template <class F>
auto on(F f, bool is_up) {
  return [f, is_up](const Tensor& x, const Tensor& w) { return sum(square(is_up ? f(x, w) : down(x, w))); };
}

using State = std::pair<Tensor, Tensor>;  // x, steps taken

// x is halved and mixed until it is small.
Tensor is_large(const State& s) { return sum(square(s.first)) > 0.5; }
State shrink(const State& s, const Tensor& w) { return {tanh(matmul(s.first, w)) * 0.7, s.second + 1}; }
State until_small(const Tensor& x, const Tensor& w, std::int64_t bound = 0) {
  return while_loop(is_large, [&](const State& s) { return shrink(s, w); }, State{x, full({}, 0, Dtype::i32)},
                    {.bound = bound});
}
Tensor loss_of_loop(const Tensor& x, const Tensor& w) { return sum(square(until_small(x, w, 12).first + w)); }
Tensor loss_of_steps(const Tensor& x, const Tensor& w, int steps) {
  State s{x, full({}, 0, Dtype::i32)};
  for (int i = 0; i < steps; ++i) s = shrink(s, w);
  return sum(square(s.first + w));
}

}  // namespace

TEST_CASE("cond: value, gradients of both modes, of second order, and compiled, are those of the side that runs") {
  for (bool is_up : {true, false}) {
    const Tensor x = noise(1, {3, 3}) * 0.3 + (is_up ? 0.5 : -0.5), w = noise(2, {3, 3}), v = noise(3, {3, 3});
    const auto plain = on(up, is_up);
    CHECK(same_bits(chosen(x, w), written(x, w)));
    const auto gradients = leaves_of(grad<0, 1>(plain)(x, w));
    CHECK(distance(leaves_of(grad<0, 1>(chosen)(x, w)), gradients) <= 1e-14);
    CHECK(same({std::get<1>(jvp(chosen)(std::tuple{x, w}, std::tuple{v, w}))},
               {std::get<1>(jvp(plain)(std::tuple{x, w}, std::tuple{v, w}))}));
    CHECK(distance({hvp(chosen)(v, x, w)}, {hvp(plain)(v, x, w)}) <= 1e-13);
    CHECK(distance({hessian(chosen)(x, w)}, {hessian(plain)(x, w)}) <= 1e-13);
    check_gradients(chosen, x, w);
    for (int threads : {1, 2, 3}) {
      Options with = options();
      with.threads = threads;
      const ScopedOptions scope(with);
      CHECK(same(leaves_of(jit(value_and_grad<0, 1>(chosen))(x, w)), leaves_of(value_and_grad<0, 1>(chosen)(x, w))));
      CHECK(same({jit(hvp(chosen))(v, x, w)}, {hvp(chosen)(v, x, w)}));
    }
    testing::cases += 8;
  }
}

TEST_CASE("cond: the side that is not chosen does not run, and both are kept") {
  const Tensor x = noise(1, {4}) + 3;
  // An endless loop is the proof.
  auto endless = [](const Tensor& y) {
    return while_loop([](const Tensor& s) { return sum(s) == sum(s); }, [](const Tensor& s) { return s * 1; }, y);
  };
  auto f = [&](const Tensor& y) { return cond(positive(y), [](const Tensor& z) { return z * 2; }, endless, y); };
  CHECK(same_bits(f(x), (x * 2).materialized()));
  CHECK(same_bits(jit(f)(x), (x * 2).materialized()));
  const TapePtr tape =
      trace(value_and_grad<0, 1>(chosen), Recorder::Captures::recorded, noise(1, {3, 3}), noise(2, {3, 3})).tape;
  CHECK(count_op(*tape, cond_op) == 2);  // there and back
}

TEST_CASE("cond: the derivative keeps of the two sides no more than the larger needs") {
  auto a = [](const Tensor& x) { return exp(sin(x)); };
  auto b = [](const Tensor& x) { return tanh(exp(x)); };
  auto f = [&](const Tensor& x) { return sum(cond(positive(x), a, b, x)); };
  const TapePtr tape = trace(grad(f), Recorder::Captures::recorded, noise(1, {5})).tape;
  for (const Record& r : tape->records)
    if (r.op == &cond_op) CHECK(r.type.parts->size() <= 3);  // the value, and two to keep
}

TEST_CASE("cond: a captured value, an integer result, a result that no gradient reaches, sides of different inputs") {
  for (double sign : {1.0, -1.0}) {
    const Tensor x = noise(1, {3}) + 4 * sign, c = noise(2, {3});
    auto f = [&](const Tensor& a, const Tensor& b) {
      auto one = [&](const Tensor& y) { return std::tuple{y * b, cast(y, Dtype::i32), floor(b)}; };
      auto two = [&](const Tensor& y) { return std::tuple{b + 1, cast(b, Dtype::i32) * 2, y}; };
      const auto [p, q, r] = cond(positive(a), one, two, a);
      return sum(p * p) + sum(cast(q, f64)) + sum(r);
    };
    check_gradients(f, x, c);
    CHECK(same(leaves_of(jit(value_and_grad<0, 1>(f))(x, c)), leaves_of(value_and_grad<0, 1>(f)(x, c))));
    ++testing::cases;
  }
}

TEST_CASE("cond: under vmap one predicate stays a branch, one for each example chooses") {
  const Tensor xs = noise(1, {6, 3, 3}), w = noise(2, {3, 3});
  auto all = vmap(value_and_grad<0, 1>(chosen), {.in = {0, none}});
  const auto results = leaves_of(all(xs, w));
  for (int i = 0; i < 6; ++i) {
    const auto one = leaves_of(value_and_grad<0, 1>(chosen)(at(xs, 0, i), w));
    for (std::size_t k = 0; k < one.size(); ++k) CHECK(distance({at(results[k], 0, i)}, {one[k]}) <= 1e-14);
  }
  CHECK(count_op(*trace(all, Recorder::Captures::recorded, xs, w).tape, cond_op) == 0);
  CHECK(same(leaves_of(jit(all)(xs, w)), results));

  auto shared = [](const Tensor& x, const Tensor& p) { return sum(cond(sum(p) > 0, up, down, x, p)); };
  auto many = vmap(grad(shared), {.in = {0, none}});
  CHECK(count_op(*trace(many, Recorder::Captures::recorded, xs, w).tape, cond_op) >= 1);
  const Tensor gradients = many(xs, w);
  for (int i = 0; i < 6; ++i) CHECK(distance({at(gradients, 0, i)}, {grad(shared)(at(xs, 0, i), w)}) <= 1e-14);
  CHECK(same({jit(many)(xs, w)}, {gradients}));
  testing::cases += 4;
}

TEST_CASE("cond: in a scan and around one; the law of the loop holds, and compiled it is the same") {
  auto inside = [](const Tensor& h0, const Tensor& xs, const Tensor& w) {
    auto step = [&](const Tensor& h, const Tensor& x) {
      const Tensor next = cond(
          sum(h * x) > 0, [&](const Tensor& s) { return tanh(matmul(s, w) + x); },
          [&](const Tensor& s) { return s * 0.5 - sin(x); }, h);
      return std::pair{next, next * x};
    };
    const auto [last, ys] = scan(step, h0, xs);
    return sum(square(last)) + sum(ys);
  };
  auto around = [&](const Tensor& h0, const Tensor& xs, const Tensor& w) {
    return cond(
        sum(xs) > 0, inside,
        [](const Tensor& h, const Tensor& x, const Tensor& u) { return sum(h) * sum(x * x) + sum(u); }, h0, xs, w);
  };
  const Tensor h = noise(1, {2, 3}), xs = noise(2, {9, 2, 3}), w = noise(3, {3, 3});
  for (int which = 0; which < 2; ++which) {
    auto f = [&](const Tensor& a, const Tensor& b, const Tensor& c) {
      return which ? around(a, b, c) : inside(a, b, c);
    };
    const TapePtr rolled = trace(f, Recorder::Captures::recorded, h, xs, w).tape;
    const VjpRequest all{{true, true, true}, {true}, {}};
    const Tensors inputs{h, xs, w, full({}, 1, f64).materialized()};
    const Tensors reverse = run(*vjp(rolled, all), inputs);
    CHECK(distance(reverse, run(*vjp(expand(rolled), all), inputs)) <= 1e-13);
    CHECK(same((*Program::compile(vjp(rolled, all)))(inputs), reverse));
    check_gradients(f, h, xs, w);
    for (int threads : {2, 3}) {
      Options with = options();
      with.threads = threads;
      const ScopedOptions scope(with);
      CHECK(same((*Program::compile(vjp(rolled, all)))(inputs), reverse));
    }
    testing::cases += 5;
  }
}

TEST_CASE("cond: a program for one size runs at others, and chooses anew at every call") {
  auto f = jit(value_and_grad<0, 1>(chosen));
  for (int rows : {2, 5, 17, 33})
    for (double shift : {1.0, -1.0}) {
      const Tensor x = noise(rows, {rows, 3}) * 0.1 + shift, w = noise(2, {3, 3});
      CHECK(same(leaves_of(f(x, w)), leaves_of(value_and_grad<0, 1>(chosen)(x, w))));
    }
}

TEST_CASE("while_loop: as many steps as it takes, and their derivatives") {
  for (double size : {0.01, 1.0, 3.0}) {
    const Tensor x = noise(1, {3, 3}) * size, w = noise(2, {3, 3}) * 0.5, v = noise(3, {3, 3});
    const int steps = int(until_small(x, w).second.item<int>());
    CHECK((size > 0.1) == (steps > 0));
    REQUIRE(steps < 12);
    auto plain = [&](const Tensor& a, const Tensor& b) { return loss_of_steps(a, b, steps); };
    CHECK(same_bits(loss_of_loop(x, w), plain(x, w)));
    CHECK(distance(leaves_of(grad<0, 1>(loss_of_loop)(x, w)), leaves_of(grad<0, 1>(plain)(x, w))) <= 1e-14);
    auto unbounded = [](const Tensor& a, const Tensor& b) { return sum(square(until_small(a, b).first + b)); };
    const Tensor dot = std::get<1>(jvp(plain)(std::tuple{x, w}, std::tuple{v, w}));
    CHECK(same({std::get<1>(jvp(unbounded)(std::tuple{x, w}, std::tuple{v, w}))}, {dot}));
    CHECK(same({std::get<1>(jit(jvp(unbounded))(std::tuple{x, w}, std::tuple{v, w}))}, {dot}));
    CHECK(distance({hvp(loss_of_loop)(v, x, w)}, {hvp(plain)(v, x, w)}) <= 1e-13);
    check_gradients(loss_of_loop, x, w);
    for (int threads : {1, 2, 3}) {
      Options with = options();
      with.threads = threads;
      const ScopedOptions scope(with);
      CHECK(same(leaves_of(jit([](const Tensor& a, const Tensor& b) { return until_small(a, b); })(x, w)),
                 leaves_of(until_small(x, w))));
      CHECK(same(leaves_of(jit(value_and_grad<0, 1>(loss_of_loop))(x, w)),
                 leaves_of(value_and_grad<0, 1>(loss_of_loop)(x, w))));
    }
    const TapePtr rolled = trace(loss_of_loop, Recorder::Captures::recorded, x, w).tape;
    const VjpRequest all{{true, true}, {true}, {}};
    const Tensors inputs{x, w, full({}, 1, f64).materialized()};
    CHECK(distance(run(*vjp(rolled, all), inputs), run(*vjp(expand(rolled), all), inputs)) <= 1e-13);
    testing::cases += 12;
  }
}

TEST_CASE("while_loop: the bound ends it, forward and backward alike") {
  const Tensor x = noise(1, {3, 3}) * 3, w = noise(2, {3, 3}) * 2;
  for (int bound : {1, 2, 5}) {
    auto f = [&](const Tensor& a, const Tensor& b) { return sum(square(until_small(a, b, bound).first + b)); };
    auto plain = [&](const Tensor& a, const Tensor& b) { return loss_of_steps(a, b, bound); };
    CHECK(until_small(x, w, bound).second.item<int>() == bound);
    CHECK(same_bits(f(x, w), plain(x, w)));
    CHECK(same_bits(jit(f)(x, w), plain(x, w)));
    CHECK(distance(leaves_of(grad<0, 1>(f)(x, w)), leaves_of(grad<0, 1>(plain)(x, w))) <= 1e-14);
  }
}

TEST_CASE("while_loop: under vmap each example takes its own number of steps") {
  const Tensor sizes = Tensor::of(std::vector<double>{0.01, 1, 3, 0.5, 2, 1.5}, {6, 1, 1});
  const Tensor xs = (noise(1, {6, 3, 3}) * sizes).materialized(), w = noise(2, {3, 3}) * 0.5;
  auto f = [](const Tensor& x, const Tensor& m) { return until_small(x, m, 12); };
  const auto all = vmap(f, {.in = {0, none}})(xs, w);
  const auto gradients = leaves_of(vmap(grad<0, 1>(loss_of_loop), {.in = {0, none}})(xs, w));
  int fewest = 99, most = 0;
  for (int i = 0; i < 6; ++i) {
    const auto one = f(at(xs, 0, i), w);
    CHECK(same_bits(at(all.first, 0, i), one.first));
    CHECK(same_bits(at(all.second, 0, i), one.second));
    fewest = std::min(fewest, one.second.item<int>()), most = std::max(most, one.second.item<int>());
    const auto gradient = leaves_of(grad<0, 1>(loss_of_loop)(at(xs, 0, i), w));
    for (std::size_t k = 0; k < 2; ++k) CHECK(distance({at(gradients[k], 0, i)}, {gradient[k]}) <= 1e-14);
  }
  CHECK(fewest < most);
  CHECK(same(leaves_of(jit(vmap(f, {.in = {0, none}}))(xs, w)), leaves_of(all)));
  CHECK(same(leaves_of(jit(vmap(grad<0, 1>(loss_of_loop), {.in = {0, none}}))(xs, w)), gradients));
  // Matrices of one each: what an example finishes with does not depend on the others.
  auto counted = [](const Tensor& x) {
    return while_loop([](const State& s) { return s.second < 4; },
                      [](const State& s) { return State{s.first * s.first, s.second + 1}; },
                      State{x, full({}, 0, Dtype::i32)})
        .first;
  };
  CHECK(same_bits(vmap(counted)(xs), square(square(square(square(xs)))).materialized()));
  testing::cases += 14;
}

TEST_CASE("while_loop: in a scan and with one in its body") {
  auto f = [](const Tensor& h0, const Tensor& xs, const Tensor& w) {
    auto step = [&](const Tensor& h, const Tensor& x) {
      auto body = [&](const State& s) {
        const auto [inner, ys] =
            scan([&](const Tensor& g, const Tensor& row) { return std::pair{tanh(g * 0.5 + row), g}; }, sum(s.first, 0),
                 s.first);
        return State{(s.first + ys * 0.1) * 0.6 + inner * 0.05, s.second + 1};
      };
      const Tensor next =
          while_loop(is_large, body, State{matmul(h, w) + x, full({}, 0, Dtype::i32)}, {.bound = 6}).first;
      return std::pair{next, sum(next)};
    };
    const auto [last, ys] = scan(step, h0, xs);
    return sum(square(last)) + sum(ys);
  };
  const Tensor h = noise(1, {2, 3}), xs = noise(2, {4, 2, 3}), w = noise(3, {3, 3});
  check_gradients(f, h, xs, w);
  CHECK(same_bits(jit(f)(h, xs, w), f(h, xs, w)));
  auto gradients = value_and_grad<0, 1, 2>(f);
  CHECK(same(leaves_of(jit(gradients)(h, xs, w)), leaves_of(gradients(h, xs, w))));
  testing::cases += 3;
}

TEST_CASE("while_loop: a state that nobody reads is dropped, and one that the condition reads is not") {
  auto f = [](const Tensor& x) {
    using Three = std::tuple<Tensor, Tensor, Tensor>;
    const Three last =
        while_loop([](const Three& s) { return std::get<1>(s) < 5; },
                   [](const Three& s) { return Three{std::get<0>(s) * 1.5, std::get<1>(s) + 1, tanh(std::get<2>(s))}; },
                   Three{x, full({}, 0, Dtype::i32), x});
    return sum(std::get<0>(last));
  };
  const Tensor x = noise(1, {4});
  const TapePtr tape = prune(trace(f, Recorder::Captures::recorded, x).tape);
  CHECK(count_op(*tape, tanh_op) == 0);
  CHECK(run(*tape, {x})[0].item<double>() == f(x).item<double>());
}
