// The code that README.md shows, as a program: a test compares the two.
#include <cstdio>
#include <vector>

#include "ad/grad.h"
#include "jit/jit.h"
#include "models/cell.h"
#include "models/dense.h"
#include "models/loss.h"
#include "models/lstm.h"
#include "models/optimizer.h"

using namespace tapeloop;

struct Model {
  Lstm cell;
  Dense out;
};

Tensor loss(const Model& m, const Tensor& xs, const Tensor& ys) {  // xs: [time, batch, inputs]
  auto [last, outputs] = unroll(m.cell, m.cell.initial(xs.size(1)), xs);
  return mse(m.out(last.h), ys);
}

int main() {
  Model m{Lstm::init(key(1), 3, 32), Dense::init(key(2), 32, 1)};
  auto opt = adam(m, {.lr = 1e-2});
  auto step = jit([](Model model, Adam<Model> state, const Tensor& xs, const Tensor& ys) {
    auto [l, grads] = value_and_grad(loss)(model, xs, ys);  // grads is a Model
    state.update(model, clip_by_global_norm(grads, 1.0));
    return std::tuple{model, state, l};  // all of it is one compiled program
  });

  const Tensor xs = normal(key(3), {20, 16, 3}).materialized();  // what is the mean of a sequence?
  const Tensor ys = mean(mean(xs, 0), -1, true).materialized();
  Tensor l;
  for (int i = 0; i < 100; ++i) std::tie(m, opt, l) = step(m, opt, xs, ys);
  std::printf("loss %g\n", l.item<double>());
}
