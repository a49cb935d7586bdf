// What calling a compiled program costs and does to its arguments: no allocation, memory that is given away is reused,
// a call that throws changes nothing.
#include <doctest/doctest.h>

#include <thread>

#include "ad/grad.h"
#include "allocations.h"
#include "jit/jit.h"
#include "models/cell.h"
#include "models/dense.h"
#include "models/loss.h"
#include "models/lstm.h"
#include "models/optimizer.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/random.h"

using namespace tapeloop;

namespace {

struct Model {
  Lstm cell;
  Dense out;
};

const auto training_step = [](Model m, Adam<Model> opt, Lstm::State state, const Tensor& xs, const Tensor& ys) {
  auto loss = [](const Model& model, const Lstm::State& s, const Tensor& x, const Tensor& y) {
    auto [last, hs] = unroll(model.cell, s, x);
    return std::pair{mse(model.out(hs), y), last};
  };
  auto [l, last, grads] = value_and_grad(loss)(m, state, xs, ys);
  opt.update(m, clip_by_global_norm(grads, 1.0));
  return std::tuple{m, opt, last, l};
};

struct Training {
  Model m{Lstm::init(key(1), 5, 16), Dense::init(key(2), 16, 3)};
  Adam<Model> opt = adam(m, {.lr = 1e-2});
  Lstm::State state = materialized(m.cell.initial(4));
  Tensor loss;
  const Tensor xs = normal(key(3), {6, 4, 5}).materialized(), ys = normal(key(4), {6, 4, 3}).materialized();

  static Lstm::State materialized(const Lstm::State& s) { return {s.h.materialized(), s.c.materialized()}; }
};

Tensor numbers(std::vector<float> values) {
  const auto n = std::int64_t(values.size());
  return Tensor::of(values, {n});
}

Options interpreted() {
  Options o = options();
  o.jit = false;
  return o;
}

}  // namespace

TEST_CASE("a compiled training step allocates nothing") {
  if (!testing::allocations_are_counted()) return;
  Training t;
  auto step = jit(training_step);
  const auto turn = [&] {
    std::tie(t.m, t.opt, t.state, t.loss) = step(std::move(t.m), std::move(t.opt), std::move(t.state), t.xs, t.ys);
  };
  for (int i = 0; i < 10; ++i) turn();
  const auto before = testing::allocations();
  for (int i = 0; i < 20; ++i) turn();
  CHECK(testing::allocations() - before == 0);
  // Nor when the arguments are kept.
  const auto keeping = [&] { std::tie(t.m, t.opt, t.state, t.loss) = step(t.m, t.opt, t.state, t.xs, t.ys); };
  for (int i = 0; i < 4; ++i) keeping();
  const auto kept = testing::allocations();
  for (int i = 0; i < 20; ++i) keeping();
  CHECK(testing::allocations() - kept == 0);
}

TEST_CASE("given away or kept, the results are the same") {
  Training given, kept, reference;
  auto step = jit(training_step);
  for (int i = 0; i < 5; ++i) {
    std::tie(given.m, given.opt, given.state, given.loss) =
        step(std::move(given.m), std::move(given.opt), std::move(given.state), given.xs, given.ys);
    std::tie(kept.m, kept.opt, kept.state, kept.loss) = step(kept.m, kept.opt, kept.state, kept.xs, kept.ys);
    {
      ScopedOptions interpret(interpreted());
      std::tie(reference.m, reference.opt, reference.state, reference.loss) =
          step(reference.m, reference.opt, reference.state, reference.xs, reference.ys);
    }
    const Tensors a = leaves_of(std::tuple{given.m, given.opt, given.state, given.loss}),
                  b = leaves_of(std::tuple{kept.m, kept.opt, kept.state, kept.loss}),
                  c = leaves_of(std::tuple{reference.m, reference.opt, reference.state, reference.loss});
    for (std::size_t k = 0; k < a.size(); ++k) {
      CHECK(same_bits(a[k], b[k]));
      CHECK(same_bits(a[k], c[k]));
    }
  }
}

TEST_CASE("parameters and the optimizer's moments are updated in place") {
  Training t;
  auto step = jit(training_step);
  std::tie(t.m, t.opt, t.state, t.loss) = step(t.m, t.opt, t.state, t.xs, t.ys);
  std::vector<const std::byte*> before, after;
  for_each_tensor(t.m, [&](const Tensor& p) { before.push_back(p.bytes()); });
  std::tie(t.m, t.opt, t.state, t.loss) = step(std::move(t.m), std::move(t.opt), std::move(t.state), t.xs, t.ys);
  for_each_tensor(t.m, [&](const Tensor& p) { after.push_back(p.bytes()); });
  CHECK(before == after);
}

// Each part has its own x; clang-tidy takes them for one after another.  NOLINTBEGIN(bugprone-use-after-move)
TEST_CASE("memory that somebody else sees is not written to") {
  auto twice = jit([](const Tensor& x) { return x + x; });
  Tensor x = numbers({1, 2, 3, 4});
  CHECK(twice(numbers({1, 2})).to_vector<float>() == std::vector<float>{2, 4});

  SUBCASE("another handle") {
    const Tensor other = x;
    const Tensor y = twice(std::move(x));
    CHECK(other.to_vector<float>() == std::vector<float>{1, 2, 3, 4});
    CHECK(y.to_vector<float>() == std::vector<float>{2, 4, 6, 8});
  }
  SUBCASE("another shape of the same buffer") {
    const Tensor other = x.with_shape({2, 2});
    const Tensor y = twice(std::move(x));
    CHECK(other.to_vector<float>() == std::vector<float>{1, 2, 3, 4});
  }
  SUBCASE("the same tensor given twice") {
    auto both = jit([](const Tensor& a, const Tensor& b) { return std::pair{a + 1, b + flip(a, 0)}; });
    const auto [p, q] = both(std::move(x), std::move(x));
    CHECK(p.to_vector<float>() == std::vector<float>{2, 3, 4, 5});
    CHECK(q.to_vector<float>() == std::vector<float>{5, 5, 5, 5});
  }
  SUBCASE("two that are given away and share a buffer") {
    auto both = jit([](const Tensor& a, const Tensor& b) { return std::pair{a + 1, b * 2}; });
    Tensor other = x.with_shape({4}), copy = x;
    const auto [p, q] = both(std::move(x), std::move(other));
    CHECK(p.to_vector<float>() == std::vector<float>{2, 3, 4, 5});
    CHECK(q.to_vector<float>() == std::vector<float>{2, 4, 6, 8});
    CHECK(copy.to_vector<float>() == std::vector<float>{1, 2, 3, 4});
  }
  SUBCASE("nobody") {
    const std::byte* const place = x.bytes();
    const Tensor y = twice(std::move(x));
    CHECK(y.bytes() == place);
    CHECK(x.is_empty());  // NOLINT(bugprone-use-after-move)
    CHECK(y.to_vector<float>() == std::vector<float>{2, 4, 6, 8});
  }
}
// NOLINTEND(bugprone-use-after-move)

TEST_CASE("an argument that is read at other places keeps its memory until it has been read") {
  const auto check = [](auto f, const std::vector<float>& expected) {
    auto compiled = jit(f);
    Tensor x = numbers({1, 2, 3, 4});
    CHECK(compiled(std::move(x)).template to_vector<float>() == expected);
  };
  check([](const Tensor& x) { return x + flip(x, 0); }, {5, 5, 5, 5});
  check([](const Tensor& x) { return x + sum(x); }, {11, 12, 13, 14});
  check([](const Tensor& x) { return x * slice(concat({x, x}), 0, 1, 5); }, {2, 6, 12, 4});
  check([](const Tensor& x) { return reshape(matmul(reshape(x, {2, 2}), reshape(x, {2, 2})), {4}) + x; },
        {8, 12, 18, 26});
}

TEST_CASE("a call that throws leaves its arguments as they were") {
  auto f = jit([](const Tensor& x, const Tensor& y) { return x + y; });
  Tensor x = numbers({1, 2, 3}), y = numbers({1, 2});
  CHECK_THROWS_AS(f(std::move(x), std::move(y)), Error);
  CHECK(x.to_vector<float>() == std::vector<float>{1, 2, 3});  // NOLINT(bugprone-use-after-move)
  CHECK(y.to_vector<float>() == std::vector<float>{1, 2});     // NOLINT(bugprone-use-after-move)
}

TEST_CASE("a program called with recorded arguments is recorded") {
  const auto traced = trace([](const Tensor& x) { return x * x; }, Recorder::Captures::recorded, numbers({1, 2, 3}));
  const auto program = Program::compile(traced.tape);
  const Tensor x = numbers({1, 2, 3});
  CHECK((*program)({x})[0].to_vector<float>() == std::vector<float>{1, 4, 9});
  CHECK(grad([&](const Tensor& v) { return sum((*program)({v})[0]); })(x).to_vector<float>() ==
        std::vector<float>{2, 4, 6});
}

TEST_CASE("one compiled function may be called by several threads") {
  auto f = jit([](const Tensor& x) { return tanh(x) + x; });
  const Tensor x = normal(key(1), {1000}).materialized(), expected = f(x);
  std::vector<std::thread> threads;
  std::vector<char> right(4, 1);
  for (std::size_t i = 0; i < right.size(); ++i)
    threads.emplace_back([&, i] {
      for (int turn = 0; turn < 200; ++turn) right[i] = char(right[i] && same_bits(f(x), expected));
    });
  for (std::thread& thread : threads) thread.join();
  for (char r : right) CHECK(r);
}

// The same function for the first time, with the same and with other types, while teams of threads run it too.
TEST_CASE("several threads may compile and run at once") {
  auto loss = [](const Lstm& cell, const Tensor& xs) {
    return mean(square(unroll(cell, cell.initial(xs.size(1)), xs).outputs));
  };
  auto together = jit(value_and_grad(loss));
  const Lstm cell = Lstm::init(key(1), 16, 64);
  const auto sequence = [](int steps) { return normal(key(2), {steps, 64, 16}).materialized(); };
  constexpr int callers = 3, kinds = 2;
  std::vector<Tensors> expected;
  for (int kind = 0; kind < kinds; ++kind)
    expected.push_back(leaves_of(value_and_grad(loss)(cell, sequence(2 + kind))));
  std::vector<std::thread> threads;
  std::vector<char> right(callers, 1);
  for (int caller = 0; caller < callers; ++caller)
    threads.emplace_back([&, caller] {
      Options two = options();
      two.threads = 2;
      const ScopedOptions scope(two);
      auto alone = jit(value_and_grad(loss));
      for (int turn = 0; turn < 6; ++turn) {
        const int kind = (caller + turn) % kinds;
        for (auto* f : {&together, &alone}) {
          const Tensors got = leaves_of((*f)(cell, sequence(2 + kind)));
          for (std::size_t i = 0; i < got.size(); ++i)
            if (!same_bits(got[i], expected[std::size_t(kind)][i])) right[std::size_t(caller)] = 0;
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (char r : right) CHECK(r);
}

// Of each step an LSTM's gradient keeps four gates, tanh c and c; its outputs, h, are a result. Of the rest, what a block of
// steps holds is small beside that.
TEST_CASE("a training step works in little more memory than what its gradient must keep") {
  const int steps = 512, batch = 32, hidden = 128;
  const Lstm cell = Lstm::init(key(1), hidden, hidden);
  auto step = jit([](const Lstm& c, const Tensor& xs, const Tensor& ct) {
    auto loss = [](const Lstm& model, const Tensor& x, const Tensor& cotangent) {
      const Tensor outputs = unroll(model, model.initial(x.size(1)), x).outputs;
      return std::pair{sum(outputs * cotangent), outputs};
    };
    return value_and_grad<0, 1>(loss)(c, xs, ct);
  });
  const Tensor xs = zeros({steps, batch, hidden}).materialized();
  const double kept = 6.0 * steps * batch * hidden * sizeof(float);
  const double used = double(step.workspace_bytes(cell, xs, xs));
  MESSAGE("LSTM (32, 512, 128): " << used / (1 << 20) << " MB for " << kept / (1 << 20) << " MB kept");
  CHECK(used <= 1.3 * kept);
  CHECK(used >= kept);
}
