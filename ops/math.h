// The elementary functions as lane programs: exp, log, tanh and the like, in f32 and f64.
//
// Each is one straight line of lane instructions for all arguments, written for vector hardware: a case is a `select`,
// a table a polynomial. The interpreter and the compiler run the same lines, so a function has the same bits wherever
// it is computed. NaN goes in, NaN comes out; a denormal argument counts as a zero of its sign, and results below the
// normal range are zeros, as everywhere (ad/denormals.h).
//
// Accuracy is given in ulp: the distance from the exact value in units of the last place of the exact value. The f32
// numbers are the largest found over all 2^32 arguments, those of f64 over 10^7 samples against MPFR; both are measured
// by tests/math_test.cpp. The bound is 2 ulp, but for asin 2.2, sinh, asinh, acosh and atanh 2.5, and tan 3. lgamma and
// digamma, which have zeros that no float can name, are bounded by 8 and 16 ulp of max(|y|, 1), in f64 measured up to
// |x| = 1024.
//
// Coefficients are our own minimax fits (Remez exchange, weighted with the relative error of the result, rounded one
// after the other and refitted). The comment above a function gives the range of the fit and its error.
#pragma once

#include "ops/division.h"
#include "ops/exp.h"
#include "ops/gamma.h"
#include "ops/pow.h"
#include "ops/trig.h"

namespace tapeloop::lane {

// 1/sqrt(x): two roundings.
inline Lane rsqrt(Lane x) { return 1 / sqrt(x); }

// The error function, as 1 - e^-E with E(a) = -log(erfc(a)) = a + a·Q(a) for a = |x|: erfc is smooth enough to do with
// one polynomial, and the fit is weighted with what an error of E does to erf. Its relative error is 2^-27.8 (f32, on
// [0, 3.95]), 2^-55.7 (f64, on [0, 5.95]); beyond, erf rounds to 1.
inline Lane erf(Lane x) {
  static constexpr double f32[] = {0.128379166,   0.636619568,     0.102776304,    -0.0191478189,  -0.000169519495,
                                   0.00167569914, -0.000637378951, 0.000118866112, -9.38848734e-06};
  static constexpr double f64[] = {
      0.12837916709551256,     0.6366197723675875,      0.10277260330153733,    -0.01912844699866929,
      -0.0002091947803589802,  0.0016962070798496839,   -0.0005901292901515525, 2.589275004349785e-05,
      6.445266384224509e-05,   -2.9642166010366226e-05, 3.275500480088381e-06,  3.001121683460564e-06,
      -1.9071214582938222e-06, 4.682082319878629e-07,   5.297776296912153e-08,  -9.855259410626573e-08,
      4.794261595708855e-08,   -1.5113513124970598e-08, 3.476029294297263e-09,  -5.99546701437778e-10,
      7.712170610280048e-11,   -7.18819487157253e-12,   4.580565487514061e-13,  -1.7789053813378597e-14,
      3.1569951224834644e-16};
  const Lane a = at_most(abs(x), x.dtype() == Dtype::f32 ? 3.95 : 5.95);
  const Lane minus_e = -fma(a, polynomial(a, f32, f64), a);
  const Reduced e = reduce(minus_e, kLn2);
  const Lane power = e.power();
  return with_sign_of(fma(-power, expm1_tail(e.r, e.r), 1 - power), x);
}

}  // namespace tapeloop::lane
