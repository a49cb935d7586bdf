// What the elementary functions do where errors in ulp make no sense: special values, symmetry, bounds, and the same bits
// on every instruction set.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "ad/lanes.h"
#include "ad/options.h"
#include "ops/math.h"
#include "tests/cases.h"
#include "tests/math_cases.h"

namespace tapeloop {
namespace {

using namespace testing;

TEST_CASE_TEMPLATE("math: special cases of pow are those of IEEE 754", T, float, double) {
  const T largest = std::numeric_limits<T>::max();
  const T values[] = {0,
                      T(0.5),
                      1,
                      T(1.5),
                      2,
                      3,
                      4,
                      T(1e30),
                      largest,
                      T(kInf),
                      T(kNan),
                      std::nextafter(T(1), T(0)),
                      std::nextafter(T(1), T(2)),
                      T(1) / std::numeric_limits<T>::epsilon() - 1,
                      T(2) / std::numeric_limits<T>::epsilon()};
  const Compiled<T> pow(lane::pow);
  for (T x : values) {
    for (T y : values) {
      for (T a : {x, -x}) {
        for (T b : {y, -y}) {
          const T want = std::pow(a, b);
          const T got = pow(a, b);
          INFO("pow(" << a << ", " << b << ") = " << got << ", want " << want);
          if (want != 0 && std::fabs(want) < std::numeric_limits<T>::min())
            CHECK(same(got, std::copysign(T(0), want)));
          else if (want == 0 || !std::isfinite(want))
            CHECK(same(got, want));
          else
            CHECK(std::fabs(got - want) <= 2 * std::numeric_limits<T>::epsilon() * std::fabs(want));
        }
      }
    }
  }
  // Denormals are zeros.
  const T tiny = std::numeric_limits<T>::denorm_min();
  CHECK(same(pow(tiny, T(-1)), T(kInf)));
  CHECK(same(pow(-tiny, T(-1)), T(-kInf)));
  CHECK(same(pow(T(kInf), tiny), T(1)));
  ++testing::cases;
}

struct Specials {
  Lane (*lane)(Lane);
  std::vector<std::array<double, 2>> values;  // x, y
};

const Specials kSpecials[] = {
    {lane::exp, {{0, 1}, {-0.0, 1}, {kInf, kInf}, {-kInf, 0}, {1e4, kInf}, {-1e4, 0}}},
    {lane::expm1, {{0, 0}, {-0.0, -0.0}, {kInf, kInf}, {-kInf, -1}, {1e4, kInf}, {-1e4, -1}}},
    {lane::log, {{1, 0}, {0, -kInf}, {-0.0, -kInf}, {-1, kNan}, {kInf, kInf}, {-kInf, kNan}}},
    {lane::log1p, {{0, 0}, {-0.0, -0.0}, {-1, -kInf}, {-2, kNan}, {kInf, kInf}, {-kInf, kNan}}},
    {lane::tanh, {{0, 0}, {-0.0, -0.0}, {kInf, 1}, {-kInf, -1}, {1e4, 1}, {-1e4, -1}}},
    {lane::sigmoid, {{0, 0.5}, {-0.0, 0.5}, {kInf, 1}, {-kInf, 0}, {1e4, 1}, {-1e4, 0}}},
    {lane::softplus, {{kInf, kInf}, {-kInf, 0}, {1e4, 1e4}, {-1e4, 0}}},
    {lane::erf, {{0, 0}, {-0.0, -0.0}, {kInf, 1}, {-kInf, -1}, {1e4, 1}, {-1e4, -1}}},
    {lane::sin, {{0, 0}, {-0.0, -0.0}, {kInf, kNan}, {-kInf, kNan}, {1e30, kNan}}},
    {lane::cos, {{0, 1}, {-0.0, 1}, {kInf, kNan}, {-kInf, kNan}, {1e30, kNan}}},
    {lane::tan, {{0, 0}, {-0.0, -0.0}, {kInf, kNan}, {1e30, kNan}}},
    {lane::asin, {{0, 0}, {-0.0, -0.0}, {1.5, kNan}, {-1.5, kNan}, {kInf, kNan}}},
    {lane::acos, {{1, 0}, {1.5, kNan}, {-1.5, kNan}, {kInf, kNan}}},
    {lane::atan, {{0, 0}, {-0.0, -0.0}}},
    {lane::sinh, {{0, 0}, {-0.0, -0.0}, {kInf, kInf}, {-kInf, -kInf}, {1e4, kInf}, {-1e4, -kInf}}},
    {lane::cosh, {{0, 1}, {-0.0, 1}, {kInf, kInf}, {-kInf, kInf}, {1e4, kInf}, {-1e4, kInf}}},
    {lane::asinh, {{0, 0}, {-0.0, -0.0}, {kInf, kInf}, {-kInf, -kInf}}},
    {lane::acosh, {{1, 0}, {0.5, kNan}, {kInf, kInf}, {-kInf, kNan}}},
    {lane::atanh, {{0, 0}, {-0.0, -0.0}, {1, kInf}, {-1, -kInf}, {2, kNan}, {kInf, kNan}}},
    {lane::lgamma, {{0, kInf}, {-0.0, kInf}, {1, 0}, {2, 0}, {-3, kInf}, {kInf, kInf}, {-kInf, kInf}}},
    {lane::rsqrt, {{0, kInf}, {-0.0, -kInf}, {4, 0.5}, {kInf, 0}, {-1, kNan}, {-kInf, kNan}}},
};

TEST_CASE_TEMPLATE("math: special values", T, float, double) {
  for (const auto& [write, values] : kSpecials) {
    const Compiled<T> compiled(write);
    for (const auto& [x, y] : values) {
      const auto name = std::ranges::find(kFunctions, write, &Function::lane)->name;
      INFO(name << "(" << x << ") = " << compiled(T(x)));
      CHECK(same(compiled(T(x)), T(y)));
    }
  }
  const T tiny = std::numeric_limits<T>::min() / 2;
  for (const Function& f : kFunctions) {
    const Compiled<T> compiled(f.lane);
    INFO(f.name);
    CHECK(std::isnan(compiled(T(kNan))));
    CHECK(std::isnan(compiled(-T(kNan))));
    CHECK(same(compiled(tiny), compiled(T(0))));
    CHECK(same(compiled(-tiny), compiled(-T(0))));
    ++testing::cases;
  }
}

template <class T>
std::vector<T> samples() {
  std::vector<T> xs;
  for (float x : dense_samples()) xs.push_back(T(x));
  for (const Function& f : kFunctions)
    for (double x : f64_samples(f, 20'000, 2)) xs.push_back(T(x));
  return xs;
}

TEST_CASE_TEMPLATE("math: what is odd is odd, and what is bounded stays in its bounds", T, float, double) {
  const std::vector<T> xs = samples<T>();
  std::vector<T> minus_xs = xs;
  for (T& x : minus_xs) x = -x;
  struct Bounded {
    Lane (*lane)(Lane);
    bool is_odd;
    int lowest;
  };
  constexpr Bounded functions[] = {
      {lane::tanh, true, -1}, {lane::erf, true, -1},     {lane::sin, true, -1},
      {lane::cos, false, -1}, {lane::sigmoid, false, 0},
  };
  for (const auto& [write, is_odd, lowest] : functions) {
    const Compiled<T> compiled(write);
    const std::vector<T> ys = compiled(xs);
    CHECK(std::ranges::none_of(ys, [low = lowest](T y) { return y < T(low) || y > 1; }));
    if (!is_odd) continue;
    const std::vector<T> minus_ys = compiled(minus_xs);
    CHECK(std::ranges::equal(ys, minus_ys, [](T y, T minus_y) { return same(y, -minus_y); }));
  }
}

TEST_CASE_TEMPLATE("math: the same bits on every instruction set", T, float, double) {
  const std::vector<T> xs = samples<T>();
  std::vector<T> exponents(xs.rbegin(), xs.rend());
  const auto on = [&](const char* isa, auto compute) {
    Options chosen = options();
    chosen.isa = isa;
    const ScopedOptions scope(chosen);
    return compute();
  };
  const auto check = [&](const char* name, auto compute) {
    const std::vector<T> newest = on("avx512", compute);
    for (const char* isa : {"avx2", "sse2"}) {
      INFO(name << " on " << isa);
      CHECK(std::ranges::equal(newest, on(isa, compute), same<T>));
      ++testing::cases;
    }
  };
  for (const Function& f : kFunctions) check(f.name, [&] { return Compiled<T>(f.lane)(xs); });
  check("pow", [&] { return Compiled<T>(lane::pow)(xs, exponents); });
}

}  // namespace
}  // namespace tapeloop
