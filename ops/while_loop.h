// while_loop: a loop that goes on as long as its state says so.
#pragma once

#include <type_traits>

#include "ad/trace.h"
#include "ops/cond.h"
#include "ops/scan.h"

namespace tapeloop {

struct WhileOptions {
  // > 0: at most so many steps. Reverse mode needs it: it takes as many steps, and keeps what they need.
  std::int64_t bound = 0;
};

namespace detail {

// Both as traced, functions of the tensors of the state.
Tensors while_leaves(const TracedBody& condition, const TracedBody& body, const Tensors& state,
                     const WhileOptions& options, const Where& where);

}  // namespace detail

// state = body(state) for as long as condition(state), a boolean scalar, holds; gives the state for which it does not, or
// that after `bound` steps. The state is a tree of tensors. Both functions may use values of their surroundings.
//
//   auto [x, error] = while_loop([](auto s) { return s.second > 1e-6; }, newton_step, std::pair{x0, error0}, {.bound = 50});
//
// Gradients flow to the initial state and to these values: in forward mode always, in reverse mode with a bound. Under vmap
// the loop runs until no example goes on, and an example that has finished keeps its state.
// Throws Error when the condition is not a boolean scalar, when a step changes the type of the state, when the state has no
// tensors, when `bound` is negative, and when a derivative in reverse mode is asked of a loop without a bound.
template <class P, class F, class State>
State while_loop(P&& condition, F&& body, const State& state, WhileOptions options = {},
                 Where where = Where::current()) {
  const Recording how{Recorder::Captures::all, where};
  auto test = trace(condition, how, state);
  auto step = trace(body, how, state);
  static_assert(std::is_same_v<decltype(test.result), Tensor>,
                "while_loop: the condition must return a Tensor, a boolean scalar");
  static_assert(std::is_same_v<decltype(step.result), State>,
                "while_loop: the body must return a state of the same C++ type as the initial one");
  detail::check_state_names("while_loop", names_of(state), names_of(step.result), where);
  return with_leaves(
      std::move(step.result),
      detail::while_leaves({test.tape, test.captured}, {step.tape, step.captured}, leaves_of(state), options, where));
}

// operands  constants ++ state      condition  (constants, state) → boolean      body  (constants, state) → state'
// results   final state             attributes: condition, body, constants, states, bound
extern const Op while_op;

// The parts of a while record by name.
struct While {
  TapePtr condition, body;
  std::size_t constants, states;
  std::int64_t bound;

  explicit While(const Attrs& attrs);
  Attrs attrs() const;
  // A scan of `bound` steps over the same operands, with the same results: each is a step of this loop, or none.
  Attrs bounded() const;
};

}  // namespace tapeloop
