// The elementary functions, as the tests of them see them: what to compare with, where to look, and how to call one.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "ad/denormals.h"
#include "ad/lanes.h"
#include "ops/math.h"

namespace tapeloop::testing {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Function {
  const char* name;
  Lane (*lane)(Lane);
  double (*reference)(double);  // within an ulp or two of f64
  double low, high;             // where f64 is sampled evenly
  double limit = kInf;          // the bound holds for |x| up to this; from there on the result is NaN
  double bound = 2;             // in ulp
  double slow = kInf;           // beyond, MPFR takes too long
  double least = 0;             // smaller results are measured by the ulp of this: their neighbours have other signs
  double limit_f64 = 0;         // instead of `limit`, in f64
};

// Γ'/Γ in long double, by the recurrence and the asymptotic series.
inline double reference_digamma(double at) {
  constexpr long double pi = 3.14159265358979323846264338327950288L;
  long double x = at, sum = 0;
  if (at == 0) return std::copysign(kInf, -at);
  if (at < 0) {
    if (at == std::round(at) || std::isinf(at)) return kNan;
    sum = -pi / std::tan(pi * (x - std::round(x)));
    x = 1 - x;
  }
  for (; x < 30; ++x) sum -= 1 / x;
  const long double z = 1 / (x * x);
  return double(sum + std::log(x) - 0.5L / x -
                z * (1 / 12.0L - z * (1 / 120.0L - z * (1 / 252.0L - z * (1 / 240.0L - z * (1 / 132.0L))))));
}

inline const Function kFunctions[] = {
    {"exp", lane::exp, [](double x) { return std::exp(x); }, -750, 715},
    {"expm1", lane::expm1, [](double x) { return std::expm1(x); }, -45, 715},
    {"log", lane::log, [](double x) { return std::log(x); }, 0, 4},
    {"log1p", lane::log1p, [](double x) { return std::log1p(x); }, -1, 4},
    {"tanh", lane::tanh, [](double x) { return std::tanh(x); }, -22, 22},
    {"sigmoid", lane::sigmoid,
     [](double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }, -750, 45},
    {"softplus", lane::softplus,
     [](double x) { return x < 0 ? std::log1p(std::exp(x)) : x + std::log1p(std::exp(-x)); }, -750, 60},
    {"erf", lane::erf, [](double x) { return std::erf(x); }, -6.5, 6.5},
    {"sin", lane::sin, [](double x) { return std::sin(x); }, -0x1p20, 0x1p20, 0x1p20, 2, kInf, 0, 0x1p40},
    {"cos", lane::cos, [](double x) { return std::cos(x); }, -0x1p20, 0x1p20, 0x1p20, 2, kInf, 0, 0x1p40},
    {"tan", lane::tan, [](double x) { return std::tan(x); }, -0x1p20, 0x1p20, 0x1p20, 3, kInf, 0, 0x1p40},
    {"asin", lane::asin, [](double x) { return std::asin(x); }, -1, 1, kInf, 2.2},
    {"acos", lane::acos, [](double x) { return std::acos(x); }, -1, 1},
    {"atan", lane::atan, [](double x) { return std::atan(x); }, -8, 8},
    {"sinh", lane::sinh, [](double x) { return std::sinh(x); }, -712, 712, kInf, 2.5},
    {"cosh", lane::cosh, [](double x) { return std::cosh(x); }, -712, 712},
    {"asinh", lane::asinh, [](double x) { return std::asinh(x); }, -8, 8, kInf, 2.5},
    {"acosh", lane::acosh, [](double x) { return std::acosh(x); }, 1, 8, kInf, 2.5},
    {"atanh", lane::atanh, [](double x) { return std::atanh(x); }, -1, 1, kInf, 2.5},
    {"lgamma", lane::lgamma, [](double x) { return std::lgamma(x); }, -20, 20, kInf, 8, 0x1p10, 1},
    {"digamma", [](Lane x) { return lane::polygamma(0, x); }, reference_digamma, -20, 20, kInf, 16, 0x1p10, 1},
    {"rsqrt", lane::rsqrt, [](double x) { return 1 / std::sqrt(x); }, 0, 4, kInf, 1.5},
};

// A function as the interpreter runs it.
template <class T>
class Compiled {
 public:
  explicit Compiled(Lane (*write)(Lane)) {
    program_.code.push_back({LaneOp::input, dtype_of<T>(), {0}, 0});
    program_.result = write(Lane(program_, 0)).id();
  }
  explicit Compiled(Lane (*write)(Lane, Lane)) {
    program_.code.push_back({LaneOp::input, dtype_of<T>(), {0}, 0});
    program_.code.push_back({LaneOp::input, dtype_of<T>(), {1}, 0});
    program_.result = write(Lane(program_, 0), Lane(program_, 1)).id();
  }

  template <class... Operands>
  std::vector<T> operator()(const std::vector<T>& x, const Operands&... more) const {
    const FlushDenormals mode;
    std::vector<T> y(x.size());
    const LaneOperand operands[] = {{x.data(), 1}, {more.data(), 1}...};
    run_lanes(program_, operands, y.data(), std::int64_t(x.size()));
    return y;
  }
  T operator()(T x) const { return (*this)(std::vector<T>{x})[0]; }
  T operator()(T x, T y) const { return (*this)(std::vector<T>{x}, std::vector<T>{y})[0]; }

 private:
  LaneProgram program_;
};

template <class T>
bool same(T a, T b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

// All numbers that are special to some function, with their neighbours, of both signs.
inline std::vector<float> dense_samples() {
  std::vector<float> xs;
  for (float centre : {0.0f,
                       0x1p-126f,
                       0x1p-24f,
                       0.17328680f,
                       0.25993019f,
                       0.34657359f,
                       0.5f,
                       0.70710678f,
                       0.78539816f,
                       1.0f,
                       1.41421356f,
                       1.57079633f,
                       3.14159265f,
                       3.95f,
                       9.01f,
                       10.0f,
                       16.6355f,
                       17.33f,
                       20.0f,
                       87.33654f,
                       88.0f,
                       88.72284f,
                       104.0f,
                       0x1p20f,
                       std::numeric_limits<float>::max(),
                       std::numeric_limits<float>::infinity()}) {
    const uint32_t bits = std::bit_cast<uint32_t>(centre);
    for (uint32_t i = bits < 1500 ? 0 : bits - 1500; i <= bits + 1500; ++i)
      for (uint32_t sign : {0u, 0x80000000u}) xs.push_back(std::bit_cast<float>(i | sign));
  }
  return xs;
}

// Half of them evenly between the function's ends, half with any exponent: mostly those where something happens.
inline std::vector<double> f64_samples(const Function& f, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> evenly(f.low, f.high), exponent(-60, 10.1), any_exponent(-1022, 1023.9);
  std::vector<double> xs(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 2 == 0) {
      xs[i] = evenly(random);
    } else {
      xs[i] = std::exp2(i % 16 == 1 ? any_exponent(random) : exponent(random));
      if (i % 4 == 1 && f.low < 0) xs[i] = -xs[i];
    }
  }
  return xs;
}

}  // namespace tapeloop::testing
