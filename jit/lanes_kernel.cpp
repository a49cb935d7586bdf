#include "jit/lanes_kernel.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <vector>

#include "ad/error.h"
#include "jit/element.h"
#include "jit/emit_lanes.h"
#include "jit/engine.h"

namespace tapeloop {
namespace {

constexpr const char* kName = "lanes";

class LoopEmitter {
 public:
  LoopEmitter(llvm::Module& module, const LaneProgram& program, std::span<const int> steps, const Target& target)
      : program_(program), steps_(steps), target_(target), b_(module.getContext()), dtypes_(steps.size(), Dtype::f32) {
    for (const LaneInstr& instr : program.code) {
      if (instr.op != LaneOp::input) continue;
      if (instr.arg[0] >= steps.size()) throw InternalError("lanes: more operands than steps");
      dtypes_[instr.arg[0]] = instr.dtype;
    }
    llvm::Type* types[] = {b_.getPtrTy(), b_.getPtrTy(), b_.getInt64Ty()};
    function_ = llvm::Function::Create(llvm::FunctionType::get(b_.getVoidTy(), types, false),
                                       llvm::Function::ExternalLinkage, kName, module);
    prepare(*function_, target);
    function_->addParamAttr(0, llvm::Attribute::NoAlias);
    function_->addParamAttr(1, llvm::Attribute::NoAlias);
  }

  void run(int width) {
    llvm::BasicBlock* entry = llvm::BasicBlock::Create(b_.getContext(), "entry", function_);
    b_.SetInsertPoint(entry);
    for (std::size_t i = 0; i < steps_.size(); ++i)
      bases_.push_back(b_.CreateLoad(b_.getPtrTy(), b_.CreateConstGEP1_64(b_.getPtrTy(), function_->getArg(0), i)));
    llvm::Value* count = function_->getArg(2);
    llvm::Value* whole = b_.CreateAnd(count, b_.getInt64(~(std::uint64_t(width) - 1)));
    loop(b_.getInt64(0), whole, width);
    if (width > 1) loop(whole, count, 1);
    b_.CreateRetVoid();
  }

 private:
  // for (i = first; i < last; i += width) …, and goes on behind it.
  void loop(llvm::Value* first, llvm::Value* last, int width) {
    llvm::BasicBlock* before = b_.GetInsertBlock();
    llvm::BasicBlock* body = llvm::BasicBlock::Create(b_.getContext(), "body", function_);
    llvm::BasicBlock* after = llvm::BasicBlock::Create(b_.getContext(), "after", function_);
    b_.CreateCondBr(b_.CreateICmpSLT(first, last), body, after);
    b_.SetInsertPoint(body);
    llvm::PHINode* i = b_.CreatePHI(b_.getInt64Ty(), 2);
    i->addIncoming(first, before);
    std::vector<llvm::Value*> operands;
    for (std::size_t k = 0; k < steps_.size(); ++k) operands.push_back(load(k, i, width));
    store(emit_lanes(b_, program_, operands, width, target_), i, width);
    llvm::Value* next = b_.CreateAdd(i, b_.getInt64(std::uint64_t(width)), "", /*HasNUW=*/true, /*HasNSW=*/true);
    i->addIncoming(next, b_.GetInsertBlock());
    b_.CreateCondBr(b_.CreateICmpSLT(next, last), body, after);
    b_.SetInsertPoint(after);
  }

  llvm::Value* load(std::size_t k, llvm::Value* i, int width) {
    llvm::Type* element = element_in_memory(b_, dtypes_[k]);
    const llvm::Align align(std::uint64_t(size_of(dtypes_[k])));
    llvm::Value* value = nullptr;
    if (steps_[k] == 0) {
      value = b_.CreateAlignedLoad(element, bases_[k], align);
      if (width > 1) value = b_.CreateVectorSplat(unsigned(width), value);
    } else {
      value = b_.CreateAlignedLoad(vector_of(element, width), b_.CreateGEP(element, bases_[k], i), align);
    }
    if (dtypes_[k] != Dtype::boolean) return value;
    return b_.CreateICmpNE(value, llvm::Constant::getNullValue(value->getType()));
  }

  void store(llvm::Value* value, llvm::Value* i, int width) {
    const Dtype dtype = program_.dtype();
    llvm::Type* element = element_in_memory(b_, dtype);
    if (dtype == Dtype::boolean) value = b_.CreateZExt(value, vector_of(element, width));
    b_.CreateAlignedStore(value, b_.CreateGEP(element, function_->getArg(1), i),
                          llvm::Align(std::uint64_t(size_of(dtype))));
  }

  const LaneProgram& program_;
  std::span<const int> steps_;
  const Target& target_;
  llvm::IRBuilder<> b_;
  std::vector<Dtype> dtypes_;  // of the operands
  llvm::Function* function_ = nullptr;
  std::vector<llvm::Value*> bases_;
};

}  // namespace

CompiledLanes::CompiledLanes(const LaneProgram& program, std::span<const int> steps, int width, const Target& target) {
  if (width < 1 || (width & (width - 1)) != 0) throw InternalError("lanes: the width must be a power of two");
  NewModule fresh = new_module(kName, target);
  LoopEmitter(*fresh.module, program, steps, target).run(width);
  code_ = compile(std::move(fresh), target);
  loop_ = code_->function<void(const void* const*, void*, std::int64_t)>(kName);
}

void CompiledLanes::run(std::span<const void* const> operands, void* out, std::int64_t count) const {
  loop_(operands.data(), out, count);
}

}  // namespace tapeloop
