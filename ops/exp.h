// Exponentials and logarithms as lane programs, and the pieces that all elementary functions are made of. See
// ops/math.h for accuracy and method.
#pragma once

#include <limits>
#include <span>

#include "ad/lanes.h"

namespace tapeloop::lane {

// --- pieces -----------------------------------------------------------------------------------------------------------

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

using Coefficients = std::span<const double>;

// c[0] + c[1]·x + c[2]·x² + … with the coefficients for x's dtype.
inline Lane polynomial(Lane x, Coefficients f32, Coefficients f64) {
  const Coefficients c = x.dtype() == Dtype::f32 ? f32 : f64;
  Lane sum = x.like(c.back());
  for (std::size_t i = c.size() - 1; i-- > 0;) sum = fma(sum, x, c[i]);
  return sum;
}

// `limit` where x is beyond it. Written this way round a NaN stays, and it is one instruction on x86.
inline Lane at_most(Lane x, double limit) { return select(x > limit, x.like(limit), x); }
inline Lane at_least(Lane x, double limit) { return select(x < limit, x.like(limit), x); }

// The sign bit of `sign` added to that of a zero or positive x, or of an x that has it already.
inline Lane with_sign_of(Lane x, Lane sign) {
  if (x.dtype() == Dtype::f64) {
    const Lane bit = bits_of_exponent(sign) & x.literal_bits(Dtype::u32, 0x80000000u);
    return with_exponent(x, bits_of_exponent(x) | bit);
  }
  const Lane bit = bitcast(sign, Dtype::u32) & x.literal_bits(Dtype::u32, 0x80000000u);
  return bitcast(bitcast(x, Dtype::u32) | bit, Dtype::f32);
}

// The step is given as a sum: its first part is rounded to x's dtype, the next is what that left, and so on (Cody and
// Waite). With fma the first product is exact, and so is its difference to x, since the two cancel.
struct Step {
  double inverse;
  Coefficients f32, f64;
};

// x - n·step.
inline Lane subtract_multiple(Lane x, Lane n, const Step& step) {
  for (double part : x.dtype() == Dtype::f32 ? step.f32 : step.f64) x = fma(n, -part, x);
  return x;
}

// Adding this number leaves a sum no room for a fraction, so that it is an integer n, plus this number. Holds for
// |n| < 2^22 (f32), 2^51 (f64). In f32 the low bits of the sum are those of n + bias.
inline double shift(Dtype dtype, int bias) { return dtype == Dtype::f32 ? 0x1.8p23 + bias : 0x1.8p52; }

// x = n·step + r with an integer n and |r| <= step/2, and 2^n·unit, where `unit` is 1, 1/2 or 1/4.
struct Reduced {
  Lane shifted, n, r;
  double unit;

  // In f32, where the exponent is put together by hand, n must be -127 to 127 for a unit of 1, and -127 gives 0.
  Lane power() const {
    if (n.dtype() == Dtype::f64)
      return unit < 0.5 ? scale_by_power(n.like(unit * 2), n - 1) : scale_by_power(n.like(unit), n);
    return bitcast(bitcast(shifted, Dtype::u32) << 23, Dtype::f32);
  }
};

// `rounded` is the number whose multiple of the step is looked for, if not x itself.
inline Reduced reduce(Lane x, Lane rounded, const Step& step, double unit = 1) {
  const Lane s = x.like(shift(x.dtype(), unit == 1 ? 127 : unit == 0.5 ? 126 : 125));
  const Lane shifted = fma(rounded, x.like(step.inverse), s);
  const Lane n = shifted - s;
  return {shifted, n, subtract_multiple(x, n, step), unit};
}
inline Reduced reduce(Lane x, const Step& step, double unit = 1) { return reduce(x, x, step, unit); }

constexpr double kLn2F32[] = {0x1.62e43p-1, -0x1.05c61p-29};
constexpr double kLn2F64[] = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
constexpr Step kLn2 = {0x1.71547652b82fep0, kLn2F32, kLn2F64};

// --- exp and its kin --------------------------------------------------------------------------------------------------

// e^r - 1 - r for |r| <= ln(2)/2, plus `addend` (mostly r), rounded once at the end. Relative error of the fit, with r
// added: 2^-26.1 (f32), 2^-61.1 (f64).
inline Lane expm1_tail(Lane r, Lane addend) {
  static constexpr double f32[] = {0.49999997, 0.166665465, 0.0416674353, 0.00836626533, 0.00138706807};
  static constexpr double f64[] = {0.5,
                                   0.16666666666666677,
                                   0.041666666666666685,
                                   0.008333333333321773,
                                   0.0013888888888899734,
                                   0.00019841269885959424,
                                   2.4801587259002768e-05,
                                   2.755724387255273e-06,
                                   2.755735034611521e-07,
                                   2.5109357217606253e-08,
                                   2.088700891882067e-09};
  return fma(r * r, polynomial(r, f32, f64), addend);
}

// e^x. The fit of e^r on |r| <= ln(2)/2 has relative error 2^-28.2 (f32), 2^-57.6 (f64).
inline Lane exp(Lane x) {
  static constexpr double f32[] = {1, 1, 0.49999994, 0.166665211, 0.0416682661, 0.00836867467, 0.0013820612};
  static constexpr double f64[] = {1,
                                   1,
                                   0.5000000000000011,
                                   0.16666666666666458,
                                   0.04166666666652578,
                                   0.008333333333474037,
                                   0.0013888888945264941,
                                   0.00019841269545076265,
                                   2.4801490855050726e-05,
                                   2.755755131645245e-06,
                                   2.7631233885938976e-07,
                                   2.5012402071391128e-08};
  // Beyond these the result is 0 or infinite anyway, and scale_by_power has no more exponents.
  const bool is_f32 = x.dtype() == Dtype::f32;
  const Reduced e = reduce(at_least(at_most(x, is_f32 ? 89 : 710), is_f32 ? -104 : -746), kLn2);
  return scale_by_power(polynomial(e.r, f32, f64), e.n);
}

// e^x - 1.
inline Lane expm1(Lane x) {
  const bool is_f32 = x.dtype() == Dtype::f32;
  // With half the power of two, which does not overflow before the result does.
  const Reduced e = reduce(at_least(at_most(x, is_f32 ? 89 : 710), is_f32 ? -20 : -40), kLn2, 0.5);
  const Lane half = e.power();
  const Lane q = expm1_tail(e.r, e.r);
  const Lane y = fma(half, q, half - 0.5);
  return with_sign_of(select(e.n == 0, q, y + y), x);
}

// 1/(1 + e^-x). With e^-x = (1 + q)/w, w = 2^n, it is w/(1 + w + q). The sum is taken so that only its last rounding
// counts: 1 + w first when that is exact, otherwise 1 last.
inline Lane sigmoid(Lane x) {
  const bool is_f32 = x.dtype() == Dtype::f32;
  const Reduced e = reduce(at_least(at_most(x, is_f32 ? 20 : 40), is_f32 ? -88 : -750), kLn2);
  const Lane r = -e.r;
  const Lane w = e.power();
  const Lane is_small = w < 1;
  const Lane first = expm1_tail(r, r + select(is_small, w, w.like(0)));
  return w / (first + select(is_small, w.like(1), w + 1));
}

// The hyperbolic tangent. With |x| = n·ln(2)/2 + u and h = tanh(u), the addition theorem gives
//
//   tanh |x| = a / b,  a = (2^n - 1) + (2^n + 1)·h,  b = (2^n + 1) + (2^n - 1)·h = a + (2 - 2h),
//
// and h itself for n = 0. In the last form of b, an error of `a` hardly counts once the quotient is near 1. It counts
// most for n = 1, which therefore begins late: at x = 3/4·ln(2)/2 instead of 1/2.
// The fit of tanh(u) for |u| <= 3/8·ln(2) has relative error 2^-27.9 (f32), 2^-56.8 (f64).
inline Lane tanh(Lane x) {
  static constexpr double step_f32[] = {0x1.62e43p-2};
  static constexpr double step_f64[] = {0x1.62e42fefa39efp-2, 0x1.abc9e3b39803fp-57};
  static constexpr Step half_ln2 = {0x1.71547652b82fep1, step_f32, step_f64};
  static constexpr double f32[] = {-0.333332151, 0.133226886, -0.0512252748};
  static constexpr double f64[] = {-0.3333333333333241,   0.13333333332984715,   -0.05396825352267056,
                                   0.021869461499324207,  -0.008862356194373793, 0.0035763419124528063,
                                   -0.0013073583936558106};
  const Lane magnitude = at_most(abs(x), x.dtype() == Dtype::f32 ? 10 : 20);  // from there on the result is 1
  const Reduced e = reduce(magnitude, magnitude - step_f64[0] / 4, half_ln2);
  const Lane u = e.r;
  const Lane square = u * u;
  const Lane h = fma(u * square, polynomial(square, f32, f64), u);
  const Lane power = e.power();
  const Lane a = fma(power + 1, h, power - 1);
  const Lane b = a + fma(h, -2, h.like(2));
  return with_sign_of(select(e.n == 0, h, a / b), x);
}

// A quarter of e^|x|, whole and without 1/4: nothing overflows before sinh and cosh do.
struct QuarterOfExp {
  Lane whole, less_one;
  explicit QuarterOfExp(Lane x)
      : QuarterOfExp(reduce(at_most(abs(x), x.dtype() == Dtype::f32 ? 89.45 : 710.5), kLn2, 0.25)) {}

 private:
  explicit QuarterOfExp(const Reduced& e) : QuarterOfExp(e.power(), expm1_tail(e.r, e.r)) {}
  QuarterOfExp(Lane power, Lane q) : whole(fma(power, q, power)), less_one(fma(power, q, power - 0.25)) {}
};

// (e^x - e^-x)/2 = (E + E/(E + 1))/2 with E = e^x - 1.
inline Lane sinh(Lane x) {
  const Lane e = QuarterOfExp(x).less_one;
  const Lane half = e + e / (4 * e + 1);
  // Next to 0, where the quarter might be flushed, it is x + x³/6.
  const Lane near = fma(x, x * x * (1.0 / 6), x);
  return select(abs(x) < (x.dtype() == Dtype::f32 ? 0x1p-6 : 0x1p-13), near, with_sign_of(half + half, x));
}

// (e^x + e^-x)/2.
inline Lane cosh(Lane x) {
  const Lane e = QuarterOfExp(x).whole;
  const Lane half = e + 0.0625 / e;
  return half + half;
}

// --- log and its kin --------------------------------------------------------------------------------------------------

// A positive normal x = 2^k·(1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), and 2^(1-k).
struct Split {
  Lane k, f;
  Lane exponent;  // k, at the place where the exponent is in the top 32 bits

  Lane inverse_power() const {
    const Lane bits = exponent.literal_bits(Dtype::u32, 0x40000000u) - exponent;
    return f.dtype() == Dtype::f32 ? bitcast(bits, Dtype::f32) : with_exponent(f.like(0), bits);
  }
};

inline Split split(Lane x) {
  const bool is_f32 = x.dtype() == Dtype::f32;
  const Lane top = is_f32 ? bitcast(x, Dtype::u32) : bits_of_exponent(x);
  const Lane root = top.literal_bits(Dtype::u32, is_f32 ? 0x3f3504f3u : 0x3fe6a09eu);  // of 1/2
  const Lane mantissa = top.literal_bits(Dtype::u32, is_f32 ? 0x007fffffu : 0x000fffffu);
  const Lane above_root = top - root;
  const Lane mantissa_bits = (above_root & mantissa) + root;
  const Lane k = convert(bitcast(above_root, Dtype::i32) >> (is_f32 ? 23 : 20), x.dtype());
  const Lane m = is_f32 ? bitcast(mantissa_bits, Dtype::f32) : with_exponent(x, mantissa_bits);
  return {k, m - 1, above_root - (above_root & mantissa)};
}

// k·ln 2 + log(1 + f). f32: a polynomial, whose relative error is 2^-27.4. f64: with s = f/(2 + f) it is
// 2·artanh(s) = f - f²/2 + s·(f²/2 + s²·P(s²)), relative error 2^-59.5.
inline Lane log_of_split(Lane k, Lane f) {
  static constexpr double f32[] = {-0.5,        0.333333313,  -0.250008196, 0.200012416,  -0.166234091,
                                   0.142015785, -0.131596059, 0.127622247,  -0.0763646364};
  static constexpr double f64[] = {0.6666666666666734,  0.3999999999941704, 0.2857142874189323, 0.22222198622413503,
                                   0.18183561795205444, 0.1531411524548991, 0.1479530024321958};
  const double ln2_high = f.dtype() == Dtype::f32 ? kLn2F32[0] : kLn2F64[0];
  const double ln2_low = f.dtype() == Dtype::f32 ? kLn2F32[1] : kLn2F64[1];
  if (f.dtype() == Dtype::f32) {
    const Lane small = fma(k, ln2_low, f);
    return fma(k, ln2_high, fma(f * f, polynomial(f, f32, f32), small));
  }
  const Lane s = f / (f + 2);
  const Lane z = s * s;
  const Lane half_square = 0.5 * f * f;
  const Lane small = fma(s, fma(z, polynomial(z, f64, f64), half_square), k * ln2_low);
  return fma(k, f.like(ln2_high), f - (half_square - small));
}

// The natural logarithm.
inline Lane log(Lane x) {
  const Split s = split(x);
  const Lane y = log_of_split(s.k, s.f);
  const double smallest = x.dtype() == Dtype::f32 ? 0x1p-126 : 0x1p-1022;
  const Lane not_positive = select(x > -smallest, x.like(-kInfinity), x.like(kNaN));
  return select(x >= smallest, select(x < kInfinity, y, x), not_positive);
}

// log(1 + x) for x > -1. What 1 + x loses in rounding is given back to f.
inline Lane log1p_ordinary(Lane x) {
  const Lane u = x + 1;
  const Split s = split(u);
  const Lane lost = x - (u - 1);
  const Lane f = fma(lost * 0.5, s.inverse_power(), s.f);
  return log_of_split(s.k, select(s.k == 0, x, f));
}

inline Lane log1p(Lane x) {
  const Lane beyond = select(x == -1, x.like(-kInfinity), x.like(kNaN));
  return with_sign_of(select(x > -1, select(x < kInfinity, log1p_ordinary(x), x), beyond), x);
}

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|).
inline Lane softplus(Lane x) { return select(x > 0, x, x.like(0)) + log1p_ordinary(exp(-abs(x))); }

// log(e^a + e^b) = max(a, b) + log1p(e^-|a - b|); the difference of equal infinities counts as 0.
inline Lane logaddexp(Lane a, Lane b) {
  return max(a, b) + log1p_ordinary(exp(-abs(select(a == b, a.like(0), a - b))));
}

// x·log(y), but 0 for x = 0.
inline Lane xlogy(Lane x, Lane y) { return select((x == 0) & (y == y), x.like(0), x * log(y)); }

// log(x) + log(2), for arguments whose square would overflow.
inline Lane log_of_double(Lane x) { return log(x) + kLn2F64[0]; }

// log(a + sqrt(a² + 1)) for a = |x|, as log1p(a + a²/(1 + sqrt(a² + 1))).
inline Lane asinh(Lane x) {
  const Lane a = abs(x);
  const Lane square = a * a;
  const Lane y = log1p(a + square / (sqrt(square + 1) + 1));
  return with_sign_of(select(a < (x.dtype() == Dtype::f32 ? 0x1p14 : 0x1p30), y, log_of_double(a)), x);
}

// log(x + sqrt(x² - 1)), as log1p(t + sqrt(2t + t²)) with t = x - 1.
inline Lane acosh(Lane x) {
  const Lane t = x - 1;
  const Lane y = log1p(t + sqrt(fma(t, t, t + t)));
  const Lane defined = select(x < (x.dtype() == Dtype::f32 ? 0x1p14 : 0x1p30), y, log_of_double(x));
  return select(x < 1, x.like(kNaN), defined);
}

// log((1 + a)/(1 - a))/2 for a = |x|, as log1p(2a/(1 - a))/2.
inline Lane atanh(Lane x) {
  const Lane a = abs(x);
  return with_sign_of(0.5 * log1p((a + a) / (1 - a)), x);
}

}  // namespace tapeloop::lane
