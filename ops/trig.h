// Trigonometric functions and their inverses as lane programs. See ops/math.h for accuracy and method.
#pragma once

#include "ops/exp.h"

namespace tapeloop::lane {

// x = m·pi/2 + r + tail, where the integer m numbers the quarter turn whose middle is nearest to x: |r| <= pi/4, but up to
// 0.83 in f32 far out, since the product that is rounded to m is known to so much only.
//
// Of the subtractions only the last is rounded. What then is still missing, the tail, would move r by up to another half
// ulp if it were subtracted too; the caller adds it to something that is small beside r. For f32 this takes four parts of
// pi/2: x less the first two, which end at 2^-22 and 2^-24, is exact, and the third happens to be followed by four zeros,
// so that the tail is below 2^-34.
struct QuarterTurns {
  Lane shifted;  // its low bits are in f32 those of m + ahead
  Lane m, r, tail;

  explicit QuarterTurns(Lane x, int ahead = 0) : QuarterTurns(x, x.like(shift(x.dtype(), ahead))) {}

 private:
  // Truncated, not rounded: the parts must have one sign, so that r keeps that of x = -0.
  static constexpr double f32[] = {0x1.921fb4p+0, 0x1p-24, 0x1.110b46p-26, 0x1.1a6262p-54};
  static constexpr double f64[] = {0x1.921fb54442d18p+0, 0x1.1a62633145c06p-54, 0x1.c1cd129024e08p-107};

  QuarterTurns(Lane x, Lane s) : shifted(fma(x, x.like(0x1.45f306dc9c883p-1), s)), m(shifted - s), r(x), tail(x) {
    const Coefficients parts = x.dtype() == Dtype::f32 ? Coefficients(f32) : Coefficients(f64);
    for (double part : parts.first(parts.size() - 1)) r = fma(m, -part, r);
    tail = m * -parts.back();
  }
};

// sin(r + tail) = r + (r·square·sin_part + tail) and cos(r + tail) = 1 + square·cos_part, to which the tail would not add
// a hundredth of an ulp. The fits have relative errors 2^-27.3 and 2^-32 (f32), 2^-57.9 and 2^-63.9.
struct SineAndCosine {
  Lane square, cube, sin_part, cos_part, sine, cosine;

  explicit SineAndCosine(const QuarterTurns& turns)
      : square(turns.r * turns.r),
        cube(turns.r * square),
        sin_part(polynomial(square, sin_f32, sin_f64)),
        cos_part(polynomial(square, cos_f32, cos_f64)),
        sine(with_sign_of(turns.r + fma(cube, sin_part, turns.tail), turns.r)),
        cosine(fma(square, cos_part, 1)) {}

 private:
  static constexpr double sin_f32[] = {-0.166666493, 0.00833183806, -0.000194733337};
  static constexpr double sin_f64[] = {-0.1666666666666663,   0.00833333333332184,     -0.00019841269829358856,
                                       2.755731353874444e-06, -2.5050734436302223e-08, 1.589543621146172e-10};
  static constexpr double cos_f32[] = {-0.5, 0.0416666381, -0.00138869428, 2.43908034e-05};
  static constexpr double cos_f64[] = {-0.5,
                                       0.041666666666666595,
                                       -0.0013888888888873342,
                                       2.480158728900216e-05,
                                       -2.7557314217094654e-07,
                                       2.0875705408184336e-09,
                                       -1.1358750093037676e-11};
};

// The bounds on errors hold up to |x| = 2^20 (f32), 2^40. Further out, where neighbouring numbers are soon a full turn
// apart, the results are NaN.
inline Lane within_range(Lane x, Lane y) {
  return select(abs(x) <= (x.dtype() == Dtype::f32 ? 0x1p20 : 0x1p40), y, x.like(kNaN));
}

// sin(x + ahead·pi/2) for ahead = 0 or 1: the sine of r, its cosine, or minus either, as m + ahead is 0, 1, 2 or 3
// modulo 4.
inline Lane sine(Lane x, int ahead) {
  const QuarterTurns turns(x, ahead);
  const SineAndCosine of(turns);
  if (x.dtype() == Dtype::f32) {
    const Lane bits = bitcast(turns.shifted, Dtype::u32);
    const Lane zero = bits.literal_bits(Dtype::u32, 0);
    const Lane sign = (bits >> 1) << 31;
    const Lane y = select((bits << 31) == zero, of.sine, of.cosine);
    return within_range(x, bitcast(bitcast(y, Dtype::u32) ^ sign, Dtype::f32));
  }
  const Lane number = ahead == 0 ? turns.m : turns.m + ahead;
  const Lane pairs = floor(number * 0.5);
  const Lane y = select(fma(pairs, -2, number) == 0, of.sine, of.cosine);
  const Lane odd_pair = fma(floor(pairs * 0.5), -2, pairs);
  return within_range(x, y * fma(odd_pair, -2, y.like(1)));
}

inline Lane sin(Lane x) { return sine(x, 0); }
inline Lane cos(Lane x) { return sine(x, 1); }

// With s = r + r·A and c = 1 + B, sine and cosine of r, it is s/c = r + r·(A - B)/c for even m. For odd m it is -c/s, and
// where |r| > 1/2 that is -(1 + (c - s)/s) with c - s = (1 - r) + (B - r·A): what is added to a number that has no error is
// small, so that the roundings of s and c do not count in full.
inline Lane tan(Lane x) {
  const QuarterTurns turns(x);
  const SineAndCosine of(turns);
  const Lane is_even = fma(floor(turns.m * 0.5), -2, turns.m) == 0;
  const Lane a = abs(turns.r), is_far = a > 0.5;
  const Lane less = (1 - a) + fma(abs(of.cube), -of.sin_part, of.square * of.cos_part);
  const Lane quotient = select(is_even, of.sin_part - of.cos_part, select(is_far, less, of.cosine)) /
                        select(is_even, of.cosine, abs(of.sine));
  const Lane even = turns.r + fma(of.cube, quotient, turns.tail);
  const Lane odd = quotient + select(is_far, x.like(1), x.like(0));
  return within_range(x, with_sign_of(select(is_even, even, odd), select(is_even, turns.r, -turns.r)));
}

// --- inverses -----------------------------------------------------------------------------------------------------------

// Of pi, and what that leaves in either dtype.
struct PartOfPi {
  double f32[2], f64[2];
  Lane high(Lane x) const { return x.like(x.dtype() == Dtype::f32 ? f32[0] : f64[0]); }
  Lane low(Lane x) const { return x.like(x.dtype() == Dtype::f32 ? f32[1] : f64[1]); }
};
constexpr PartOfPi kPi = {{0x1.921fb6p+1, -0x1.777a5cp-24}, {0x1.921fb54442d18p+1, 0x1.1a62633145c07p-53}};
constexpr PartOfPi kHalfPi = {{0x1.921fb6p+0, -0x1.777a5cp-25}, {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54}};
constexpr PartOfPi kQuarterPi = {{0x1.921fb6p-1, -0x1.777a5cp-26}, {0x1.921fb54442d18p-1, 0x1.1a62633145c07p-55}};

// The angle of the point (b, a) from the first axis, for a, b >= 0: arctan of a/b, of (a - b)/(a + b) and pi/4 added, or of
// -b/a and pi/2 added, so that the quotient is at most tan(pi/8). The fit has relative errors 2^-30.4 (f32), 2^-63.5.
inline Lane angle(Lane a, Lane b) {
  static constexpr double f32[] = {-0.333333164, 0.199985266, -0.142443448, 0.105987169, -0.0608866811};
  static constexpr double f64[] = {-0.33333333333333326, 0.199999999999971,    -0.14285714285317708,
                                   0.11111111083861737,  -0.09090907991092628, 0.07692279334056018,
                                   -0.06666176719505151, 0.05876535879209341,  -0.0521529662640676,
                                   0.0449097638085237,   -0.033182922893822,   0.014900050466659856};
  constexpr double kTan = 0.41421356237309503;  // of pi/8
  const Lane is_low = a <= b * kTan, is_middle = a * kTan <= b;
  const auto choose = [&](Lane low, Lane middle, Lane high) {
    return select(is_low, low, select(is_middle, middle, high));
  };
  const Lane zero = a.like(0);
  const Lane numerator = choose(a, a - b, -b);
  const Lane denominator = choose(select(b == 0, b.like(1), b), a + b, a);
  const Lane q = numerator / denominator;
  const Lane square = q * q;
  const Lane tail = fma(q * square, polynomial(square, f32, f64), choose(zero, kQuarterPi.low(a), kHalfPi.low(a)));
  return choose(zero, kQuarterPi.high(a), kHalfPi.high(a)) + (q + tail);
}

inline Lane atan(Lane x) { return with_sign_of(angle(abs(x), x.like(1)), x); }

// The angle of the point (x, y) from the x axis, with the zeros and infinities of IEEE 754.
inline Lane atan2(Lane y, Lane x) {
  Lane a = abs(y), b = abs(x);
  // Far from 1 both are moved nearer to it: sums must not overflow, nor differences be flushed. What then is too small
  // has no angle either.
  const double edge = x.dtype() == Dtype::f32 ? 0x1p60 : 0x1p500;
  const Lane greater = max(a, b);
  const Lane scale = select(greater > edge, x.like(1 / edge), select(greater < 1 / edge, x.like(edge), x.like(1)));
  const Lane both_infinite = (a == kInfinity) & (b == kInfinity);
  a = select(both_infinite, x.like(1), a * scale);
  b = select(both_infinite, x.like(1), b * scale);
  const Lane first = angle(a, b);
  const Lane second = kPi.high(x) - (first - kPi.low(x));
  return with_sign_of(select(with_sign_of(x.like(1), x) < 0, second, first), y);
}

// For s = |x| or sqrt((1 - |x|)/2), whichever is at most 1/2, arcsin(s); the other case has another formula for either
// function. The fit has relative errors 2^-31.7 (f32), 2^-59.8 (f64).
struct ArcSine {
  Lane is_outer, value;
};
inline ArcSine arc_sine(Lane x) {
  static constexpr double f32[] = {0.166666597, 0.0750052184, 0.044513382, 0.0318389833, 0.0143152503, 0.0376965292};
  static constexpr double f64[] = {
      0.1666666666666676,  0.07499999999970866,  0.04464285717456107,  0.03038194270985212,  0.02237221493650602,
      0.01735161283832959, 0.013980811527620884, 0.011398980349256778, 0.010779897216686261, 0.003707668275620747,
      0.02170455594920772, -0.02099518259721363, 0.032626312208341966};
  const Lane a = abs(x);
  const Lane is_outer = a > 0.5;
  const Lane square = select(is_outer, (1 - a) * 0.5, a * a);
  const Lane s = select(is_outer, sqrt(square), a);
  return {is_outer, fma(s * square, polynomial(square, f32, f64), s)};
}

// pi/2 - 2·arcsin(sqrt((1 - |x|)/2)) in the outer half.
inline Lane asin(Lane x) {
  const ArcSine arc = arc_sine(x);
  const Lane outer = fma(arc.value, -2, kHalfPi.high(x)) + kHalfPi.low(x);
  return with_sign_of(select(arc.is_outer, outer, arc.value), x);
}

// pi/2 - arcsin(x); in the outer half 2·arcsin(sqrt((1 - x)/2)), or pi less that of -x.
inline Lane acos(Lane x) {
  const ArcSine arc = arc_sine(x);
  const Lane inner = kHalfPi.high(x) - (with_sign_of(arc.value, x) - kHalfPi.low(x));
  const Lane twice = 2 * arc.value;
  const Lane outer = select(x < 0, kPi.high(x) - (twice - kPi.low(x)), twice);
  return select(arc.is_outer, outer, inner);
}

}  // namespace tapeloop::lane
