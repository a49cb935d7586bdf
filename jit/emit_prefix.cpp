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
  bool shared = false;
  std::function<void(std::size_t)> walk = [&](std::size_t a) {
    if (a == rank) return row(nullptr);
    if (a == axis) return walk(a + 1);
    Value *begin = number(0), *end = extent(shape[a]);
    const bool last = vector && a + 1 == rank;
    if (!shared) std::tie(begin, end) = share(end, last ? 16 : 1);
    shared = true;
    if (last)
      return vector_loop(begin, end, [&](Value* j, Value* mask) {
        at[a] = Index{j, 1, nullptr};
        row(mask);
      });
    loop(begin, end, number(1), [&](Value* i) {
      at[a] = Index{i, 0, nullptr};
      walk(a + 1);
    });
  };
  if (rank > 1) return walk(0);
  if_then(b_.CreateICmpEQ(thread_, number(0)), [&] { walk(0); });
}

}  // namespace tapeloop
