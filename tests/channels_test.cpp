// Loops whose steps are elementwise are turned inside out (jit/channels.h): the bits are the interpreter's, for whatever size,
// length, dtype, instruction set and number of threads.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "jit/block.h"
#include "jit/describe.h"
#include "jit/hoist.h"
#include "jit/jit.h"
#include "jit/loop.h"
#include "jit/pack.h"
#include "models/cell.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "same.h"

using namespace tapeloop;
using tapeloop::testing::check_same_bits;

namespace {

// The simple recurrent unit (Lei et al. 2018): its products need no state.
struct Sru {
  Tensor w, b, v;  // [H, 3H], [2H], [2, H]
  auto operator()(const Tensor& c, const Tensor& x) const {
    const auto [z, f0, r0] = chunk<3>(matmul(x, w));
    const auto [bf, br] = chunk<2>(b);
    const Tensor f = sigmoid(f0 + at(v, 0, 0) * c + bf), r = sigmoid(r0 + at(v, 0, 1) * c + br);
    const Tensor now = f * c + (1 - f) * z;
    return std::pair{now, r * tanh(now) + (1 - r) * x};
  }
  static Sru init(int size, Dtype dtype) {
    return {normal(key(1), {size, 3 * size}, dtype) * 0.2, normal(key(2), {2 * size}, dtype),
            normal(key(3), {2, size}, dtype)};
  }
};

// Independently recurrent (Li et al. 2018), without any product.
struct IndRnn {
  Tensor u, b;  // [H]
  auto operator()(const Tensor& h, const Tensor& x) const {
    const Tensor next = relu(x + u * h + b);
    return std::pair{next, next};
  }
  static IndRnn init(int size, Dtype dtype) { return {normal(key(1), {size}, dtype), normal(key(2), {size}, dtype)}; }
};

// Two layers, one of them a linear recurrence (De et al. 2024), the other with a moving average of squares.
struct Layers {
  Tensor decay, rate;  // [H]
  using State = std::pair<Tensor, Tensor>;
  auto operator()(const State& s, const Tensor& x) const {
    const Tensor gate = sigmoid(x), a = exp(-8 * softplus(decay) * gate);
    const Tensor h = a * s.first + sqrt(1 - square(a)) * (gate * x);
    const Tensor m = s.second + sigmoid(rate) * (square(h) - s.second);
    return std::pair{State{h, m}, h / sqrt(m + 0.25)};
  }
  static Layers init(int size, Dtype dtype) { return {normal(key(1), {size}, dtype), normal(key(2), {size}, dtype)}; }
};

template <class Cell>
auto state_of(int batch, int size, Dtype dtype) {
  const Tensor one = normal(key(5), {batch, size}, dtype).materialized();
  if constexpr (std::is_same_v<Cell, Layers>)
    return std::pair{one, square(one).materialized()};
  else
    return one;
}

template <class Tree>
Tree materialized(Tree tree) {
  for_each_tensor(tree, [](Tensor& t) { t = t.materialized(); });
  return tree;
}

// Outputs, last state and all gradients.
template <bool reverse, bool masked>
auto training() {
  return [](const auto& cell, const auto& state, const Tensor& xs, const Tensor& lengths) {
    auto loss = [&lengths](const auto& c, const auto& s, const Tensor& x) {
      UnrollOptions unrolled{.reverse = reverse};
      if (masked) unrolled.lengths = lengths;
      auto [last, outputs] = unroll(c, s, x, unrolled);
      Tensor l = sum(square(outputs));
      for_each_tensor(last, [&](const Tensor& t) { l = l + sum(sin(t)); });
      return std::pair{l, std::pair{last, outputs}};
    };
    return value_and_grad<0, 1, 2>(loss)(cell, state, xs);
  };
}

Options with(Dtype, int threads, const char* isa, bool compiled) {
  Options o = options();
  o.threads = threads;
  o.isa = isa;
  o.jit = compiled;
  return o;
}

template <class Cell, bool reverse = false, bool masked = false>
void check(Dtype dtype, const char* isa, std::initializer_list<int> sizes) {
  for (int size : sizes) {
    const Cell cell = materialized(Cell::init(size, dtype));
    auto step = jit(training<reverse, masked>());
    for (auto [steps, batch] : {std::pair{0, 3}, std::pair{1, 3}, std::pair{2, 2}, std::pair{70, 20}}) {
      CAPTURE(size);
      CAPTURE(steps);
      const auto state = state_of<Cell>(batch, size, dtype);
      const Tensor xs = normal(key(6), {steps, batch, size}, dtype).materialized();
      const Tensor lengths = cast(floor(uniform(key(7), {batch}, 0, steps + 0.99)), Dtype::i32).materialized();
      auto run = [&](int threads, bool compiled) {
        const ScopedOptions scope(with(dtype, threads, isa, compiled));
        return step(cell, state, xs, lengths);
      };
      const auto expected = run(1, false);
      check_same_bits(run(1, true), expected);
      if (steps == 70) check_same_bits(run(2, true), expected);
    }
  }
}

// How many loops of a compiled function have their steps in registers.
template <class F, class... Args>
int loops_in_registers(const F& f, const Args&... args) {
  TapePtr t = trace(f, Recorder::Captures::recorded, args...).tape;
  t = hoist_after(hoist_before(block_time(lower_scans(prune(t)))));
  const std::string text = describe(*make_plan(hoist_invariants(pack_matmuls(t))), target_for(""));
  int count = 0;
  for (std::size_t at = 0; (at = text.find("all steps in registers", at)) != std::string::npos; ++at) ++count;
  return count;
}

}  // namespace

TEST_CASE(
    "channels: what is left of a cell when its products have left the loop stays in registers, forward and backward") {
  const Tensor xs = normal(key(1), {40, 3, 8}).materialized(), state = xs.materialized();
  const Tensor lengths = zeros({3}, Dtype::i32).materialized();
  CHECK(loops_in_registers(training<false, false>(), materialized(Sru::init(8, Dtype::f32)),
                           state_of<Sru>(3, 8, Dtype::f32), xs, lengths) == 2);
  CHECK(loops_in_registers(training<true, true>(), materialized(Sru::init(8, Dtype::f32)),
                           state_of<Sru>(3, 8, Dtype::f32), xs, lengths) == 1);
  CHECK(loops_in_registers(training<false, false>(), materialized(Layers::init(8, Dtype::f32)),
                           state_of<Layers>(3, 8, Dtype::f32), xs, lengths) == 2);
}

TEST_CASE("channels: compiled, forward and backward, they are the interpreter's") {
  check<Sru>(Dtype::f32, "", {1, 7, 16, 130});
  check<IndRnn>(Dtype::f32, "", {1, 7, 16, 33, 130});
  check<Layers>(Dtype::f32, "", {16, 130});
  check<Layers>(Dtype::f64, "", {1, 33});
}

TEST_CASE("channels: backwards in time, and with lengths") {
  check<Sru, true>(Dtype::f64, "", {33});
  check<Sru, false, true>(Dtype::f32, "", {33});
  check<Layers, true, true>(Dtype::f32, "", {33});
}

TEST_CASE("channels: the instruction set changes no bit") {
  check<Sru>(Dtype::f32, "avx2", {33});
  check<Layers, true, true>(Dtype::f64, "avx2", {7});
  check<IndRnn>(Dtype::f32, "sse2", {16, 33});
  check<IndRnn, true, true>(Dtype::f64, "sse2", {7});
}

TEST_CASE("channels: a thousand steps") {
  auto step = jit(training<false, false>());
  for (int size : {5, 64}) {
    const Sru cell = materialized(Sru::init(size, Dtype::f32));
    const Tensor xs = normal(key(6), {1000, 1, size}).materialized(), lengths = zeros({1}, Dtype::i32).materialized();
    const auto state = state_of<Sru>(1, size, Dtype::f32);
    const auto compiled = step(cell, state, xs, lengths);
    const ScopedOptions interpret(with(Dtype::f32, 1, "", false));
    check_same_bits(compiled, step(cell, state, xs, lengths));
  }
}

// States of other shapes and dtypes than the space, views of what comes from outside, steps that only pass on.
TEST_CASE("channels: states of any kind") {
  using State = std::tuple<Tensor, Tensor, Tensor, Tensor>;  // [B, H]; [B, 1]; i32 []; bool [B, H]
  auto f = [](const Tensor& h, const Tensor& row, const Tensor& xs, const Tensor& table) {
    auto step = [&](const State& s, const Tensor& x) {
      const auto& [a, b, n, seen] = s;
      const auto [left, right] = chunk<2>(x);
      const Tensor next = where(seen, tanh(a + b + left), a * 0.5 + flip(right, 1) * slice(table, 1, 2, 2 + 5));
      const Tensor sum_of = b * 0.25 + cast(n, b.dtype());
      return std::pair{State{next, sum_of, n + 2, (seen == (next > 0)) == (left > right)},
                       std::tuple{a, n, sum_of, concat({next, left}, 1), where(seen, 1, 2)}};
    };
    const Tensor seen = h > 0;
    return scan(step, State{h, row, zeros({}, Dtype::i32), seen}, xs, {.reverse = true});
  };
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (auto [steps, batch] : {std::pair{0, 2}, std::pair{9, 2}, std::pair{100, 90}}) {
      const Tensor h = normal(key(1), {batch, 5}, dtype).materialized(),
                   row = normal(key(2), {batch, 1}, dtype).materialized(),
                   xs = normal(key(3), {steps, batch, 10}, dtype).materialized(),
                   table = normal(key(4), {1, 9}, dtype).materialized();
      auto compiled = jit(f);
      if (steps) CHECK(loops_in_registers(f, h, row, xs, table) == 1);
      for (int threads : {1, 2}) {
        const ScopedOptions scope(with(dtype, threads, "", true));
        const auto got = compiled(h, row, xs, table);
        const ScopedOptions interpret(with(dtype, 1, "", false));
        check_same_bits(got, compiled(h, row, xs, table));
      }
    }
}

TEST_CASE("channels: a step that reads elsewhere is left as it is") {
  auto mixed = [](const Tensor& h, const Tensor& xs) {
    return scan([](const Tensor& s, const Tensor& x) { return std::pair{tanh(flip(s, 1) + x), s}; }, h, xs);
  };
  auto summed = [](const Tensor& h, const Tensor& xs) {
    return scan([](const Tensor& s, const Tensor& x) { return std::pair{tanh(s * sum(s, -1, true) + x), s}; }, h, xs);
  };
  const Tensor h = normal(key(1), {3, 20}).materialized(), xs = normal(key(2), {11, 3, 20}).materialized();
  CHECK(loops_in_registers(mixed, h, xs) == 0);
  CHECK(loops_in_registers(summed, h, xs) == 0);
  const auto compiled = std::pair{jit(mixed)(h, xs), jit(summed)(h, xs)};
  check_same_bits(compiled, std::pair{mixed(h, xs), summed(h, xs)});
}

TEST_CASE("channels: a state that is read at two places is left where it is") {
  auto mirrored = [](const Tensor& h, const Tensor& xs) {
    return scan([](const Tensor& s, const Tensor& x) { return std::pair{tanh(s - 0.5 * transpose(s) + x), s * 2}; }, h,
                xs);
  };
  auto crossed = [](const Tensor& h, const Tensor& xs) {
    auto step = [](const Tensor& s, const Tensor& x) {
      return std::pair{tanh(s + x), expand_dims(s, 0) - 2 * expand_dims(s, 1)};
    };
    return scan(step, at(h, 0, 0), at(xs, 1, 0));
  };
  for (int n : {5, 20}) {
    const Tensor h = normal(key(1), {n, n}).materialized(), xs = normal(key(2), {7, n, n}).materialized();
    CHECK(loops_in_registers(mirrored, h, xs) == 0);
    check_same_bits(jit(mirrored)(h, xs), mirrored(h, xs));
    check_same_bits(jit(crossed)(h, xs), crossed(h, xs));
  }
}

// Found by random program 12320: a state that all elements share, of a space that has none.
TEST_CASE("channels: a state that all elements share is there when there are no elements") {
  auto f = [](const Tensor& rows, const Tensor& xs) {
    auto step = [](const std::pair<Tensor, Tensor>& s, const Tensor& x) {
      const Tensor next = tanh(s.first + x);
      return std::pair{std::pair{next, s.second * 0.5 + next}, next};
    };
    return scan(step, std::pair{zeros({}, xs.dtype()), rows}, xs);
  };
  const Tensor xs = normal(key(1), {3}).materialized();
  for (int batch : {0, 1, 4}) {
    const Tensor rows = normal(key(2), {batch, 2}).materialized();
    check_same_bits(jit(f)(rows, xs), f(rows, xs));
  }
}
