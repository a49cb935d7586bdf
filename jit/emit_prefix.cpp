// Cumulative results: the lane program of one step, in a loop along the axis, with the result so far in a register.
#include <llvm/IR/IRBuilder.h>

#include "jit/emit.h"
#include "jit/emit_lanes.h"
#include "ops/reduce.h"

namespace tapeloop {

using llvm::Value;

// Rows are independent: sixteen of them go side by side when they are side by side in memory, and threads share them.
void Emitter::emit_prefix(const Nest& nest, Frame& frame) {
  const Record& r = frame[nest.root];
  const Shape& shape = r.type.shape;
  const Dtype dtype = r.type.dtype;
  const auto axis = std::size_t(r.attrs.integer("axis")), rank = shape.size();
  const bool reverse = r.attrs.flag("reverse"), vector = axis + 1 < rank;
  if (!vector) width_ = 1;
  std::vector<Type> types{r.type};
  for (Id operand : r.in) types.push_back(frame[operand].type);
  const LaneProgram& program = lane_program(*r.op, types, r.attrs);

  Indices at(rank);
  auto row = [&](Value* mask) {
    auto* carry = variable(lanes(element(dtype)));
    b_.CreateStore(literal(dtype, neutral_of(r.op->fold, dtype)), carry);
    Value* n = extent(shape[axis]);
    loop(number(0), n, number(1), [&](Value* i) {
      at[axis] = Index{reverse ? b_.CreateSub(b_.CreateSub(n, number(1)), i) : i, 0, nullptr};
      std::vector<Value*> operands{b_.CreateLoad(lanes(element(dtype)), carry)};
      for (Id operand : r.in) operands.push_back(pull(frame, operand, at, mask));
      Value* value = emit_lanes(b_, program, operands, width_, target_);
      b_.CreateStore(value, carry);
      for (const Write& w : nest.writes) write(frame, w, at, value, mask);
    });
  };
  for_lines(shape, axis, vector, at, row);
}

}  // namespace tapeloop
