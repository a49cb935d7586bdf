// Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers, Schmidhuber and Cummins 2000).
#pragma once

#include "models/arguments.h"
#include "models/initializer.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"

namespace tapeloop {

struct Lstm {
  Tensor w;  // [D, 4H], gates side by side in the order i, f, g, o
  Tensor u;  // [H, 4H]
  Tensor b;  // [4H]

  struct State {
    Tensor h, c;  // [B, H]
  };

  // State [B, H] and x [B, D] → state'. Throws Error when they do not fit the weights.
  State operator()(const State& s, const Tensor& x, Where caller = Where::current()) const {
    check_step("lstm", x, w, s.h, u, caller);
    const auto [i, f, g, o] = chunk<4>(matmul(s.h, u, matmul(x, w) + b));
    const Tensor c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
    return {sigmoid(o) * tanh(c), c};
  }

  State initial(const Extent& batch) const {
    const Tensor zero = zeros({batch, u.size(0)}, u.dtype());
    return {zero, zero};
  }

  struct Options {
    double forget_bias =
        1;  // so that memory lasts at the beginning (Jozefowicz, Zaremba and Sutskever 2015); 0 for none
    Dtype dtype = Dtype::f32;
  };
  static Lstm init(const Tensor& key, std::int64_t inputs, std::int64_t hidden, const Options& options,
                   Where caller = Where::current()) {
    const auto [kw, ku] = split_key<2>(key, caller);
    const Shape one{hidden};
    const Tensor zero = zeros(one, options.dtype, caller).materialized(),
                 forget = full(one, options.forget_bias, options.dtype).materialized();
    return {glorot_uniform(kw, inputs, hidden, 4, options.dtype, caller).materialized(),
            orthogonal(ku, hidden, hidden, 4, options.dtype, caller), concat({zero, forget, zero, zero})};
  }
  static Lstm init(const Tensor& key, std::int64_t inputs, std::int64_t hidden, Where caller = Where::current()) {
    return init(key, inputs, hidden, Options(), caller);
  }
};

}  // namespace tapeloop
