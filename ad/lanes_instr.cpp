// The library is built for any x86-64, so the instructions are compiled three times, for three instruction sets, and the
// newest that the machine has is used. All three give the same bits. They are plain loops, for g++ and clang to vectorise;
// CMakeLists.txt says what the two need to hear for that.
#include "ad/lanes_instr.h"

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "ad/error.h"
#include "ad/options.h"

// A function inherits the instruction set of the function that it is inlined into: hence all of these must be inlined.
#define TAPELOOP_INLINE [[gnu::always_inline]] inline
#define TAPELOOP_INLINED __attribute__((always_inline))

// In an elementwise loop no iteration reads what another wrote, though the arrays may coincide.
#ifdef __clang__
#define TAPELOOP_VECTORISE _Pragma("clang loop vectorize(assume_safety)")
#else
#define TAPELOOP_VECTORISE _Pragma("GCC ivdep")
#endif

namespace tapeloop {
namespace {

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

// The minimum or the maximum. Equal operands have the same bits or are zeros, of which `or` and `and` pick the right sign.
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

// Without its fraction; what the processor refuses to divide is the nearest that there is.
TAPELOOP_INLINE std::int64_t quotient(std::int64_t a, std::int64_t b) {
  const bool refused = b == 0 || (b == -1 && a == INT64_MIN);
  const std::int64_t nearest = (b == 0 ? a > 0 : true) ? INT64_MAX : a == 0 ? 0 : INT64_MIN;
  return refused ? nearest : a / b;
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
    constexpr From high = From(std::uint64_t(1) << (std::numeric_limits<To>::digits - 1)) * 2;
    const To inside = To(x > low && x < high ? x : From(0));
    const To not_above = x >= high ? std::numeric_limits<To>::max() : inside;
    return x <= low ? std::numeric_limits<To>::min() : not_above;
  } else {
    return To(x);
  }
}

// --- an instruction on a block ----------------------------------------------------------------------------------------

[[noreturn]] void reject(const LaneBlock& block) {
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
TAPELOOP_INLINE void loop(const LaneBlock& block, F f, Operands... x) {
  using Result = decltype(f(x[0]...));
  Result* out = static_cast<Result*>(block.out);
  const std::int64_t count = block.count;
  TAPELOOP_VECTORISE
  for (std::int64_t i = 0; i < count; ++i) out[i] = f(x[i]...);
}

template <class T>
constexpr bool kIsUniform = false;
template <class T>
constexpr bool kIsUniform<Uniform<T>> = true;

// Finds out which operands are uniform, one after the other, and runs the loop made for that. `Ts` are the element
// types of the operands that are not in `done` yet. When all are uniform there is one element, which is an array too.
template <class F, class... Done>
TAPELOOP_INLINE void map(const LaneBlock& block, F f, Done... done) {
  loop(block, f, done...);
}
template <class T, class... Ts, class F, class... Done>
TAPELOOP_INLINE void map(const LaneBlock& block, F f, Done... done) {
  const LaneValue operand = block.operands[sizeof...(Done)];
  const T* data = static_cast<const T*>(operand.data);
  constexpr bool other_is_array = sizeof...(Ts) > 0 || !(kIsUniform<Done> && ...);
  if constexpr (other_is_array)
    if (operand.uniform) return map<Ts...>(block, f, done..., Uniform<T>{*data});
  map<Ts...>(block, f, done..., Array<T>{data});
}

template <int arity, class T, class F>
TAPELOOP_INLINE void map_same(const LaneBlock& block, F f) {
  if constexpr (arity == 1) map<T>(block, f);
  if constexpr (arity == 2) map<T, T>(block, f);
  if constexpr (arity == 3) map<T, T, T>(block, f);
}

// An instruction whose operands have one dtype, for each family of dtypes that there is.
template <int arity, class F>
TAPELOOP_INLINE void on_floats(const LaneBlock& block, F f) {
  switch (block.dtypes[0]) {
    case Dtype::f32:
      return map_same<arity, float>(block, f);
    case Dtype::f64:
      return map_same<arity, double>(block, f);
    default:
      reject(block);
  }
}

template <int arity, class F>
TAPELOOP_INLINE void on_numbers(const LaneBlock& block, F f) {
  switch (block.dtypes[0]) {
    case Dtype::i32:
      return map_same<arity, std::int32_t>(block, f);
    case Dtype::u32:
      return map_same<arity, std::uint32_t>(block, f);
    case Dtype::i64:
      return map_same<arity, std::int64_t>(block, f);
    default:
      on_floats<arity>(block, f);
  }
}

// For arithmetic that has the same bits on unsigned numbers, where it may wrap, as on signed ones, where it must not.
template <int arity, class F>
TAPELOOP_INLINE void on_wrapping_numbers(const LaneBlock& block, F f) {
  if (block.dtypes[0] == Dtype::i64) return map_same<arity, std::uint64_t>(block, f);
  if (is_integer(block.dtypes[0])) return map_same<arity, std::uint32_t>(block, f);
  on_floats<arity>(block, f);
}

// For what does not look at the bits as numbers at all.
template <int arity, class F>
TAPELOOP_INLINE void on_bits(const LaneBlock& block, F f) {
  switch (size_of(block.dtypes[0])) {
    case 1:
      return map_same<arity, std::uint8_t>(block, f);
    case 4:
      return map_same<arity, std::uint32_t>(block, f);
    case 8:
      return map_same<arity, std::uint64_t>(block, f);
    default:
      reject(block);
  }
}

template <class To>
TAPELOOP_INLINE void convert_to(const LaneBlock& block) {
  const auto f = [](auto x) TAPELOOP_INLINED { return converted<To>(x); };
  if (block.dtypes[0] == Dtype::boolean) return map<bool>(block, f);
  on_numbers<1>(block, f);
}

// With a mask, since g++ 12 does not vectorise `c ? a : b` for a `c` of another size.
template <class T>
TAPELOOP_INLINE void select(const LaneBlock& block) {
  map<std::uint8_t, T, T>(block, [](T c, T a, T b) TAPELOOP_INLINED {
    const T mask = T(0 - c);
    return T((a & mask) | (b & ~mask));
  });
}

template <Isa isa>
TAPELOOP_INLINE void run_instr(const LaneBlock& block) {
  switch (block.instr.op) {
    case LaneOp::input:
    case LaneOp::literal:
      return;  // a Value from the start
    case LaneOp::add:
      return on_wrapping_numbers<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return a + b; });
    case LaneOp::sub:
      return on_wrapping_numbers<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return a - b; });
    case LaneOp::mul:
      return on_wrapping_numbers<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return a * b; });
    case LaneOp::div:
      if (block.dtypes[0] == Dtype::i64)
        return map_same<2, std::int64_t>(block, [](auto a, auto b) TAPELOOP_INLINED { return quotient(a, b); });
      return on_floats<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return a / b; });
    case LaneOp::fma:
      return on_floats<3>(block, [](auto a, auto b, auto c) TAPELOOP_INLINED { return fused<isa>(a, b, c); });
    case LaneOp::neg:
      return on_wrapping_numbers<1>(block, [](auto a) TAPELOOP_INLINED { return -a; });
    case LaneOp::abs:
      return on_numbers<1>(block, [](auto a) TAPELOOP_INLINED { return absolute(a); });
    case LaneOp::min:
      return on_numbers<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return extremum<true>(a, b); });
    case LaneOp::max:
      return on_numbers<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return extremum<false>(a, b); });
    case LaneOp::sqrt:
      return on_floats<1>(block, [](auto a) TAPELOOP_INLINED { return std::sqrt(a); });
    case LaneOp::floor:
      return on_floats<1>(block, [](auto a) TAPELOOP_INLINED { return floored<isa>(a); });
    case LaneOp::round:
      return on_floats<1>(block, [](auto a) TAPELOOP_INLINED { return rounded<isa>(a); });
    case LaneOp::scale_by_power:
      return on_floats<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return scaled(a, b); });
    case LaneOp::eq: {
      const auto equal = [](auto a, auto b) TAPELOOP_INLINED { return a == b; };
      if (block.dtypes[0] == Dtype::boolean) return map<bool, bool>(block, equal);
      return on_numbers<2>(block, equal);
    }
    case LaneOp::lt:
      return on_numbers<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return a < b; });
    case LaneOp::le:
      return on_numbers<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return a <= b; });
    case LaneOp::select:
      switch (size_of(block.instr.dtype)) {
        case 1:
          return select<std::uint8_t>(block);
        case 4:
          return select<std::uint32_t>(block);
        default:
          return select<std::uint64_t>(block);
      }
    case LaneOp::and_:
      return on_bits<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return decltype(a)(a & b); });
    case LaneOp::or_:
      return on_bits<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return decltype(a)(a | b); });
    case LaneOp::xor_:
      return on_bits<2>(block, [](auto a, auto b) TAPELOOP_INLINED { return decltype(a)(a ^ b); });
    case LaneOp::shl:
      return map<std::uint32_t, std::uint32_t>(block, [](auto a, auto b) TAPELOOP_INLINED { return a << (b & 31); });
    case LaneOp::shr: {
      const auto shift = [](auto a, auto b) TAPELOOP_INLINED { return a >> (b & 31); };
      if (block.instr.dtype == Dtype::i32) return map<std::int32_t, std::int32_t>(block, shift);
      return map<std::uint32_t, std::uint32_t>(block, shift);
    }
    case LaneOp::mulhi:
      return map<std::uint32_t, std::uint32_t>(
          block, [](auto a, auto b) TAPELOOP_INLINED { return std::uint32_t(std::uint64_t(a) * b >> 32); });
    case LaneOp::bitcast:
      return on_bits<1>(block, [](auto a) TAPELOOP_INLINED { return a; });
    case LaneOp::bits_of_exponent:
      return map<std::uint64_t>(block, [](auto a) TAPELOOP_INLINED { return std::uint32_t(a >> 32); });
    case LaneOp::with_exponent:
      return map<std::uint64_t, std::uint32_t>(
          block, [](auto a, auto b) TAPELOOP_INLINED { return (a & 0xffffffffu) | std::uint64_t(b) << 32; });
    case LaneOp::convert:
      switch (block.instr.dtype) {
        case Dtype::f32:
          return convert_to<float>(block);
        case Dtype::f64:
          return convert_to<double>(block);
        case Dtype::i32:
          return convert_to<std::int32_t>(block);
        case Dtype::u32:
          return convert_to<std::uint32_t>(block);
        case Dtype::i64:
          return convert_to<std::int64_t>(block);
        case Dtype::boolean:
          return convert_to<bool>(block);
        case Dtype::tuple:
          reject(block);
      }
  }
}

void run_instr_sse2(const LaneBlock& block) { run_instr<Isa::sse2>(block); }
[[gnu::target("arch=x86-64-v3")]] void run_instr_avx2(const LaneBlock& block) { run_instr<Isa::avx2>(block); }
[[gnu::target("arch=x86-64-v4")]] void run_instr_avx512(const LaneBlock& block) { run_instr<Isa::avx512>(block); }

}  // namespace

RunInstr chosen_run_instr() {
  static const bool has_avx2 = __builtin_cpu_supports("x86-64-v3");
  static const bool has_avx512 = __builtin_cpu_supports("x86-64-v4");
  const std::string& limit = options().isa;
  if (has_avx512 && (limit.empty() || limit == "avx512")) return run_instr_avx512;
  if (has_avx2 && limit != "sse2") return run_instr_avx2;
  return run_instr_sse2;
}

}  // namespace tapeloop
