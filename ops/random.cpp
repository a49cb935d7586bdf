#include "ops/random.h"

#include <fmt/format.h>

#include <numbers>

#include "ops/elementwise.h"
#include "ops/source.h"

namespace tapeloop {
namespace {

// What a block of the cipher is for: the second word of its counter.
enum Stream : std::int64_t { draw, splitting, folding, second_draw };

struct Words {
  Lane a, b;
};

Lane rotated(Lane x, int bits) { return (x << bits) | (x >> (32 - bits)); }

// Threefry-2x32-20: a key injection before the first and after every fourth of 20 rounds of add, rotate, xor.
Words threefry(Lane k0, Lane k1, Lane c0, std::int64_t stream) {
  constexpr int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  const Lane keys[3] = {k0, k1, k0 ^ k1 ^ k0.like(0x1BD11BDA)};
  Lane a = c0 + keys[0], b = k1 + k1.like(double(stream));
  for (int block = 0; block < 5; ++block) {
    for (int rotation : rotations[block % 2]) {
      a = a + b;
      b = rotated(b, rotation) ^ a;
    }
    a = a + keys[(block + 1) % 3];
    b = b + keys[(block + 2) % 3] + k0.like(block + 1);
  }
  return {a, b};
}

// [0, 1) in 2²⁴ steps, or in 2⁵³ steps from two words. Every operation is exact.
Lane unit(Words words, Dtype dtype) {
  if (dtype == Dtype::f32) return lane::convert(words.a >> 8, dtype) * 0x1p-24;
  const Lane high = lane::convert(words.a >> 5, dtype), low = lane::convert(words.b >> 6, dtype);
  return (high * 0x1p26 + low) * 0x1p-53;
}

Type infer_random(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  Type type = infer_same(op, in, attrs, where);
  if (type.dtype != Dtype::u32)
    throw InternalError(fmt::format("{}: operands are {}", op.name, to_string(type)), where);
  type.dtype = attrs.get<Dtype>("dtype");
  return type;
}

Lane lanes_threefry(Lanes x) {
  const Words words = threefry(x[0], x[1], x[2], x.attrs->get<std::int64_t>("stream"));
  const Dtype dtype = x.attrs->get<Dtype>("dtype");
  if (dtype == Dtype::u32) return x.attrs->flag("word") ? words.b : words.a;
  return unit(words, dtype);
}

// √(−2 log u) cos 2πv, with u in (0, 1]: the first word has 32 bits so that the tails are long (6.7 in f32, 8.6 in f64).
Lane lanes_normal(Lanes x) {
  const Dtype dtype = x.attrs->get<Dtype>("dtype");
  const Words words = threefry(x[0], x[1], x[2], draw);
  if (dtype == Dtype::f32) {
    const Lane u = lane::convert(words.a, dtype) * 0x1p-32 + 0x1p-33;
    const Lane v = lane::convert(words.b >> 8, dtype) * 0x1p-24;
    return lane::sqrt(-2 * lane::log(u)) * lane::cos(2 * std::numbers::pi * v);
  }
  const Lane u = 1 - unit(words, dtype), v = unit(threefry(x[0], x[1], x[2], second_draw), dtype);
  return lane::sqrt(-2 * lane::log(u)) * lane::cos(2 * std::numbers::pi * v);
}

void check_key(std::string_view op, const Tensor& key, const Where& where) {
  if (key.is_empty() || key.dtype() != Dtype::u32 || key.rank() != 1 || key.shape()[0].value() != 2)
    throw Error(
        fmt::format("{}: a key is u32[2], got {}", op, key.is_empty() ? "an empty tensor" : to_string(key.type())),
        where, "key(seed) makes one, split_key(key, n) and fold_in(key, i) make others of it");
}

// The op on every position of `shape`.
Tensor random(std::string_view name, const Op& op, const Tensor& key, const Shape& shape, Attrs attrs,
              const Where& where) {
  check_key(name, key, where);
  check_size(name, {Dtype::u32, shape, nullptr}, where);
  const Tensor k0 = at(key, 0, 0, where), k1 = at(key, 0, 1, where);
  return record(op,
                Tensors{broadcast_to(k0, shape, where), broadcast_to(k1, shape, where),
                        iota(shape, Flattened{}, Dtype::u32, where)},
                std::move(attrs), where);
}

Tensor bits(const Tensor& key, const Shape& shape, int word, Stream stream, const Where& where) {
  return random("split_key", threefry_op, key, shape,
                {{"dtype", Dtype::u32}, {"stream", std::int64_t(stream)}, {"word", std::int64_t(word)}}, where);
}

void needs_float(std::string_view op, Dtype dtype, const Where& where) {
  if (!is_float(dtype)) throw Error(fmt::format("{}: numbers are f32 or f64, not {}", op, name_of(dtype)), where);
}

constexpr Op random_op(std::string_view name, Lane (*lanes)(Lanes)) {
  return elementwise({.name = name, .lanes = lanes, .infer = infer_random});
}

}  // namespace

constinit const Op threefry_op = random_op("threefry", lanes_threefry);
constinit const Op normal_op = random_op("normal", lanes_normal);

Tensor key(std::uint64_t seed) {
  return Tensor::of(std::vector<std::uint32_t>{std::uint32_t(seed >> 32), std::uint32_t(seed)}, {2});
}

Tensor split_key(const Tensor& key, const Extent& n, Where where) {
  return stack({bits(key, {n}, 0, splitting, where), bits(key, {n}, 1, splitting, where)}, 1, where);
}

Tensor fold_in(const Tensor& key, const Operand& i) {
  if (!i.is_scalar && (i.tensor.is_empty() || !is_integer(i.tensor.dtype()) || i.tensor.rank() != 0))
    throw Error(fmt::format("fold_in: needs an integer scalar, got {}",
                            i.tensor.is_empty() ? "an empty tensor" : to_string(i.tensor.type())),
                i.where);
  if (i.is_scalar && (!i.is_integral || i.scalar < 0 || i.scalar > 0xffffffff))
    throw Error(fmt::format("fold_in: needs an integer from 0 to 2^32 - 1, got {}", i.scalar), i.where);
  check_key("fold_in", key, i.where);
  const Tensor counter = i.is_scalar ? full({}, i.scalar, Dtype::u32, i.where) : cast(i.tensor, Dtype::u32, i.where);
  const Tensors operands{at(key, 0, 0, i.where), at(key, 0, 1, i.where), counter};
  Tensors words;
  for (std::int64_t word : {0, 1})
    words.push_back(record(threefry_op, operands,
                           {{"dtype", Dtype::u32}, {"stream", std::int64_t(folding)}, {"word", word}}, i.where));
  return stack(words, 0, i.where);
}

Tensor uniform(const Tensor& key, const Shape& shape, double low, double high, Dtype dtype, Where where) {
  needs_float("uniform", dtype, where);
  if (!(low <= high)) throw Error(fmt::format("uniform: the range [{}, {}) is empty", low, high), where);
  const Tensor u = random("uniform", threefry_op, key, shape,
                          {{"dtype", dtype}, {"stream", std::int64_t(draw)}, {"word", std::int64_t(0)}}, where);
  if (low == 0 && high == 1) return u;
  return Operand(Operand(u, where) * (high - low), where) + low;
}

Tensor normal(const Tensor& key, const Shape& shape, Dtype dtype, Where where) {
  needs_float("normal", dtype, where);
  return random("normal", normal_op, key, shape, {{"dtype", dtype}}, where);
}

Tensor bernoulli(const Tensor& key, const Operand& p, const Shape& shape) {
  if (p.is_scalar && !(p.scalar >= 0 && p.scalar <= 1))
    throw Error(fmt::format("bernoulli: {} is not a probability", p.scalar), p.where, "probabilities are from 0 to 1");
  if (!p.is_scalar) check_value("bernoulli", p.tensor, p.where);
  const Dtype dtype = p.is_scalar ? Dtype::f32 : p.tensor.dtype();
  if (!is_float(dtype))
    throw Error(fmt::format("bernoulli: probabilities are f32 or f64, got {}", to_string(p.tensor.type())), p.where);
  return Operand(uniform(key, shape, 0, 1, dtype, p.where), p.where) < p;
}

}  // namespace tapeloop
