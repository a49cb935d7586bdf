// A compiled tape with what it takes to run it: where its memory lies and how large it is today.
#pragma once

#include <mutex>

#include "jit/emit.h"
#include "jit/engine.h"
#include "jit/jit.h"

namespace tapeloop {

class CompiledProgram final : public Program {
 public:
  CompiledProgram(TapePtr tape, const Plan& plan, ProgramLayout layout, std::shared_ptr<const CompiledModule> code, double seconds);

  bool accepts(const std::vector<Type>& types) const override;
  Tensors operator()(const Tensors& arguments) const override;
  bool is_of(const TapePtr& tape) const override;
  double compile_seconds() const override { return seconds_; }

 private:
  // What depends on the extents of the arguments alone.
  struct Layout {
    std::vector<std::int64_t> leaves;  // values of the symbols
    std::vector<std::int64_t> extents;
    std::vector<std::int64_t> offsets;  // of the arena entries
    std::int64_t arena_bytes = 0;
    std::vector<Type> results;
    bool worth_threads = false;
    // Seconds of a call, alone and as a team: the smaller decides, and the other is tried again now and then. A second
    // thread pays only while the machine really gives it a core, which no formula knows.
    struct Pace {
      std::mutex mutex;
      double alone = 0, together = 0;
      int calls = 0;
    };
    std::shared_ptr<Pace> pace = std::make_shared<Pace>();
  };
  int threads_for(const Layout& layout) const;
  std::shared_ptr<const Layout> layout_for(const Tensors& arguments) const;

  TapePtr tape_;
  ProgramLayout memory_;
  std::shared_ptr<const CompiledModule> code_;
  using Function = void(void**, const std::int64_t*, void*, std::int64_t, std::int64_t);
  Function* function_;
  double seconds_;
  // Work as a function of the extents: pairs of a product of extents and its weight, and the number of meetings.
  struct Work {
    std::vector<Extent> factors;
    double weight;
  };
  std::vector<Work> work_, meetings_;
  void collect_work(const Plan& plan, const std::vector<Extent>& outer);
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const Layout>> layouts_;
};

}  // namespace tapeloop
