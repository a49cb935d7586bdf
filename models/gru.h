// The gated recurrent unit (Cho et al. 2014), in both forms that are in use: they differ in where the reset gate acts.
#pragma once

#include "models/arguments.h"
#include "models/initializer.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"

namespace tapeloop {

struct Gru {
  // after:   n = tanh(x Wn + bn + r · (h Un + un_bias))   as PyTorch and cuDNN do
  // before:  n = tanh(x Wn + bn + (r · h) Un)             as published; it has no un_bias, which is then empty
  enum class Reset { after, before };

  Tensor w;        // [D, 3H], gates side by side in the order r, z, n
  Tensor u;        // [H, 3H]
  Tensor b;        // [3H]
  Tensor un_bias;  // [H]
  Reset reset = Reset::after;

  // h [B, H], x [B, D] → h' [B, H]
  Tensor operator()(const Tensor& h, const Tensor& x, Where caller = Where::current()) const {
    check_step("gru", x, w, h, u, caller);
    const auto [xr, xz, xn] = chunk<3>(matmul(x, w) + b);
    const auto [ur, uz, un] = chunk<3>(u);
    const Tensor r = sigmoid(matmul(h, ur, xr)), z = sigmoid(matmul(h, uz, xz));
    const Tensor n = tanh(reset == Reset::after ? xn + r * matmul(h, un, un_bias) : matmul(r * h, un, xn));
    return (1 - z) * n + z * h;
  }

  Tensor initial(const Extent& batch) const { return zeros({batch, u.size(0)}, u.dtype()); }

  struct Options {
    Reset reset = Reset::after;
    Dtype dtype = Dtype::f32;
  };
  static Gru init(const Tensor& key, std::int64_t inputs, std::int64_t hidden, const Options& options,
                  Where caller = Where::current()) {
    const auto [kw, ku] = split_key<2>(key, caller);
    Gru cell{glorot_uniform(kw, inputs, hidden, 3, options.dtype, caller).materialized(),
             orthogonal(ku, hidden, hidden, 3, options.dtype, caller),
             zeros({3 * hidden}, options.dtype).materialized(), Tensor(), options.reset};
    if (options.reset == Reset::after) cell.un_bias = zeros({hidden}, options.dtype).materialized();
    return cell;
  }
  static Gru init(const Tensor& key, std::int64_t inputs, std::int64_t hidden, Where caller = Where::current()) {
    return init(key, inputs, hidden, Options(), caller);
  }
};

}  // namespace tapeloop
