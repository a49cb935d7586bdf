// Every cell with small sizes, and what the tests of loops need to compare them.
#pragma once

#include <cmath>

#include "models/cell.h"
#include "models/gru.h"
#include "models/lstm.h"
#include "models/rnn.h"
#include "ops/random.h"
#include "same.h"

namespace tapeloop::testing {

inline constexpr Dtype f64 = Dtype::f64;

// A cell that no library ships (Zhou et al. 2016), written as a user would.
struct Mgu {
  Tensor w, u, b;
  Tensor operator()(const Tensor& h, const Tensor& x) const {
    auto [xf, xg] = chunk<2>(matmul(x, w) + b);
    auto [uf, ug] = chunk<2>(u);
    const Tensor f = sigmoid(xf + matmul(h, uf)), g = tanh(xg + matmul(f * h, ug));
    return h + f * (g - h);
  }
  Tensor initial(const Extent& batch) const { return zeros({batch, u.size(0)}, u.dtype()); }
};

// Gates that see the cell state (Gers and Schmidhuber 2000), one weight a unit; here its outputs are squashed once more.
struct Peephole {
  Tensor w, u, b, p;  // [D, 4H], [H, 4H], [4H], [3, H]
  auto operator()(const std::pair<Tensor, Tensor>& state, const Tensor& x) const {
    const auto& [h, c] = state;
    const auto [zi, zf, zg, zo] = chunk<4>(matmul(h, u, matmul(x, w) + b));
    const Tensor now = sigmoid(zf + at(p, 0, 1) * c) * c + sigmoid(zi + at(p, 0, 0) * c) * tanh(zg);
    const Tensor out = sigmoid(zo + at(p, 0, 2) * now) * tanh(now);
    return std::pair{std::pair{out, now}, softplus(out)};
  }
  std::pair<Tensor, Tensor> initial(const Extent& batch) const {
    return {zeros({batch, u.size(0)}, u.dtype()), zeros({batch, u.size(0)}, u.dtype())};
  }
};

inline Tensor noise(int seed, const Shape& shape) {
  return normal(key(std::uint64_t(seed)), shape, f64).materialized();
}

// Every cell, with D = 3 inputs and H = 4 hidden units, in f64 and away from special values. Under a sanitizer, which takes
// several times as long, without those that are tests' own compositions of what the others use.
template <class F>
void for_each_cell(F f) {
  auto shaken = [](auto cell) {
    int seed = 90;
    for_each_tensor(cell, [&](Tensor& t) {
      if (!t.is_empty()) t = t + 0.1 * noise(seed++, t.shape());
    });
    return cell;
  };
  const Tensor k = key(7);
  f("rnn tanh", shaken(Rnn::init(k, 3, 4, {.dtype = f64})));
  f("rnn relu", shaken(Rnn::init(k, 3, 4, {.activation = Rnn::Activation::relu, .dtype = f64})));
  f("lstm", shaken(Lstm::init(k, 3, 4, {.dtype = f64})));
  f("gru after", shaken(Gru::init(k, 3, 4, {.dtype = f64})));
  f("gru before", shaken(Gru::init(k, 3, 4, {.reset = Gru::Reset::before, .dtype = f64})));
  if constexpr (!kInstrumented) {
    f("mgu", Mgu{noise(1, {3, 8}), noise(2, {4, 8}), noise(3, {8})});
    f("peephole", Peephole{noise(4, {3, 16}), noise(5, {4, 16}), noise(6, {16}), noise(8, {3, 4})});
  }
  f("stacked", shaken(stacked(Lstm::init(k, 3, 4, {.dtype = f64}), Gru::init(k, 4, 2, {.dtype = f64}))));
  f("stacked alike",
    shaken(stacked(std::vector{Rnn::init(k, 3, 3, {.dtype = f64}), Rnn::init(k, 3, 3, {.dtype = f64})})));
}

// An initial state that is not zero.
template <class Cell>
auto state_of(const Cell& cell, int batch) {
  auto state = cell.initial(batch);
  int seed = 40;
  for_each_tensor(state, [&](Tensor& t) { t = 0.5 * noise(seed++, t.shape()); });
  return state;
}

// A loss whose cotangents differ in time; the weights are an argument, so that it can be recorded.
inline auto weighted(const UnrollOptions& options = {}) {
  return [options](const auto& cell, const auto& state, const Tensor& xs, const Tensor& weights) {
    auto [last, outputs] = unroll(cell, state, xs, options);
    Tensor total = sum(outputs * weights);
    for (const Tensor& t : leaves_of(last)) total = total + sum(square(t));
    return total;
  };
}
inline Tensor weights_for(int steps) { return noise(50, {steps, 1, 1}); }

// The largest difference, relative to the largest number of each tensor (at least 1); infinite when the shapes differ.
inline double distance(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = a[i].to_vector<double>(), y = b[i].to_vector<double>();
    if (x.size() != y.size()) return INFINITY;
    double largest = 1;
    for (double v : y) largest = std::max(largest, std::abs(v));
    for (std::size_t j = 0; j < x.size(); ++j) {
      const double d = std::abs(x[j] - y[j]) / largest;
      if (!(d <= worst)) worst = d;
    }
  }
  return worst;
}

}  // namespace tapeloop::testing
