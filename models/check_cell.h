// Is a cell of one's own right? check_cell runs on it every law that must hold of any cell, and says which do.
//
//   const auto report = check_cell([](auto f) { return jit(f); }, cell, cell.initial(2), normal(key(1), {5, 2, 3}));
//   std::puts(to_string(report).c_str());
//
// Compiling is handed in as a function, since models do not know the compiler.
#pragma once

#include <functional>

#include "ad/check.h"
#include "ad/options.h"
#include "models/cell.h"
#include "models/save.h"
#include "ops/batch.h"

namespace tapeloop {

struct CellLaw {
  std::string law;
  bool holds = true;
  std::string found;  // when it does not: what was found
};

struct CellReport {
  std::vector<CellLaw> laws;
  CheckReport gradients;
  bool passed() const;
};

// A line for each law, marked ✓ or ✗, and the table of the gradients when one of them is wrong.
std::string to_string(const CellReport& report);

namespace detail {

// Numbers between −1 and 1 that depend on nothing but the seed, f64.
Tensor noise_of(std::uint64_t seed, const Shape& shape);
// (arguments of a loss) → (…, gradients of all floating-point arguments), run.
Tensors run_gradient(const TapePtr& loss, Tensors arguments);
// What a mode of differentiation makes of a loss: its gradient; its derivative along a direction that the seed gives; that
// derivative of its gradient.
enum class Mode { vjp, jvp, hvp };
Tensors run_mode(Mode mode, const TapePtr& loss, Tensors arguments, std::uint64_t seed);
// The largest difference, relative to the largest number; infinite when the shapes or a NaN differ.
double difference_of(const Tensors& a, const Tensors& b);
bool all_same_bits(const Tensors& a, const Tensors& b);
// A path in the system's folder for temporary files at which there is no file yet.
std::string unused_file();
void remove_file(const std::string& path);

// Runs one law; what it throws is what was found.
class LawRunner {
 public:
  explicit LawRunner(CellReport& report) : report_(report) {}
  void add(std::string law, bool holds, std::string found);
  // `law` gives two lists that must be the same bits, or within `tolerance`.
  using Law = std::function<std::pair<Tensors, Tensors>()>;
  void same(std::string name, const Law& law, double tolerance = 0);

 private:
  CellReport& report_;
};

template <class Tree>
Tree cast_floats(Tree tree, Dtype dtype) {
  return mapped(std::move(tree), [&](const Tensor& t) {
    return is_float(t.dtype()) ? cast(t, dtype).materialized() : t.materialized();
  });
}

// The loss whose derivatives are compared: every output with a weight for each step, and the squares of the last state.
template <class Outputs, class State>
Tensor cell_loss(const Outputs& outputs, const State& last, const Tensor& weights) {
  Tensor total = sum(weights);
  for (const Tensor& t : leaves_of(outputs)) {
    Shape shape(std::size_t(t.rank()), Extent(1));
    shape[0] = weights.size(0);
    if (is_float(t.dtype())) total = total + sum(t * reshape(weights, shape));
  }
  for (const Tensor& t : leaves_of(last))
    if (is_float(t.dtype())) total = total + sum(square(t));
  return total;
}
inline auto loss_over_time(const UnrollOptions& options) {
  return [options](const auto& cell, const auto& state, const Tensor& xs, const Tensor& weights) {
    auto [last, outputs] = unroll(cell, state, xs, options);
    return cell_loss(outputs, last, weights);
  };
}

// The same with the steps written one after the other, as a user would who has no loop, and who cuts the gradient before every
// k-th step, and keeps the state of a row that has ended.
inline auto loss_by_hand(const UnrollOptions& options) {
  return [options](const auto& cell, const auto& state, const Tensor& xs, const Tensor& weights) {
    const auto k = int(options.truncate);
    auto now = state;
    using State = std::remove_cvref_t<decltype(now)>;
    Tensor total = sum(weights);
    for (int t = 0; t < int(xs.size(0).value()); ++t) {
      if (k > 0 && t > 0 && t % k == 0)
        now = mapped(now, [](const Tensor& s) { return is_float(s.dtype()) ? stop_gradient(s) : s; });
      auto [next, output] = state_and_output<State>(cell(now, at(xs, 0, t)));
      if (options.lengths.is_empty()) {
        now = next;
      } else {
        now = select_rows(options.lengths > t, next, now);
        output = zero_rows(options.lengths > t, output);
      }
      for (const Tensor& o : leaves_of(output))
        if (is_float(o.dtype())) total = total + sum(o * at(weights, 0, t));
    }
    for (const Tensor& s : leaves_of(now))
      if (is_float(s.dtype())) total = total + sum(square(s));
    return total;
  };
}

// Every mode of differentiation, each over a loop that is plain, truncated, checkpointed and of rows of their own lengths, against
// the steps written one after the other.
template <class Cell, class State>
void check_modes(LawRunner& laws, const Cell& cell, const State& state, const Tensor& xs, const Tensor& w,
                 const Tensor& lengths, std::uint64_t seed) {
  const Tensors arguments = leaves_of(std::tuple{cell, state, xs, w});
  const Tensor other = (xs * 0.5).materialized();
  const std::pair<std::string, UnrollOptions> ways[] = {{"plain", {}},
                                                        {"truncated", {.truncate = 2}},
                                                        {"checkpointed", {.checkpoint = 2}},
                                                        {"with lengths", {.lengths = constant(lengths)}}};
  for (const auto& entry : ways) {  // no structured binding: clang-tidy loses sight of one that a lambda captures
    const std::string& way = entry.first;
    const UnrollOptions& options = entry.second;
    auto tape_of = [&](const auto& loss) { return trace(loss, Recorder::Captures::recorded, cell, state, xs, w).tape; };
    auto both = [&](Mode mode) {
      return std::pair{run_mode(mode, tape_of(loss_over_time(options)), arguments, seed),
                       run_mode(mode, tape_of(loss_by_hand(options)), arguments, seed)};
    };
    const std::string as_written = ", " + way + ": as of the steps one by one";
    laws.same("reverse mode (vjp)" + as_written, [&] { return both(Mode::vjp); }, 1e-12);
    laws.same("forward mode (jvp)" + as_written, [&] { return both(Mode::jvp); }, 1e-12);
    laws.same("second order (hvp)" + as_written, [&] { return both(Mode::hvp); }, 1e-11);
    laws.same(
        "per-example gradients (vmap of grad)" + as_written,
        [&] {
          const auto gradients = value_and_grad<0, 1, 2>(loss_over_time(options));
          auto alone = value_and_grad<0, 1, 2>(loss_by_hand(options));
          const Tensors many =
              leaves_of(vmap(gradients, {.in = {none, none, 0, none}})(cell, state, stack({xs, other}), w));
          Tensors batched, separate;
          for (int i = 0; i < 2; ++i) {
            for (const Tensor& t : many) batched.push_back(at(t, 0, i).materialized());
            for (const Tensor& t : leaves_of(alone(cell, state, i == 0 ? xs : other, w)))
              separate.push_back(t.materialized());
          }
          return std::pair{batched, separate};
        },
        1e-12);
  }
}

}  // namespace detail

// `compile(f)` gives a compiled f, as jit does. The cell is run over xs [T, B, …], T at least 3, from `state`; its derivatives
// are checked with respect to its own tensors, the state and xs, in f64, and compared in both precisions:
//
//   finite differences, forward with reverse mode, second order (gradient_report); the loop written out; vjp, jvp, hvp and vmap of
//   grad, each plain, truncated, checkpointed and with rows of different lengths, with the steps one by one; rows alone;
//   compiled with interpreted programs, numbers of threads, and files.
//
// A cell that cannot do something (a state without a batch axis has no lengths) fails that law, with the error as the reason.
template <class Compile, class Cell, class State>
CellReport check_cell(const Compile& compile, const Cell& given_cell, const State& given_state, const Tensor& given_xs,
                      const CheckOptions& options = {}) {
  using namespace detail;
  CellReport report;
  LawRunner laws(report);
  const Cell cell = cast_floats(given_cell, Dtype::f64);
  const State state = cast_floats(given_state, Dtype::f64);
  const Tensor xs = cast_floats(given_xs, Dtype::f64), w = noise_of(options.seed, {xs.size(0)});
  const auto loss = loss_over_time({});

  report.gradients = gradient_report(options, loss, cell, state, xs, w);
  bool differences = true, forward = true, second = true;
  for (const TensorCheck& t : report.gradients.tensors)
    differences = differences && t.verdict != TensorCheck::Verdict::wrong;
  for (const LawCheck& law : report.gradients.laws) (law.law.starts_with("forward") ? forward : second) &= law.holds;
  const std::string see = "see the table";
  laws.add("the gradient is that of finite differences", differences, see);
  laws.add("forward and reverse mode agree", forward, see);
  laws.add("second derivatives, their symmetry, Taylor's theorem", second, see);

  const TapePtr rolled = trace(loss, Recorder::Captures::recorded, cell, state, xs, w).tape;
  const Tensors arguments = leaves_of(std::tuple{cell, state, xs, w});
  const Tensors gradient = run_gradient(rolled, arguments);
  // To the last bit, unless a step holds a loop whose first state is used elsewhere too: then sums go in another order.
  laws.same(
      "the loop's derivative is that of its steps written out",
      [&] { return std::pair{gradient, run_gradient(expand(rolled), arguments)}; }, 1e-13);
  auto gradient_with = [&](const auto& f) {
    return run_gradient(trace(f, Recorder::Captures::recorded, cell, state, xs, w).tape, arguments);
  };
  laws.same("checkpoints change no bit",
            [&] { return std::pair{gradient_with(loss_over_time({.checkpoint = 2})), gradient}; });

  const auto steps = int(xs.size(0).value()), batch = int(xs.size(1).value());
  std::vector<int> lengths;
  for (int row = 0; row < batch; ++row) lengths.push_back(std::max(1, steps - 1 - row % (steps - 1)));
  check_modes(laws, cell, state, xs, w, Tensor::of(lengths, {batch}), options.seed);
  laws.same(
      "every row of its own length is as if it were alone",
      [&] {
        const auto together = unroll(cell, state, xs, {.lengths = Tensor::of(lengths, {batch})});
        Tensors all, alone;
        for (int row = 0; row < batch; ++row) {
          auto take = [&](const Tensor& t) { return slice(t, 0, row, row + 1); };
          const auto own =
              unroll(cell, mapped(state, take), slice(slice(xs, 1, row, row + 1), 0, 0, lengths[std::size_t(row)]));
          for (const Tensor& t : leaves_of(together.last)) all.push_back(take(t));
          for (const Tensor& t : leaves_of(own.last)) alone.push_back(t);
          for (const Tensor& t : leaves_of(together.outputs))
            all.push_back(slice(slice(t, 1, row, row + 1), 0, 0, lengths[std::size_t(row)]));
          for (const Tensor& t : leaves_of(own.outputs)) alone.push_back(t);
        }
        return std::pair{all, alone};
      },
      1e-12);
  auto gradients = [](const Cell& c, const State& s, const Tensor& x, const Tensor& weights) {
    return value_and_grad<0>(loss_over_time({}))(c, s, x, weights);
  };
  laws.same("per-example gradients have the bits of the examples", [&] {
    const Tensor other = xs * 0.5;
    const auto both = vmap(gradients, {.in = {none, none, 0, none}})(cell, state, stack({xs, other}), w);
    Tensors first, second_one, separate;
    for (const Tensor& t : leaves_of(both)) {
      first.push_back(at(t, 0, 0));
      second_one.push_back(at(t, 0, 1));
    }
    first.insert(first.end(), second_one.begin(), second_one.end());
    for (const Tensor& x : {xs, other})
      for (const Tensor& t : leaves_of(gradients(cell, state, x, w))) separate.push_back(t);
    return std::pair{first, separate};
  });

  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const std::string name = dtype == Dtype::f32 ? "f32" : "f64";
    const Cell c = cast_floats(cell, dtype);
    const State s = cast_floats(state, dtype);
    const Tensor x = cast_floats(xs, dtype), weights = cast_floats(w, dtype);
    auto with_threads = [&](int threads) {
      Options set = tapeloop::options();
      set.threads = threads;
      set.jit = true;
      const ScopedOptions scope(set);
      return leaves_of(compile(gradients)(c, s, x, weights));
    };
    laws.same("compiled and interpreted programs give the same bits, " + name,
              [&] { return std::pair{with_threads(1), leaves_of(gradients(c, s, x, weights))}; });
    laws.same("so does any number of threads, " + name, [&] { return std::pair{with_threads(1), with_threads(3)}; });
  }
  laws.same("what was saved is what is loaded", [&] {
    const std::string path = unused_file();
    save(path, cell);
    const Cell again = load(path, cell);
    remove_file(path);
    return std::pair{leaves_of(again), leaves_of(cell)};
  });
  return report;
}

}  // namespace tapeloop
