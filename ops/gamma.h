// log|Γ| and its derivatives as lane programs. See ops/math.h for accuracy and method. f32 is computed in f64.
#pragma once

#include <iterator>
#include <vector>

#include "ops/trig.h"

namespace tapeloop::lane {

// x less the nearest integer, times pi: where sin(pi·x) and its like are computed without loss.
inline Lane angle_in_period(Lane x) { return (x - round(x)) * 0x1.921fb54442d18p+1; }

// log Γ(y) for y >= 0 in f64.
//
// Up to 8.5: by Γ(y + 1) = y·Γ(y) from t = y - 2 - k in [-1/2, 1/2], where log Γ(2 + t) is t·P(t); the fit has relative
// error 2^-55.2. No two terms cancel but next to the zero at 1, where log(y) is small with the result.
// From 8.5 on: Stirling's series (y - 1/2)·(log(y) - 1) + (log(2·pi) - 1)/2 + 1/(12·y) - …
inline Lane lgamma_of_positive(Lane y) {
  static constexpr double fit[] = {
      0.42278433509846713,     0.3224670334241132,     -0.06735230105319814,    0.02058080842778457,
      -0.0073855510286681535,  0.002890510330738737,   -0.0011927539120010226,  0.0005096695248853096,
      -0.00022315475074520367, 9.945750909889392e-05,  -4.4926351103833334e-05, 2.050726741605779e-05,
      -9.438458716242811e-06,  4.374374916915131e-06,  -2.0449201467015115e-06, 9.578663334114758e-07,
      -4.303558760359961e-07,  2.0304806751615227e-07, -1.3412819758517287e-07, 6.379047507619774e-08};
  static constexpr double series[] = {1.0 / 12,   -1.0 / 360,      1.0 / 1260, -1.0 / 1680,
                                      1.0 / 1188, -691.0 / 360360, 1.0 / 156,  -3617.0 / 122400};
  Lane t = select(y < 0.5, y, select(y < 1.5, y - 1, y - 2));
  Lane product = select(y < 0.5, y * (y + 1), select(y < 1.5, y, y.like(1)));
  for (int k = 1; k <= 6; ++k) {
    const Lane is_above = y >= k + 1.5;
    product = select(is_above, product * (y - k), product);
    t = select(is_above, y - (k + 2), t);
  }
  const Lane log_product = log(product);
  const Lane near = fma(t, polynomial(t, {}, fit), select(y < 1.5, -log_product, log_product));

  const Lane inverse = 1 / y;
  const Lane rest = fma(inverse, polynomial(inverse * inverse, {}, series), 0.41893853320467274);
  const Lane far = fma(y - 0.5, log(y) - 1, rest);
  return select(y < 8.5, near, far);
}

// log|Γ(x)|; by Γ(x)·Γ(-x) = -pi/(x·sin(pi·x)) for negative x. inf at the poles and at both infinities.
inline Lane lgamma(Lane x) {
  if (x.dtype() == Dtype::f32) return convert(lgamma(convert(x, Dtype::f64)), Dtype::f32);
  const Lane a = abs(x);
  const Lane y = lgamma_of_positive(a);
  const Lane reflected = log(0x1.921fb54442d18p+1 / (a * abs(sin(angle_in_period(x))))) - y;
  return select(a == kInfinity, a, select(x < 0, reflected, y));
}

// The n-th derivative of the digamma function ψ = Γ'/Γ, for n >= 0. For y >= 1/2 by ψ⁽ⁿ⁾(y) = ψ⁽ⁿ⁾(y + 1) - (-1)ⁿ·n!/yⁿ⁺¹
// from an argument that is great enough for the asymptotic series
//
//   ψ(z) = log(z) - 1/(2z) - Σ_k B_2k/(2k·z^2k),
//   (-1)ⁿ⁺¹·ψ⁽ⁿ⁾(z) = (n-1)!/zⁿ + n!/(2zⁿ⁺¹) + Σ_k B_2k·(2k+n-1)!/((2k)!·z^(2k+n)),
//
// and for x < 0 by ψ⁽ⁿ⁾(x) = (-1)ⁿ·ψ⁽ⁿ⁾(1 - x) - pi·dⁿ/dxⁿ cot(pi·x); NaN at the poles.
inline Lane polygamma(int n, Lane x) {
  if (x.dtype() == Dtype::f32) return convert(polygamma(n, convert(x, Dtype::f64)), Dtype::f32);
  static constexpr double bernoulli[] = {1.0 / 6,       -1.0 / 30, 1.0 / 42,      -1.0 / 30,    5.0 / 66,
                                         -691.0 / 2730, 7.0 / 6,   -3617.0 / 510, 43867.0 / 798};
  const auto power = [](Lane z, int exponent) {
    Lane product = z;
    for (int i = 1; i < exponent; ++i) product = product * z;
    return product;
  };
  double factorial = 1;  // of n
  for (int i = 2; i <= n; ++i) factorial *= i;
  const int steps = 10 + 2 * n;
  const Lane y = select(x < 0, 1 - x, x);
  const Lane is_near = y < steps;

  // Σ n!/(y + k)ⁿ⁺¹, from the smallest.
  Lane sum = x.like(0);
  for (int k = steps; k-- > 0;) sum = sum + factorial / power(k == 0 ? y : y + k, n + 1);
  sum = select(is_near, sum, x.like(0));

  const Lane z = select(is_near, y + steps, y);
  const Lane inverse = 1 / z;
  std::vector<double> series;              // in 1/z²
  double ratio = factorial * (n + 1) / 2;  // (2k + n - 1)!/(2k)! for k = 1
  for (int k = 1; k <= int(std::size(bernoulli)); ++k) {
    series.push_back(bernoulli[k - 1] * ratio);
    ratio *= double((2 * k + n) * (2 * k + n + 1)) / double((2 * k + 1) * (2 * k + 2));
  }
  const Lane tail = inverse * polynomial(inverse * inverse, {}, series) + factorial / 2;
  Lane value = sum;
  if (n == 0)
    value = log(z) - (fma(inverse, tail, sum));
  else
    value = fma(power(inverse, n), fma(inverse, tail, factorial / n), sum);
  if (n % 2 == 0 && n > 0) value = -value;

  // dⁿ/dxⁿ cot(pi·x) = piⁿ·C_n(cot(pi·x)) with C_0(c) = c and C_n+1(c) = -(1 + c²)·C_n'(c).
  std::vector<double> c{0, 1};
  for (int i = 0; i < n; ++i) {
    std::vector<double> next(c.size() + 1, 0);
    for (std::size_t j = 1; j < c.size(); ++j) {
      next[j - 1] -= double(j) * c[j];
      next[j + 1] -= double(j) * c[j];
    }
    c = next;
  }
  double scale = 1;
  for (int i = 0; i <= n; ++i) scale *= 0x1.921fb54442d18p+1;
  for (double& coefficient : c) coefficient *= scale;
  const Lane turn = angle_in_period(x);
  const Lane cotangent = select(turn == 0, x.like(kNaN), cos(turn) / sin(turn));
  const Lane reflected = (n % 2 == 0 ? value : -value) - polynomial(cotangent, {}, c);
  return select(x < 0, reflected, value);
}

}  // namespace tapeloop::lane
