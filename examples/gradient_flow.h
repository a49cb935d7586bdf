// How the gradient of a loss at the end of a sequence changes on its way back: the norm of ∂loss/∂h_t for every t.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "ad/grad.h"
#include "models/cell.h"
#include "models/gru.h"
#include "models/lstm.h"
#include "models/rnn.h"

namespace gradient_flow {

using tapeloop::Tensor;

inline double norm_of(const Tensor& x, std::int64_t begin, std::int64_t end) {
  const auto values = x.template data<double>();
  double total = 0;
  for (std::int64_t i = begin; i < end; ++i) total += values[std::size_t(i)] * values[std::size_t(i)];
  return std::sqrt(total);
}

// The matrix times what makes its spectral radius `radius`. ‖A^k‖^(1/k) tends to the radius (Gelfand), and k = 2^10 by
// repeated squaring is near enough; every square is scaled, so that nothing overflows.
inline Tensor with_spectral_radius(const Tensor& matrix, double radius) {
  Tensor power = matrix;
  double log_norm = 0;  // of matrix^(2^i), what was divided out
  constexpr int squarings = 10;
  for (int i = 0; i <= squarings; ++i) {
    const double norm = norm_of(power, 0, power.count());
    log_norm += std::log(norm);
    power = power / norm;
    if (i == squarings) break;
    power = tapeloop::matmul(power, power);
    log_norm *= 2;
  }
  return matrix * (radius / std::exp(log_norm / std::exp2(squarings)));
}

// The output of a cell plus a small number of our own at every step: the derivative with respect to that number at step t
// is the derivative with respect to h_t, by all ways from there to the end, and needs no hook in the library.
template <class Cell>
struct Nudged {
  Cell cell;
  template <class State>
  State operator()(const State& state, const std::pair<Tensor, Tensor>& x) const {
    State next = cell(state, x.first);
    if constexpr (requires { next.h; })
      next.h = next.h + x.second;
    else
      next = next + x.second;
    return next;
  }
};

// ‖∂loss/∂h_t‖ for t = 1 … T, where the loss is w · h_T for a fixed random direction w, averaged over the batch.
template <class Cell>
std::vector<double> norms(const Cell& cell, const Tensor& xs, std::uint64_t seed = 1) {
  const std::int64_t steps = xs.size(0).value(), batch = xs.size(1).value(), hidden = cell.u.size(0).value();
  const Tensor direction = tapeloop::normal(tapeloop::key(seed), {hidden, 1}, tapeloop::Dtype::f64).materialized();
  auto loss = [&](const Tensor& nudges, const Cell& c, const Tensor& x, const Tensor& w) {
    auto unrolled = tapeloop::unroll(Nudged<Cell>{c}, c.initial(batch), std::pair{x, nudges});
    const Tensor last = [&] {
      if constexpr (requires { unrolled.last.h; })
        return unrolled.last.h;
      else
        return unrolled.last;
    }();
    return tapeloop::mean(tapeloop::matmul(last, w));
  };
  const Tensor nudges = tapeloop::zeros({steps, batch, hidden}, tapeloop::Dtype::f64).materialized();
  const Tensor gradient = tapeloop::grad(loss)(nudges, cell, xs, direction);
  std::vector<double> result;
  for (std::int64_t t = 0; t < steps; ++t)
    result.push_back(norm_of(gradient, t * batch * hidden, (t + 1) * batch * hidden));
  return result;
}

struct Setting {
  std::int64_t steps = 200, hidden = 64, batch = 8, inputs = 8;
  double input_scale = 1e-3;  // of a linear regime: tanh x = x to six digits
  std::uint64_t seed = 1;
};

inline Tensor inputs_of(const Setting& s, double scale) {
  return (tapeloop::normal(tapeloop::key(s.seed + 100), {s.steps, s.batch, s.inputs}, tapeloop::Dtype::f64) * scale)
      .materialized();
}

// An RNN whose recurrent matrix is random with the given spectral radius. In the linear regime its state stays near 0
// whatever the radius is: it starts at 0 and is given none, so that the product of the matrices is seen alone.
inline std::vector<double> rnn_norms(const Setting& s, double radius) {
  auto cell = tapeloop::Rnn::init(tapeloop::key(s.seed), s.inputs, s.hidden, {.dtype = tapeloop::Dtype::f64});
  const Tensor random =
      tapeloop::normal(tapeloop::key(s.seed + 200), {s.hidden, s.hidden}, tapeloop::Dtype::f64).materialized();
  cell.u = with_spectral_radius(random, radius);
  return norms(cell, inputs_of(s, radius < 1 ? s.input_scale : 0), s.seed);
}

inline std::vector<double> lstm_norms(const Setting& s, double forget_bias = 1) {
  return norms(tapeloop::Lstm::init(tapeloop::key(s.seed), s.inputs, s.hidden,
                                    {.forget_bias = forget_bias, .dtype = tapeloop::Dtype::f64}),
               inputs_of(s, s.input_scale), s.seed);
}

inline std::vector<double> gru_norms(const Setting& s) {
  return norms(tapeloop::Gru::init(tapeloop::key(s.seed), s.inputs, s.hidden, {.dtype = tapeloop::Dtype::f64}),
               inputs_of(s, s.input_scale), s.seed);
}

// What is left at the first step of the gradient at the last: below 1 it vanishes, above 1 it explodes.
inline double kept(const std::vector<double>& n) { return n.front() / n.back(); }

}  // namespace gradient_flow
