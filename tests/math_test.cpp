// The elementary functions against double (f32) and MPFR (f64): the largest error in ulp. The exhaustive measurements are
// in the suite "slow" and print a table; TAPELOOP_FUNCTIONS=sin,tan measures these only.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#ifdef TAPELOOP_HAS_MPFR
#include <mpfr.h>
#endif

#include "ad/lanes.h"
#include "ops/math.h"
#include "tests/cases.h"
#include "tests/math_cases.h"

namespace tapeloop {
namespace {

using std::uint32_t, std::uint64_t;

using namespace testing;

// --- errors ---------------------------------------------------------------------------------------------------------------

// 1/ulp of a T as great as `exact`, which is an ordinary number of that type. (By hand: it is done 2^32 times.)
template <class T>
double inverse_ulp(double exact) {
  const uint64_t biased = std::bit_cast<uint64_t>(exact) >> 52 & 0x7ff;
  return std::bit_cast<double>((2 * 1023 + std::numeric_limits<T>::digits - 1 - biased) << 52);
}

// Whether `y` is right where errors in ulp make no sense: NaN, infinity, zero, and both ends of the range. A result
// within 2 ulp of an end may be on its other side.
template <class T>
bool is_ordinary(double exact) {
  using Limits = std::numeric_limits<T>;
  const double magnitude = std::fabs(exact);
  const double slack = 2 * double(Limits::epsilon());
  return magnitude >= double(Limits::min()) * (1 + slack) && magnitude <= double(Limits::max()) * (1 - slack);
}

template <class T>
bool is_right_at_an_end(T y, double exact) {
  using Limits = std::numeric_limits<T>;
  if (std::isnan(exact) || std::isnan(y)) return std::isnan(exact) && std::isnan(y);
  if (std::signbit(y) != std::signbit(exact)) return false;
  const double magnitude = std::fabs(double(y));
  const double slack = 4 * double(Limits::epsilon());
  if (std::isinf(exact)) return std::isinf(y);
  if (exact == 0) return y == 0;
  if (std::fabs(exact) < 1) return magnitude <= double(Limits::min()) * (1 + slack);
  return magnitude >= double(Limits::max()) * (1 - slack);
}

// The largest error found, where, and whether everything else was right.
struct Worst {
  double ulp = 0;
  double at = 0;
  std::uint64_t wrong = 0;
  double first_wrong = 0;

  void add_error(double error, double x) {
    if (error <= ulp) return;
    ulp = error;
    at = x;
  }
  void add_wrong(double x) {
    if (wrong++ == 0) first_wrong = x;
  }
};

void report(const char* name, Dtype dtype, const Worst& worst, double bound) {
  INFO(std::string(name) << " in " << std::string(name_of(dtype)) << ": " << worst.ulp << " ulp at " << worst.at << "; "
                         << worst.wrong << " wrong, the first at " << worst.first_wrong);
  CHECK(worst.ulp <= bound);
  CHECK(worst.wrong == 0);
  ++testing::cases;
}

bool is_chosen(const Function& f) {
  const char* chosen = std::getenv("TAPELOOP_FUNCTIONS");
  return !chosen || (',' + std::string(chosen) + ',').find(',' + std::string(f.name) + ',') != std::string::npos;
}

// --- f32 ------------------------------------------------------------------------------------------------------------------

// `f` at x, and its exact value as a double, of which a denormal argument counts as zero.
void measure_f32(const Function& f, const std::vector<float>& xs, const Compiled<float>& compiled, Worst& worst) {
  const std::vector<float> ys = compiled(xs);
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const float x = std::fabs(xs[i]) < std::numeric_limits<float>::min() ? std::copysign(0.0f, xs[i]) : xs[i];
    const float y = ys[i];
    if (std::fabs(x) > f.limit) {
      if (!std::isnan(y)) worst.add_wrong(x);
      continue;
    }
    const double exact = f.reference(x);
    if (!is_ordinary<float>(exact)) {
      if (!is_right_at_an_end(y, exact)) worst.add_wrong(x);
    } else if (std::isnan(y)) {
      worst.add_wrong(x);
    } else {
      worst.add_error(std::fabs(double(y) - exact) * inverse_ulp<float>(std::max(std::fabs(exact), f.least)), x);
    }
  }
}

// Where a reduction by pi/2 that rounds twice, and tan as the quotient of sin and cos, exceeded their bounds: sin by 0.36
// ulp, cos by 0.29, tan by 0.79 to 0.16. No sample comes upon them; all 2^32 arguments did.
constexpr float kReducedBadly[] = {504847.6875f, 1036048.625f, 611770.1875f, 3720.42725f, 2.35717225f};

TEST_CASE("math: f32 within its bounds, sampled") {
  std::vector<float> xs = dense_samples();
  for (float x : kReducedBadly)
    for (float sign : {1.0f, -1.0f}) xs.push_back(sign * x);
  for (uint64_t bits = 0; bits < uint64_t(1) << 32; bits += 16411) xs.push_back(std::bit_cast<float>(uint32_t(bits)));
  for (const Function& f : kFunctions) {
    Worst worst;
    measure_f32(f, xs, Compiled<float>(f.lane), worst);
    report(f.name, Dtype::f32, worst, f.bound);
  }
}

TEST_CASE("math: f32 within its bounds, all 2^32 arguments" * doctest::test_suite("slow")) {
  constexpr uint32_t kBlock = 1 << 16;
  std::vector<float> xs(kBlock);
  for (const Function& f : kFunctions) {
    if (!is_chosen(f)) continue;
    const Compiled<float> compiled(f.lane);
    Worst worst;
    for (uint64_t first = 0; first < uint64_t(1) << 32; first += kBlock) {
      for (uint32_t i = 0; i < kBlock; ++i) xs[i] = std::bit_cast<float>(uint32_t(first) + i);
      measure_f32(f, xs, compiled, worst);
    }
    MESSAGE(std::string(f.name) << " f32: " << worst.ulp << " ulp, at " << worst.at);
    report(f.name, Dtype::f32, worst, f.bound);
  }
}

// --- f64 ------------------------------------------------------------------------------------------------------------------

#ifdef TAPELOOP_HAS_MPFR

int exact_sigmoid(mpfr_ptr y, mpfr_srcptr x, mpfr_rnd_t mode) {
  mpfr_neg(y, x, mode);
  mpfr_exp(y, y, mode);
  mpfr_add_ui(y, y, 1, mode);
  return mpfr_ui_div(y, 1, y, mode);
}

int exact_softplus(mpfr_ptr y, mpfr_srcptr x, mpfr_rnd_t mode) {
  mpfr_exp(y, x, mode);
  return mpfr_log1p(y, y, mode);
}

int exact_lgamma(mpfr_ptr y, mpfr_srcptr x, mpfr_rnd_t mode) {
  int sign = 0;
  return mpfr_lgamma(y, &sign, x, mode);
}

using Exact = int (*)(mpfr_ptr y, mpfr_srcptr x, mpfr_rnd_t);

const std::map<std::string, Exact> kExact = {
    {"exp", mpfr_exp},        {"expm1", mpfr_expm1},     {"log", mpfr_log},          {"log1p", mpfr_log1p},
    {"tanh", mpfr_tanh},      {"erf", mpfr_erf},         {"sigmoid", exact_sigmoid}, {"softplus", exact_softplus},
    {"sin", mpfr_sin},        {"cos", mpfr_cos},         {"rsqrt", mpfr_rec_sqrt},   {"tan", mpfr_tan},
    {"asin", mpfr_asin},      {"acos", mpfr_acos},       {"atan", mpfr_atan},        {"sinh", mpfr_sinh},
    {"cosh", mpfr_cosh},      {"asinh", mpfr_asinh},     {"acosh", mpfr_acosh},      {"atanh", mpfr_atanh},
    {"lgamma", exact_lgamma}, {"digamma", mpfr_digamma},
};

// MPFR numbers of 140 bits, freed at the end of the scope.
class Number {
 public:
  Number() { mpfr_init2(value_, 140); }
  ~Number() { mpfr_clear(value_); }
  Number(const Number&) = delete;
  Number& operator=(const Number&) = delete;
  operator mpfr_ptr() { return value_; }

 private:
  mpfr_t value_;
};

// |y - exact| in units of the last place of a T as great as `exact`, or as `least` if that is greater.
template <class T>
double error_in_ulp(double y, mpfr_ptr exact, mpfr_ptr scratch, double least = 0) {
  mpfr_exp_t exponent = mpfr_get_exp(exact);
  if (least > 0) exponent = std::max<mpfr_exp_t>(exponent, std::ilogb(least) + 1);
  mpfr_sub_d(scratch, exact, y, MPFR_RNDN);
  mpfr_mul_2si(scratch, scratch, std::numeric_limits<T>::digits - exponent, MPFR_RNDN);
  return std::fabs(mpfr_get_d(scratch, MPFR_RNDN));
}

Worst measure_f64(const Function& f, std::size_t count, std::uint64_t seed, Worst& of_reference) {
  const std::vector<double> xs = f64_samples(f, count, seed);
  const std::vector<double> ys = Compiled<double>(f.lane)(xs);
  const Exact compute = kExact.at(f.name);
  Worst worst;
  Number exact, scratch;
  for (std::size_t i = 0; i < count; ++i) {
    if (std::fabs(xs[i]) > std::max(f.limit, f.limit_f64)) {
      if (!std::isnan(ys[i])) worst.add_wrong(xs[i]);
      continue;
    }
    if (std::fabs(xs[i]) > f.slow || std::fabs(xs[i]) < 1 / f.slow) continue;
    mpfr_set_d(exact, xs[i], MPFR_RNDN);
    compute(exact, exact, MPFR_RNDN);
    const double rounded = mpfr_get_d(exact, MPFR_RNDN);
    if (!is_ordinary<double>(rounded)) {
      if (!is_right_at_an_end(ys[i], rounded)) worst.add_wrong(xs[i]);
    } else if (!std::isfinite(ys[i])) {
      worst.add_wrong(xs[i]);
    } else {
      worst.add_error(error_in_ulp<double>(ys[i], exact, scratch, f.least), xs[i]);
      of_reference.add_error(error_in_ulp<double>(f.reference(xs[i]), exact, scratch, f.least), xs[i]);
    }
  }
  return worst;
}

TEST_CASE("math: f64 within its bounds, sampled" * doctest::test_suite("long")) {
  for (const Function& f : kFunctions) {
    Worst of_reference;
    report(f.name, Dtype::f64, measure_f64(f, tapeloop::testing::kInstrumented ? 10'000 : 100'000, 1, of_reference),
           f.bound);
    CHECK(of_reference.ulp < 4);  // the tests of f32 may rely on it
  }
}

TEST_CASE("math: f64 within its bounds, 10^7 arguments" * doctest::test_suite("slow")) {
  for (const Function& f : kFunctions) {
    if (!is_chosen(f)) continue;
    Worst worst, of_reference;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
      const Worst part = measure_f64(f, 100'000, seed, of_reference);
      worst.add_error(part.ulp, part.at);
      if (part.wrong != 0) worst.add_wrong(part.first_wrong);
    }
    MESSAGE(std::string(f.name) << " f64: " << worst.ulp << " ulp, at " << worst.at);
    report(f.name, Dtype::f64, worst, f.bound);
  }
}

#else

TEST_CASE("math: f64 within its bounds") { MESSAGE("skipped: f64 needs MPFR (libmpfr-dev) to be measured against"); }

#endif

// --- pow ------------------------------------------------------------------------------------------------------------------

// Bases of any size or close to 1, and exponents that leave the power in the range of T.
template <class T>
void pow_samples(std::vector<T>& x, std::vector<T>& y, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const double range = std::numeric_limits<T>::max_exponent - 2;
  std::uniform_real_distribution<double> any(-range, range), few(-2, 2), bits(0, std::numeric_limits<T>::digits - 1);
  x.resize(count);
  y.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double sign = i % 2 == 0 ? 1 : -1;
    const double bases[] = {std::exp2(any(random)), std::exp2(few(random)), 1 + sign * std::exp2(-1 - bits(random))};
    x[i] = T(bases[i % 3]);
    const double log = std::log2(double(x[i]));
    y[i] = T(log == 0 ? any(random) : any(random) / log);
  }
}

Worst measure_pow_f32(std::size_t count, std::uint64_t seed) {
  std::vector<float> x, y;
  pow_samples(x, y, count, seed);
  const std::vector<float> z = Compiled<float>(lane::pow)(x, y);
  Worst worst;
  for (std::size_t i = 0; i < count; ++i) {
    const double exact = std::pow(double(x[i]), double(y[i]));
    if (!is_ordinary<float>(exact)) continue;
    worst.add_error(std::fabs(double(z[i]) - exact) * inverse_ulp<float>(exact), x[i]);
  }
  return worst;
}

TEST_CASE("math: pow in f32, sampled") { report("pow", Dtype::f32, measure_pow_f32(300'000, 1), 0.501); }

TEST_CASE("math: pow in f32, 10^8 arguments" * doctest::test_suite("slow")) {
  Worst worst;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const Worst part = measure_pow_f32(1'000'000, seed);
    worst.add_error(part.ulp, part.at);
  }
  MESSAGE("pow f32: " << worst.ulp << " ulp, at base " << worst.at);
  report("pow", Dtype::f32, worst, 0.501);
}

#ifdef TAPELOOP_HAS_MPFR

Worst measure_pow_f64(std::size_t count, std::uint64_t seed) {
  std::vector<double> x, y;
  pow_samples(x, y, count, seed);
  const std::vector<double> z = Compiled<double>(lane::pow)(x, y);
  Worst worst;
  Number exact, exponent;
  for (std::size_t i = 0; i < count; ++i) {
    mpfr_set_d(exact, x[i], MPFR_RNDN);
    mpfr_set_d(exponent, y[i], MPFR_RNDN);
    mpfr_pow(exact, exact, exponent, MPFR_RNDN);
    if (!is_ordinary<double>(mpfr_get_d(exact, MPFR_RNDN))) continue;
    worst.add_error(error_in_ulp<double>(z[i], exact, exponent), x[i]);
  }
  return worst;
}

TEST_CASE("math: pow in f64, sampled") { report("pow", Dtype::f64, measure_pow_f64(50'000, 1), 1.5); }

TEST_CASE("math: pow in f64, 10^7 arguments" * doctest::test_suite("slow")) {
  Worst worst;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const Worst part = measure_pow_f64(100'000, seed);
    worst.add_error(part.ulp, part.at);
  }
  MESSAGE("pow f64: " << worst.ulp << " ulp, at base " << worst.at);
  report("pow", Dtype::f64, worst, 1.5);
}

#endif

}  // namespace
}  // namespace tapeloop
