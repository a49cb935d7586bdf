// The pipeline: a tape becomes loop nests, then code.
#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <atomic>
#include <chrono>
#include <cstdio>

#include "jit/block.h"
#include "jit/chunks.h"
#include "jit/compile.h"
#include "jit/describe.h"
#include "jit/emit.h"
#include "jit/engine.h"
#include "jit/hoist.h"
#include "jit/inline.h"
#include "jit/loop.h"
#include "jit/pack.h"
#include "jit/passes.h"
#include "jit/program.h"
#include "jit/rebuild.h"
#include "jit/stored.h"
#include "jit/team.h"
#include "jit/timeline.h"
#include "ops/scan.h"

namespace tapeloop {
namespace {

std::atomic<std::int64_t> compiled{0};

class TapeStages {
 public:
  TapePtr operator()(const char* stage, TapePtr tape) {
    report(stage, [&] { return to_string(*tape); });
    if (options().check) verify(*tape);
    return tape;
  }
  PlanPtr operator()(const char* stage, PlanPtr plan) {
    report(stage, [&] { return to_string(*plan); });
    return plan;
  }

 private:
  using Clock = std::chrono::steady_clock;
  template <class Text>
  void report(const char* stage, const Text& text) {
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - last_).count();
    add_span("compile", stage, last_);
    if (options().debug >= 2) fmt::print(stderr, "tapeloop: {:<18} {:8.3f} ms\n", stage, ms);
    if (options().debug >= 3) fmt::print(stderr, "{}\n", text());
    if (!options().dump.empty()) {
      const std::string path = fmt::format("{}/{:04}-{}-{}.txt", options().dump, compiled.load(), number_++, stage);
      if (std::FILE* file = std::fopen(path.c_str(), "w")) {
        fmt::print(file, "{}", text());
        std::fclose(file);
      }
    }
    last_ = Clock::now();
  }
  Clock::time_point last_ = Clock::now();
  int number_ = 0;
};

TapePtr lower_loops(TapePtr t, TapeStages& log) {
  t = log("loops", lower_scans(t));
  if (runs(Pass::sink_views)) t = log("sink views", sink_views(t));
  if (runs(Pass::outer_products)) t = log("outer products", outer_products(t));
  if (runs(Pass::sink_values)) t = log("sink values", sink_values(t));
  if (runs(Pass::part_products)) t = log("part products", part_products(t));
  if (runs(Pass::block_time)) t = log("block time", block_time(t));
  if (runs(Pass::part_loops)) t = log("part loops", part_loops(t));
  if (runs(Pass::hoist_before)) t = log("hoist before", hoist_before(t));
  if (runs(Pass::hoist_after)) t = log("hoist after", hoist_after(t));
  if (runs(Pass::chain_products)) t = log("chunks", sink_chunks(t));
  t = log("pack", pack_matmuls(t));
  if (runs(Pass::hoist_invariants)) t = log("hoist invariants", hoist_invariants(t));
  return t;
}

// What a branch or a while loop runs is a program of its own; only scans are taken apart together with what is in them.
TapePtr lower_branches(const TapePtr& tape, TapeStages& log) {
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder&) -> Tensor {
    const Record& r = (*tape)[id];
    if (r.op->kind != Kind::loop && r.op->kind != Kind::branch) return {};
    auto lower = [&](const TapePtr& body) {
      const TapePtr t = lower_branches(body, log);
      return r.op == &scan_op ? t : lower_loops(t, log);
    };
    return record(*r.op, in, with_bodies(r.attrs, lower), r.where);
  });
}

}  // namespace

std::int64_t programs_compiled() { return compiled; }

std::shared_ptr<const Program> Program::compile(const TapePtr& traced) { return compile_tape(traced); }

std::shared_ptr<const CompiledProgram> compile_tape(const TapePtr& traced,
                                                    const std::function<TapePtr(const TapePtr&)>& change,
                                                    Threads threads) {
  const auto begin = std::chrono::steady_clock::now();
  const Target& target = target_for(options().isa);
  TapeStages log;
  TapePtr t = log("traced", traced);
  t = log("prune", prune(t));
  t = log("inline", inline_calls(t));
  t = log("branches", lower_branches(t, log));
  t = lower_loops(t, log);
  if (change) t = log("freeze", change(t));
  // From here on the tape is fixed; only loop nests and memory are decided.
  const auto finished = [&](const char* how, Recipe recipe, const std::string& object) {
    const OuterFunction meet{kBarrierSymbol, reinterpret_cast<void*>(&tapeloop_meet)};
    auto code = link(object, {&meet, 1});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (options().debug >= 1)
      fmt::print(stderr, "tapeloop: {} {} records in {:.1f} ms\n", how, t->size(), seconds * 1e3);
    return std::make_shared<CompiledProgram>(change ? t : traced, std::move(recipe), std::move(code), seconds);
  };
  const ProgramKey key(*t, target, threads);
  if (auto stored = key.load(*t)) return finished("loaded", std::move(stored->recipe), stored->object);
  const PlanPtr plan = log("plan", make_program_plan(t));
  if (options().debug >= 2) fmt::print(stderr, "{}", describe(*plan, target));

  NewModule fresh = new_module("tapeloop", target);
  llvm::IRBuilder<> b(*fresh.context);
  llvm::Type* arguments[] = {b.getPtrTy(), b.getPtrTy(), b.getPtrTy(), b.getInt64Ty(), b.getInt64Ty()};
  auto* function = llvm::Function::Create(llvm::FunctionType::get(b.getVoidTy(), arguments, false),
                                          llvm::Function::ExternalLinkage, "program", fresh.module.get());
  prepare(*function, target);
  ProgramLayout layout = Emitter(b, function, target, threads).emit(*plan);
  std::string object;
  {
    const Span generating("compile", "generate code");
    object = object_code(std::move(fresh), target);
  }
  ++compiled;
  Recipe recipe = make_recipe(*plan, std::move(layout));
  key.store(recipe, object);
  return finished("compiled", std::move(recipe), object);
}

}  // namespace tapeloop
