// The simple recurrent network (Elman 1990): h' = tanh(x W + b + h U), or relu of it (Le, Jaitly and Hinton 2015).
#pragma once

#include "models/arguments.h"
#include "models/initializer.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"

namespace tapeloop {

struct Rnn {
  enum class Activation { tanh, relu };

  Tensor w;  // [D, H]
  Tensor u;  // [H, H]
  Tensor b;  // [H]
  Activation activation = Activation::tanh;

  // h [B, H], x [B, D] → h' [B, H]
  Tensor operator()(const Tensor& h, const Tensor& x, Where caller = Where::current()) const {
    check_step("rnn", x, w, h, u, caller);
    const Tensor z = matmul(h, u, matmul(x, w) + b);
    return activation == Activation::relu ? relu(z) : tapeloop::tanh(z);
  }

  Tensor initial(const Extent& batch) const { return zeros({batch, u.size(0)}, u.dtype()); }

  struct Options {
    Activation activation = Activation::tanh;
    Dtype dtype = Dtype::f32;
  };
  static Rnn init(const Tensor& key, std::int64_t inputs, std::int64_t hidden, const Options& options,
                  Where caller = Where::current()) {
    const auto [kw, ku] = split_key<2>(key, caller);
    return {glorot_uniform(kw, inputs, hidden, 1, options.dtype, caller).materialized(),
            orthogonal(ku, hidden, hidden, 1, options.dtype, caller), zeros({hidden}, options.dtype).materialized(),
            options.activation};
  }
  static Rnn init(const Tensor& key, std::int64_t inputs, std::int64_t hidden, Where caller = Where::current()) {
    return init(key, inputs, hidden, Options(), caller);
  }
};

}  // namespace tapeloop
