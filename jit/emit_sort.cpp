// Positions in sorted order: a merge sort from runs of one element, stable, each row by one thread.
#include <llvm/IR/IRBuilder.h>

#include "jit/emit.h"
#include "ops/sort.h"

namespace tapeloop {

using llvm::Value;

void Emitter::emit_sort(const Nest& nest, Frame& frame) {
  const Record& r = frame[nest.root];
  const Shape& shape = r.type.shape;
  const Dtype dtype = frame[r.in[0]].type.dtype;
  const auto axis = std::size_t(r.attrs.integer("axis")), rank = shape.size();
  const bool descending = r.attrs.flag("descending");
  width_ = 1;
  Value *keys = pointer_of(frame, r.in[0]), *n = extent(shape[axis]);
  // Every pass merges pairs of runs from one of these buffers into the other; rows keep to their own places.
  Value* buffers[2];
  for (Value*& buffer : buffers) buffer = memory({MemoryEntry::Kind::arena, 0, r.type, {}, now_, now_});

  // Whether b has to stand before an earlier a.
  auto precedes = [&](Value* b, Value* a) -> Value* {
    if (descending && is_float(dtype))
      return b_.CreateOr(b_.CreateFCmpOGT(b, a), b_.CreateAnd(b_.CreateFCmpUNO(a, a), b_.CreateFCmpORD(b, b)));
    if (is_float(dtype))
      return b_.CreateOr(b_.CreateFCmpOLT(b, a), b_.CreateAnd(b_.CreateFCmpUNO(a, a), b_.CreateFCmpORD(b, b)));
    if (descending) std::swap(a, b);
    return is_signed(dtype) ? b_.CreateICmpSLT(b, a) : b_.CreateICmpULT(b, a);
  };

  Indices at(rank);
  auto sort_row = [&](Value*) {
    auto place = [&](Value* i) {
      at[axis] = Index{i, 0, nullptr};
      return linear(shape, at).base;
    };
    auto position = [&](Value* buffer, Value* i) { return b_.CreateGEP(b_.getInt32Ty(), buffer, place(i)); };
    auto key = [&](Value* which) {
      return b_.CreateLoad(element(dtype),
                           b_.CreateGEP(element(dtype), keys, place(b_.CreateZExt(which, b_.getInt64Ty()))));
    };
    auto *from = variable(b_.getPtrTy()), *to = variable(b_.getPtrTy()), *run = variable(b_.getInt64Ty());
    b_.CreateStore(buffers[0], from);
    b_.CreateStore(buffers[1], to);
    b_.CreateStore(number(1), run);
    loop(number(0), n, number(1),
         [&](Value* i) { b_.CreateStore(b_.CreateTrunc(i, b_.getInt32Ty()), position(buffers[0], i)); });

    // As many passes as n − 1 has binary digits.
    Value* passes = b_.CreateSub(
        number(64), b_.CreateBinaryIntrinsic(llvm::Intrinsic::ctlz, b_.CreateSub(n, number(1)), b_.getFalse()));
    passes = b_.CreateSelect(b_.CreateICmpSLT(n, number(2)), number(0), passes);
    loop(number(0), passes, number(1), [&](Value*) {
      Value *source = b_.CreateLoad(b_.getPtrTy(), from), *target = b_.CreateLoad(b_.getPtrTy(), to);
      Value* width = b_.CreateLoad(b_.getInt64Ty(), run);
      auto *left = variable(b_.getInt64Ty()), *right = variable(b_.getInt64Ty());
      loop(number(0), n, b_.CreateAdd(width, width), [&](Value* low) {
        Value* middle = smaller(b_.CreateAdd(low, width), n);
        Value* high = smaller(b_.CreateAdd(middle, width), n);
        b_.CreateStore(low, left);
        b_.CreateStore(middle, right);
        loop(low, high, number(1), [&](Value* k) {
          Value *i = b_.CreateLoad(b_.getInt64Ty(), left), *j = b_.CreateLoad(b_.getInt64Ty(), right);
          // What an exhausted run would give is read from a place that exists, and not used.
          Value* safe_i = smaller(i, b_.CreateSub(middle, number(1)));
          Value* safe_j = smaller(j, b_.CreateSub(high, number(1)));
          Value* a = b_.CreateLoad(b_.getInt32Ty(), position(source, safe_i));
          Value* b = b_.CreateLoad(b_.getInt32Ty(), position(source, safe_j));
          Value* has_left = b_.CreateICmpSLT(i, middle);
          Value* has_right = b_.CreateICmpSLT(j, high);
          Value* take_right = b_.CreateAnd(has_right, b_.CreateOr(b_.CreateNot(has_left), precedes(key(b), key(a))));
          b_.CreateStore(b_.CreateSelect(take_right, b, a), position(target, k));
          b_.CreateStore(b_.CreateSelect(take_right, i, b_.CreateAdd(i, number(1))), left);
          b_.CreateStore(b_.CreateSelect(take_right, b_.CreateAdd(j, number(1)), j), right);
        });
      });
      b_.CreateStore(target, from);
      b_.CreateStore(source, to);
      b_.CreateStore(b_.CreateAdd(width, width), run);
    });
    Value* sorted = b_.CreateLoad(b_.getPtrTy(), from);
    loop(number(0), n, number(1), [&](Value* i) {
      Value* value = b_.CreateLoad(b_.getInt32Ty(), position(sorted, i));
      for (const Write& w : nest.writes) write(frame, w, at, value, nullptr);
    });
  };
  for_lines(shape, axis, false, at, sort_row);
}

}  // namespace tapeloop
