// The inner loop of every product: one function for each number of vectors side by side. It takes a tile of up to `rows`
// rows by `vectors` vectors through a chain of fused multiply-adds and leaves it where it is told: in the result, or in a
// scratch tile. Strides come in a table, so that the same few functions serve every product of a program, forward and
// backward. While it works it asks for what it is told comes next of both operands, one line of each for every k, and for the
// next tile's start: a panel is read many times over, but the first time it comes from afar.
#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>

#include <array>

#include "jit/emit.h"
#include "jit/engine.h"
#include "jit/tile.h"

namespace tapeloop {

using llvm::Value;
using namespace stride;

Value* mask_of(llvm::IRBuilderBase& b, std::int64_t valid, std::int64_t v) {
  const std::int64_t left = valid - kLanes * v;
  if (left >= kLanes) return nullptr;
  std::vector<llvm::Constant*> bits;
  for (std::int64_t i = 0; i < kLanes; ++i) bits.push_back(b.getInt1(i < left));
  return llvm::ConstantVector::get(bits);
}

// Of every `used` vectors the last has `lanes` columns; of those beyond nothing is read or written.
llvm::Function* Emitter::tile_function(Dtype dtype, int vectors, int used, int lanes) {
  const int rows = rows_of_tile(target_, dtype, vectors);
  std::string name = fmt::format("tile_{}_{}", name_of(dtype), vectors);
  if (lanes < kLanes) name += fmt::format("_{}x{}", used, lanes);
  llvm::Module& module = *function_->getParent();
  if (llvm::Function* known = module.getFunction(name)) return known;
  llvm::IRBuilder<> b(b_.getContext());
  llvm::Type *ptr = b.getPtrTy(), *i64 = b.getInt64Ty();
  llvm::Type* parameters[] = {ptr, i64, ptr, ptr, ptr, ptr, i64, i64};
  auto* f = llvm::Function::Create(llvm::FunctionType::get(b.getVoidTy(), parameters, false),
                                   llvm::Function::InternalLinkage, name, module);
  prepare(*f, target_);
  f->addFnAttr(llvm::Attribute::NoInline);
  Value *table = f->getArg(0), *in = f->getArg(4), *out = f->getArg(5);
  auto block = [&](const char* label) { return llvm::BasicBlock::Create(b.getContext(), label, f); };
  b.SetInsertPoint(block("entry"));
  std::array<Value*, strides> s;
  for (unsigned i = 0; i < strides; ++i)
    s[i] = b.CreateLoad(b.getInt64Ty(), b.CreateConstGEP1_64(b.getInt64Ty(), table, i));
  llvm::Type* scalar = element(dtype);
  auto* vector = llvm::FixedVectorType::get(scalar, unsigned(kLanes));
  const llvm::Align align(std::uint64_t(size_of(dtype)));
  auto at = [&](Value* base, Value* bytes) { return b.CreateGEP(b.getInt8Ty(), base, bytes); };
  // Into the second level: the first has no room for what is needed that late.
  auto prefetch = [&](Value* place) {
    b.CreateIntrinsic(llvm::Intrinsic::prefetch, {b.getPtrTy()}, {place, b.getInt32(0), b.getInt32(2), b.getInt32(1)});
  };
  Value* mask = mask_of(b, lanes, 0);
  auto is_whole = [&](int j) { return !mask || j % used + 1 < used; };
  auto times = [&](Value* stride, int n) { return b.CreateMul(stride, b.getInt64(std::uint64_t(n))); };
  auto* end = block("end");
  auto* choice = b.CreateSwitch(f->getArg(1), end, unsigned(rows));
  b.SetInsertPoint(end);
  b.CreateRetVoid();

  for (int m = 1; m <= rows; ++m) {
    auto *begin = block("rows"), *step_loop = block("step"), *depth_loop = block("depth"),
         *step_end = block("step_end"), *finish = block("finish");
    choice->addCase(b.getInt64(std::uint64_t(m)), begin);
    const auto count = std::size_t(m * vectors);
    b.SetInsertPoint(begin);
    std::vector<Value*> first(count), offsets;
    for (int i = 0; i < m; ++i) {
      offsets.push_back(times(s[a_row], i));
      for (int j = 0; j < vectors; ++j) {
        Value* place = at(in, b.CreateAdd(times(s[in_row], i), times(s[in_vector], j)));
        first[std::size_t(i * vectors + j)] =
            is_whole(j) ? static_cast<Value*>(b.CreateAlignedLoad(vector, place, align))
                        : b.CreateMaskedLoad(vector, place, align, mask, llvm::Constant::getNullValue(vector));
      }
    }
    // Where the next tile starts, most likely.
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < vectors; ++j) prefetch(at(in, b.CreateAdd(times(s[in_row], m + i), times(s[in_vector], j))));
    b.CreateCondBr(b.CreateICmpEQ(b.CreateMul(s[steps], s[depth]), b.getInt64(0)), finish, step_loop);

    auto phis = [&] {
      std::vector<llvm::PHINode*> list;
      for (std::size_t i = 0; i < count; ++i) list.push_back(b.CreatePHI(vector, 2));
      return list;
    };
    b.SetInsertPoint(step_loop);
    auto *step = b.CreatePHI(b.getInt64Ty(), 2), *a_base = b.CreatePHI(b.getPtrTy(), 2),
         *b_base = b.CreatePHI(b.getPtrTy(), 2);
    auto outer = phis();
    b.CreateBr(depth_loop);

    b.SetInsertPoint(depth_loop);
    auto *k = b.CreatePHI(b.getInt64Ty(), 2), *a = b.CreatePHI(b.getPtrTy(), 2), *right = b.CreatePHI(b.getPtrTy(), 2);
    auto inner = phis();
    // The shorter side of the tile stays in registers while the other passes, else there are not enough of them.
    std::vector<Value*> sums(count), x(count), y(count);
    auto load_x = [&](int i) {
      x[std::size_t(i)] =
          b.CreateVectorSplat(unsigned(kLanes), b.CreateAlignedLoad(scalar, at(a, offsets[std::size_t(i)]), align));
    };
    auto load_y = [&](int j) {
      Value* place = at(right, b.getInt64(std::uint64_t(j * kLanes * size_of(dtype))));
      y[std::size_t(j)] = b.CreateAlignedLoad(vector, place, align);
    };
    auto add = [&](int i, int j) {
      const auto n = std::size_t(i * vectors + j);
      sums[n] = b.CreateIntrinsic(llvm::Intrinsic::fma, {vector}, {x[std::size_t(i)], y[std::size_t(j)], inner[n]});
    };
    if (m > vectors) {
      for (int j = 0; j < vectors; ++j) load_y(j);
      for (int i = 0; i < m; ++i) {
        load_x(i);
        for (int j = 0; j < vectors; ++j) add(i, j);
      }
    } else {
      for (int i = 0; i < m; ++i) load_x(i);
      for (int j = 0; j < vectors; ++j) {
        load_y(j);
        for (int i = 0; i < m; ++i) add(i, j);
      }
    }
    prefetch(at(right, f->getArg(6)));
    prefetch(at(a, f->getArg(7)));
    Value *k_next = b.CreateAdd(k, b.getInt64(1)), *a_next = at(a, s[a_depth]), *right_next = at(right, s[b_depth]);
    b.CreateCondBr(b.CreateICmpSLT(k_next, s[depth]), depth_loop, step_end);

    b.SetInsertPoint(step_end);
    Value *step_next = b.CreateAdd(step, b.getInt64(1)), *a_base_next = at(a_base, s[a_step]),
          *b_base_next = at(b_base, s[b_step]);
    b.CreateCondBr(b.CreateICmpSLT(step_next, s[steps]), step_loop, finish);

    auto link = [](llvm::PHINode* phi, Value* x0, llvm::BasicBlock* from0, Value* x1, llvm::BasicBlock* from1) {
      phi->addIncoming(x0, from0);
      phi->addIncoming(x1, from1);
    };
    link(step, b.getInt64(0), begin, step_next, step_end);
    link(a_base, f->getArg(2), begin, a_base_next, step_end);
    link(b_base, f->getArg(3), begin, b_base_next, step_end);
    link(k, b.getInt64(0), step_loop, k_next, depth_loop);
    link(a, a_base, step_loop, a_next, depth_loop);
    link(right, b_base, step_loop, right_next, depth_loop);
    b.SetInsertPoint(finish);
    auto last = phis();
    for (std::size_t n = 0; n < count; ++n) {
      link(outer[n], first[n], begin, sums[n], step_end);
      link(inner[n], outer[n], step_loop, sums[n], depth_loop);
      link(last[n], first[n], begin, sums[n], step_end);
    }
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < vectors; ++j) {
        Value *place = at(out, b.CreateAdd(times(s[out_row], i), times(s[out_vector], j))),
              *sum = last[std::size_t(i * vectors + j)];
        if (is_whole(j))
          b.CreateAlignedStore(sum, place, align);
        else
          b.CreateMaskedStore(sum, place, align, mask);
      }
    b.CreateRetVoid();
  }
  return f;
}

}  // namespace tapeloop
