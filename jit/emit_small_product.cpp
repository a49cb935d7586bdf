// Products of so few rows that one tile holds them all, with extents that are numbers: what a program for one time step of
// one stream is made of. Calls and tables of strides would take longer than the sums, so these are taken in place, several
// panels side by side (a sum waits for the one before it, other sums need not), and what follows goes on in registers.
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include "jit/passes.h"
#include "jit/product.h"

namespace tapeloop {

using llvm::Value;

bool Emitter::is_small(const Product& p, const Frame& frame) const {
  const Extent& rows = p.nest.space[0];
  if (!runs(Pass::small_products)) return false;
  if (!rows.is_number() || rows.value() < 1 || rows.value() > rows_of_tile(target_, p.dtype, p.vectors)) return false;
  for (Id id : p.nest.terms) {
    const Record& r = frame[id];
    const Shape& a = frame[r.in[0]].type.shape;
    if (r.attrs.flag("transpose_a") || r.attrs.flag("steps") || !a[1].is_number()) return false;
  }
  return true;
}

void Emitter::emit_small_product(Product& p, Frame& frame) {
  const Panels& panels = p.panels;
  const std::int64_t whole = panels.whole(), count = panels.count();
  const std::int64_t room = rows_of_tile(target_, p.dtype, p.vectors) / p.nest.space[0].value();
  const std::int64_t together = std::clamp<std::int64_t>(std::min(room, whole), 1, 4);
  const auto [begin, end] = share(number(count), 1);
  Value* end_of_whole = b_.CreateSelect(b_.CreateICmpSLT(end, number(whole)), end, number(whole));
  Value* groups = b_.CreateSDiv(b_.CreateSub(end_of_whole, begin), number(together));
  Value* end_of_groups = b_.CreateAdd(begin, b_.CreateMul(groups, number(together)));
  loop(begin, end_of_groups, number(together),
       [&](Value* panel) { emit_small_panels(p, frame, panel, together, panels.panel_columns()); });
  if (together > 1)
    loop(end_of_groups, end_of_whole, number(1),
         [&](Value* panel) { emit_small_panels(p, frame, panel, 1, panels.panel_columns()); });
  if (count > whole)
    if_then(b_.CreateAnd(b_.CreateICmpEQ(end, number(count)), b_.CreateICmpSLT(begin, end)),
            [&] { emit_small_panels(p, frame, number(whole), 1, panels.columns - whole * panels.panel_columns()); });
}

// All rows of some panels from `panel` on, each with `valid` columns of every stream.
void Emitter::emit_small_panels(Product& p, Frame& frame, Value* panel, std::int64_t panels, std::int64_t valid) {
  const std::int64_t rows = p.nest.space[0].value(), size = size_of(p.dtype), vector_bytes = kLanes * size;
  const std::int64_t vectors = p.panels.streams * p.panels.used(valid);
  llvm::Type* vector = lanes(element(p.dtype));
  auto at = [&](Value* base, std::int64_t bytes) {
    return b_.CreateConstGEP1_64(b_.getInt8Ty(), base, std::uint64_t(bytes));
  };
  auto panel_at = [&](std::int64_t i) { return b_.CreateAdd(panel, number(i)); };

  std::vector<Value*> sums;  // [row][panel][vector]
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 0; i < panels; ++i)
      if (frame[p.nest.terms[0]].in.size() > 2)
        for (Value* start : start_row(p, frame, number(row), panel_at(i), valid)) sums.push_back(start);
      else
        sums.resize(sums.size() + std::size_t(vectors), llvm::Constant::getNullValue(vector));

  for (Id id : p.nest.terms) {
    const Record& r = frame[id];
    const std::int64_t depth = frame[r.in[0]].type.shape[1].value(), step = p.panels.vectors() * vector_bytes;
    Value* left = pointer_of(frame, r.in[0]);
    Value* right = pointer_of(frame, r.in[1]);
    right = b_.CreateGEP(b_.getInt8Ty(), right, b_.CreateMul(panel, number(depth * step)));
    std::int64_t at_once = 4;
    while (depth % at_once != 0) at_once /= 2;
    std::vector<llvm::PHINode*> carried;
    auto* before = b_.GetInsertBlock();
    loop(number(0), number(depth), number(at_once), [&](Value* k) {
      const bool looped = depth > at_once;
      for (Value*& sum : sums) {
        if (!looped) break;
        carried.push_back(b_.CreatePHI(vector, 2));
        carried.back()->addIncoming(sum, before);
        sum = carried.back();
      }
      Value* left_k = b_.CreateGEP(b_.getInt8Ty(), left, b_.CreateMul(k, number(size)));
      Value* right_k = b_.CreateGEP(b_.getInt8Ty(), right, b_.CreateMul(k, number(step)));
      for (std::int64_t u = 0; u < at_once; ++u) {
        std::vector<Value*> x;
        for (std::int64_t row = 0; row < rows; ++row)
          x.push_back(b_.CreateVectorSplat(unsigned(kLanes),
                                           b_.CreateLoad(element(p.dtype), at(left_k, (row * depth + u) * size))));
        for (std::int64_t i = 0; i < panels; ++i)
          for (std::int64_t v = 0; v < vectors; ++v) {
            Value* y = b_.CreateAlignedLoad(vector, at(right_k, i * depth * step + u * step + v * vector_bytes),
                                            llvm::Align(64));
            for (std::int64_t row = 0; row < rows; ++row) {
              Value*& sum = sums[std::size_t((row * panels + i) * vectors + v)];
              sum = b_.CreateIntrinsic(llvm::Intrinsic::fma, {vector}, {x[std::size_t(row)], y, sum});
            }
          }
      }
      for (std::size_t i = 0; i < carried.size(); ++i) carried[i]->addIncoming(sums[i], b_.GetInsertBlock());
    });
  }

  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 0; i < panels; ++i) {
      auto sum = [&](std::int64_t v) { return sums[std::size_t((row * panels + i) * vectors + v)]; };
      finish_row(p, frame, number(row), sum, panel_at(i), valid);
    }
}

}  // namespace tapeloop
