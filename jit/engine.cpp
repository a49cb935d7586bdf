#include "jit/engine.h"

#include <fmt/format.h>
#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/Analysis/LoopAnalysisManager.h>
#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/OptBisect.h>
#include <llvm/IR/PassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/SmallVectorMemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/DCE.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>
#include <llvm/Transforms/Utils/Cloning.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

#include "ad/error.h"
#include "ad/options.h"
#include "jit/listener.h"
#include "jit/passes.h"
#include "jit/watch.h"

namespace tapeloop {
namespace {

[[noreturn]] void fail(std::string_view doing, llvm::Error error) {
  throw InternalError(fmt::format("{}: {}", doing, llvm::toString(std::move(error))));
}

template <class T>
T value_of(std::string_view doing, llvm::Expected<T> expected) {
  if (!expected) fail(doing, expected.takeError());
  return std::move(*expected);
}

// --- the target machine ----------------------------------------------------------------------------------------------

const llvm::Target& native_target(const std::string& triple) {
  static const bool failed = llvm::InitializeNativeTarget() || llvm::InitializeNativeTargetAsmPrinter();
  std::string message;
  const llvm::Target* target = failed ? nullptr : llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target) throw InternalError("LLVM cannot generate code for " + triple + ": " + message);
  return *target;
}

std::unique_ptr<llvm::TargetMachine> machine_for(const Target& target) {
  const std::string triple = llvm::sys::getProcessTriple();
  llvm::TargetOptions flags;
  flags.AllowFPOpFusion = llvm::FPOpFusion::Strict;  // fma is where the IR says so
  // Position-independent: code and data are linked wherever there is memory, and fmaf is far away.
  const auto level = runs(Pass::optimise) ? llvm::CodeGenOptLevel::Default : llvm::CodeGenOptLevel::None;
  std::unique_ptr<llvm::TargetMachine> machine(native_target(triple).createTargetMachine(
      triple, target.cpu, target.features, flags, llvm::Reloc::PIC_, llvm::CodeModel::Small, level, /*JIT=*/true));
  if (!machine) throw InternalError("LLVM has no machine " + target.cpu);
  return machine;
}

// --- passes ----------------------------------------------------------------------------------------------------------

// The IR arrives as the emitters want it: in vectors, tiled and unrolled. What is left to do is to drop what they wrote
// twice and move what does not change out of the loops. No vectoriser and no unroller: they would guess again.
void optimise(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graphs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);

  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass());
  passes.addPass(llvm::SimplifyCFGPass());
  passes.addPass(llvm::InstCombinePass());
  // The adaptor brings loops into simplified, loop-closed form first.
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), /*UseMemorySSA=*/true));
  passes.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
  passes.addPass(llvm::SimplifyCFGPass());
  passes.addPass(llvm::DCEPass());
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) {
      if (runs(Pass::optimise)) passes.run(function, functions);
      watch(function, functions);
    }
}

// Two passes of LLVM's code generator take a third of its time and gain nothing here. Our code has no use for values moved
// from general registers to those of masks, and the emitters walk their inner loops in strides already, which strength
// reduction would only compute in another way.
class Gate final : public llvm::OptPassGate {
 public:
  bool isEnabled() const override { return true; }
  bool shouldRunPass(const llvm::StringRef pass, llvm::StringRef) override {
    return pass != "X86 Domain Reassignment Pass" && pass != "Loop Strength Reduction";
  }
};

// --- printing --------------------------------------------------------------------------------------------------------

std::string text_of(const llvm::Module& module) {
  std::string text;
  llvm::raw_string_ostream(text) << module;
  return text;
}

// Shows one stage of a compilation to whom it may concern: stderr and the directory of dumps.
class ModuleStages {
 public:
  explicit ModuleStages(const std::string& name) : name_(name) {}

  bool wanted(int debug) const { return options().debug >= debug || !options().dump.empty(); }

  void show(int debug, std::string_view suffix, const std::string& text) const {
    if (options().debug >= debug) llvm::errs() << "; " << name_ << suffix << '\n' << text;
    if (options().dump.empty()) return;
    const std::string path = fmt::format("{}/{:04}-{}{}", options().dump, number_, name_, suffix);
    if (!(std::ofstream(path) << text)) throw Error(fmt::format("TAPELOOP_DUMP: cannot write {}", path));
  }

 private:
  static int next() {
    static std::atomic<int> count{0};
    return count++;
  }
  std::string name_;
  int number_ = next();
};

using Bytes = llvm::SmallVector<char, 0>;

Bytes generate(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType type) {
  Bytes bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type, /*DisableVerify=*/true))
    throw InternalError("LLVM cannot write this kind of file");
  passes.run(module);
  return bytes;
}

// --- linking ---------------------------------------------------------------------------------------------------------

class LinkedModule final : public CompiledModule {
 public:
  // JITLink writes the code into pages that it then makes executable and no longer writable.
  LinkedModule(std::unique_ptr<llvm::MemoryBuffer> object, std::span<const OuterFunction> symbols)
      : session_(value_of("jit", llvm::orc::SelfExecutorProcessControl::Create())),
        memory_(value_of("jit", llvm::jitlink::InProcessMemoryManager::Create())),
        layer_(session_, *memory_),
        library_(session_.createBareJITDylib("tapeloop")) {
    // What goes wrong comes back from lookup() as well.
    session_.setErrorReporter([](llvm::Error error) { llvm::consumeError(std::move(error)); });
    try {
      check(library_.define(llvm::orc::absoluteSymbols(addresses(symbols))));
      announce_code(session_, layer_);
      check(layer_.add(library_, std::move(object)));
    } catch (...) {
      end();
      throw;
    }
  }
  ~LinkedModule() override { end(); }

  void* lookup(const std::string& name) const override {
    auto symbol = session_.lookup({&library_}, name);
    if (!symbol) fail("jit: lookup of " + name, symbol.takeError());
    return symbol->getAddress().toPtr<void*>();
  }

 private:
  static void check(llvm::Error error) {
    if (error) fail("jit", std::move(error));
  }
  void end() { llvm::cantFail(session_.endSession()); }

  llvm::orc::SymbolMap addresses(std::span<const OuterFunction> symbols) {
    llvm::orc::SymbolMap map;
    const auto add = [&](const std::string& name, void* address) {
      map[session_.intern(name)] = {llvm::orc::ExecutorAddr::fromPtr(address),
                                    llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
    };
    // The code generator writes calls to these where the target has no instruction.
    add("fmaf", reinterpret_cast<void*>(static_cast<float (*)(float, float, float)>(::fmaf)));
    add("fma", reinterpret_cast<void*>(static_cast<double (*)(double, double, double)>(::fma)));
    add("memcpy", reinterpret_cast<void*>(&std::memcpy));
    add("memmove", reinterpret_cast<void*>(&std::memmove));
    add("memset", reinterpret_cast<void*>(&std::memset));
    for (const OuterFunction& symbol : symbols) add(symbol.name, symbol.address);
    for (const OuterFunction& symbol : watchers()) add(symbol.name, symbol.address);
    return map;
  }

  mutable llvm::orc::ExecutionSession session_;
  std::unique_ptr<llvm::jitlink::InProcessMemoryManager> memory_;
  llvm::orc::ObjectLinkingLayer layer_;
  llvm::orc::JITDylib& library_;
};

}  // namespace

NewModule::NewModule(std::unique_ptr<llvm::LLVMContext> context_, std::unique_ptr<llvm::Module> module_)
    : context(std::move(context_)), module(std::move(module_)) {}
NewModule::NewModule(NewModule&&) noexcept = default;
NewModule::~NewModule() = default;

NewModule new_module(const std::string& name, const Target& target) {
  auto context = std::make_unique<llvm::LLVMContext>();
  auto module = std::make_unique<llvm::Module>(name, *context);
  const auto machine = machine_for(target);
  module->setTargetTriple(machine->getTargetTriple().str());
  module->setDataLayout(machine->createDataLayout());
  return {std::move(context), std::move(module)};
}

void prepare(llvm::Function& function, const Target& target) {
  function.addFnAttr("target-cpu", target.cpu);
  function.addFnAttr("target-features", target.features);
  function.addFnAttr("prefer-vector-width", std::to_string(8 * target.vector_bytes));
  function.addFnAttr("no-trapping-math", "true");  // nobody looks at the exception flags; results do not depend on it
  const char* denormals = options().denormals ? "ieee,ieee" : "preserve-sign,preserve-sign";
  function.addFnAttr("denormal-fp-math", denormals);
  function.setDoesNotThrow();
}

std::string object_code(NewModule fresh, const Target& target) {
  llvm::Module& module = *fresh.module;
  const ModuleStages stages(module.getName().str());
  if (stages.wanted(4)) stages.show(4, ".ll", text_of(module));
  std::string faults;
  llvm::raw_string_ostream stream(faults);
  if (llvm::verifyModule(module, &stream)) throw InternalError("malformed LLVM IR: " + faults);

  const auto machine = machine_for(target);
  optimise(module, *machine);
  Gate gate;
  fresh.context->setOptPassGate(gate);
  if (stages.wanted(4)) stages.show(4, ".opt.ll", text_of(module));
  if (stages.wanted(5)) {
    // Generating code alters the IR, so the text is made from the object's twin.
    const auto copy = llvm::CloneModule(module);
    const Bytes assembly = generate(*copy, *machine, llvm::CodeGenFileType::AssemblyFile);
    stages.show(5, ".s", std::string(assembly.begin(), assembly.end()));
  }
  const Bytes object = generate(module, *machine, llvm::CodeGenFileType::ObjectFile);
  return std::string(object.begin(), object.end());
}

std::shared_ptr<const CompiledModule> link(const std::string& object, std::span<const OuterFunction> symbols) {
  (void)native_target(llvm::sys::getProcessTriple());  // makes the linker's relocations known
  return std::make_shared<LinkedModule>(llvm::MemoryBuffer::getMemBufferCopy(object, "tapeloop"), symbols);
}

std::shared_ptr<const CompiledModule> compile(NewModule fresh, const Target& target,
                                              std::span<const OuterFunction> symbols) {
  return link(object_code(std::move(fresh), target), symbols);
}

}  // namespace tapeloop
