// Writing LanePrograms down. How they are run is in lanes_run.cpp and, an instruction at a time, in lanes_instr.cpp.
#include "ad/lanes.h"

#include <fmt/format.h>

#include <limits>

#include "ad/error.h"

namespace tapeloop {
namespace {

constexpr std::string_view kNames[] = {"input",
                                       "literal",
                                       "add",
                                       "sub",
                                       "mul",
                                       "div",
                                       "fma",
                                       "neg",
                                       "abs",
                                       "min",
                                       "max",
                                       "sqrt",
                                       "floor",
                                       "round",
                                       "scale_by_power",
                                       "eq",
                                       "lt",
                                       "le",
                                       "select",
                                       "and",
                                       "or",
                                       "xor",
                                       "shl",
                                       "shr",
                                       "mulhi",
                                       "bitcast",
                                       "bits_of_exponent",
                                       "with_exponent",
                                       "convert"};

Lane append(LaneProgram& program, const LaneInstr& instr) {
  if (program.code.size() > std::numeric_limits<std::uint16_t>::max())
    throw InternalError("lane program: more instructions than can be numbered");
  program.code.push_back(instr);
  return Lane(program, std::uint16_t(program.code.size() - 1));
}

Lane binary(LaneOp op, Lane a, Lane b) {
  const bool compares = op == LaneOp::eq || op == LaneOp::lt || op == LaneOp::le;
  if (a.dtype() != b.dtype())
    throw InternalError(
        fmt::format("lane {}: operands are {} and {}", kNames[int(op)], name_of(a.dtype()), name_of(b.dtype())));
  const Lane args[] = {a, b};
  return a.emit(op, compares ? Dtype::boolean : a.dtype(), args);
}

Lane unary(LaneOp op, Dtype dtype, Lane a) { return a.emit(op, dtype, {&a, 1}); }

}  // namespace

int arity(LaneOp op) {
  switch (op) {
    case LaneOp::input:
    case LaneOp::literal:
      return 0;
    case LaneOp::neg:
    case LaneOp::abs:
    case LaneOp::sqrt:
    case LaneOp::floor:
    case LaneOp::round:
    case LaneOp::bitcast:
    case LaneOp::bits_of_exponent:
    case LaneOp::convert:
      return 1;
    case LaneOp::fma:
    case LaneOp::select:
      return 3;
    default:
      return 2;
  }
}

Lane Lane::emit(LaneOp op, Dtype dtype, std::span<const Lane> args) const {
  LaneInstr instr{op, dtype};
  for (std::size_t i = 0; i < args.size(); ++i) instr.arg[i] = args[i].id();
  return append(*program_, instr);
}

Lane Lane::literal_bits(Dtype dtype, std::uint64_t bits) const {
  for (std::size_t i = 0; i < program_->code.size(); ++i) {
    const LaneInstr& instr = program_->code[i];
    if (instr.op == LaneOp::literal && instr.dtype == dtype && instr.bits == bits)
      return Lane(*program_, std::uint16_t(i));
  }
  return append(*program_, {LaneOp::literal, dtype, {}, bits});
}

Lane Lane::literal(Dtype dtype, double value) const {
  switch (dtype) {
    case Dtype::f32:
      return literal_bits(dtype, std::bit_cast<std::uint32_t>(float(value)));
    case Dtype::f64:
      return literal_bits(dtype, std::bit_cast<std::uint64_t>(value));
    case Dtype::i32:
    case Dtype::u32:
      return literal_bits(dtype, std::uint32_t(std::int64_t(value)));
    case Dtype::i64:
      return literal_bits(dtype, std::uint64_t(i64_of(value)));
    default:
      return literal_bits(Dtype::boolean, value != 0);
  }
}

Lane Lane::like(double value) const { return literal(dtype(), value); }

Lane operator+(Lane a, Lane b) { return binary(LaneOp::add, a, b); }
Lane operator-(Lane a, Lane b) { return binary(LaneOp::sub, a, b); }
Lane operator*(Lane a, Lane b) { return binary(LaneOp::mul, a, b); }
Lane operator/(Lane a, Lane b) { return binary(LaneOp::div, a, b); }
Lane operator-(Lane a) { return unary(LaneOp::neg, a.dtype(), a); }
Lane operator&(Lane a, Lane b) { return binary(LaneOp::and_, a, b); }
Lane operator|(Lane a, Lane b) { return binary(LaneOp::or_, a, b); }
Lane operator^(Lane a, Lane b) { return binary(LaneOp::xor_, a, b); }
Lane operator<<(Lane a, int bits) { return binary(LaneOp::shl, a, a.like(bits)); }
Lane operator>>(Lane a, int bits) { return binary(LaneOp::shr, a, a.like(bits)); }
Lane operator==(Lane a, Lane b) { return binary(LaneOp::eq, a, b); }
Lane operator!=(Lane a, Lane b) { return !(a == b); }
Lane operator<(Lane a, Lane b) { return binary(LaneOp::lt, a, b); }
Lane operator<=(Lane a, Lane b) { return binary(LaneOp::le, a, b); }
Lane operator!(Lane a) { return a ^ a.literal_bits(Dtype::boolean, 1); }

namespace lane {

Lane fma(Lane a, Lane b, Lane c) {
  if (a.dtype() != b.dtype() || a.dtype() != c.dtype())
    throw InternalError(fmt::format("lane fma: operands are {}, {} and {}", name_of(a.dtype()), name_of(b.dtype()),
                                    name_of(c.dtype())));
  const Lane args[] = {a, b, c};
  return a.emit(LaneOp::fma, a.dtype(), args);
}
Lane abs(Lane a) { return unary(LaneOp::abs, a.dtype(), a); }
Lane min(Lane a, Lane b) { return binary(LaneOp::min, a, b); }
Lane max(Lane a, Lane b) { return binary(LaneOp::max, a, b); }
Lane sqrt(Lane a) { return unary(LaneOp::sqrt, a.dtype(), a); }
Lane floor(Lane a) { return unary(LaneOp::floor, a.dtype(), a); }
Lane round(Lane a) { return unary(LaneOp::round, a.dtype(), a); }
Lane scale_by_power(Lane a, Lane exponent) { return binary(LaneOp::scale_by_power, a, exponent); }
Lane select(Lane condition, Lane a, Lane b) {
  if (condition.dtype() != Dtype::boolean || a.dtype() != b.dtype())
    throw InternalError("lane select: needs a boolean and two operands of one dtype");
  const Lane args[] = {condition, a, b};
  return a.emit(LaneOp::select, a.dtype(), args);
}
Lane mulhi(Lane a, Lane b) { return binary(LaneOp::mulhi, a, b); }
Lane bitcast(Lane a, Dtype to) { return unary(LaneOp::bitcast, to, a); }
Lane convert(Lane a, Dtype to) { return a.dtype() == to ? a : unary(LaneOp::convert, to, a); }
Lane bits_of_exponent(Lane a) { return unary(LaneOp::bits_of_exponent, Dtype::u32, a); }
Lane with_exponent(Lane a, Lane bits) {
  const Lane args[] = {a, bits};
  return a.emit(LaneOp::with_exponent, a.dtype(), args);
}

}  // namespace lane

std::string to_string(const LaneProgram& program) {
  std::string text;
  for (std::size_t i = 0; i < program.code.size(); ++i) {
    const LaneInstr& instr = program.code[i];
    text += fmt::format("%{} = {} {}", i, kNames[int(instr.op)], name_of(instr.dtype));
    if (instr.op == LaneOp::input) text += fmt::format(" #{}", instr.arg[0]);
    if (instr.op == LaneOp::literal) text += fmt::format(" 0x{:x}", instr.bits);
    for (int a = 0; a < arity(instr.op); ++a) text += fmt::format(" %{}", instr.arg[std::size_t(a)]);
    text += '\n';
  }
  return text + fmt::format("result %{}\n", program.result);
}

}  // namespace tapeloop
