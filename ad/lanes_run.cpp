// Running LanePrograms: instruction by instruction, each on a block of elements that stays in the first-level cache.
//
// The library is built for any x86-64, so everything from run_blocks down is compiled three times, for three instruction
// sets, and the newest that the machine has is used. All three give the same bits. They consist of plain loops that g++
// and clang vectorise; CMakeLists.txt says what g++ needs to hear for that.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>

#include "ad/error.h"
#include "ad/lanes.h"
#include "ad/options.h"

// A function inherits the instruction set of the function that it is inlined into: hence all of these must be inlined.
#define TAPELOOP_INLINE [[gnu::always_inline]] inline
#define TAPELOOP_INLINE_LAMBDA __attribute__((always_inline))

// In an elementwise loop no iteration reads what another wrote, though the arrays may coincide.
#ifdef __clang__
#define TAPELOOP_VECTORISE _Pragma("clang loop vectorize(assume_safety)")
#else
#define TAPELOOP_VECTORISE _Pragma("GCC ivdep")
#endif

namespace tapeloop {
namespace {

constexpr std::int64_t kBlock = 256;
constexpr std::size_t kCell = sizeof(double);  // room for one element of any dtype
constexpr std::size_t kCacheLine = 64;

enum class Isa { sse2, avx2, avx512 };

// --- the meaning of the instructions, on one element ------------------------------------------------------------------

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

template <class T>
TAPELOOP_INLINE BitsOf<T> bits_of(T x) {
  return std::bit_cast<BitsOf<T>>(x);
}

template <class T>
constexpr BitsOf<T> kSign = BitsOf<T>(1) << (sizeof(T) * 8 - 1);

template <class T>
TAPELOOP_INLINE T with_sign(T magnitude, T sign) {
  return std::bit_cast<T>((bits_of(magnitude) & ~kSign<T>) | (bits_of(sign) & kSign<T>));
}

// What DAZ does to an operand. Instructions that only move bits leave a denormal as it is; when one of them stands for
// an arithmetic instruction, it has to be flushed by hand. Does nothing while denormals are kept.
template <class T>
TAPELOOP_INLINE T flush(T x) {
  return x == 0 ? with_sign(T(0), x) : x;
}

// The smaller operand for `less`, the greater one for its converse. Equal operands have the same bits or are zeros, of
// which `and`/`or` picks the right sign.
template <bool minimum, class T>
TAPELOOP_INLINE T extremum(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return (minimum ? a < b : b < a) ? a : b;
  } else {
    a = flush(a);
    b = flush(b);
    const T zeros = std::bit_cast<T>(minimum ? bits_of(a) | bits_of(b) : bits_of(a) & bits_of(b));
    const T unequal = (minimum ? a < b : b < a) ? a : b;
    const T ordered = a == b ? zeros : unequal;
    return a != a || b != b ? a + b : ordered;
  }
}

template <class T>
TAPELOOP_INLINE T absolute(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    return with_sign(x, T(0));
  } else {
    return x < 0 ? T(0 - std::make_unsigned_t<T>(x)) : x;
  }
}

template <Isa isa, class T>
TAPELOOP_INLINE T fused(T a, T b, T c) {
  if constexpr (isa == Isa::sse2) {
    // The C library's own code knows nothing of FTZ and DAZ where it works on integers or in x87.
    return flush(std::fma(flush(a), flush(b), flush(c)));
  } else {
    return std::fma(a, b, c);
  }
}

// To nearest, ties to even, as the default rounding mode has it.
template <Isa isa, class T>
TAPELOOP_INLINE T rounded(T x) {
  if constexpr (isa == Isa::sse2) {
    // Adding 2^23 (f32) pushes the fraction out; greater numbers have none.
    constexpr T integral = 1 / std::numeric_limits<T>::epsilon();
    const T magnitude = std::abs(x);
    const T r = (magnitude + integral) - integral;
    return magnitude < integral ? with_sign(r, x) : x;
  } else {
    return std::rint(x);
  }
}

template <Isa isa, class T>
TAPELOOP_INLINE T floored(T x) {
  const T r = rounded<isa>(x);
  return r > x ? r - 1 : r;
}

// 2^n for an n in the range of normal exponents.
template <class T>
TAPELOOP_INLINE T power_of_two(std::int32_t n) {
  constexpr std::int32_t bias = std::numeric_limits<T>::max_exponent - 1;
  constexpr int mantissa = std::numeric_limits<T>::digits - 1;
  return std::bit_cast<T>(BitsOf<T>(n + bias) << mantissa);
}

// In two steps, since 2^n alone leaves the range before the product does. The first product is exact, so that there is
// one rounding, as in the instruction vscalef. A NaN exponent counts as 0: it comes with a NaN `a`.
template <class T>
TAPELOOP_INLINE T scaled(T a, T exponent) {
  const std::int32_t n = exponent == exponent ? std::int32_t(exponent) : 0;
  const std::int32_t half = n >> 1;
  return a * power_of_two<T>(half) * power_of_two<T>(n - half);
}

template <class To, class From>
TAPELOOP_INLINE To converted(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != 0;
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    // From the one end on and up to the other, results are saturated; a NaN fails every comparison and becomes 0.
    constexpr From low = From(std::numeric_limits<To>::min());
    constexpr From high = From(std::numeric_limits<To>::max() / 2 + 1) * 2;
    const To inside = To(x > low && x < high ? x : From(0));
    const To not_above = x >= high ? std::numeric_limits<To>::max() : inside;
    return x <= low ? std::numeric_limits<To>::min() : not_above;
  } else {
    return To(x);
  }
}

// --- an instruction on a block ----------------------------------------------------------------------------------------

// The value of a lane during one block: an array, or one element that serves all.
struct Value {
  const void* data = nullptr;
  bool uniform = false;
};

// An instruction at work: its operands, their dtypes, and the block that it fills.
struct Block {
  const LaneInstr& instr;
  std::array<Dtype, 3> dtypes;
  std::array<Value, 3> operands;
  void* out;
  std::int64_t count;
};

[[noreturn]] void reject(const Block& block) {
  throw InternalError("lane instruction " + std::to_string(int(block.instr.op)) + " has no meaning for " +
                      std::string(name_of(block.dtypes[0])));
}

template <class T>
struct Array {
  const T* data;
  TAPELOOP_INLINE T operator[](std::int64_t i) const { return data[i]; }
};

template <class T>
struct Uniform {
  T value;
  TAPELOOP_INLINE T operator[](std::int64_t) const { return value; }
};

// The loop that does all the work: out[i] = f(x[i]...).
template <class F, class... Operands>
TAPELOOP_INLINE void loop(const Block& block, F f, Operands... x) {
  using Result = decltype(f(x[0]...));
  Result* out = static_cast<Result*>(block.out);
  const std::int64_t count = block.count;
  TAPELOOP_VECTORISE
  for (std::int64_t i = 0; i < count; ++i) out[i] = f(x[i]...);
}

// Finds out which operands are uniform, one after the other, and runs the loop made for that. `Ts` are the element
// types of the operands that are not in `done` yet.
template <class F, class... Done>
TAPELOOP_INLINE void map(const Block& block, F f, Done... done) {
  loop(block, f, done...);
}
template <class T, class... Ts, class F, class... Done>
TAPELOOP_INLINE void map(const Block& block, F f, Done... done) {
  const Value operand = block.operands[sizeof...(Done)];
  const T* data = static_cast<const T*>(operand.data);
  if (operand.uniform)
    map<Ts...>(block, f, done..., Uniform<T>{*data});
  else
    map<Ts...>(block, f, done..., Array<T>{data});
}

template <int arity, class T, class F>
TAPELOOP_INLINE void map_same(const Block& block, F f) {
  if constexpr (arity == 1) map<T>(block, f);
  if constexpr (arity == 2) map<T, T>(block, f);
  if constexpr (arity == 3) map<T, T, T>(block, f);
}

// An instruction whose operands have one dtype, for each family of dtypes that there is.
template <int arity, class F>
TAPELOOP_INLINE void on_floats(const Block& block, F f) {
  switch (block.dtypes[0]) {
    case Dtype::f32: return map_same<arity, float>(block, f);
    case Dtype::f64: return map_same<arity, double>(block, f);
    default: reject(block);
  }
}

template <int arity, class F>
TAPELOOP_INLINE void on_numbers(const Block& block, F f) {
  switch (block.dtypes[0]) {
    case Dtype::i32: return map_same<arity, std::int32_t>(block, f);
    case Dtype::u32: return map_same<arity, std::uint32_t>(block, f);
    default: on_floats<arity>(block, f);
  }
}

// For arithmetic that has the same bits on u32, where it may wrap, as on i32, where it must not.
template <int arity, class F>
TAPELOOP_INLINE void on_wrapping_numbers(const Block& block, F f) {
  if (is_integer(block.dtypes[0])) return map_same<arity, std::uint32_t>(block, f);
  on_floats<arity>(block, f);
}

// For what does not look at the bits as numbers at all.
template <int arity, class F>
TAPELOOP_INLINE void on_bits(const Block& block, F f) {
  switch (size_of(block.dtypes[0])) {
    case 1: return map_same<arity, std::uint8_t>(block, f);
    case 4: return map_same<arity, std::uint32_t>(block, f);
    case 8: return map_same<arity, std::uint64_t>(block, f);
    default: reject(block);
  }
}

template <class To>
TAPELOOP_INLINE void convert_to(const Block& block) {
  const auto f = [](auto x) TAPELOOP_INLINE_LAMBDA { return converted<To>(x); };
  if (block.dtypes[0] == Dtype::boolean) return map<bool>(block, f);
  on_numbers<1>(block, f);
}

template <class T>
TAPELOOP_INLINE void select(const Block& block) {
  map<bool, T, T>(block, [](bool c, T a, T b) TAPELOOP_INLINE_LAMBDA { return c ? a : b; });
}

#define TAPELOOP_LANE(...) [](auto... x) TAPELOOP_INLINE_LAMBDA { return __VA_ARGS__; }
