// Lane: the small scalar language that elementwise ops are written in.
//
// An op's `.lanes` function is ordinary C++ on `Lane` values. Calling it does not compute: it writes down a LaneProgram,
// a list of about 25 kinds of instruction on one element. The interpreter runs that list on blocks of elements, the
// compiler turns it into LLVM vectors; neither knows which op it came from. Both give the same bits because every
// instruction below has exactly one result for given operands (IEEE-754 round to nearest even; no reassociation, no
// contraction: fma happens only where `fma` is written).
//
// Denormals are flushed to zero on input and output in both, unless TAPELOOP_DENORMALS=1.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ad/dtype.h"

namespace tapeloop {

enum class LaneOp : std::uint8_t {
  input,    // operand number `a` of the op
  literal,  // the constant `bits`
  add,
  sub,
  mul,  // floats; integers wrap modulo 2^32 or 2^64
  div,  // floats; of i64 the quotient without its fraction: x / 0 and the one overflow are the nearest that there is, 0 / 0 is 0
  fma,  // a*b + c, rounded once; floats only
  neg,
  abs,  // floats: sign bit only; i32 and i64 wrap
  min,
  max,   // a NaN operand gives NaN; -0 < +0; while denormals are flushed, one counts as a zero of its sign
  sqrt,  // floats
  floor,
  round,           // floats; round is to nearest, ties to even; the sign of zero is kept
  scale_by_power,  // a · 2^b for an integral float b; needs 0.5 <= |a| <= 4 and |b| <= 252 (f32), 2044 (f64)
  eq,
  lt,
  le,      // boolean result; false when an operand is NaN
  select,  // a ? b : c, bitwise
  and_,
  or_,
  xor_,  // integers and booleans
  shl,
  shr,               // i32 and u32, by a literal 0..31 given as operand b; shr is logical on u32, arithmetic on i32
  mulhi,             // u32: the high 32 bits of the 64-bit product
  bitcast,           // f32 <-> u32 <-> i32, same bits
  bits_of_exponent,  // f64 only: the top 32 bits (sign, exponent, high mantissa) as u32
  with_exponent,     // f64 only: `a` with its top 32 bits replaced by u32 `b`
  convert,           // between dtypes: to integer truncates and saturates, NaN to 0; to boolean is a != 0
};

struct LaneInstr {
  LaneOp op;
  Dtype dtype;  // of the result
  std::array<std::uint16_t, 3> arg{};
  std::uint64_t bits = 0;  // a literal's bit pattern, in the low bytes
};

// How many of LaneInstr::arg an instruction reads as instructions (`input` has a number there, which is none).
int arity(LaneOp op);

// A straight list in single-assignment form: an instruction reads only earlier ones. `result` is the one whose value the
// program computes.
struct LaneProgram {
  std::vector<LaneInstr> code;
  std::uint16_t result = 0;
  Dtype dtype() const { return code[result].dtype; }
};

// The text of a program, one instruction a line (for TAPELOOP_DEBUG and for keys of the disk cache).
std::string to_string(const LaneProgram& program);

// A value in a program being written. Copying it copies the name, not the work.
class Lane {
 public:
  Lane(LaneProgram& program, std::uint16_t id) : program_(&program), id_(id) {}

  Dtype dtype() const { return program_->code[id_].dtype; }
  std::uint16_t id() const { return id_; }
  LaneProgram& program() const { return *program_; }

  // The same constant in this lane's dtype; for f32, `value` is rounded to nearest; for u32, negative ones wrap.
  Lane like(double value) const;
  // A constant of another dtype, from its value or from its bits.
  Lane literal(Dtype dtype, double value) const;
  Lane literal_bits(Dtype dtype, std::uint64_t bits) const;

  Lane emit(LaneOp op, Dtype dtype, std::span<const Lane> args) const;

 private:
  LaneProgram* program_;
  std::uint16_t id_;
};

Lane operator+(Lane a, Lane b);
Lane operator-(Lane a, Lane b);
Lane operator*(Lane a, Lane b);
Lane operator/(Lane a, Lane b);
Lane operator-(Lane a);
Lane operator&(Lane a, Lane b);
Lane operator|(Lane a, Lane b);
Lane operator^(Lane a, Lane b);
Lane operator<<(Lane a, int bits);
Lane operator>>(Lane a, int bits);
Lane operator==(Lane a, Lane b);
Lane operator!=(Lane a, Lane b);  // true when an operand is NaN
Lane operator<(Lane a, Lane b);
Lane operator<=(Lane a, Lane b);
inline Lane operator>(Lane a, Lane b) { return b < a; }
inline Lane operator>=(Lane a, Lane b) { return b <= a; }
Lane operator!(Lane a);  // booleans

inline Lane operator+(Lane a, double b) { return a + a.like(b); }
inline Lane operator+(double a, Lane b) { return b.like(a) + b; }
inline Lane operator-(Lane a, double b) { return a - a.like(b); }
inline Lane operator-(double a, Lane b) { return b.like(a) - b; }
inline Lane operator*(Lane a, double b) { return a * a.like(b); }
inline Lane operator*(double a, Lane b) { return b.like(a) * b; }
inline Lane operator/(Lane a, double b) { return a / a.like(b); }
inline Lane operator/(double a, Lane b) { return b.like(a) / b; }
inline Lane operator==(Lane a, double b) { return a == a.like(b); }
inline Lane operator!=(Lane a, double b) { return a != a.like(b); }
inline Lane operator<(Lane a, double b) { return a < a.like(b); }
inline Lane operator<=(Lane a, double b) { return a <= a.like(b); }
inline Lane operator>(Lane a, double b) { return a > a.like(b); }
inline Lane operator>=(Lane a, double b) { return a >= a.like(b); }

// Named apart from the tensor functions of the same meaning (ops/elementwise.h), so that neither hides the other.
namespace lane {
Lane fma(Lane a, Lane b, Lane c);
inline Lane fma(Lane a, Lane b, double c) { return fma(a, b, a.like(c)); }
inline Lane fma(Lane a, double b, Lane c) { return fma(a, a.like(b), c); }
Lane abs(Lane a);
Lane min(Lane a, Lane b);
Lane max(Lane a, Lane b);
Lane sqrt(Lane a);
Lane floor(Lane a);
Lane round(Lane a);
Lane scale_by_power(Lane a, Lane exponent);
Lane select(Lane condition, Lane a, Lane b);
Lane mulhi(Lane a, Lane b);
Lane bitcast(Lane a, Dtype to);
Lane convert(Lane a, Dtype to);
Lane bits_of_exponent(Lane a);
Lane with_exponent(Lane a, Lane bits);
inline Lane is_nan(Lane a) { return a != a; }
}  // namespace lane

// What `.lanes` receives: the op's operands, one element of each, and the record's attributes.
class Attrs;
struct Lanes {
  std::span<const Lane> operands;
  const Attrs* attrs = nullptr;
  Lane operator[](std::size_t i) const { return operands[i]; }
  std::size_t size() const { return operands.size(); }
};

// A pointer to one operand for the interpreter: `step` is 1 for an array, 0 for one element that serves all.
struct LaneOperand {
  const void* data;
  int step;
};

// Runs `program` on `count` elements and writes them to `out` (dtype of the program). `out` may be the array of an
// operand if their elements have one size; otherwise they must not overlap.
void run_lanes(const LaneProgram& program, std::span<const LaneOperand> operands, void* out, std::int64_t count);

}  // namespace tapeloop
