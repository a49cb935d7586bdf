// What compiled programs promise beyond the bits of single ops (tests/ops_test.cpp): one compilation for every length and
// batch, the same bits on every number of threads and instruction set, whole training loops.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "ad/grad.h"
#include "jit/describe.h"
#include "jit/jit.h"
#include "jit/pack.h"
#include "jit/passes.h"
#include "models/cell.h"
#include "models/dense.h"
#include "models/gru.h"
#include "models/loss.h"
#include "models/lstm.h"
#include "models/optimizer.h"
#include "models/rnn.h"
#include "ops/elementwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "same.h"

using namespace tapeloop;
using tapeloop::testing::changed;
using tapeloop::testing::check_same_bits;

namespace {

template <class Cell>
struct Model {
  Cell cell;
  Dense out;
};

template <class Cell>
Model<Cell> make_model(int inputs, int hidden, Dtype dtype = Dtype::f32) {
  auto [k1, k2] = split_key<2>(key(1));
  return {Cell::init(k1, inputs, hidden, {.dtype = dtype}), Dense::init(k2, hidden, 3, dtype)};
}

const auto loss_of = [](const auto& m, const auto& state, const Tensor& xs, const Tensor& ys) {
  auto [last, hs] = unroll(m.cell, state, xs);
  return std::pair{mse(m.out(hs), ys), last};
};

const auto training_step = [](auto m, auto opt, auto state, const Tensor& xs, const Tensor& ys) {
  auto [l, last, grads] = value_and_grad(loss_of)(m, state, xs, ys);
  opt.update(m, clip_by_global_norm(grads, 1.0));
  return std::tuple{m, opt, last, l};
};

Tensor inputs(int t, int b, int d, int seed) {
  return normal(key(std::uint64_t(seed)), {t, b, d}, Dtype::f32).materialized();
}

}  // namespace

TEST_CASE_TEMPLATE("a compiled training step is the interpreter's, bit for bit", Cell, Rnn, Lstm, Gru) {
  for (auto [t, b, d, h] : {std::array{3, 2, 5, 7}, std::array{5, 13, 17, 33}, std::array{1, 1, 1, 1}}) {
    auto m = make_model<Cell>(d, h);
    auto opt = adam(m, {.lr = 1e-2});
    const auto state = m.cell.initial(b);
    const Tensor xs = inputs(t, b, d, 3), ys = inputs(t, b, 3, 4);
    auto step = jit(training_step);
    const auto compiled = step(m, opt, state, xs, ys);
    ScopedOptions interpret(changed([](Options& o) { o.jit = false; }));
    check_same_bits(compiled, step(m, opt, state, xs, ys));
  }
}

TEST_CASE("a new length or batch size runs no compiler") {
  auto m = make_model<Lstm>(8, 16);
  auto opt = adam(m, {.lr = 1e-2});
  auto step = jit(training_step);
  (void)step(m, opt, m.cell.initial(4), inputs(6, 4, 8, 1), inputs(6, 4, 3, 2));
  const auto before = programs_compiled();
  for (auto [t, b] : {std::pair{9, 4}, std::pair{6, 5}, std::pair{100, 11}, std::pair{2, 2}}) {
    const Tensor xs = inputs(t, b, 8, 1), ys = inputs(t, b, 3, 2);
    const auto compiled = step(m, opt, m.cell.initial(b), xs, ys);
    CHECK(programs_compiled() == before);
    ScopedOptions interpret(changed([](Options& o) { o.jit = false; }));
    check_same_bits(compiled, step(m, opt, m.cell.initial(b), xs, ys));
  }
}

TEST_CASE("the number of threads changes no bit") {
  auto m = make_model<Lstm>(40, 96);
  auto opt = adam(m, {.lr = 1e-2});
  auto step = jit(training_step);
  const Tensor xs = inputs(6, 32, 40, 1), ys = inputs(6, 32, 3, 2);
  ScopedOptions one(changed([](Options& o) { o.threads = 1; }));
  const auto expected = step(m, opt, m.cell.initial(32), xs, ys);
  for (int threads : {2, 3, 5}) {
    Options o = options();
    o.threads = threads;
    ScopedOptions many(o);
    check_same_bits(expected, step(m, opt, m.cell.initial(32), xs, ys));
  }
}

namespace {

// Rows that see one another in every step, in three ways.
struct Coupled {
  Tensor w, u;
  Tensor operator()(const Tensor& h, const Tensor& x) const {
    const Tensor z = tanh(matmul(x, w) + matmul(h, u));
    return z - mean(z, 0, true) + 0.1 * flip(h, 0) + 0.1 * slice(concat({z, z}, 0), 0, 1, 1 + int(z.size(0)));
  }
  Tensor initial(const Extent& batch) const { return zeros({batch, u.size(0)}); }
  struct Options {
    Dtype dtype = Dtype::f32;
  };
  static Coupled init(const Tensor& key, std::int64_t inputs, std::int64_t hidden, const Options&) {
    return {glorot_uniform(key, inputs, hidden).materialized(), orthogonal(key, hidden, hidden).materialized()};
  }
};

}  // namespace

TEST_CASE_TEMPLATE("threads that keep to their rows, and those that may not, change no bit", Cell, Rnn, Lstm, Gru,
                   Coupled) {
  auto m = make_model<Cell>(5, 21);
  auto opt = adam(m, {.lr = 1e-2});
  auto step = jit(training_step);
  for (int batch : {1, 7, 16, 17, 24, 33, 50}) {
    CAPTURE(batch);
    const Tensor xs = inputs(20, batch, 5, 1), ys = inputs(20, batch, 3, 2);
    const ScopedOptions one(changed([](Options& o) { o.threads = 1; }));
    const auto expected = step(m, opt, m.cell.initial(batch), xs, ys);
    for (int threads : {2, 3}) {
      CAPTURE(threads);
      const ScopedOptions many(changed([&](Options& o) {
        o.threads = threads;
        o.all_threads = true;
      }));
      for (int again = 0; again < 10; ++again) check_same_bits(expected, step(m, opt, m.cell.initial(batch), xs, ys));
    }
  }
}

TEST_CASE("the instruction set changes no bit") {
  auto m = make_model<Lstm>(5, 19);
  auto opt = adam(m, {.lr = 1e-2});
  const Tensor xs = inputs(4, 3, 5, 1), ys = inputs(4, 3, 3, 2);
  const auto expected = jit(training_step)(m, opt, m.cell.initial(3), xs, ys);
  for (const char* isa : {"avx2", "sse2"}) {
    CAPTURE(isa);
    Options o = options();
    o.isa = isa;
    ScopedOptions limited(o);
    check_same_bits(expected, jit(training_step)(m, opt, m.cell.initial(3), xs, ys));
  }
}

TEST_CASE_TEMPLATE("leaving out any pass of the compiler changes no bit" * doctest::test_suite("long"), Cell, Lstm,
                   Gru) {
  auto m = make_model<Cell>(5, 19);
  auto opt = adam(m, {.lr = 1e-2});
  for (int batch : {1, 3}) {
    if (tapeloop::testing::kInstrumented && batch == 1) continue;
    const Tensor xs = inputs(40, batch, 5, 1), ys = inputs(40, batch, 3, 2);
    const auto expected = jit(training_step)(m, opt, m.cell.initial(batch), xs, ys);
    for (const std::string_view pass : pass_names()) {
      CAPTURE(pass);
      // LLVM's own passes beside it: what they take to compile is most of the time.
      ScopedOptions without(changed([&](Options& o) { o.without = "optimise," + std::string(pass); }));
      check_same_bits(expected, jit(training_step)(m, opt, m.cell.initial(batch), xs, ys));
    }
  }
  std::string all;
  for (const std::string_view pass : pass_names()) all += (all.empty() ? "" : ",") + std::string(pass);
  ScopedOptions without(changed([&](Options& o) { o.without = all; }));
  const Tensor xs = inputs(6, 2, 5, 1), ys = inputs(6, 2, 3, 2);
  const auto bare = jit(training_step)(m, opt, m.cell.initial(2), xs, ys);
  ScopedOptions interpreted(changed([](Options& o) { o.jit = false; }));
  check_same_bits(jit(training_step)(m, opt, m.cell.initial(2), xs, ys), bare);
}

TEST_CASE("compiled code has names for perf when these are asked for") {
  const std::string path = "/tmp/perf-" + std::to_string(getpid()) + ".map";
  const auto f = [](const Tensor& a, const Tensor& b) { return tanh(matmul(a, b)); };
  const Tensor a = inputs(1, 30, 20, 1), b = inputs(1, 20, 40, 2);
  const auto product = [&] { (void)jit(f)(at(a, 0, 0), at(b, 0, 0)); };
  product();
  CHECK(!std::ifstream(path));
  ScopedOptions named(changed([](Options& o) { o.profile = true; }));
  product();
  std::ifstream file(path);
  std::stringstream map;
  map << file.rdbuf();
  (void)std::remove(path.c_str());
  CHECK(map.str().find(" tapeloop::program\n") != std::string::npos);
  CHECK(map.str().find(" tapeloop::tile_f32_") != std::string::npos);
}

TEST_CASE("what a kernel does is told in operations and bytes") {
  const auto f = [](const Tensor& a, const Tensor& b) { return tanh(matmul(a, b)); };
  const TapePtr tape = trace([&](const Tensors& in) { return f(in[0], in[1]); }, Recorder::Captures::recorded,
                             Tensors{zeros({30, 20}), zeros({20, 40})})
                           .tape;
  ScopedOptions oldest(changed([](Options& o) { o.isa = "sse2"; }));  // how operands are packed depends on it
  const std::string text = describe(*make_plan(pack_matmuls(tape)), target_for("sse2"));
  CAPTURE(text);
  // 2 · 30 · 20 · 40 and tanh of 30 · 40; both operands read, the packed one with its empty columns.
  CHECK(text.find("kernel matmul [30, 40] tile") != std::string::npos);
  CHECK(text.find(": 49200 FLOP, 6240 bytes read, 4800 written\n") != std::string::npos);
}

TEST_CASE("a pass that there is not is an error that names those there are") {
  ScopedOptions without(changed([](Options& o) { o.without = "epilogues,magic"; }));
  CHECK_THROWS_WITH(jit([](const Tensor& x) { return x * 2; })(zeros({3})),
                    doctest::Contains("there is no pass magic"));
}

TEST_CASE("a compiled scan over ten training steps equals ten calls of the compiled step") {
  auto m = make_model<Lstm>(4, 8);
  auto opt = adam(m, {.lr = 1e-2});
  const auto state = m.cell.initial(2);
  const Tensor xs = normal(key(5), {10, 6, 2, 4}, Dtype::f32).materialized(),
               ys = normal(key(6), {10, 6, 2, 3}, Dtype::f32).materialized();
  auto loop = jit([](auto model, auto optimizer, auto carried, const Tensor& all_xs, const Tensor& all_ys) {
    return scan(
        [](const auto& before, const auto& data) {
          const auto& [m0, o0, s0] = before;
          auto [m1, o1, s1, l] = training_step(m0, o0, s0, data.first, data.second);
          return std::pair{std::tuple{m1, o1, s1}, l};
        },
        std::tuple{model, optimizer, carried}, std::pair{all_xs, all_ys});
  });
  const auto [last, losses] = loop(m, opt, state, xs, ys);

  auto step = jit(training_step);
  auto s = state;
  Tensors singles;
  for (int i = 0; i < 10; ++i) {
    Tensor l;
    std::tie(m, opt, s, l) = step(m, opt, s, at(xs, 0, i), at(ys, 0, i));
    singles.push_back(l);
  }
  check_same_bits(last, std::tuple{m, opt, s});
  check_same_bits(losses, stack(singles));
}

TEST_CASE("a compiled function called while recording is recorded") {
  auto square_of = jit([](const Tensor& x) { return x * x; });
  const Tensor x = Tensor::of(std::vector<float>{3}, {});
  CHECK(grad([&](const Tensor& v) { return square_of(v); })(x).item<float>() == 6);
}

TEST_CASE("a captured number keeps every bit of its dtype") {
  const Tensor tenth = Tensor::of(std::vector<double>{0.1}, {}),
               large = Tensor::of(std::vector<std::int64_t>{(1LL << 53) + 1}, {}),
               whole = Tensor::of(std::vector<int>{(1 << 30) + 1}, {});
  const Tensor x = Tensor::of(std::vector<double>{1, 3, -7}, {3}),
               i = Tensor::of(std::vector<std::int64_t>{1, -1}, {2}), j = Tensor::of(std::vector<int>{1, -1}, {2});
  auto scaled = [&](const Tensor& t) { return t * tenth; };
  auto raised = [&](const Tensor& t) { return t + large; };
  auto raised32 = [&](const Tensor& t) { return t + whole; };
  CHECK(jit(scaled)(x).to_vector<double>() == std::vector<double>{0.1, 3 * 0.1, -7 * 0.1});
  CHECK(grad([&](const Tensor& t) { return sum(scaled(t)); })(x).to_vector<double>() ==
        std::vector<double>{0.1, 0.1, 0.1});
  CHECK(jit(scaled)(Tensor::of(std::vector<double>{3}, {})).item<double>() == 3 * 0.1);
  CHECK(jit(raised)(i).to_vector<std::int64_t>() == std::vector<std::int64_t>{(1LL << 53) + 2, 1LL << 53});
  CHECK(jit(raised32)(j).to_vector<int>() == std::vector<int>{(1 << 30) + 2, 1 << 30});
}

TEST_CASE("a captured tensor of several elements is an error that names the way out") {
  const Tensor w = Tensor::of(std::vector<float>{1, 2}, {2});
  auto f = jit([&](const Tensor& x) { return x * w; });
  try {
    (void)f(w);
    FAIL("no error");
  } catch (const Error& error) {
    const std::string text = error.what();
    CHECK(text.find("mul: a tensor f32[2] that is not an argument was captured") != std::string::npos);
    CHECK(text.find("jit_test.cpp:") != std::string::npos);
    CHECK(text.find("constant(t)") != std::string::npos);
  }
}

TEST_CASE("with TAPELOOP_CHECK a captured number that changes is found") {
  double k = 2;
  auto f = jit([&](const Tensor& x) { return x * k; });
  const Tensor x = Tensor::of(std::vector<float>{1, 2}, {2});
  CHECK(f(x).to_vector<float>() == std::vector<float>{2, 4});
  k = 3;
  CHECK(f(x).to_vector<float>() == std::vector<float>{2, 4});
  ScopedOptions check(changed([](Options& o) { o.check = true; }));
  CHECK_THROWS_AS(f(x), Error);
}
