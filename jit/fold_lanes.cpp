#include "jit/fold_lanes.h"

#include <algorithm>
#include <span>

#include "ad/denormals.h"
#include "ad/options.h"

namespace tapeloop {

LaneProgram fold_constants(const LaneProgram& program) {
  const FlushDenormals flush(/*keep=*/options().denormals);
  LaneProgram folded = program;
  for (LaneInstr& instr : folded.code) {
    const auto args = std::span(instr.arg).first(std::size_t(arity(instr.op)));
    const auto is_literal = [&](std::uint16_t id) { return folded.code[id].op == LaneOp::literal; };
    if (args.empty() || !std::ranges::all_of(args, is_literal)) continue;

    LaneProgram alone;
    LaneInstr last = instr;
    for (std::size_t a = 0; a < args.size(); ++a) {
      alone.code.push_back(folded.code[args[a]]);
      last.arg[a] = std::uint16_t(a);
    }
    alone.code.push_back(last);
    alone.result = std::uint16_t(args.size());
    std::uint64_t bits = 0;
    run_lanes(alone, {}, &bits, 1);
    instr = {LaneOp::literal, instr.dtype, {}, bits};
  }
  return folded;
}

bool is_neutral(const LaneInstr& instr) {
  const std::uint64_t magnitude = instr.bits & ~sign_bit(instr.dtype);
  const std::uint64_t one = instr.dtype == Dtype::f64 ? 0x3ff0000000000000u : 0x3f800000u;
  return instr.op == LaneOp::literal && (magnitude == 0 || magnitude == one);
}

bool is_denormal(const LaneInstr& instr) {
  const std::uint64_t magnitude = instr.bits & ~sign_bit(instr.dtype);
  const std::uint64_t normal = instr.dtype == Dtype::f64 ? 0x0010000000000000u : 0x00800000u;
  return instr.op == LaneOp::literal && is_float(instr.dtype) && magnitude != 0 && magnitude < normal;
}

}  // namespace tapeloop
