// cond: one of two functions, chosen while the program runs. Each is a tape, and only the one that is chosen runs: its
// derivative keeps what that one needs, and runs the derivative of that one.
#pragma once

#include <type_traits>

#include "ad/trace.h"

namespace tapeloop {

namespace detail {

// A function as traced: its inputs are the arguments, then what it captured.
struct TracedBody {
  TapePtr tape;
  Tensors captured;
};
// What several bodies of one record capture is one operand: adds to `operands` what is not among them from `first` on, and
// to `place` where each captured value is.
void place_once(const Tensors& captured, std::size_t first, Tensors& operands, std::vector<std::size_t>& place);
Tensors cond_leaves(const Operand& predicate, const TracedBody& on_true, const TracedBody& on_false,
                    const Tensors& arguments);
// Throws Error when the two functions return trees that differ in more than the numbers of their tensors.
void check_same_tree(const std::string& on_true, const std::string& on_false, const Where& where);

}  // namespace detail

// on_true(args…) where the predicate, a boolean scalar, holds; else on_false(args…). Both are recorded and compiled, one is
// run. They return trees of one type, with tensors of the same shapes and dtypes, and may use values of their surroundings.
// Gradients flow to the arguments and to these values; none to the predicate.
//
//   h = cond(any(is_reset), [](Tensor h) { return zeros_like(h); }, [](Tensor h) { return h * 0.9; }, h);
//
// Under vmap with a predicate for each example both run for all examples, and each gets its own: take gradients inside vmap
// then, as grad(vmap(f)) meets 0 · ∞ where the function that was not chosen has no finite derivative (see where).
// Throws Error when the predicate is not a boolean scalar, and when the results differ in structure, shape or dtype.
template <class F, class G, class... Args>
auto cond(const Operand& predicate, F&& on_true, G&& on_false, const Args&... args) {
  const Recording how{Recorder::Captures::all, predicate.where};
  auto a = trace(on_true, how, args...);
  auto b = trace(on_false, how, args...);
  static_assert(std::is_same_v<decltype(a.result), decltype(b.result)>,
                "cond: both functions must return the same C++ type");
  std::string static_a, static_b;
  append_static(static_a, a.result);
  append_static(static_b, b.result);
  detail::check_same_tree(static_a, static_b, predicate.where);
  return with_leaves(std::move(a.result), detail::cond_leaves(predicate, {a.tape, a.captured}, {b.tape, b.captured},
                                                              leaves_of_all(args...)));
}

// Operands: the predicate, then the inputs of both tapes. Attributes: on_true, on_false.
extern const Op cond_op;

}  // namespace tapeloop
