#include "jit/watch.h"

#if defined(__SANITIZE_THREAD__)

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/Transforms/Scalar/ScalarizeMaskedMemIntrin.h>

#include <vector>

extern "C" {
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
}

namespace tapeloop {

void watch(llvm::Function& function, llvm::FunctionAnalysisManager& analyses) {
  // Where the target has no instruction for it, a masked access becomes a branch and an access for each lane; the code
  // generator would do that later.
  llvm::FunctionPassManager apart;
  apart.addPass(llvm::ScalarizeMaskedMemIntrinPass());
  apart.run(function, analyses);

  std::vector<llvm::Instruction*> accesses;
  for (llvm::Instruction& i : llvm::instructions(function))
    if (llvm::isa<llvm::LoadInst, llvm::StoreInst>(i)) accesses.push_back(&i);

  llvm::Module& module = *function.getParent();
  llvm::IRBuilder<> b(module.getContext());
  const auto watcher = [&](const char* name) {
    return module.getOrInsertFunction(name, b.getVoidTy(), b.getPtrTy(), b.getInt64Ty());
  };
  for (llvm::Instruction* access : accesses) {
    const bool writes = llvm::isa<llvm::StoreInst>(access);
    llvm::Value* address = llvm::getLoadStorePointerOperand(access);
    if (llvm::isa<llvm::AllocaInst>(address->stripInBoundsOffsets())) continue;  // nobody else sees it
    const std::uint64_t bytes = module.getDataLayout().getTypeStoreSize(llvm::getLoadStoreType(access));
    b.SetInsertPoint(access);
    b.CreateCall(watcher(writes ? "__tsan_write_range" : "__tsan_read_range"), {address, b.getInt64(bytes)});
  }
}

std::span<const OuterFunction> watchers() {
  static const OuterFunction functions[] = {
      {"__tsan_read_range", reinterpret_cast<void*>(&__tsan_read_range)},
      {"__tsan_write_range", reinterpret_cast<void*>(&__tsan_write_range)},
  };
  return functions;
}

}  // namespace tapeloop

#else

namespace tapeloop {

void watch(llvm::Function&, llvm::AnalysisManager<llvm::Function>&) {}
std::span<const OuterFunction> watchers() { return {}; }

}  // namespace tapeloop

#endif
