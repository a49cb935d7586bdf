// scan: the only loop over time. It is one record whose body is a tape; its derivative is derived from the body.
//
//   operands  constants ++ state ++ xs        body  (constants, state, x_t) → (state', y_t)
//   results   final state ++ ys
#pragma once

#include <optional>

#include "ad/trace.h"
#include "ops/shape.h"

namespace tapeloop {

struct ScanOptions {
  bool reverse = false;          // from the last step to the first; ys are stored where the xs were
  std::optional<Extent> length;  // the number of steps, needed when there are no xs
  std::int64_t truncate = 0;     // > 0: no gradient passes from step k to step k − 1, 2k to 2k − 1, …, in running order
  // > 0: only the state is kept, once in so many steps; the derivative computes the steps between again (Chen et al. 2016).
  std::int64_t checkpoint = 0;
  // > 0: as checkpoint, with as many steps, and blocks inside blocks, as make what the loop keeps fit into so many bytes and
  // compute as little as possible again (Griewank and Walther 2000; Gruslys et al. 2016). The number of steps becomes part of
  // a compiled program. xs and ys are not counted.
  std::int64_t memory_budget = 0;
};

namespace detail {
// Records the loop. `body` has inputs state ++ xs ++ captured, as traced. Results: final state ++ ys.
Tensors scan_leaves(const TapePtr& body, const Tensors& state, const Tensors& xs, const Tensors& captured,
                    std::size_t ys, const ScanOptions& options, const Where& where);
// The types of one step's x: those of xs without their leading axis.
std::vector<Type> step_types(const Tensors& state, const Tensors& xs, const Where& where);
// Throws Error when a step adds, drops or moves a tensor of the state.
void check_state_names(std::string_view op, const std::vector<std::string>& before,
                       const std::vector<std::string>& after, const Where& where);
}  // namespace detail

// Runs `f(state, x_t)`, which returns pair{state, y_t}, over the leading axis of xs. State, xs and y are trees of tensors;
// gives pair{final state, ys} with ys stacked along a new leading axis. Values of the surroundings that f uses become
// constants of the loop, and gradients flow to them.
// Throws Error when xs differ in length, the state changes its type from one step to the next, `truncate`,
// `checkpoint` or `memory_budget` is negative or given with another, and when no schedule fits the budget.
template <class F, class State, class Xs>
auto scan(F&& f, const State& state, const Xs& xs, ScanOptions options = {}, Where where = Where::current()) {
  const Tensors state_leaves = leaves_of(state), x_leaves = leaves_of(xs);
  auto traced =
      trace_typed(f, {Recorder::Captures::all, where}, detail::step_types(state_leaves, x_leaves, where), state, xs);
  static_assert(std::is_same_v<std::remove_cvref_t<decltype(traced.result.first)>, State>,
                "scan: f must return pair{state, y} with a state of the same C++ type as the initial one");
  const std::size_t states = leaves_of(traced.result.first).size();
  detail::check_state_names("scan", names_of(state), names_of(traced.result.first), where);
  const Tensors results = detail::scan_leaves(traced.tape, state_leaves, x_leaves, traced.captured,
                                              traced.tape->outputs.size() - states, options, where);
  std::size_t next = 0;
  auto last = with_leaves(std::move(traced.result.first), results, next);
  auto ys = with_leaves(std::move(traced.result.second), results, next);
  return std::pair{std::move(last), std::move(ys)};
}

// The tape with every scan, and every while_loop that has a bound, written out as copies of its body: the meaning against
// which derivatives of loops are tested.
// vjp and jvp of the two tapes give the same bits (a zero may change its sign) as long as each captured value is used by
// one scan; several scans add up their shares in another order.
TapePtr expand(const TapePtr& tape);

extern const Op scan_op;  // attributes: body, constants, states, length, reverse

// The parts of a scan record by name.
struct Loop {
  TapePtr body;
  std::size_t constants, states, xs, ys;
  Extent length;
  bool reverse;

  explicit Loop(const Attrs& attrs);
  std::size_t first_x() const { return constants + states; }  // among the operands
  // The attributes of such a loop with another body and length.
  Attrs attrs(TapePtr other_body, const Extent& other_length) const;
};

// What a loop of these types keeps for its reverse mode: for each step, and for each place at which only its state is kept.
std::int64_t bytes_kept_per_step(const Loop& loop);
std::int64_t bytes_of_state(const Loop& loop);

}  // namespace tapeloop