// Loops are taken apart where a part of their state never looks at another (jit/part_loops.cpp): layers of a stack, counted
// steps, a memory that is only written. The bits are those of the whole loop.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "cells.h"
#include "compiled.h"
#include "jit/hoist.h"
#include "jit/jit.h"
#include "ops/index.h"
#include "ops/sort.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

// What runs in the loops of a tape.
struct Loops {
  int count = 0, products = 0;

  void look(const Tape& tape, bool in_loop) {
    for (const Record& r : tape.records) {
      if (is_loop(r)) {
        ++count;
        look(*r.attrs.get<TapePtr>("body"), true);
      }
      if (in_loop && r.op == &matmul_op && !r.attrs.flag("transpose_a")) ++products;
    }
  }
};

template <class F, class... Args>
Loops loops_of(const F& f, const Args&... args) {
  TapePtr t = lower_scans(prune(trace(f, Recorder::Captures::recorded, args...).tape));
  t = hoist_after(hoist_before(part_loops(part_products(sink_views(t)))));
  Loops loops;
  loops.look(*t, false);
  return loops;
}

// Outputs and the last state of a cell, and gradients with respect to all it is given.
auto run_forward(const UnrollOptions& options = {}) {
  return [options](const auto& cell, const auto& state, const Tensor& xs) {
    const auto [last, ys] = unroll(cell, state, xs, options);
    return std::pair{last, ys};
  };
}
auto run_backward(const UnrollOptions& options = {}) {
  return value_and_grad<0, 1, 2>([options](const auto& cell, const auto& state, const Tensor& xs) {
    const auto [last, ys] = unroll(cell, state, xs, options);
    Tensor total = sum(sin(ys));
    for (const Tensor& t : leaves_of(last)) total = total + sum(square(t));
    return total;
  });
}

auto layers() {
  return stacked(Lstm::init(key(1), 3, 8, {.dtype = f64}), Gru::init(key(2), 8, 5, {.dtype = f64}),
                 Rnn::init(key(3), 5, 17, {.dtype = f64}));
}

using Two = std::pair<Tensor, Tensor>;

// A state that reads another before the step, after it, or both, joined with itself too; and of x what that
// other reads, which may read nothing else.
struct Reader {
  Tensor w, u, v;  // [3, 2H], [H, H], [2H, H]
  enum class Reads { before, after, both, sorted, joined, delayed } reads;

  std::pair<Two, Tensor> operator()(const Two& s, const Tensor& x) const {
    const auto [a, b] = chunk<2>(tanh(matmul(x, w)));
    const Tensor first = reads == Reads::delayed ? tanh(a) : tanh(matmul(s.first, u) + a);
    const Tensor seen = reads == Reads::before || reads == Reads::delayed ? concat({s.first, b}, 1)
                        : reads == Reads::after                           ? concat({b, first}, 1)
                        : reads == Reads::both                            ? concat({first, s.first}, 1)
                        : reads == Reads::sorted                          ? concat({sort(first, 1), sort(b, 1)}, 1)
                                                                          : concat({first, s.second}, 1);
    const Tensor second = s.second * 0.5 + sigmoid(matmul(seen, v)) * b;
    return {{first, second}, first * second};
  }
};

// f(weights, state, xs) has the interpreter's bits: one program for several lengths.
template <class F, class Weights, class State>
void check_all_lengths(const F& f, const Weights& weights, const State& state) {
  // LLVM's own passes take most of the time, and see the same code.
  const ScopedOptions scope(changed([&](Options& o) { o.without = "optimise"; }));
  const auto compiled = jit(f);
  for (const int steps : {40, 1, 3}) {
    CAPTURE(steps);
    const Tensor xs = noise(7, {steps, 3, 3});
    CHECK(same(leaves_of(compiled(weights, state, xs)), leaves_of(f(weights, state, xs))));
    ++cases;
  }
}

}  // namespace

TEST_CASE("part_loops: the layers of a stack run one after the other, and their products leave") {
  const auto stack = layers();
  const auto state = state_of(stack, 2);
  const auto separately = [](const auto& whole, const auto& states, const Tensor& xs) {
    const auto& [a, b, c] = whole.cells;
    const auto& [i, j, k] = states;
    return unroll(c, k, unroll(b, j, unroll(a, i, xs).outputs).outputs).outputs;
  };
  const Tensor xs = noise(1, {6, 2, 3});
  const Loops loops = loops_of(run_forward(), stack, state, xs);
  CHECK(loops.count == 3);
  CHECK(loops.products == loops_of(separately, stack, state, xs).products);
  ++cases;
}

TEST_CASE("part_loops: steps that are counted have a loop of their own, so that the input's product leaves") {
  const auto cell = Lstm::init(key(1), 3, 8, {.dtype = f64});
  const auto f = [](const Lstm& c, const Tensor& xs, const Tensor& lengths) {
    return unroll(c, c.initial(2), xs, {.lengths = lengths}).outputs;
  };
  const Loops loops = loops_of(f, cell, noise(1, {6, 2, 3}), Tensor::of(std::vector<int>{4, 6}, {2}));
  CHECK(loops.count == 2);
  CHECK(loops.products == 1);
  ++cases;
}

TEST_CASE(
    "part_loops: states that look at one another stay together, and so do those between which there is no product") {
  const auto cell = Lstm::init(key(1), 3, 8, {.dtype = f64});
  CHECK(loops_of(run_forward(), cell, state_of(cell, 2), noise(1, {6, 2, 3})).count == 1);
  const auto elementwise = [](const Tensor& h, const Tensor& g, const Tensor& xs) {
    const auto step = [](const Two& s, const Tensor& x) {
      const Tensor first = tanh(s.first + x), second = s.second * 0.5 + first;
      return std::pair{Two{first, second}, second};
    };
    return scan(step, Two{h, g}, xs).second;
  };
  CHECK(loops_of(elementwise, noise(1, {2, 3}), noise(2, {2, 3}), noise(3, {6, 2, 3})).count == 1);
  ++cases;
}

TEST_CASE("part_loops: stacks have the interpreter's bits, forwards, backwards in time, and padded") {
  const auto stack = layers();
  const auto state = state_of(stack, 3);
  for (bool reverse : {false, true})
    for (bool padded : {false, true}) {
      CAPTURE(reverse);
      CAPTURE(padded);
      UnrollOptions options{.reverse = reverse};
      if (padded) options.lengths = constant(Tensor::of(std::vector<int>{1, 0, 1}, {3}));
      check_all_lengths(run_forward(options), stack, state);
      if (reverse == padded) check_all_lengths(run_backward(options), stack, state);
    }
}

TEST_CASE("part_loops: what a state reads of another is what it was before the step, or after it") {
  using Reads = Reader::Reads;
  for (const auto reads : {Reads::before, Reads::after, Reads::both, Reads::sorted, Reads::joined, Reads::delayed})
    for (bool reverse : {false, true}) {
      CAPTURE(int(reads));
      CAPTURE(reverse);
      const auto f = [=](const Tensors& w, const Two& state, const Tensor& x) {
        return scan(Reader{w[0], w[1], w[2], reads}, state, x, {.reverse = reverse});
      };
      const auto loss = [&](const Tensors& w, const Two& state, const Tensor& x) {
        const auto [last, ys] = f(w, state, x);
        return sum(sin(ys)) + sum(last.first * last.second);
      };
      const Tensors w{noise(1, {3, 10}), noise(2, {5, 5}), noise(3, {10, 5})};
      const Two state{noise(4, {3, 5}), noise(5, {3, 5})};
      // The product of what both read of x leaves, and of what the second reads of the first: that of the state stays.
      const Loops loops = loops_of(f, w, state, noise(6, {6, 3, 3}));
      CHECK(loops.count == 2);
      CHECK(loops.products == (reads == Reads::joined ? 2 : reads == Reads::delayed ? 0 : 1));
      check_all_lengths(f, w, state);
      if (reverse || reads == Reads::before) check_all_lengths(value_and_grad<0, 1, 2>(loss), w, state);
    }
}

TEST_CASE("part_loops: one program serves every length, and works in as much memory whatever it is") {
  const auto stack = layers();
  const auto last = jit([](const auto& cell, const Tensor& xs) { return unroll(cell, cell.initial(2), xs).last; });
  for (int steps : {40, 0, 1, 3, 200}) {
    CAPTURE(steps);
    const Tensor xs = noise(4, {steps, 2, 3});
    CHECK(same(leaves_of(last(stack, xs)), leaves_of(unroll(stack, stack.initial(2), xs).last)));
    ++cases;
  }
  const auto bytes = [&](int steps) { return last.workspace_bytes(stack, noise(4, {steps, 2, 3})); };
  CHECK(bytes(40000) == bytes(20000));
}

TEST_CASE("part_loops: of a memory what is read is handed over, and where all of it would be, nothing is") {
  // An outer product is added in every step; a state reads it by x, which needs no other state, or by itself.
  for (const bool by_itself : {false, true}) {
    CAPTURE(by_itself);
    const auto f = [=](const Tensor& memory, const Tensor& h, const Tensor& w, const Tensor& u, const Tensor& xs) {
      const auto step = [&](const Two& s, const Tensor& x) {
        const Tensor now = s.first * 0.875 + expand_dims(x, 1) * expand_dims(tanh(x), 2);
        const Tensor read = squeeze(matmul(expand_dims(x, 1), now), 1);
        Tensor next = matmul(s.second, u) + matmul(read, w);
        if (by_itself) next = next + squeeze(matmul(expand_dims(s.second, 1), now), 1);
        return std::pair{Two{now, tanh(next)}, s.second};
      };
      return scan(step, Two{memory, h}, xs).second;
    };
    constexpr int kSize = 32, kSteps = 12;
    const Tensor memory = noise(1, {1, kSize, kSize}), h = noise(2, {1, kSize}), w = noise(3, {kSize, kSize}),
                 u = noise(4, {kSize, kSize}), xs = noise(5, {kSteps, 1, kSize});
    CHECK(loops_of(f, memory, h, w, u, xs).count == (by_itself ? 1 : 2));
    check_with_and_without("part_loops", f, memory, h, w, u, xs);
    const auto workspace = [&](const std::string& without) {
      const ScopedOptions scope(changed([&](Options& o) { o.without = without; }));
      return jit(f).workspace_bytes(memory, h, w, u, xs);
    };
    CHECK(workspace("") - workspace("part_loops") < kSteps * kSize * kSize * 8 / 2);
  }
}
