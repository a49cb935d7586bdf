// Matrix products: how their rows and columns are walked. Those with a packed right operand are in emit_product.cpp.
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include "jit/emit.h"
#include "jit/pack.h"
#include "ops/matmul.h"

namespace tapeloop {

using llvm::Value;

namespace {

Value* fma(llvm::IRBuilderBase& b, Value* x, Value* y, Value* z) {
  return b.CreateIntrinsic(llvm::Intrinsic::fma, {x->getType()}, {x, y, z});
}

}  // namespace

void Emitter::emit_matmul(const Nest& nest, Frame& frame) {
  if (frame[nest.root].op == &packed_matmul_op) return emit_product(nest, frame);
  // Products with leading axes: one vector of columns at a time.
  const Record& r = frame[nest.root];
  const Shape &a = frame[r.in[0]].type.shape, &b = frame[r.in[1]].type.shape;
  const bool ta = r.attrs.flag("transpose_a"), tb = r.attrs.flag("transpose_b");
  const std::size_t rank = r.type.shape.size();
  const Dtype dtype = r.type.dtype;
  Value* a_pointer = pointer_of(frame, r.in[0]);
  Value* b_pointer = pointer_of(frame, r.in[1]);
  Indices at(rank);
  std::function<void(std::size_t)> walk = [&](std::size_t axis) {
    Value *begin = number(0), *end = extent(r.type.shape[axis]);
    if (axis == 0) std::tie(begin, end) = share(end, 1);
    if (axis + 1 < rank)
      return loop(begin, end, number(1), [&](Value* i) {
        at[axis] = Index{i, 0, nullptr};
        walk(axis + 1);
      });
    vector_loop(begin, end, [&](Value* j, Value* mask) {
      at[axis] = Index{j, 1, nullptr};
      auto* sum = variable(lanes(element(dtype)));
      b_.CreateStore(r.in.size() == 3 ? pull(frame, r.in[2], at, mask) : literal(dtype, 0), sum);
      loop(number(0), extent(a[ta ? rank - 2 : rank - 1]), number(1), [&](Value* k) {
        Indices place_a(at), place_b(at);
        const Index inner{k, 0, nullptr};
        place_a[rank - 2] = ta ? inner : at[rank - 2];
        place_a[rank - 1] = ta ? at[rank - 2] : inner;
        place_b[rank - 2] = tb ? at[rank - 1] : inner;
        place_b[rank - 1] = tb ? inner : at[rank - 1];
        Value* x = load(a_pointer, dtype, linear(a, place_a), nullptr);
        Value* y = load(b_pointer, dtype, linear(b, place_b), mask);
        b_.CreateStore(fma(b_, x, y, b_.CreateLoad(lanes(element(dtype)), sum)), sum);
      });
      store(pointer_of(frame, nest.root), dtype, linear(r.type.shape, at), b_.CreateLoad(lanes(element(dtype)), sum),
            mask);
    });
  };
  walk(0);
}

}  // namespace tapeloop
