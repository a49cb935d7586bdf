// The inner loop of every product: one function for each number of vectors side by side. It takes a tile of up to `rows`
// rows by `vectors` vectors through a chain of fused multiply-adds and leaves it where it is told: in the result, or in a
// scratch tile. Strides come in a table, so that the same few functions serve every product of a program, forward and
// backward; the two that the innermost loop adds are part of the code where they are known. Everything beside the
// multiply-adds is kept few: a core that shares its front end with a busy twin has little to spare.
//
// While it works it asks for what it is told comes next of both operands: a panel is read many times over, but the first time
// it comes from afar. It asks for a line every few k. More at once would take all the buffers that a first cache has for what
// is under way, and the tile's own operands would wait for one.
#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>

#include <array>
#include <numeric>

#include "jit/emit.h"
#include "jit/engine.h"
#include "jit/tile.h"

namespace tapeloop {

using llvm::Value;
using namespace stride;

Value* mask_of(llvm::IRBuilderBase& b, int lanes, std::int64_t columns) {
  if (columns >= lanes) return nullptr;
  std::vector<llvm::Constant*> bits;
  for (int i = 0; i < lanes; ++i) bits.push_back(b.getInt1(i < columns));
  return llvm::ConstantVector::get(bits);
}

Value* spread(llvm::IRBuilderBase& b, Value* scalar, int lanes, Value* wide) {
  if (!wide) return b.CreateVectorSplat(unsigned(lanes), scalar);
  std::vector<int> first(std::size_t(lanes), 0);
  std::iota(first.begin(), first.end(), 0);
  return b.CreateShuffleVector(wide, first);
}

void ask_for(llvm::IRBuilderBase& b, Value* place, Near cache) {
  b.CreateIntrinsic(llvm::Intrinsic::prefetch, {b.getPtrTy()},
                    {place, b.getInt32(0), b.getInt32(unsigned(cache)), b.getInt32(1)});
}

// Of the columns that a last vector does not have, sums are neither read nor written.
llvm::Function* Emitter::tile_function(Dtype dtype, const TileKind& kind) {
  const int vectors = kind.vectors, rows = rows_of_tile(target_, dtype, vectors);
  const int lanes = lanes_of_panels(target_, dtype), last_lanes = lanes_for(lanes, kind.columns);
  std::string name = fmt::format("tile_{}_{}", name_of(dtype), vectors);
  if (kind.columns < lanes) name += fmt::format("_{}x{}", kind.used, kind.columns);
  if (kind.a_depth) name += fmt::format("_a{}", kind.a_depth);
  if (kind.b_depth) name += fmt::format("_b{}", kind.b_depth);
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
  for (unsigned i = 0; i < strides; ++i) s[i] = b.CreateLoad(i64, b.CreateConstGEP1_64(i64, table, i));
  if (kind.a_depth) s[a_depth] = b.getInt64(std::uint64_t(kind.a_depth));
  if (kind.b_depth) s[b_depth] = b.getInt64(std::uint64_t(kind.b_depth));
  llvm::Type* scalar = element(dtype);
  // Vectors, and the shorter last of them.
  auto is_last = [&](int j) { return j % kind.used + 1 == kind.used; };
  auto vector = [&](int j) { return llvm::FixedVectorType::get(scalar, unsigned(is_last(j) ? last_lanes : lanes)); };
  const llvm::Align align(std::uint64_t(size_of(dtype)));
  auto at = [&](Value* base, Value* bytes) { return b.CreateGEP(b.getInt8Ty(), base, bytes); };
  Value* mask = mask_of(b, last_lanes, kind.columns);
  auto is_whole = [&](int j) { return !mask || !is_last(j); };
  auto times = [&](Value* stride, int n) { return b.CreateMul(stride, b.getInt64(std::uint64_t(n))); };
  // What changes from turn to turn.
  auto place_for = [&](llvm::Type* type) { return b.CreateAlloca(type); };
  auto get = [&](llvm::AllocaInst* x) { return b.CreateLoad(x->getAllocatedType(), x); };
  auto *step = place_for(i64), *k = place_for(i64), *a_of_step = place_for(ptr), *b_of_step = place_for(ptr),
       *a = place_for(ptr), *right = place_for(ptr);
  std::vector<llvm::AllocaInst*> sums;
  for (int n = 0; n < rows * vectors; ++n) sums.push_back(place_for(vector(n % vectors)));
  b.CreateStore(b.getInt64(0), step);
  b.CreateStore(f->getArg(2), a_of_step);
  b.CreateStore(f->getArg(3), b_of_step);
  auto* end = block("end");
  auto* choice = b.CreateSwitch(f->getArg(1), end, unsigned(rows));
  b.SetInsertPoint(end);
  b.CreateRetVoid();

  for (int m = 1; m <= rows; ++m) {
    auto *begin = block("rows"), *each_step = block("step"), *unrolled = block("unrolled"), *is_rest = block("is_rest"),
         *rest = block("rest"), *step_end = block("step_end"), *finish = block("finish");
    choice->addCase(b.getInt64(std::uint64_t(m)), begin);
    auto for_sums = [&](auto&& body) {
      for (int i = 0; i < m; ++i)
        for (int j = 0; j < vectors; ++j) body(i, j, sums[std::size_t(i * vectors + j)]);
    };
    b.SetInsertPoint(begin);
    for_sums([&](int i, int j, llvm::AllocaInst* sum) {
      Value* place = at(in, b.CreateAdd(times(s[in_row], i), times(s[in_vector], j)));
      Value* start = is_whole(j)
                         ? static_cast<Value*>(b.CreateAlignedLoad(vector(j), place, align))
                         : b.CreateMaskedLoad(vector(j), place, align, mask, llvm::Constant::getNullValue(vector(j)));
      b.CreateStore(start, sum);
    });
    b.CreateCondBr(b.CreateICmpEQ(b.CreateMul(s[steps], s[depth]), b.getInt64(0)), finish, each_step);

    // One k.
    auto accumulate = [&] {
      // The shorter side of the tile stays in registers while the other passes, else there are not enough of them.
      std::vector<Value*> x(std::size_t(m), nullptr), x_of_last = x, y(std::size_t(vectors), nullptr);
      auto load_x = [&](int i) {
        Value* place = i == 0 ? get(a) : at(get(a), s[std::size_t(a_row + i - 1)]);
        Value* value = b.CreateAlignedLoad(scalar, place, align);
        Value*& all = x[std::size_t(i)];
        if (kind.used > 1 || last_lanes == lanes) all = spread(b, value, lanes, nullptr);
        x_of_last[std::size_t(i)] = last_lanes == lanes ? all : spread(b, value, last_lanes, all);
      };
      auto load_y = [&](int j) {
        Value* place = at(get(right), b.getInt64(std::uint64_t(j * lanes * size_of(dtype))));
        y[std::size_t(j)] = b.CreateAlignedLoad(vector(j), place, align);
      };
      auto add = [&](int i, int j) {
        llvm::AllocaInst* sum = sums[std::size_t(i * vectors + j)];
        Value* factor = (is_last(j) ? x_of_last : x)[std::size_t(i)];
        b.CreateStore(b.CreateIntrinsic(llvm::Intrinsic::fma, {vector(j)}, {factor, y[std::size_t(j)], get(sum)}), sum);
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
    };
    auto advance = [&] {
      b.CreateStore(at(get(a), s[a_depth]), a);
      b.CreateStore(at(get(right), s[b_depth]), right);
    };
    // Whether so many more k are to come.
    auto are_left = [&](int n) { return b.CreateICmpSGE(get(k), b.getInt64(std::uint64_t(n))); };

    // Lower tiles come of very few rows only: for_tiles makes all of nearly equal height.
    const bool unrolls = 2 * m > rows;
    b.SetInsertPoint(each_step);
    b.CreateStore(s[depth], k);
    b.CreateStore(get(a_of_step), a);
    b.CreateStore(get(b_of_step), right);
    b.CreateCondBr(unrolls ? are_left(kUnrolled) : b.getFalse(), unrolled, is_rest);

    b.SetInsertPoint(unrolled);
    for (int u = 0; unrolls && u < kUnrolled; ++u) {
      accumulate();
      if (u == 0) ask_for(b, at(get(right), f->getArg(6)), Near::second);
      if (u == 1) ask_for(b, at(get(a), f->getArg(7)), Near::second);
      advance();
    }
    b.CreateStore(b.CreateSub(get(k), b.getInt64(kUnrolled)), k);
    b.CreateCondBr(are_left(kUnrolled), unrolled, is_rest);

    b.SetInsertPoint(is_rest);
    b.CreateCondBr(are_left(1), rest, step_end);
    b.SetInsertPoint(rest);
    accumulate();
    advance();
    b.CreateStore(b.CreateSub(get(k), b.getInt64(1)), k);
    b.CreateCondBr(are_left(1), rest, step_end);

    b.SetInsertPoint(step_end);
    b.CreateStore(b.CreateAdd(get(step), b.getInt64(1)), step);
    b.CreateStore(at(get(a_of_step), s[a_step]), a_of_step);
    b.CreateStore(at(get(b_of_step), s[b_step]), b_of_step);
    b.CreateCondBr(b.CreateICmpSLT(get(step), s[steps]), each_step, finish);

    b.SetInsertPoint(finish);
    for_sums([&](int i, int j, llvm::AllocaInst* sum) {
      Value* place = at(out, b.CreateAdd(times(s[out_row], i), times(s[out_vector], j)));
      if (is_whole(j))
        b.CreateAlignedStore(get(sum), place, align);
      else
        b.CreateMaskedStore(get(sum), place, align, mask);
    });
    b.CreateRetVoid();
  }
  return f;
}

}  // namespace tapeloop
