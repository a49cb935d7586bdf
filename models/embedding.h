// A table of vectors, one for each symbol.
#pragma once

#include "ops/index.h"
#include "ops/random.h"

namespace tapeloop {

struct Embedding {
  Tensor table;  // [V, E]

  // Integers [...] → [..., E]. An index outside the table gives NaN, see gather.
  Tensor operator()(const Tensor& symbols, Where where = Where::current()) const {
    return gather(table, symbols, 0, where);
  }

  // Normal with variance 1, as PyTorch's.
  static Embedding init(const Tensor& key, std::int64_t symbols, std::int64_t size, Dtype dtype = Dtype::f32,
                        Where caller = Where::current()) {
    return {normal(key, {symbols, size}, dtype, caller).materialized()};
  }
};

}  // namespace tapeloop
