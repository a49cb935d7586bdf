// Division with remainder as lane programs, for floats and integers. Nothing is rounded.
#pragma once

#include "ops/exp.h"

namespace tapeloop::lane {

// Without the fraction, with the sign of x on zeros too.
inline Lane trunc(Lane x) { return with_sign_of(floor(abs(x)), x); }

// a - trunc(a/b)·b in f64. A quotient that rounding brought up to the next integer leaves a remainder of the wrong sign; one
// of 2^53 and more says nothing about its integer part.
inline Lane fmod_f64(Lane a, Lane b) {
  const Lane quotient = floor(abs(a / b));
  const Lane rest = fma(-quotient, abs(b), abs(a));
  const Lane corrected = select(rest < 0, rest + abs(b), rest);
  const Lane known = select(quotient < 0x1p53, corrected, a.like(kNaN));
  return with_sign_of(select((abs(b) == kInfinity) & (abs(a) < kInfinity), abs(a), known), a);
}

// Of i64, which no float holds: what the quotient leaves, with the sign of a; 0 where it is not the quotient. −1 divides all.
inline Lane fmod_i64(Lane a, Lane b) { return select((b == 0) | (b == -1), a.like(0), a - (a / b) * b); }

// The quotient of two f32 or i32, u32 in f64 is never rounded across an integer. An integral remainder by 0 is the 0 that
// NaN converts to.
inline Lane fmod(Lane a, Lane b) {
  if (a.dtype() == Dtype::i64) return fmod_i64(a, b);
  return convert(fmod_f64(convert(a, Dtype::f64), convert(b, Dtype::f64)), a.dtype());
}

inline Lane remainder(Lane a, Lane b) {
  if (a.dtype() == Dtype::i64) {
    const Lane rest = fmod_i64(a, b);
    return select((rest != 0) & ((rest < 0) ^ (b < 0)), rest + b, rest);
  }
  const Lane divisor = convert(b, Dtype::f64);
  const Lane rest = fmod_f64(convert(a, Dtype::f64), divisor);
  const Lane is_other = (rest < 0) ^ (divisor < 0);
  const Lane moved = select(is_other, rest + divisor, rest);
  return convert(select(rest == 0, with_sign_of(abs(rest), divisor), moved), a.dtype());
}

inline Lane floor_divide(Lane a, Lane b) {
  if (a.dtype() == Dtype::i64) {
    const Lane rest = fmod_i64(a, b);
    return select((rest != 0) & ((rest < 0) ^ (b < 0)), a / b - 1, a / b);
  }
  const Dtype exact = a.dtype() == Dtype::f32 ? Dtype::f32 : Dtype::f64;
  return convert(floor(convert(a, exact) / convert(b, exact)), a.dtype());
}

}  // namespace tapeloop::lane
