// Derivatives of C++ functions: short compositions of the transformations of tapes.
//
// All take a function of trees (any nesting of structs, vectors, tuples and tensors) and give a function of the same
// arguments. They compose with each other, with jit, and inside scan. Differentiated tensors must be f32 or f64.
#pragma once

#include "ad/arithmetic.h"
#include "ad/trace.h"
#include "ad/transform.h"

namespace tapeloop {

namespace detail {

// The leaves of the arguments of a call, and what is asked of each.
struct Arguments {
  Tensors leaves;
  std::vector<bool> wanted;
  std::vector<std::string> names;   // "argument 0.cell.w"
  std::vector<std::size_t> counts;  // of the leaves of each argument

  void add(const Tensors& of_argument, const std::vector<std::string>& names_in_it, bool want);
  void add_captured(const Tensors& captured);
};
template <class... Args>
Arguments arguments_of(const Args&... args) {
  Arguments all;
  (all.add(leaves_of(args), names_of(args), true), ...);
  return all;
}

// The gradient of output 0 of `tape` with respect to the wanted inputs: its outputs, then the gradients.
// Throws Error when output 0 is not one floating-point number, or a wanted input is not floating-point (`names` are its);
// `where` is the line that asks for a gradient.
Tensors value_and_gradients(const TapePtr& tape, const Tensors& inputs, const std::vector<bool>& wanted,
                            const std::vector<std::string>& names, const Where& where = Where::current());
Tensors value_and_gradients(const TapePtr& tape, const Tensors& captured, Arguments arguments, const Where& where);

// All tensors of a tree, empty ones as well.
template <class Tree>
Tensors tensors_of(const Tree& tree) {
  Tensors all;
  for_each_tensor(tree, [&](const Tensor& t) { all.push_back(t); });
  return all;
}
template <class Tree>
std::vector<std::string> names_of_tensors(const Tree& tree) {
  std::vector<std::string> all;
  for_each_named_tensor(tree, [&](const std::string& name, const Tensor&) { all.push_back(name); });
  return all;
}

// The tangents or cotangents (`what`) of the floating-point tensors of a tree, in order; those of others are ignored. `like` are
// the tensors of the tree.
// Throws Error when one of them is not a tensor of the type of its partner.
Tensors partners(std::string_view op, std::string_view what, const Tensors& like, const std::vector<std::string>& names,
                 const Tensors& given, const Where& where);
template <class Tree>
Tensors partners(std::string_view op, std::string_view what, const Tree& like, const Tree& given, const Where& where) {
  return detail::partners(op, what, detail::tensors_of(like), detail::names_of_tensors(like), detail::tensors_of(given),
                          where);
}

// Runs a tape whose arguments are all concrete, records it otherwise.
Tensors evaluate(const Tape& tape, const Tensors& inputs);

// Which of them are floating-point.
std::vector<bool> are_floats(const Tensors& tensors);

// Puts derivatives in the places of floating-point tensors, and nothing in those of others.
struct ReplaceFloats {
  const Tensors& derivatives;
  std::size_t& next;
  void operator()(Tensor& t) const {
    if (!t.is_empty()) t = is_float(t.dtype()) ? derivatives[next++] : Tensor();
  }
};

template <std::size_t i, class First, class... Rest>
const auto& nth(const First& first, const Rest&... rest) {
  if constexpr (i == 0)
    return first;
  else
    return detail::nth<i - 1>(rest...);
}

template <std::size_t... Index, class F, class... Args>
auto value_and_grad_of(F& f, const Where& where, const Args&... args) {
  static_assert(((Index < sizeof...(Args)) && ...), "grad<I>: there is no argument number I");
  Arguments arguments;
  (arguments.add(leaves_of(args), names_of(args), ((arguments.counts.size() == Index) || ...)), ...);
  auto traced = trace_typed(f, {Recorder::Captures::recorded, where}, types_of(arguments.leaves), args...);
  const Tensors results = value_and_gradients(traced.tape, traced.captured, std::move(arguments), where);
  std::size_t next = 0;
  auto value = with_leaves(std::move(traced.result), results, next);
  // The gradient with respect to an argument is a tree like it.
  if constexpr (sizeof...(Index) == 1) {
    auto gradient = with_leaves(detail::nth<Index...>(args...), results, next);
    return std::pair{std::move(value), std::move(gradient)};
  } else {
    std::tuple gradients{with_leaves(detail::nth<Index>(args...), results, next)...};
    return std::pair{std::move(value), std::move(gradients)};
  }
}

template <class T>
struct LossAndAux : std::false_type {};
template <class Loss, class Aux>
struct LossAndAux<std::pair<Loss, Aux>> : std::true_type {};

}  // namespace detail

// (loss, gradients), or (loss, aux, gradients) when f returns pair{loss, aux}. The loss is a scalar tensor. Gradients are
// those with respect to the arguments numbered Index (default: the first), each a tree like its argument; with several
// indices they come as a tuple.
template <std::size_t... Index, class F>
auto value_and_grad(F f, Where where = Where::current()) {
  if constexpr (sizeof...(Index) == 0) {
    return tapeloop::value_and_grad<0>(std::move(f), where);
  } else {
    return [f = detail::Held{std::move(f)}, where](const auto&... args) {
      auto [value, gradients] = detail::value_and_grad_of<Index...>(f.function, where, args...);
      if constexpr (detail::LossAndAux<decltype(value)>::value)
        return std::tuple{std::move(value.first), std::move(value.second), std::move(gradients)};
      else
        return std::tuple{std::move(value), std::move(gradients)};
    };
  }
}

// The gradients alone.
template <std::size_t... Index, class F>
auto grad(F f, Where where = Where::current()) {
  if constexpr (sizeof...(Index) == 0)
    return tapeloop::grad<0>(std::move(f), where);
  else
    return [f = detail::Held{std::move(f)}, where](const auto&... args) {
      return detail::value_and_grad_of<Index...>(f.function, where, args...).second;
    };
}

// Forward mode: jvp(f)(args, tangents) with two tuples of trees gives (value, its change along the tangents).
template <class F>
auto jvp(F f, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, where]<class... Args>(const std::tuple<Args...>& args,
                                                                const std::tuple<Args...>& tangents) {
    Tensors inputs = leaves_of(args);
    std::vector<bool> varying = detail::are_floats(inputs);
    auto traced = fields::visit_tuple(args, [&](const auto&... a) {
      return trace_typed(f.function, {Recorder::Captures::recorded, where}, types_of(inputs), a...);
    });
    const Tensors dots = detail::partners("jvp", "tangent", args, tangents, where);
    inputs.insert(inputs.end(), traced.captured.begin(), traced.captured.end());
    varying.resize(inputs.size(), false);
    inputs.insert(inputs.end(), dots.begin(), dots.end());
    const Tensors results = detail::evaluate(*jvp(traced.tape, varying), inputs);
    std::size_t next = 0;
    auto value = with_leaves(traced.result, results, next);
    for_each_tensor(traced.result, detail::ReplaceFloats{results, next});
    return std::pair{std::move(value), std::move(traced.result)};
  };
}

// Reverse mode: vjp(f)(args…) gives (value, pullback), where pullback(cotangents), a tree like the value, gives a tuple of
// trees like the arguments.
template <class F>
auto vjp(F f, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, where]<class... Args>(const Args&... args) {
    const std::tuple<Args...> arguments{args...};
    Tensors inputs = leaves_of(arguments);
    auto traced = trace_typed(f.function, {Recorder::Captures::recorded, where}, types_of(inputs), args...);
    VjpRequest request;
    request.wanted = detail::are_floats(inputs);
    inputs.insert(inputs.end(), traced.captured.begin(), traced.captured.end());
    request.wanted.resize(inputs.size(), false);
    for (Id id : traced.tape->outputs) request.live.push_back(is_float((*traced.tape)[id].type.dtype));
    const TapePtr pulled = vjp(traced.tape, request);
    auto value = with_leaves(traced.result, detail::evaluate(*traced.tape, inputs));
    auto pullback = [=, result = value](const decltype(value)& cotangents) {
      Tensors all = inputs;
      const Tensors cts = detail::partners("vjp", "cotangent", result, cotangents, where);
      all.insert(all.end(), cts.begin(), cts.end());
      const Tensors results = detail::evaluate(*pulled, all);
      std::size_t next = leaves_of(result).size();
      auto gradients = arguments;
      for_each_tensor(gradients, detail::ReplaceFloats{results, next});
      return gradients;
    };
    return std::pair{std::move(value), std::move(pullback)};
  };
}

// The Hessian of the loss with respect to the first argument, times a tree v like it: the change of the gradient along v
// (Pearlmutter 1994), forward over reverse mode. hvp(f)(v, x, args…); aux of f is ignored.
template <class F>
auto hvp(F f, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, where]<class X, class... Rest>(const X& v, const X& x, const Rest&... rest) {
    // Only x moves; the other arguments are passed on as they are, so that they may be captured by nobody.
    auto gradient = [&f, where](const X& point, const Rest&... others) {
      return detail::value_and_grad_of<0>(f.function, where, point, others...).second;
    };
    Tensors inputs = leaves_of_all(x, rest...);
    auto traced = trace_typed(gradient, {Recorder::Captures::recorded, where}, types_of(inputs), x, rest...);
    const Tensors dots = detail::partners("hvp", "direction", x, v, where);
    std::vector<bool> varying(dots.size(), true);
    inputs.insert(inputs.end(), traced.captured.begin(), traced.captured.end());
    varying.resize(inputs.size(), false);
    inputs.insert(inputs.end(), dots.begin(), dots.end());
    const Tensors results = detail::evaluate(*jvp(traced.tape, varying), inputs);
    std::size_t next = traced.tape->outputs.size();
    return with_leaves(x, results, next);
  };
}

}  // namespace tapeloop
