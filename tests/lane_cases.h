// Running a lane instruction on special values of every dtype, for every instruction set that the interpreter is compiled
// for, with denormals flushed and kept, beside plain C++.
#pragma once

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "ad/denormals.h"
#include "ad/lanes.h"
#include "ad/options.h"
#include "tests/cases.h"

namespace tapeloop::testing::lane_cases {

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

inline Lane input(LaneProgram& program, Dtype dtype) {
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
        ++cases;
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

}  // namespace tapeloop::testing::lane_cases
