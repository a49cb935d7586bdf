// x^y as a lane program. See ops/math.h for accuracy and method.
#pragma once

#include "ops/exp.h"

namespace tapeloop::lane {

// |x|^y for ordinary x in f32, by way of f64: 2^(y·log2|x|), where log2(1 + f) = 2·artanh(f/(2 + f))/ln 2. The fits have
// relative errors 2^-45.1 (log2) and 2^-40.2 (2^r), so that nearly all of the error is that of the last rounding.
inline Lane pow_of_magnitude_f32(Lane x, Lane y) {
  static constexpr double log2_fit[] = {2.88539008177785,   0.9617966941134575, 0.5770779423413881,
                                        0.4122092533132583, 0.3199057057701698, 0.2828995373942713};
  static constexpr double exp2_fit[] = {1,
                                        0.6931471805481971,
                                        0.24022650698115613,
                                        0.05550410935333824,
                                        0.009618128615442546,
                                        0.0013333454791989328,
                                        0.00015403825706023112,
                                        1.530917519449896e-05,
                                        1.3178920378353514e-06};
  const Split s = split(convert(abs(x), Dtype::f64));
  const Lane t = s.f / (s.f + 2);
  const Lane log2 = fma(t, polynomial(t * t, {}, log2_fit), s.k);
  // An infinite y becomes finite, so that 1^inf is not 0·inf; what is beyond the exponents of f32 is cut off.
  const Lane finite_y = at_least(at_most(convert(y, Dtype::f64), 0x1p60), -0x1p60);
  const Lane e = at_least(at_most(finite_y * log2, 200), -200);
  const Lane n = round(e);
  return convert(scale_by_power(polynomial(e - n, {}, exp2_fit), n), Dtype::f32);
}

// A sum of two f64 numbers, the second not larger than the rounding error of the first.
struct Double {
  Lane high, low;
};

// For |a| >= |b| or a = 0 (Dekker).
inline Double fast_two_sum(Lane a, Lane b) {
  const Lane high = a + b;
  return {high, b - (high - a)};
}

inline Double product(Double a, Double b) {
  const Lane high = a.high * b.high;
  return {high, fma(a.high, b.high, -high) + fma(a.high, b.low, a.low * b.high)};
}

// log(x) for a positive normal x, with a relative error of about 2^-66: with s = f/(2 + f) it is
// k·ln 2 + 2s + 2/3·s³ + s⁵·P(s²), all but the last term in twice the precision. The fit has relative error 2^-73.5.
inline Double log_f64(Lane x) {
  static constexpr double fit[] = {0.3999999999999998,  0.28571428571443835, 0.22222222217792154, 0.18181818843589692,
                                   0.15384558462129647, 0.13336263014883176, 0.11675813946621309, 0.11981456520006441};
  const Split split_x = split(x);
  const Lane f = split_x.f;
  const Double two_plus_f = fast_two_sum(f.like(2), f);
  const Lane inverse = 1 / two_plus_f.high;
  const Lane s_high = f * inverse;
  const Lane rest = fma(-s_high, two_plus_f.low, fma(-s_high, two_plus_f.high, f));
  const Double s = {s_high, rest * inverse};
  const Double z = product(s, s);
  const Lane tail = z.high * polynomial(z.high, {}, fit);
  Double factor = fast_two_sum(f.like(0.6666666666666666), tail);
  factor.low = factor.low + 3.700743415417188e-17;
  const Double cubic = product(product(s, z), factor);
  const Double log_m = fast_two_sum(s.high + s.high, cubic.high);
  const Lane log_m_low = log_m.low + (cubic.low + (s.low + s.low));

  const Lane k = split_x.k;
  const Lane k_ln2 = k * kLn2F64[0];
  const Double sum = fast_two_sum(k_ln2, log_m.high);
  const Lane low = fma(k, kLn2F64[1], fma(k, k.like(kLn2F64[0]), -k_ln2));
  return fast_two_sum(sum.high, sum.low + (log_m_low + low));
}

// |x|^y for ordinary x in f64, as e^(y·log|x|).
inline Lane pow_of_magnitude_f64(Lane x, Lane y) {
  const Double log_x = log_f64(abs(x));
  // As above: an infinite y becomes finite. The low part of a product that is out of range means nothing.
  const Lane finite_y = at_least(at_most(y, 0x1p66), -0x1p66);
  const Lane high = finite_y * log_x.high;
  const Lane low = fma(finite_y, log_x.low, fma(finite_y, log_x.high, -high));
  const Lane in_range = at_least(at_most(high, 800), -800);
  const Reduced e = reduce(in_range, kLn2);
  const Lane r = e.r + select(in_range == high, low, low.like(0));
  return scale_by_power(expm1_tail(r, r) + 1, e.n);
}

// x^y with the special cases of IEEE 754: x^0 = 1^y = 1, even for NaN; a negative base has a power if y is integral, and
// all large y are, and even.
inline Lane pow(Lane x, Lane y) {
  const bool is_f32 = x.dtype() == Dtype::f32;
  const Lane zero = x.like(0);
  const Lane infinity = x.like(kInfinity);
  const Lane magnitude = abs(x);
  const Lane ordinary = is_f32 ? pow_of_magnitude_f32(x, y) : pow_of_magnitude_f64(x, y);
  const Lane of_zero = select(y < 0, infinity, zero);
  const Lane of_infinity = select(y < 0, zero, infinity);
  const Lane of_magnitude = select(magnitude < (is_f32 ? 0x1p-126 : 0x1p-1022), of_zero,
                                   select(magnitude == infinity, of_infinity, ordinary));

  const Lane half = y * 0.5;
  const Lane integral = floor(y) == y;
  const Lane odd = integral & (floor(half) != half);
  const Lane signed_power = select(odd, with_sign_of(of_magnitude, x), of_magnitude);
  const Lane undefined = (x < 0) & (magnitude != infinity) & !integral;
  const Lane ordered = (x == x) & (y == y);
  const Lane power = select(ordered, select(undefined, x.like(kNaN), signed_power), x + y);
  return select((y == 0) | (x == 1), x.like(1), power);
}

}  // namespace tapeloop::lane
