// Each lane instruction against plain C++, on special values of every dtype, for every instruction set that the
// interpreter is compiled for, with denormals flushed and kept.
#include <doctest/doctest.h>
#include <xmmintrin.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "ad/denormals.h"
#include "ad/error.h"
#include "ad/lanes.h"
#include "ad/options.h"
#include "tests/cases.h"

namespace tapeloop {
namespace {

using std::int32_t, std::uint32_t, std::uint64_t;

// --- values -----------------------------------------------------------------------------------------------------------

template <class T>
using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, std::uint8_t>>;

template <class T>
Bits<T> bits(T x) {
  return std::bit_cast<Bits<T>>(x);
}

template <class T>
std::vector<T> specials() {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::is_same_v<T, bool>) {
    return {false, true};
  } else if constexpr (std::is_integral_v<T>) {
    return {0,
            1,
            2,
            7,
            31,
            255,
            65535,
            65536,
            16777217,
            Limits::max(),
            Limits::min(),
            T(Limits::max() - 1),
            T(Limits::min() + 1),
            T(-1),
            T(0x80000000u),
            T(0x9e3779b9u)};
  } else {
    std::vector<T> values = {0,
                             Limits::denorm_min(),
                             Limits::min() / 2,
                             Limits::min(),
                             Limits::min() * T(1.5),
                             Limits::epsilon(),
                             T(0.1),
                             T(0.5),
                             std::nextafter(T(0.5), T(0)),
                             T(0.75),
                             1,
                             1 + Limits::epsilon(),
                             T(1.5),
                             2,
                             T(2.5),
                             3,
                             T(3.5),
                             T(1e5) + T(0.5),
                             T(0x1p22) + T(0.5),
                             T(0x1p23) - T(0.5),
                             T(0x1p23),
                             T(0x1p24) - 1,
                             T(0x1p31) - 129,
                             T(0x1p31),
                             T(0x1p31) + 256,
                             T(0x1p32) - 257,
                             T(0x1p32),
                             T(0x1p52) - T(0.5),
                             T(0x1p53),
                             T(1e30),
                             Limits::max() / 2,
                             Limits::max(),
                             Limits::infinity(),
                             Limits::quiet_NaN()};
    for (std::size_t i = 0, n = values.size(); i < n; ++i) values.push_back(-values[i]);
    return values;
  }
}

template <class T>
bool is_denormal(T x) {
  return std::fpclassify(x) == FP_SUBNORMAL;
}

// What an arithmetic instruction makes of a denormal, told from its bits alone.
template <class T>
T flushed(T x, bool flush) {
  return flush && is_denormal(x) ? std::copysign(T(0), x) : x;
}

// Equal bits, but every NaN is as good as another.
template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(a) && std::isnan(b)) return true;
  return bits(a) == bits(b);
}

// --- running an instruction ---------------------------------------------------------------------------------------------

template <class T>
struct Column {
  std::vector<Bits<T>> data;  // not vector<bool>
  void push_back(T x) { data.push_back(bits(x)); }
  T operator[](std::size_t i) const { return std::bit_cast<T>(data[i]); }
};

Lane input(LaneProgram& program, Dtype dtype) {
  const auto number = std::uint16_t(program.code.size());
  program.code.push_back({LaneOp::input, dtype, {number}, 0});
  return Lane(program, number);
}

// Runs `write` on the columns in every mode, and compares with `expected(flush, x...)`, computed here, one by one.
// Each operand is tried as an array and as one element that serves all.
template <class R, class... Ts, class Write, class Expected>
void check(const std::string& name, const std::vector<std::tuple<Ts...>>& rows, Write write, Expected expected) {
  LaneProgram program;
  std::vector<Lane> lanes;
  (lanes.push_back(input(program, dtype_of<Ts>())), ...);
  program.result = write(lanes).id();
  CHECK(program.dtype() == dtype_of<R>());

  std::tuple<Column<Ts>...> columns;
  for (const auto& row : rows)
    std::apply([&](auto&... column) { std::apply([&](auto... x) { (column.push_back(x), ...); }, row); }, columns);

  for (const std::string isa : {"avx512", "avx2", "sse2"}) {
    Options chosen = options();
    chosen.isa = isa;
    const ScopedOptions scope(chosen);
    for (const bool flush : {true, false}) {
      for (unsigned uniform = 0; uniform < 1u << sizeof...(Ts); ++uniform) {
        std::vector<LaneOperand> operands;
        std::apply([&](auto&... column) { (operands.push_back({column.data.data(), 1}), ...); }, columns);
        // A uniform operand has the value of the middle row.
        const std::size_t middle = rows.size() / 2;
        std::size_t a = 0;
        const auto make_uniform = [&](auto& column) {
          if (uniform >> a & 1) operands[a] = {&column.data[middle], 0};
          ++a;
        };
        std::apply([&](auto&... column) { (make_uniform(column), ...); }, columns);

        Column<R> out;
        out.data.resize(rows.size());
        {
          const FlushDenormals mode(!flush);
          run_lanes(program, operands, out.data.data(), std::int64_t(rows.size()));
        }
        std::size_t wrong = rows.size();
        for (std::size_t i = 0; i < rows.size() && wrong == rows.size(); ++i) {
          std::tuple<Ts...> row = rows[i];
          std::size_t k = 0;
          const auto take_middle = [&](auto& x, const auto& of_middle) {
            if (uniform >> k & 1) x = of_middle;
            ++k;
          };
          std::apply([&](auto&... x) { std::apply([&](const auto&... m) { (take_middle(x, m), ...); }, rows[middle]); },
                     row);
          const R want = std::apply([&](auto... x) { return R(expected(flush, x...)); }, row);
          if (!same(out[i], want)) {
            wrong = i;
            MESSAGE(name << " of row " << i << " gives " << out[i] << ", not " << want);
          }
        }
        INFO(name << " on " << isa << ", flush " << flush << ", uniform operands " << uniform);
        CHECK(wrong == rows.size());
        ++testing::cases;
      }
    }
  }
}

template <class T>
std::vector<std::tuple<T>> singles() {
  std::vector<std::tuple<T>> rows;
  for (T x : specials<T>()) rows.emplace_back(x);
  return rows;
}

template <class T, class U = T>
std::vector<std::tuple<T, U>> pairs() {
  std::vector<std::tuple<T, U>> rows;
  for (T x : specials<T>())
    for (U y : specials<U>()) rows.emplace_back(x, y);
  return rows;
}

template <class T>
std::vector<std::tuple<T, T, T>> triples() {
  const std::vector<T> all = specials<T>();
  std::vector<T> some;
  for (std::size_t i = 0; i < all.size(); i += all.size() > 20 ? 2 : 1) some.push_back(all[i]);
  std::vector<std::tuple<T, T, T>> rows;
  for (T x : some)
    for (T y : some)
      for (T z : some) rows.emplace_back(x, y, z);
  return rows;
}

// An instruction that computes: denormal operands and results are flushed.
template <class F>
auto arithmetic(F f) {
  return [f](bool flush, auto... x) { return flushed(f(flushed(x, flush)...), flush); };
}

// An instruction that does not: it knows nothing of modes.
template <class F>
auto plain(F f) {
  return [f](bool, auto... x) { return f(x...); };
}

using L = const std::vector<Lane>&;

// --- instructions -------------------------------------------------------------------------------------------------------

TEST_CASE_TEMPLATE("lanes: arithmetic on floats", T, float, double) {
  const auto x = singles<T>();
  const auto xy = pairs<T>();
  check<T>("add", xy, [](L l) { return l[0] + l[1]; }, arithmetic([](T a, T b) { return a + b; }));
  check<T>("sub", xy, [](L l) { return l[0] - l[1]; }, arithmetic([](T a, T b) { return a - b; }));
  check<T>("mul", xy, [](L l) { return l[0] * l[1]; }, arithmetic([](T a, T b) { return a * b; }));
  check<T>("div", xy, [](L l) { return l[0] / l[1]; }, arithmetic([](T a, T b) { return a / b; }));
  check<T>("sqrt", x, [](L l) { return lane::sqrt(l[0]); }, arithmetic([](T a) { return std::sqrt(a); }));
  check<T>(
      "fma", triples<T>(), [](L l) { return lane::fma(l[0], l[1], l[2]); },
      arithmetic([](T a, T b, T c) { return std::fma(a, b, c); }));
}

TEST_CASE_TEMPLATE("lanes: neg and abs change the sign bit alone", T, float, double) {
  constexpr Bits<T> sign = Bits<T>(1) << (sizeof(T) * 8 - 1);
  const auto x = singles<T>();
  check<T>("neg", x, [](L l) { return -l[0]; }, plain([](T a) { return std::bit_cast<T>(Bits<T>(bits(a) ^ sign)); }));
  check<T>(
      "abs", x, [](L l) { return lane::abs(l[0]); },
      plain([](T a) { return std::bit_cast<T>(Bits<T>(bits(a) & ~sign)); }));
}

TEST_CASE_TEMPLATE("lanes: min and max of floats", T, float, double) {
  // In IEEE 754-2019 these are minimum and maximum.
  const auto minimum = [](T a, T b) {
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<T>::quiet_NaN();
    if (a == 0 && b == 0) return std::signbit(a) ? a : b;
    return a < b ? a : b;
  };
  check<T>("min", pairs<T>(), [](L l) { return lane::min(l[0], l[1]); }, arithmetic(minimum));
  check<T>(
      "max", pairs<T>(), [](L l) { return lane::max(l[0], l[1]); },
      arithmetic([=](T a, T b) { return -minimum(-a, -b); }));
}

TEST_CASE_TEMPLATE("lanes: floor and round", T, float, double) {
  check<T>("floor", singles<T>(), [](L l) { return lane::floor(l[0]); }, arithmetic([](T a) { return std::floor(a); }));
  check<T>(
      "round", singles<T>(), [](L l) { return lane::round(l[0]); }, arithmetic([](T a) {
        if (!(std::fabs(a) < T(0x1p53))) return a;
        const T below = std::floor(a);
        const T up = a - below;  // exact
        const bool take_below = up < T(0.5) || (up == T(0.5) && std::fmod(below, T(2)) == 0);
        return std::copysign(take_below ? below : below + 1, a);
      }));
}

TEST_CASE_TEMPLATE("lanes: scale_by_power", T, float, double) {
  const int greatest = sizeof(T) == 4 ? 252 : 2044;
  std::vector<std::tuple<T, T>> rows;
  for (T a : {T(0.5), T(0.7), T(1), 1 + std::numeric_limits<T>::epsilon(), T(1.7),
              2 - std::numeric_limits<T>::epsilon(), T(3), T(4)})
    for (int n = -greatest; n <= greatest; ++n) {
      rows.emplace_back(a, T(n));
      rows.emplace_back(-a, T(n));
    }
  rows.emplace_back(std::numeric_limits<T>::quiet_NaN(), T(3));
  check<T>(
      "scale_by_power", rows, [](L l) { return lane::scale_by_power(l[0], l[1]); },
      [](bool flush, T a, T n) {
        // Tiny is what is below the normal range before it is rounded.
        const bool tiny = std::isfinite(a) && std::ilogb(a) + int(n) < std::numeric_limits<T>::min_exponent - 1;
        if (std::isnan(a)) return a;
        return flush && tiny ? std::copysign(T(0), a) : std::ldexp(a, int(n));
      });
}

TEST_CASE_TEMPLATE("lanes: comparisons of floats", T, float, double) {
  const auto compare = [](auto f) {
    return [f](bool flush, T a, T b) { return f(flushed(a, flush), flushed(b, flush)); };
  };
  const auto xy = pairs<T>();
  check<bool>("eq", xy, [](L l) { return l[0] == l[1]; }, compare([](T a, T b) { return a == b; }));
  check<bool>("ne", xy, [](L l) { return l[0] != l[1]; }, compare([](T a, T b) { return a != b; }));
  check<bool>("lt", xy, [](L l) { return l[0] < l[1]; }, compare([](T a, T b) { return a < b; }));
  check<bool>("le", xy, [](L l) { return l[0] <= l[1]; }, compare([](T a, T b) { return a <= b; }));
  check<bool>("gt", xy, [](L l) { return l[0] > l[1]; }, compare([](T a, T b) { return a > b; }));
  check<bool>("ge", xy, [](L l) { return l[0] >= l[1]; }, compare([](T a, T b) { return a >= b; }));
}

// What an i64 is divided into: towards 0, and to an end of its range where there is no quotient.
std::int64_t quotient(std::int64_t a, std::int64_t b) {
  if (b == 0) return a == 0 ? 0 : a > 0 ? INT64_MAX : INT64_MIN;
  return a == INT64_MIN && b == -1 ? INT64_MAX : a / b;
}

TEST_CASE("lanes: division of i64") {
  check<std::int64_t>(
      "div", pairs<std::int64_t>(), [](L l) { return l[0] / l[1]; },
      plain([](std::int64_t a, std::int64_t b) { return quotient(a, b); }));
}

TEST_CASE_TEMPLATE("lanes: integers wrap", T, int32_t, uint32_t, std::int64_t) {
  using U = std::make_unsigned_t<T>;
  const auto x = singles<T>();
  const auto xy = pairs<T>();
  const auto wrapped = [](auto f) { return [f](bool, auto... a) { return T(U(f(uint64_t(U(a))...))); }; };
  check<T>("add", xy, [](L l) { return l[0] + l[1]; }, wrapped([](uint64_t a, uint64_t b) { return a + b; }));
  check<T>("sub", xy, [](L l) { return l[0] - l[1]; }, wrapped([](uint64_t a, uint64_t b) { return a - b; }));
  check<T>("mul", xy, [](L l) { return l[0] * l[1]; }, wrapped([](uint64_t a, uint64_t b) { return a * b; }));
  check<T>("neg", x, [](L l) { return -l[0]; }, wrapped([](uint64_t a) { return ~a + 1; }));
  check<T>("abs", x, [](L l) { return lane::abs(l[0]); }, plain([](T a) { return T(a < 0 ? U(0) - U(a) : U(a)); }));
  check<T>("min", xy, [](L l) { return lane::min(l[0], l[1]); }, plain([](T a, T b) { return b < a ? b : a; }));
  check<T>("max", xy, [](L l) { return lane::max(l[0], l[1]); }, plain([](T a, T b) { return b > a ? b : a; }));
  check<bool>("eq", xy, [](L l) { return l[0] == l[1]; }, plain([](T a, T b) { return a == b; }));
  check<bool>("lt", xy, [](L l) { return l[0] < l[1]; }, plain([](T a, T b) { return a < b; }));
  check<bool>("le", xy, [](L l) { return l[0] <= l[1]; }, plain([](T a, T b) { return a <= b; }));
  if constexpr (sizeof(T) == 8) return;  // no shifts
  for (int n : {0, 1, 13, 31}) {
    check<T>("shl", x, [n](L l) { return l[0] << n; }, wrapped([n](uint64_t a) { return a << n; }));
    // In 64 bits the sign comes along or zeros do, as the dtype has it.
    check<T>("shr", x, [n](L l) { return l[0] >> n; }, plain([n](T a) { return T(std::int64_t(a) >> n); }));
  }
}

TEST_CASE("lanes: mulhi") {
  check<uint32_t>(
      "mulhi", pairs<uint32_t>(), [](L l) { return lane::mulhi(l[0], l[1]); },
      plain([](uint32_t a, uint32_t b) { return uint32_t(uint64_t(a) * uint64_t(b) >> 32); }));
}

TEST_CASE_TEMPLATE("lanes: bitwise", T, int32_t, uint32_t, std::int64_t, bool) {
  const auto xy = pairs<T>();
  check<T>("and", xy, [](L l) { return l[0] & l[1]; }, plain([](T a, T b) { return T(a & b); }));
  check<T>("or", xy, [](L l) { return l[0] | l[1]; }, plain([](T a, T b) { return T(a | b); }));
  check<T>("xor", xy, [](L l) { return l[0] ^ l[1]; }, plain([](T a, T b) { return T(a ^ b); }));
  if constexpr (std::is_same_v<T, bool>) {
    check<T>("not", singles<T>(), [](L l) { return !l[0]; }, plain([](T a) { return !a; }));
    check<T>("eq", xy, [](L l) { return l[0] == l[1]; }, plain([](T a, T b) { return a == b; }));
  }
}

TEST_CASE_TEMPLATE("lanes: select moves bits", T, float, double, int32_t, uint32_t, std::int64_t, bool) {
  std::vector<std::tuple<bool, T, T>> rows;
  for (const bool c : {false, true})
    for (const auto& [x, y] : pairs<T>()) rows.emplace_back(c, x, y);
  check<T>(
      "select", rows, [](L l) { return lane::select(l[0], l[1], l[2]); },
      plain([](bool c, T a, T b) { return c ? a : b; }));
}

TEST_CASE("lanes: bits of floats") {
  check<uint32_t>(
      "bitcast", singles<float>(), [](L l) { return lane::bitcast(l[0], Dtype::u32); },
      plain([](float a) { return bits(a); }));
  check<int32_t>(
      "bitcast", singles<float>(), [](L l) { return lane::bitcast(l[0], Dtype::i32); },
      plain([](float a) { return std::bit_cast<int32_t>(a); }));
  check<float>(
      "bitcast", singles<uint32_t>(), [](L l) { return lane::bitcast(l[0], Dtype::f32); },
      plain([](uint32_t a) { return std::bit_cast<float>(a); }));
  check<uint32_t>(
      "bits_of_exponent", singles<double>(), [](L l) { return lane::bits_of_exponent(l[0]); },
      plain([](double a) { return uint32_t(bits(a) >> 32); }));
  check<double>(
      "with_exponent", pairs<double, uint32_t>(), [](L l) { return lane::with_exponent(l[0], l[1]); },
      plain([](double a, uint32_t b) {
        std::uint32_t words[2];  // the low one first: x86
        std::memcpy(words, &a, sizeof a);
        words[1] = b;
        std::memcpy(&a, words, sizeof a);
        return a;
      }));
}

template <class To, class From>
void check_conversion() {
  if constexpr (!std::is_same_v<To, From>) {
    check<To>(
        "convert", singles<From>(), [](L l) { return lane::convert(l[0], dtype_of<To>()); },
        [](bool flush, From x) {
          if constexpr (std::is_floating_point_v<From>) x = flushed(x, flush);
          if constexpr (std::is_same_v<To, bool>) {
            return x != 0;
          } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
            if (std::isnan(x)) return To(0);
            const double whole = std::trunc(double(x));
            if (whole <= double(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
            if (whole >= double(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
            return To(whole);
          } else if constexpr (std::is_floating_point_v<To>) {
            return flushed(To(x), flush);
          } else {
            return To(x);
          }
        });
  }
}

TEST_CASE_TEMPLATE("lanes: convert", From, float, double, int32_t, uint32_t, std::int64_t, bool) {
  check_conversion<float, From>();
  check_conversion<double, From>();
  check_conversion<int32_t, From>();
  check_conversion<uint32_t, From>();
  check_conversion<std::int64_t, From>();
  check_conversion<bool, From>();
}

// --- programs -----------------------------------------------------------------------------------------------------------

std::vector<float> run(const LaneProgram& program, const std::vector<float>& x, std::int64_t count) {
  std::vector<float> out(std::size_t(count) + 1, -7);
  const LaneOperand operand{x.data(), 1};
  run_lanes(program, {&operand, 1}, out.data(), count);
  CHECK(out.back() == -7);  // nothing is written past the end
  out.pop_back();
  return out;
}

TEST_CASE("lanes: programs of every length of array") {
  // x² + x³ + … + x⁹, written so that many values live at once and one is read twice by an instruction.
  LaneProgram program;
  const Lane x = input(program, Dtype::f32);
  std::vector<Lane> powers = {x * x};
  for (int i = 0; i < 7; ++i) powers.push_back(powers.back() * x);
  Lane sum = powers.back();
  for (std::size_t i = powers.size() - 1; i-- > 0;) sum = sum + powers[i];
  program.result = sum.id();
  sum* sum;  // written after the result, and so not run

  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = float(i) * 0.001f - 0.4f;
  for (std::int64_t count : {0, 1, 2, 15, 16, 17, 255, 256, 257, 511, 512, 513, 1000}) {
    const std::vector<float> out = run(program, values, count);
    bool right = true;
    for (std::int64_t i = 0; i < count; ++i) {
      const float v = values[std::size_t(i)];
      std::vector<float> p = {v * v};
      for (int k = 0; k < 7; ++k) p.push_back(p.back() * v);
      float expected = p.back();
      for (std::size_t k = p.size() - 1; k-- > 0;) expected = expected + p[k];
      right = right && same(out[std::size_t(i)], expected);
    }
    CHECK(right);
  }
}

TEST_CASE("lanes: results that are no computation") {
  std::vector<float> values(300);
  std::iota(values.begin(), values.end(), 1.0f);

  LaneProgram copy;
  copy.result = input(copy, Dtype::f32).id();
  CHECK(run(copy, values, 300) == values);

  LaneProgram constant;
  constant.result = input(constant, Dtype::f32).like(2.5).id();
  CHECK(run(constant, values, 300) == std::vector<float>(300, 2.5f));

  LaneProgram folded;  // a constant expression of literals
  const Lane two = input(folded, Dtype::f32).like(2);
  folded.result = lane::select(two < two.like(3), two * two.like(3), two).id();
  CHECK(run(folded, values, 300) == std::vector<float>(300, 6.0f));
}

TEST_CASE("lanes: the result may replace an operand") {
  LaneProgram program;
  const Lane x = input(program, Dtype::f32);
  const Lane y = input(program, Dtype::f32);
  program.result = (x * y - x / y).id();
  std::vector<float> a(700), b(700);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = float(i) + 0.25f;
    b[i] = 3 - float(i % 13) * 0.3f;
  }
  const LaneOperand operands[] = {{a.data(), 1}, {b.data(), 1}};
  std::vector<float> expected(a.size());
  run_lanes(program, operands, expected.data(), 700);
  run_lanes(program, operands, a.data(), 700);
  CHECK(a == expected);
}

TEST_CASE("lanes: literals") {
  LaneProgram program;
  const Lane f = input(program, Dtype::f32);
  CHECK(program.code[f.like(0.1).id()].bits == bits(0.1f));
  CHECK(f.like(0.0).id() != f.like(-0.0).id());
  CHECK(f.like(1).id() == f.like(1).id());
  CHECK(program.code[f.literal(Dtype::u32, -1).id()].bits == 0xffffffffu);
  CHECK(program.code[f.literal(Dtype::u32, 0xfffffffe).id()].bits == 0xfffffffeu);
  CHECK(program.code[f.literal(Dtype::i32, -2).id()].bits == 0xfffffffeu);
  CHECK(program.code[f.literal(Dtype::i64, -2).id()].bits == 0xfffffffffffffffeu);
  CHECK(program.code[f.literal(Dtype::i64, 0x1p63).id()].bits == 0x7fffffffffffffffu);
  CHECK(program.code[f.literal(Dtype::boolean, 3).id()].bits == 1);
}

TEST_CASE("lanes: what makes no sense is refused") {
  LaneProgram program;
  const Lane f = input(program, Dtype::f32);
  const Lane d = input(program, Dtype::f64);
  const Lane i = input(program, Dtype::i32);
  CHECK_THROWS_AS(f + d, InternalError);
  CHECK_THROWS_AS(lane::fma(f, f, d), InternalError);
  CHECK_THROWS_AS(lane::select(f, f, f), InternalError);
  CHECK_THROWS_AS(lane::select(f < f, f, d), InternalError);

  program.result = lane::sqrt(i).id();
  const float zero = 0;
  float out = 0;
  const LaneOperand operands[] = {{&zero, 1}, {&zero, 1}, {&zero, 1}};
  CHECK_THROWS_AS(run_lanes(program, operands, &out, 1), InternalError);
}

TEST_CASE("denormals: the mode is put back, and nothing else is touched") {
  const unsigned before = _mm_getcsr();
  std::fesetround(FE_UPWARD);
  const unsigned upward = _mm_getcsr();
  {
    const FlushDenormals flush;
    CHECK((_mm_getcsr() & 0x8040) == 0x8040);
    CHECK((_mm_getcsr() | 0x8040) == (upward | 0x8040));
    {
      const FlushDenormals keep(true);
      CHECK((_mm_getcsr() & 0x8040) == 0);
    }
    CHECK((_mm_getcsr() & 0x8040) == 0x8040);
  }
  CHECK(_mm_getcsr() == upward);
  std::fesetround(FE_TONEAREST);
  CHECK(_mm_getcsr() == before);
}

}  // namespace
}  // namespace tapeloop
