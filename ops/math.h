// The elementary functions as lane programs: exp, log, tanh and the like, in f32 and f64.
//
// Each is one straight line of lane instructions for all arguments, written for vector hardware: a case is a `select`,
// a table a polynomial. The interpreter and the compiler run the same lines, so a function has the same bits wherever
// it is computed. NaN goes in, NaN comes out; a denormal argument counts as a zero of its sign, and results below the
// normal range are zeros, as everywhere (ad/denormals.h).
//
// Accuracy is given in ulp: the distance from the exact value in units of the last place of the exact value. The f32
// numbers are the largest found over all 2^32 arguments, those of f64 over 10^7 samples against MPFR; both are measured
// by tests/math_test.cpp.
//
// Coefficients are our own minimax fits (Remez exchange, weighted with the relative error of the result, rounded one
// after the other and refitted). The comment above a function gives the range of the fit and its error.
#pragma once

#include "ops/exp.h"
#include "ops/pow.h"
#include "ops/trig.h"

namespace tapeloop::lane {

// 1/sqrt(x): two roundings.
inline Lane rsqrt(Lane x) { return 1 / sqrt(x); }

// The error function, as 1 - e^-E with E(a) = -log(erfc(a)) = a + a·Q(a) for a = |x|: erfc is smooth enough to do with
// one polynomial, and the fit is weighted with what an error of E does to erf. Its relative error is 2^-27.8 (f32, on
// [0, 3.95]), 2^-54.8 (f64, on [0, 5.95]); beyond, erf rounds to 1.
inline Lane erf(Lane x) {
  static constexpr double f32[] = {0.128379166,   0.636619568,     0.102776304,    -0.0191478189,  -0.000169519495,
                                   0.00167569914, -0.000637378951, 0.000118866112, -9.38848734e-06};
  static constexpr double f64[] = {
      0.1283791670955126,      0.6366197723675763,      0.10277260330228045,    -0.019128447018052053,
      -0.00020919451463541922, 0.001696204862979271,    -0.0005901169984281768, 2.5844737782871622e-05,
      6.459028905413512e-05,   -2.994039539953117e-05,  3.774946545972515e-06,  2.343957277646821e-06,
      -1.219403995238859e-06,  -1.0921153929088139e-07, 4.4419344049041534e-07, -3.130841196709349e-07,
      1.4318978474670762e-07,  -4.9263542883787517e-08, 1.3306433461115671e-08, -2.8490106427906653e-09,
      4.800278741589666e-10,   -6.235995203089389e-11,  6.025914592267439e-12,  -4.074701570309152e-13,
      1.7184759793569736e-14,  -3.3979551365859113e-16};
  const Lane a = at_most(abs(x), x.dtype() == Dtype::f32 ? 3.95 : 5.95);
  const Lane minus_e = -fma(a, polynomial(a, f32, f64), a);
  const Reduced e = reduce(minus_e, kLn2);
  const Lane power = e.power();
  return with_sign_of(fma(-power, expm1_tail(e.r, e.r), 1 - power), x);
}

}  // namespace tapeloop::lane
