// sin, cos, erf and pow as Lane programs, in f32 and f64: sums of their series after a reduction of the argument.
#pragma once

#include <array>
#include <limits>
#include <numbers>

#include "ad/lanes.h"
#include "ops/math.h"

namespace tapeloop::lane {

// c[0] + c[1] x + … by Horner's rule in fma.
template <std::size_t N>
Lane horner(Lane x, const std::array<double, N>& c) {
  Lane sum = x.like(c[N - 1]);
  for (std::size_t i = N - 1; i-- > 0;) sum = fma(sum, x, c[i]);
  return sum;
}

namespace series {
// (−1)^k/(2k + first)!
template <std::size_t N>
constexpr std::array<double, N> circular(int first) {
  std::array<double, N> c{};
  double factorial = 1, sign = 1;
  for (std::size_t k = 0; k < N; ++k) {
    c[k] = sign / factorial;
    sign = -sign;
    const double n = 2.0 * double(k) + first;
    factorial *= (n + 1) * (n + 2);
  }
  return c;
}
}  // namespace series

struct SinCos {
  Lane sine, cosine;
};
// |x| ≤ 2^20; beyond, the reduction by π/2 loses digits.
inline SinCos sin_cos(Lane x) {
  const bool f32 = x.dtype() == Dtype::f32;
  const Lane n = round(x * (2 / std::numbers::pi));
  Lane r = fma(n, x.like(f32 ? -0x1.921fb6p+0 : -0x1.921fb54442d18p+0), x);
  r = fma(n, x.like(f32 ? 0x1.777a5cp-25 : -0x1.1a62633145c07p-54), r);
  if (f32) r = fma(n, x.like(0x1.ee59dap-50), r);
  const Lane z = r * r;
  const Lane s = r * (f32 ? horner(z, series::circular<6>(1)) : horner(z, series::circular<10>(1)));
  const Lane c = f32 ? horner(z, series::circular<6>(0)) : horner(z, series::circular<11>(0));
  const Lane quarter = n - 4 * floor(n * 0.25);  // 0, 1, 2, 3
  const Lane odd = select(quarter == 1, r.literal(Dtype::boolean, 1), quarter == 3);
  const Lane sine = select(odd, c, s), cosine = select(odd, s, c);
  const Lane turned = select(quarter == 1, r.literal(Dtype::boolean, 1), quarter == 2);
  return {select(quarter >= 2, -sine, sine), select(turned, -cosine, cosine)};
}
inline Lane sin(Lane x) { return select(x == 0, x, sin_cos(x).sine); }
inline Lane cos(Lane x) { return sin_cos(x).cosine; }

// 2/√π e^(−x²) Σ 2^k x^(2k+1)/(1·3·…·(2k+1)): all terms are positive, nothing cancels (Abramowitz and Stegun 7.1.6).
inline Lane erf(Lane x) {
  const bool f32 = x.dtype() == Dtype::f32;
  const double limit = f32 ? 4.0 : 6.0;
  const Lane a = abs(x), clamped = select(a > limit, a.like(limit), a);
  const Lane z = 2 * (clamped * clamped);
  Lane sum = z.like(1);
  for (int k = f32 ? 60 : 120; k >= 1; --k) sum = fma(sum, z * (1.0 / (2 * k + 1)), 1.0);
  const Lane y = (clamped * (2 * std::numbers::inv_sqrtpi)) * exp(-(clamped * clamped)) * sum;
  const Lane saturated = select(a > limit, a.like(1), y);
  return select(x == 0, x, select(x < 0, -saturated, saturated));
}

// exp(y log x), with the special cases of IEEE 754 pow.
inline Lane pow(Lane x, Lane y) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Lane whole = floor(y) == y, odd_half = y * 0.5;
  const Lane odd = whole & !(floor(odd_half) == odd_half);
  const Lane magnitude = exp(y * log(abs(x)));
  const Lane negative = (x < 0) & odd;
  Lane result = select(negative, -magnitude, magnitude);
  result = select((x < 0) & !whole & !(x == -infinity), x.like(std::numeric_limits<double>::quiet_NaN()), result);
  result = select(x == 1, x.like(1), result);
  return select(y == 0, x.like(1), result);
}

}  // namespace tapeloop::lane
