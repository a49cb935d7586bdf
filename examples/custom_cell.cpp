// A cell that no library ships, in ten lines: the minimal gated unit (Zhou, Wu, Zhang and Zhou 2016). It is checked in one
// line, and learns the adding problem (Hochreiter and Schmidhuber 1997): of 100 numbers in [0, 1) two are marked; what is
// their sum? Always answering 1 has a mean squared error of 1/6 = 0.167.
//
//   custom_cell            trains it            custom_cell --compare     LSTM, GRU and tanh RNN beside it
#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <random>

#include "ad/check.h"
#include "ad/grad.h"
#include "jit/jit.h"
#include "models/cell.h"
#include "models/dense.h"
#include "models/gru.h"
#include "models/loss.h"
#include "models/lstm.h"
#include "models/optimizer.h"
#include "models/rnn.h"

using namespace tapeloop;

struct Mgu {
  Tensor w, u, b;  // [D, 2H], [H, 2H], [2H]: the forget gate and the candidate side by side

  Tensor operator()(const Tensor& h, const Tensor& x) const {
    const auto [xf, xg] = chunk<2>(matmul(x, w) + b);
    const auto [uf, ug] = chunk<2>(u);
    const Tensor f = sigmoid(matmul(h, uf, xf));
    const Tensor g = tanh(matmul(f * h, ug, xg));
    return h + f * (g - h);
  }

  Tensor initial(const Extent& batch) const { return zeros({batch, u.size(0)}, u.dtype()); }
  static Mgu init(const Tensor& key, std::int64_t inputs, std::int64_t hidden) {
    const auto [kw, ku] = split_key<2>(key);
    return {glorot_uniform(kw, inputs, hidden, 2).materialized(), orthogonal(ku, hidden, hidden, 2),
            concat({full({hidden}, -3), zeros({hidden})}).materialized()};  // forgets slowly at first
  }
};

namespace {

// Gates that remember at first (Tallec and Ollivier 2018): what is to be learned lies up to 100 steps apart.
template <class Cell>
Cell init_cell(const Tensor& key, std::int64_t hidden) {
  if constexpr (std::is_same_v<Cell, Lstm>) return Lstm::init(key, 2, hidden, {.forget_bias = 3});
  Cell cell = Cell::init(key, 2, hidden);
  if constexpr (std::is_same_v<Cell, Gru>)
    cell.b = concat({zeros({hidden}), full({hidden}, 3), zeros({hidden})}).materialized();
  return cell;
}

template <class Cell>
struct Model {
  Cell cell;
  Dense out;
};

// The mean squared error of the model's answers: xs [T, B, 2], ys [B, 1].
template <class Cell>
Tensor loss(const Model<Cell>& m, const Tensor& xs, const Tensor& ys) {
  auto [last, outputs] = unroll(m.cell, m.cell.initial(xs.size(1)), xs);
  if constexpr (requires { last.h; })
    return mse(m.out(last.h), ys);
  else
    return mse(m.out(last), ys);
}

// Numbers and marks [T, B, 2]; one mark in each half, and the sum of the two marked numbers [B, 1].
std::pair<Tensor, Tensor> problem(std::mt19937& random, std::int64_t steps, std::int64_t batch) {
  std::vector<float> xs(std::size_t(steps * batch * 2)), ys(static_cast<std::size_t>(batch));
  const auto element = [&](std::int64_t t, std::int64_t row, std::int64_t i) -> float& {
    return xs[std::size_t((t * batch + row) * 2 + i)];
  };
  for (std::int64_t row = 0; row < batch; ++row) {
    for (std::int64_t t = 0; t < steps; ++t) element(t, row, 0) = float(random() >> 8) * 0x1p-24F;
    for (const std::int64_t half : {std::int64_t(0), steps / 2}) {
      // There are two steps or more.  NOLINTNEXTLINE(clang-analyzer-core.DivideZero)
      const std::int64_t t = half + std::int64_t(random() % std::uint32_t(steps / 2));
      element(t, row, 1) = 1;
      ys[std::size_t(row)] += element(t, row, 0);
    }
  }
  return {Tensor::of(xs, {steps, batch, 2}), Tensor::of(ys, {batch, 1})};
}

struct Arguments {
  int steps = 1500, length = 100, batch = 32;
  double lr = 5e-3;
  std::vector<std::uint64_t> seeds = {1};
  bool compare = false;
};

template <class Cell>
void train(const char* name, std::int64_t hidden, const Arguments& args, std::uint64_t seed) {
  const auto [cell_key, out_key] = split_key<2>(key(seed));
  Model<Cell> m{init_cell<Cell>(cell_key, hidden), Dense::init(out_key, hidden, 1)};
  auto opt = adam(m, {.lr = args.lr});
  auto step = jit([](Model<Cell> model, Adam<Model<Cell>> adam, const Tensor& xs, const Tensor& ys) {
    auto [l, grads] = value_and_grad(loss<Cell>)(model, xs, ys);
    adam.update(model, clip_by_global_norm(grads, 1.0));
    return std::tuple{model, adam, l};
  });
  auto test = jit(loss<Cell>);

  std::mt19937 random{std::uint32_t(seed)}, other{1000 + std::uint32_t(seed)};
  const auto [test_xs, test_ys] = problem(other, args.length, 1000);
  std::int64_t parameters = 0;
  for (const Tensor& t : leaves_of(m)) parameters += t.count();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < args.steps; ++i) {
    const auto [xs, ys] = problem(random, args.length, args.batch);
    // The last third of the steps is ever smaller.
    opt.lr = Tensor::of(std::vector<float>{float(args.lr * std::min(1.0, 3.0 * (args.steps - i) / args.steps))}, {});
    auto [model, adam, l] = step(m, opt, xs, ys);
    m = model, opt = adam;
    if ((i + 1) % 100 == 0)
      std::fprintf(stderr, "%-5s seed %d  step %5d  loss %.5f\n", name, int(seed), i + 1, l.template item<double>());
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%-5s seed %d  %5lld parameters  MSE %.5f  %.1f s\n", name, int(seed), static_cast<long long>(parameters),
              test(m, test_xs, test_ys).template item<double>(), seconds);
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  Arguments args;
  CLI::App app{"A cell of your own, learning the adding problem."};
  app.add_flag("--compare", args.compare, "train LSTM, GRU and tanh RNN of about as many parameters beside it");
  app.add_option("--steps", args.steps, "training steps")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--length", args.length, "numbers in a sequence")->check(CLI::Range(2, 100000))->capture_default_str();
  app.add_option("--batch", args.batch, "sequences in a step")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--lr", args.lr, "learning rate of Adam")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--seed", args.seeds, "one or several")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  std::mt19937 random(1);
  const auto [xs, ys] = problem(random, 6, 3);
  check_gradients(loss<Mgu>, Model<Mgu>{Mgu::init(key(1), 2, 5), Dense::init(key(2), 5, 1)}, xs, ys);
  std::printf("MGU: gradients agree with differences\n");

  for (const std::uint64_t seed : args.seeds) {
    train<Mgu>("MGU", 52, args, seed);
    if (!args.compare) continue;
    train<Lstm>("LSTM", 36, args, seed);
    train<Gru>("GRU", 42, args, seed);
    train<Rnn>("RNN", 74, args, seed);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "custom_cell: " << error.what() << '\n';
    return 1;
  }
}
