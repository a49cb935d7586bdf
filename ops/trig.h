// sin and cos as lane programs. See ops/math.h for accuracy and method.
#pragma once

#include "ops/exp.h"

namespace tapeloop::lane {

// sin(x + ahead·pi/2) for ahead = 0 or 1: with x = m·pi/2 + r and |r| <= pi/4 it is sin(r), cos(r), -sin(r) or -cos(r), as
// m + ahead is 0, 1, 2 or 3 modulo 4. The fits have relative errors 2^-27.3 and 2^-32 (f32), 2^-57.9 and 2^-63.9.
//
// The bound on errors holds up to |x| = 2^20. Further out, where neighbouring numbers are soon a full turn apart, the
// result is NaN.
inline Lane sine(Lane x, int ahead) {
  // Truncated, not rounded: the parts must have one sign, so that r keeps that of x = -0.
  static constexpr double quarter_f32[] = {0x1.921fb4p+0, 0x1.4442dp-24, 0x1.846988p-48};
  static constexpr double quarter_f64[] = {0x1.921fb54442d18p+0, 0x1.1a62633145c06p-54, 0x1.c1cd129024e08p-107};
  static constexpr Step quarter = {0x1.45f306dc9c883p-1, quarter_f32, quarter_f64};
  static constexpr double sin_f32[] = {-0.166666493, 0.00833183806, -0.000194733337};
  static constexpr double sin_f64[] = {-0.1666666666666663,   0.00833333333332184,     -0.00019841269829358856,
                                       2.755731353874444e-06, -2.5050734436302223e-08, 1.589543621146172e-10};
  static constexpr double cos_f32[] = {1, -0.5, 0.0416666381, -0.00138869428, 2.43908034e-05};
  static constexpr double cos_f64[] = {1,
                                       -0.5,
                                       0.041666666666666595,
                                       -0.0013888888888873342,
                                       2.480158728900216e-05,
                                       -2.7557314217094654e-07,
                                       2.0875705408184336e-09,
                                       -1.1358750093037676e-11};
  const bool is_f32 = x.dtype() == Dtype::f32;
  const Lane s = x.like(shift(x.dtype(), ahead));
  const Lane shifted = fma(x, x.like(quarter.inverse), s);
  const Lane m = shifted - s;
  const Lane r = subtract_multiple(x, m, quarter);
  const Lane square = r * r;
  const Lane sin_r = with_sign_of(fma(r * square, polynomial(square, sin_f32, sin_f64), r), r);
  const Lane cos_r = polynomial(square, cos_f32, cos_f64);

  const auto signed_part = [&] {
    if (is_f32) {  // the number of the quarter is in the low bits
      const Lane bits = bitcast(shifted, Dtype::u32);
      const Lane zero = bits.literal_bits(Dtype::u32, 0);
      const Lane sign = (bits >> 1) << 31;
      const Lane y = select((bits << 31) == zero, sin_r, cos_r);
      return bitcast(bitcast(y, Dtype::u32) ^ sign, Dtype::f32);
    }
    const Lane number = ahead == 0 ? m : m + ahead;
    const Lane pairs = floor(number * 0.5);
    const Lane y = select(fma(pairs, -2, number) == 0, sin_r, cos_r);
    const Lane odd_pair = fma(floor(pairs * 0.5), -2, pairs);
    return y * fma(odd_pair, -2, y.like(1));
  };
  return select(abs(x) <= 0x1p20, signed_part(), x.like(kNaN));
}

inline Lane sin(Lane x) { return sine(x, 0); }
inline Lane cos(Lane x) { return sine(x, 1); }

}  // namespace tapeloop::lane
