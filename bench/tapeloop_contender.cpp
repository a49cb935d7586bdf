// This library's side: a step is written as a user writes it, and compiled.
#include <chrono>
#include <functional>
#include <optional>

#include "ad/denormals.h"
#include "ad/grad.h"
#include "bench/cells.h"
#include "bench/contender.h"
#include "jit/jit.h"
#include "models/cell.h"
#include "models/gru.h"
#include "models/lstm.h"
#include "models/rnn.h"

namespace tapeloop::bench {
namespace {

template <class Tree>
Tree materialized(Tree tree) {
  for_each_tensor(tree, [](Tensor& t) {
    if (!t.is_empty()) t = t.materialized();
  });
  return tree;
}

// Four layers as one cell.
struct FourLayers {
  StackedAlike<Lstm> layers;

  auto operator()(const std::vector<Lstm::State>& states, const Tensor& x) const { return layers(states, x); }
  auto initial(const Extent& batch) const { return layers.initial(batch); }
  static FourLayers init(const Tensor& k, std::int64_t inputs, std::int64_t hidden) {
    std::vector<Lstm> cells;
    for (const Tensor& one : {fold_in(k, 0), fold_in(k, 1), fold_in(k, 2), fold_in(k, 3)})
      cells.push_back(Lstm::init(one, inputs, hidden));
    return {stacked(std::move(cells))};
  }
};

// All the tensors of a step. The cotangent of the outputs is given, as it is to a layer in the middle of a network.
template <class Cell>
struct Inputs {
  Cell cell;
  decltype(std::declval<Cell>().initial(1)) state;
  Tensor xs, cotangent;  // [T, B, I], [T, B, H]

  explicit Inputs(const Row& row)
      : cell(materialized(Cell::init(key(1), row.size, row.size))),
        state(materialized(cell.initial(row.batch))),
        xs(normal(key(2), {row.steps, row.batch, row.size}).materialized()),
        cotangent(
            (normal(key(3), {row.steps, row.batch, row.size}) * (1.0 / double(row.steps * row.batch))).materialized()) {
  }
};

struct Solution {
  std::function<void()> solve;
  std::int64_t workspace_bytes = 0;
  bool in_real_time = false;  // called by a thread that flushes denormals itself, as those of audio hosts do
};

// The outputs, and the gradients of cell, initial state and inputs.
template <class Cell>
auto compiled_step() {
  return jit([](const auto& cell, const auto& state, const Tensor& xs, const Tensor& cotangent) {
    auto loss = [](const auto& c, const auto& s, const Tensor& x, const Tensor& ct) {
      const Tensor outputs = unroll(c, s, x).outputs;
      return std::pair{sum(outputs * ct), outputs};
    };
    auto [value, outputs, grads] = value_and_grad<0, 1, 2>(loss)(cell, state, xs, cotangent);
    return std::pair{outputs, grads};
  });
}

template <class Cell>
Solution training_step(const Row& row) {
  auto step = compiled_step<Cell>();
  const Inputs<Cell> in(row);
  const std::int64_t bytes = step.workspace_bytes(in.cell, in.state, in.xs, in.cotangent);
  return {[step, in]() mutable { (void)step(in.cell, in.state, in.xs, in.cotangent); }, bytes};
}

template <class Cell>
Solution inference(const Row& row) {
  auto forward = jit([](const auto& cell, const auto& state, const Tensor& xs) {
    auto [last, outputs] = unroll(cell, state, xs);
    return std::pair{last, outputs};
  });
  const Inputs<Cell> in(row);
  const std::int64_t bytes = forward.workspace_bytes(in.cell, in.state, in.xs);
  return {[forward, in]() mutable { (void)forward(in.cell, in.state, in.xs); }, bytes};
}

// One step at a time through the bound form; the state stays where it is.
template <class Cell>
Solution streaming(const Row& row) {
  auto step = jit([](const Cell& cell, const auto& state, const Tensor& x) { return cell(state, x); });
  const Inputs<Cell> in(row);
  auto bound = std::make_shared<Bound>(step.bind(in.cell, in.state, at(in.xs, 0, 0)));
  return {.solve = [bound] { (*bound)(); }, .in_real_time = true};
}

// From a C++ function to machine code that has run once: what the first call of a new function takes beyond the next.
template <class Cell>
double compile_ms(const Row& row, bool from_disk) {
  Options with = options();
  with.cache = from_disk;
  const ScopedOptions scope(with);
  auto step = compiled_step<Cell>();
  const Inputs<Cell> in(row);
  const auto timed = [&] {
    const auto begin = std::chrono::steady_clock::now();
    (void)step(in.cell, in.state, in.xs, in.cotangent);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  };
  const double first = timed();
  return first - std::min(timed(), timed());
}

template <class Cell>
Solution solution(const Problem& problem) {
  switch (problem.task) {
    case Task::train:
      return training_step<Cell>(problem.row);
    case Task::infer:
      return inference<Cell>(problem.row);
    case Task::stream:
      return streaming<Cell>(problem.row);
    default:
      return {};
  }
}

Solution solution_of(const Problem& problem) {
  if (problem.cell == "rnn") return solution<Rnn>(problem);
  if (problem.cell == "lstm") return solution<Lstm>(problem);
  if (problem.cell == "gru") return solution<Gru>(problem);
  if (problem.cell == "mgu") return solution<Mgu>(problem);
  if (problem.cell == "peephole") return solution<Peephole>(problem);
  if (problem.cell == "lnlstm") return solution<LayerNormLstm>(problem);
  if (problem.cell == "sru") return solution<Sru>(problem);
  return {};
}

class Tapeloop final : public Contender {
 public:
  explicit Tapeloop(std::string_view without = {}) : without_(without) {}
  std::string name() const override { return without_.empty() ? "tapeloop" : "without " + without_; }
  bool prepare(const Problem& problem) override {
    solution_ = {};
    threads_.reset();
    Options with_threads = options();
    with_threads.threads = problem.threads;
    if (!without_.empty()) with_threads.without = without_;
    threads_.emplace(with_threads);
    solution_ = solution_of(problem);
    if (solution_.solve) solution_.solve();  // compiles
    return bool(solution_.solve);
  }
  double run(int calls) override {
    using Clock = std::chrono::steady_clock;
    std::optional<FlushDenormals> flushed;
    if (solution_.in_real_time) flushed.emplace(options().denormals);
    const auto begin = Clock::now();
    for (int call = 0; call < calls; ++call) solution_.solve();
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count() / calls;
  }
  std::int64_t workspace_bytes() const override { return solution_.workspace_bytes; }

 private:
  std::string without_;
  std::optional<ScopedOptions> threads_;
  Solution solution_;
};

// Compiling is measured apart from running: once means once.
class Compiler final : public Contender {
 public:
  explicit Compiler(bool from_disk) : from_disk_(from_disk) {}
  std::string name() const override { return from_disk_ ? "from disk" : "tapeloop"; }
  bool prepare(const Problem& problem) override {
    problem_ = problem;
    if (problem.task != Task::compile) return false;
    if (from_disk_) (void)run(1);  // now it is there
    return true;
  }
  double run(int calls) override {
    double ms = 0;
    for (int call = 0; call < calls; ++call) ms += once();
    return ms / calls;
  }

 private:
  double once() const {
    if (problem_.cell == "rnn") return compile_ms<Rnn>(problem_.row, from_disk_);
    if (problem_.cell == "gru") return compile_ms<Gru>(problem_.row, from_disk_);
    if (problem_.cell == "mgu") return compile_ms<Mgu>(problem_.row, from_disk_);
    if (problem_.cell == "peephole") return compile_ms<Peephole>(problem_.row, from_disk_);
    if (problem_.cell == "lnlstm") return compile_ms<LayerNormLstm>(problem_.row, from_disk_);
    if (problem_.cell == "sru") return compile_ms<Sru>(problem_.row, from_disk_);
    if (problem_.cell == "4 lstm") return compile_ms<FourLayers>(problem_.row, from_disk_);
    return compile_ms<Lstm>(problem_.row, from_disk_);
  }
  bool from_disk_;
  Problem problem_;
};

}  // namespace

std::unique_ptr<Contender> compiler_contender(bool from_disk) { return std::make_unique<Compiler>(from_disk); }

std::unique_ptr<Contender> tapeloop_contender() { return std::make_unique<Tapeloop>(); }
std::unique_ptr<Contender> tapeloop_without(std::string_view pass) { return std::make_unique<Tapeloop>(pass); }

}  // namespace tapeloop::bench
