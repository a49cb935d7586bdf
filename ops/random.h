// Random numbers as pure functions of a key: no generator anywhere has a state, and the same key gives the same numbers
// on every platform, number of threads and instruction set.
//
// Each element is the cipher Threefry-2x32-20 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011) of its own position under the key, so a compiler can make numbers where they are used. A key is to be used
// once; split_key and fold_in make further ones.
#pragma once

#include <array>
#include <cstdint>

#include "ad/op.h"
#include "ops/shape.h"

namespace tapeloop {

// A key, u32[2].
Tensor key(std::uint64_t seed);

// n independent keys, u32[n, 2]; or as an array for structured bindings: auto [a, b] = split_key<2>(k).
Tensor split_key(const Tensor& key, const Extent& n, Where where = Where::current());
template <std::size_t N>
std::array<Tensor, N> split_key(const Tensor& key, Where where = Where::current());

// The key that belongs to number i (an integer or an integer scalar tensor, such as a step count).
Tensor fold_in(const Tensor& key, const Operand& i);

// Uniform in [low, high), in steps of 2⁻²⁴ (f32) or 2⁻⁵³ (f64) of the range; rounding may give `high` itself unless the
// range is [0, 1).
Tensor uniform(const Tensor& key, const Shape& shape, double low = 0, double high = 1, Dtype dtype = Dtype::f32,
               Where where = Where::current());

// Of mean 0 and variance 1 (Box and Muller 1958).
Tensor normal(const Tensor& key, const Shape& shape, Dtype dtype = Dtype::f32, Where where = Where::current());

// True with probability p, a number or a tensor that broadcasts to `shape`.
Tensor bernoulli(const Tensor& key, const Operand& p, const Shape& shape);

// Elementwise in three u32 operands: both words of the key and a counter. Attributes: stream (numbers for one purpose are
// independent of those for another); threefry also: dtype (u32: a word of the cipher; f32, f64: uniform in [0, 1)), word.
extern const Op threefry_op, normal_op;

template <std::size_t N>
std::array<Tensor, N> split_key(const Tensor& key, Where where) {
  const Tensor keys = split_key(key, Extent(std::int64_t(N)), where);
  std::array<Tensor, N> result;
  for (std::size_t i = 0; i < N; ++i) result[i] = at(keys, 0, std::int64_t(i), where);
  return result;
}

}  // namespace tapeloop
