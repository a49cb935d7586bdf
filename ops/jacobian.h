// Whole Jacobians and Hessians: many directions at once, by vmap of one reverse or forward pass.
#pragma once

#include "ops/batch.h"

namespace tapeloop {

enum class Mode { reverse, forward };

namespace detail {

// The derivatives of the one output of `tape` with respect to the first `arguments` inputs, each of shape output ++ input.
Tensors jacobian_leaves(const TapePtr& tape, const Tensors& inputs, std::size_t arguments, Mode mode,
                        const Where& where);

}  // namespace detail

// The derivative of f, which returns one tensor of shape O, with respect to its first argument: a tree like it, in which a
// tensor of shape I has become one of shape O ++ I. Reverse mode is a pass for each element of O, forward mode for each of
// the argument's; all passes run as one batch. Throws Error when f returns anything but one floating-point tensor, or
// tensors of the first argument are not floating-point.
template <class F>
auto jacobian(F f, Mode mode = Mode::reverse, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, mode, where]<class X, class... Rest>(const X& x, const Rest&... rest) {
    Tensors inputs = leaves_of_all(x, rest...);
    auto traced = trace_typed(f.function, Recorder::Captures::recorded, types_of(inputs), x, rest...);
    inputs.insert(inputs.end(), traced.captured.begin(), traced.captured.end());
    return with_leaves(x, detail::jacobian_leaves(traced.tape, inputs, leaves_of(x).size(), mode, where));
  };
}

// The second derivatives of a loss with respect to its first argument, a tensor of shape I: I ++ I, forward over reverse mode.
// Of a tree, hvp() gives the products with a direction.
template <class F>
auto hessian(F f, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, where]<class X, class... Rest>(const X& x, const Rest&... rest) {
    static_assert(std::is_same_v<X, Tensor>, "hessian: the first argument is one tensor; for a tree use hvp()");
    return jacobian(grad(f.function), Mode::forward, where)(x, rest...);
  };
}

}  // namespace tapeloop
