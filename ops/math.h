// The elementary functions as Lane programs, in f32 and f64: branch-free, fma only where written.
//
// exp and its kin reduce the argument by multiples of ln 2 (Cody and Waite, 1980) and sum the Taylor series of what is
// left; log splits off the exponent and sums the series of atanh.
#pragma once

#include <array>
#include <limits>
#include <numbers>

#include "ad/lanes.h"

namespace tapeloop::lane {

// c[0] + c[1] x + … by Horner's rule in fma.
template <std::size_t N>
Lane polynomial(Lane x, const std::array<double, N>& c) {
  Lane sum = x.like(c[N - 1]);
  for (std::size_t i = N - 1; i-- > 0;) sum = fma(sum, x, c[i]);
  return sum;
}

namespace series {
// 1/k!, from k = 0
template <std::size_t N>
constexpr std::array<double, N> exponential() {
  std::array<double, N> c{};
  double factorial = 1;
  for (std::size_t k = 0; k < N; ++k) {
    if (k) factorial *= double(k);
    c[k] = 1 / factorial;
  }
  return c;
}
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
// 2/(2k + 1)
template <std::size_t N>
constexpr std::array<double, N> atanh() {
  std::array<double, N> c{};
  for (std::size_t k = 0; k < N; ++k) c[k] = 2 / (2 * double(k) + 1);
  return c;
}
}  // namespace series

struct Reduced {
  Lane r, n;  // x = n ln 2 + r
};
inline Reduced reduce_by_ln2(Lane x) {
  const bool f32 = x.dtype() == Dtype::f32;
  const Lane n = round(x * std::numbers::log2e);
  Lane r = fma(n, x.like(f32 ? -0x1.62e4p-1 : -0x1.62e42fefa38p-1), x);
  r = fma(n, x.like(f32 ? -0x1.7f7d1cp-20 : -0x1.ef35793c7673p-45), r);
  return {r, n};
}

inline Lane exp(Lane x) {
  const bool f32 = x.dtype() == Dtype::f32;
  const Lane low = select(x < (f32 ? -104.0 : -746.0), x.like(f32 ? -104 : -746), x);
  const Lane clamped = select(low > (f32 ? 89.0 : 710.0), x.like(f32 ? 89 : 710), low);
  const auto [r, n] = reduce_by_ln2(clamped);
  const Lane p = f32 ? polynomial(r, series::exponential<8>()) : polynomial(r, series::exponential<14>());
  return scale_by_power(p, n);
}

// exp(x) − 1: near 0 by its own series, elsewhere from exp.
inline Lane expm1(Lane x) {
  const bool f32 = x.dtype() == Dtype::f32;
  const Lane small = select(abs(x) < 0.5, x, x.like(0));
  std::array<double, 12> c32{};
  std::array<double, 18> c64{};
  constexpr auto all = series::exponential<19>();
  for (std::size_t i = 0; i < c32.size(); ++i) c32[i] = all[i + 1];
  for (std::size_t i = 0; i < c64.size(); ++i) c64[i] = all[i + 1];
  const Lane near = small * (f32 ? polynomial(small, c32) : polynomial(small, c64));
  return select(abs(x) < 0.5, near, exp(x) - 1);
}

inline Lane tanh(Lane x) {
  const Lane a = abs(x);
  const Lane clamped = select(a > 20, a.like(20), a);
  const Lane e = expm1(2 * clamped);
  const Lane y = select(a > 20, a.like(1), e / (e + 2));
  const Lane signed_y = select(x < 0, -y, y);
  return select(x == 0, x, signed_y);
}

inline Lane sigmoid(Lane x) { return 1 / (1 + exp(-x)); }

inline Lane log(Lane x) {
  const bool f32 = x.dtype() == Dtype::f32;
  const Dtype u32 = Dtype::u32;
  // x = m 2^n with m in [√½, √2)
  const Lane bits = f32 ? bitcast(x, u32) : bits_of_exponent(x);
  const int shift = f32 ? 23 : 20;
  const Lane offset = bits + bits.literal_bits(u32, f32 ? 0x3f800000u - 0x3f3504f3u : 0x3ff00000u - 0x3fe6a09eu);
  const Lane n = convert((offset >> shift) & bits.like(f32 ? 255 : 2047), x.dtype()) - (f32 ? 127.0 : 1023.0);
  const Lane mantissa = (offset & bits.literal_bits(u32, f32 ? 0x7fffff : 0xfffff)) +
                        bits.literal_bits(u32, f32 ? 0x3f3504f3u : 0x3fe6a09eu);
  const Lane m = f32 ? bitcast(mantissa, Dtype::f32) : with_exponent(x, mantissa);
  const Lane s = (m - 1) / (m + 1), z = s * s;
  const Lane tail = f32 ? polynomial(z, series::atanh<6>()) : polynomial(z, series::atanh<12>());
  Lane y = fma(n, x.like(f32 ? 0x1.7f7d1cp-20 : 0x1.ef35793c7673p-45), s * tail);
  y = fma(n, x.like(f32 ? 0x1.62e4p-1 : 0x1.62e42fefa38p-1), y);
  const double infinity = std::numeric_limits<double>::infinity();
  y = select(x == infinity, x, y);
  y = select(x == 0, x.like(-infinity), y);
  return select(x < 0, x.like(std::numeric_limits<double>::quiet_NaN()), select(is_nan(x), x, y));
}

// log(1 + x): the rounding of 1 + x is put right to first order.
inline Lane log1p(Lane x) {
  const Lane u = 1 + x;
  const Lane y = log(u) + (x - (u - 1)) / u;
  const double infinity = std::numeric_limits<double>::infinity();
  return select(x == 0, x, select(x == infinity, x, select(u == 0, x.like(-infinity), y)));
}

// log(1 + e^x) without overflow
inline Lane softplus(Lane x) { return select(x > 0, x, x * 0) + log1p(exp(-abs(x))); }

inline Lane rsqrt(Lane x) { return 1 / sqrt(x); }

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
  const Lane s = r * (f32 ? polynomial(z, series::circular<6>(1)) : polynomial(z, series::circular<10>(1)));
  const Lane c = f32 ? polynomial(z, series::circular<6>(0)) : polynomial(z, series::circular<11>(0));
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
