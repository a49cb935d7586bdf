// Each lane instruction against plain C++ (see lane_cases.h).
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <vector>

#include "ad/lanes.h"
#include "tests/lane_cases.h"

namespace tapeloop::testing::lane_cases {
namespace {

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

}  // namespace
}  // namespace tapeloop::testing::lane_cases
