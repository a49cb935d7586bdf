// A linear layer: x W + b.
#pragma once

#include "models/initializer.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"

namespace tapeloop {

struct Dense {
  Tensor w;  // [H, V]
  Tensor b;  // [V]

  // [..., H] → [..., V]. The leading axes become one, so that it is one matrix product whatever they are.
  Tensor operator()(const Tensor& x, Where where = Where::current()) const {
    check_value("dense", x, where);
    check_value("dense", w, where);
    if (x.rank() == 2) return matmul(x, w, b, {}, where);
    Shape shape(x.shape().begin(), x.shape().end() - (x.rank() > 0 ? 1 : 0));
    const Tensor rows = reshape(x, {extent_product(shape), x.size(-1, where)}, where);
    shape.push_back(w.size(1, where));
    return reshape(matmul(rows, w, b, {}, where), shape, where);
  }

  static Dense init(const Tensor& key, std::int64_t inputs, std::int64_t outputs, Dtype dtype = Dtype::f32,
                    Where caller = Where::current()) {
    return {glorot_uniform(key, inputs, outputs, 1, dtype, caller).materialized(),
            zeros({outputs}, dtype, caller).materialized()};
  }
};

}  // namespace tapeloop
