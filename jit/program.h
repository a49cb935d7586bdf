// A compiled tape with what it takes to run it: where its memory lies and how large it is today.
#pragma once

#include <mutex>

#include "jit/engine.h"
#include "jit/jit.h"
#include "jit/pace.h"
#include "jit/recipe.h"

namespace tapeloop {

class CompiledProgram final : public Program {
 public:
  CompiledProgram(TapePtr tape, Recipe recipe, std::shared_ptr<const CompiledModule> code, double seconds);

  bool accepts(std::span<const Argument> arguments) const override;
  void run(std::span<const Argument> arguments, Tensors& results) const override;
  std::int64_t workspace_bytes(std::span<const Argument> arguments) const override;
  const TapePtr& tape() const override { return tape_; }
  double compile_seconds() const override { return seconds_; }

  // What the code is called with: the memory table, the extents, and the team that runs it.
  using Function = void(void** memory, const std::int64_t* extents, void* team, std::int64_t thread,
                        std::int64_t threads);

  // What depends on the extents of the arguments alone.
  struct Layout {
    std::vector<std::int64_t> symbols;  // their values
    std::vector<std::int64_t> extents;
    std::vector<std::int64_t> offsets;  // of the arena entries
    std::int64_t arena_bytes = 0;
    std::vector<std::shared_ptr<const Type>> results;
    std::vector<std::pair<std::int64_t, std::int64_t>> margins;  // of each: bytes before it, bytes of the whole
    Tensor new_result(std::size_t i) const;
    bool worth_threads = false;
    std::shared_ptr<Pace> pace = std::make_shared<Pace>();
  };
  std::shared_ptr<const Layout> layout_for(std::span<const Argument> arguments) const;
  const Recipe& recipe() const { return recipe_; }
  Function* function() const { return function_; }

 private:
  // What a call writes to besides its results, kept from one call to the next.
  struct Workspace {
    std::shared_ptr<Buffer> arena;
    std::vector<void*> memory;
  };
  // An axis of an argument: a number, or one of the symbols.
  struct Axis {
    int symbol;  // -1 for a number
    std::int64_t number;
  };
  bool bind(std::span<const Argument> arguments, std::vector<std::int64_t>& values) const;
  std::shared_ptr<Layout> make_layout(const std::vector<std::int64_t>& values) const;
  int threads_for(const Layout& layout) const;

  TapePtr tape_;
  Recipe recipe_;
  std::shared_ptr<const CompiledModule> code_;
  Function* function_;
  double seconds_;
  std::vector<const tapeloop::Symbol*> symbols_;  // those of the arguments, in the order in which they are met
  std::vector<std::vector<Axis>> axes_;           // of each argument

  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const Layout>> layouts_;  // the one used last comes first
  mutable Workspace idle_;
};

}  // namespace tapeloop
