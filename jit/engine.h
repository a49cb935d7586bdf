// From LLVM IR to code that can be called: a short pass pipeline, the code generator, and the linker.
//
//   NewModule fresh = new_module("cell", target);
//   llvm::Function* f = …;                        // IR in *fresh.module
//   prepare(*f, target);
//   auto code = compile(std::move(fresh), target);
//   auto run = code->function<void(float*)>("f");
//
// Nothing in here changes a bit of what the IR computes under IEEE-754: no fast-math, no contraction.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "jit/target.h"

namespace llvm {
class Function;
class LLVMContext;
class Module;
}  // namespace llvm

namespace tapeloop {

// An empty module for `target`, with the context that it needs.
struct NewModule {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;

  NewModule(std::unique_ptr<llvm::LLVMContext> context_, std::unique_ptr<llvm::Module> module_);
  NewModule(NewModule&&) noexcept;
  ~NewModule();  // the module before its context
};
NewModule new_module(const std::string& name, const Target& target);

// The attributes that every function of ours has. Among them is whether denormals are flushed (options().denormals),
// which LLVM must know to fold constants as the machine would compute them.
void prepare(llvm::Function& function, const Target& target);

// A function outside that compiled code may call, by the name it has in the IR.
struct OuterFunction {
  std::string name;
  void* address;
};

// Machine code. It is freed with the last reference; its pages are never writable and executable at once.
class CompiledModule {
 public:
  virtual ~CompiledModule() = default;

  // The address of a function of the module. An InternalError if there is none of that name.
  virtual void* lookup(const std::string& name) const = 0;

  template <class F>
  F* function(const std::string& name) const {
    return reinterpret_cast<F*>(lookup(name));
  }
};

// Optimises the module and gives its object code, which means the same in every process.
std::string object_code(NewModule fresh, const Target& target);

// Object code where it can be called. An InternalError if it is none.
std::shared_ptr<const CompiledModule> link(const std::string& object, std::span<const OuterFunction> symbols = {});

// Both: optimises the module and turns it into code. It may call `symbols` and fmaf, fma, memcpy, memmove, memset; any other
// name that it leaves open is an InternalError. Can be called from several threads at once.
std::shared_ptr<const CompiledModule> compile(NewModule fresh, const Target& target,
                                              std::span<const OuterFunction> symbols = {});

}  // namespace tapeloop
