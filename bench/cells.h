// Cells that no library ships, as a user writes them: the equations in a plain struct.
#pragma once

#include "models/initializer.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/random.h"

namespace tapeloop::bench {

// The minimal gated unit (Zhou, Wu, Zhang and Zhou 2016).
struct Mgu {
  Tensor w, u, b;  // [D, 2H], [H, 2H], [2H], gates f, g

  Tensor operator()(const Tensor& h, const Tensor& x) const {
    const auto [xf, xg] = chunk<2>(matmul(x, w) + b);
    const auto [uf, ug] = chunk<2>(u);
    const Tensor f = sigmoid(matmul(h, uf, xf));
    const Tensor g = tanh(matmul(f * h, ug, xg));
    return h + f * (g - h);
  }
  Tensor initial(const Extent& batch) const { return zeros({batch, u.size(0)}); }
  static Mgu init(const Tensor& key, std::int64_t inputs, std::int64_t hidden) {
    const auto [kw, ku] = split_key<2>(key);
    return {glorot_uniform(kw, inputs, hidden, 2), orthogonal(ku, hidden, hidden, 2), zeros({2 * hidden})};
  }
};

// The simple recurrent unit (Lei, Zhang, Wang, Dai and Artzi 2018). Its products need no state; what does is elementwise.
struct Sru {
  Tensor w, b;    // [D, 3H], [2H]: what is remembered, gates f, r
  Tensor vf, vr;  // [H]

  auto operator()(const Tensor& c, const Tensor& x) const {
    const auto [z, zf, zr] = chunk<3>(matmul(x, w));
    const auto [bf, br] = chunk<2>(b);
    const Tensor f = sigmoid(zf + vf * c + bf), r = sigmoid(zr + vr * c + br);
    const Tensor now = f * c + (1 - f) * z;
    return std::pair{now, r * tanh(now) + (1 - r) * x};
  }
  Tensor initial(const Extent& batch) const { return zeros({batch, vf.size(0)}); }
  static Sru init(const Tensor& key, std::int64_t inputs, std::int64_t hidden) {
    const auto [kw, kf, kr] = split_key<3>(key);
    return {glorot_uniform(kw, inputs, hidden, 3), zeros({2 * hidden}), 0.1 * normal(kf, {hidden}),
            0.1 * normal(kr, {hidden})};
  }
};

struct State {
  Tensor h, c;  // [B, H]
};

// An LSTM whose gates see the cell state through one weight a unit (Gers and Schmidhuber 2000).
struct Peephole {
  Tensor w, u, b;     // [D, 4H], [H, 4H], [4H], gates i, f, g, o
  Tensor pi, pf, po;  // [H]

  State operator()(const State& s, const Tensor& x) const {
    const auto [i, f, g, o] = chunk<4>(matmul(s.h, u, matmul(x, w) + b));
    const Tensor c = sigmoid(f + pf * s.c) * s.c + sigmoid(i + pi * s.c) * tanh(g);
    return {sigmoid(o + po * c) * tanh(c), c};
  }
  State initial(const Extent& batch) const {
    const Tensor zero = zeros({batch, u.size(0)});
    return {zero, zero};
  }
  static Peephole init(const Tensor& key, std::int64_t inputs, std::int64_t hidden) {
    const auto [kw, ku, ki, kf, ko] = split_key<5>(key);
    auto peep = [&](const Tensor& k) { return 0.1 * normal(k, {hidden}); };
    return {glorot_uniform(kw, inputs, hidden, 4),
            orthogonal(ku, hidden, hidden, 4),
            zeros({4 * hidden}),
            peep(ki),
            peep(kf),
            peep(ko)};
  }
};

struct LayerNorm {
  Tensor weight, bias;

  Tensor operator()(const Tensor& x) const { return layer_norm(x, weight, bias); }
  static LayerNorm init(std::int64_t size) { return {full({size}, 1), zeros({size})}; }
};

// An LSTM that normalises what comes from the input, what comes from the state, and the cell state.
struct LayerNormLstm {
  Tensor w, u;  // [D, 4H], [H, 4H], gates i, f, g, o
  LayerNorm from_input, from_state, of_cell;

  State operator()(const State& s, const Tensor& x) const {
    const auto [i, f, g, o] = chunk<4>(from_input(matmul(x, w)) + from_state(matmul(s.h, u)));
    const Tensor c = of_cell(sigmoid(f) * s.c + sigmoid(i) * tanh(g));
    return {sigmoid(o) * tanh(c), c};
  }
  State initial(const Extent& batch) const {
    const Tensor zero = zeros({batch, u.size(0)});
    return {zero, zero};
  }
  static LayerNormLstm init(const Tensor& key, std::int64_t inputs, std::int64_t hidden) {
    const auto [kw, ku] = split_key<2>(key);
    return {glorot_uniform(kw, inputs, hidden, 4), orthogonal(ku, hidden, hidden, 4), LayerNorm::init(4 * hidden),
            LayerNorm::init(4 * hidden), LayerNorm::init(hidden)};
  }
};

}  // namespace tapeloop::bench
