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

// The gradient of output 0 of `tape` with respect to the wanted inputs: its outputs, then the gradients.
// Throws Error when output 0 is not one floating-point number, or a wanted input is not floating-point (`names` are its);
// `where` is the line that asks for a gradient.
Tensors value_and_gradients(const TapePtr& tape, const Tensors& inputs, const std::vector<bool>& wanted,
                            const std::vector<std::string>& names, const Where& where = Where::current());

// Throws Error when `given`, the tangent or cotangent (`what`) of the tensor `name`, is not one of type `type`.
void check_partner(std::string_view op, std::string_view what, const std::string& name, const Type& type,
                   const Tensor& given, const Where& where);

// The tangents or cotangents of the floating-point tensors of `like`, in order; those of others are ignored.
template <class Tree>
Tensors partners(std::string_view op, std::string_view what, const Tree& like, const Tree& given, const Where& where) {
  Tensors all, result;
  for_each_tensor(given, [&](const Tensor& t) { all.push_back(t); });
  std::size_t next = 0;
  for_each_named_tensor(like, [&](const std::string& name, const Tensor& t) {
    const Tensor partner = next < all.size() ? all[next] : Tensor();
    ++next;
    if (t.is_empty() || !is_float(t.dtype())) return;
    check_partner(op, what, name, t.type(), partner, where);
    result.push_back(partner);
  });
  return result;
}

// Runs a tape whose arguments are all concrete, records it otherwise.
Tensors evaluate(const Tape& tape, const Tensors& inputs);

template <class T>
struct LossAndAux : std::false_type {};
template <class Loss, class Aux>
struct LossAndAux<std::pair<Loss, Aux>> : std::true_type {};

// The leaves of all arguments; marks those of the arguments whose index is in `Index`.
template <std::size_t... Index, class... Args>
Tensors gather_leaves(std::vector<bool>& wanted, std::vector<std::string>& names, const Args&... args) {
  Tensors all;
  std::size_t position = 0;
  (
      [&] {
        const bool want = ((position == Index) || ...);
        for (const std::string& name : names_of(args)) {
          names.push_back("argument " + std::to_string(position) + (name.empty() ? "" : "." + name));
          wanted.push_back(want);
        }
        for (const Tensor& leaf : leaves_of(args)) all.push_back(leaf);
        ++position;
      }(),
      ...);
  return all;
}

template <std::size_t... Index, class F, class... Args>
auto value_and_grad_of(F& f, const Where& where, const Args&... args) {
  static_assert(((Index < sizeof...(Args)) && ...), "grad<I>: there is no argument number I");
  std::vector<bool> wanted;
  std::vector<std::string> names;
  Tensors inputs = gather_leaves<Index...>(wanted, names, args...);
  auto traced = trace(f, {Recorder::Captures::recorded, where}, args...);
  for (const Tensor& captured : traced.captured) {
    inputs.push_back(captured);
    wanted.push_back(false);
    names.push_back("a captured value");
  }
  const Tensors results = value_and_gradients(traced.tape, inputs, wanted, names, where);
  std::size_t next = 0;
  auto value = with_leaves(std::move(traced.result), results, next);
  auto arguments = std::tie(args...);
  // The gradient with respect to an argument is a tree like it.
  std::tuple<std::remove_cvref_t<std::tuple_element_t<Index, std::tuple<Args...>>>...> grads{
      with_leaves(std::get<Index>(arguments), results, next)...};
  return std::pair{std::move(value), std::move(grads)};
}

template <class Value, class... Grad>
auto flatten_result(Value&& value, std::tuple<Grad...>&& grads) {
  auto front = [&] {
    if constexpr (LossAndAux<std::remove_cvref_t<Value>>::value)
      return std::tuple<decltype(value.first), decltype(value.second)>{value.first, value.second};
    else
      return std::tuple<std::remove_cvref_t<Value>>{value};
  }();
  if constexpr (sizeof...(Grad) == 1)
    return std::tuple_cat(std::move(front), std::move(grads));
  else
    return std::tuple_cat(std::move(front), std::tuple<std::tuple<Grad...>>{std::move(grads)});
}

}  // namespace detail

// (loss, gradients), or (loss, aux, gradients) when f returns pair{loss, aux}. The loss is a scalar tensor. Gradients are
// those with respect to the arguments numbered Index (default: the first), each a tree like its argument; with several
// indices they come as a tuple.
template <std::size_t... Index, class F>
auto value_and_grad(F f, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, where](const auto&... args) {
    auto [value, grads] = [&] {
      if constexpr (sizeof...(Index) == 0)
        return detail::value_and_grad_of<0>(f, where, args...);
      else
        return detail::value_and_grad_of<Index...>(f, where, args...);
    }();
    return detail::flatten_result(std::move(value), std::move(grads));
  };
}

// The gradients alone.
template <std::size_t... Index, class F>
auto grad(F f, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, where](const auto&... args) {
    auto grads = [&] {
      if constexpr (sizeof...(Index) == 0)
        return detail::value_and_grad_of<0>(f, where, args...).second;
      else
        return detail::value_and_grad_of<Index...>(f, where, args...).second;
    }();
    if constexpr (sizeof...(Index) <= 1)
      return std::get<0>(std::move(grads));
    else
      return grads;
  };
}

// Forward mode: jvp(f)(args, tangents) with two tuples of trees gives (value, its change along the tangents).
template <class F>
auto jvp(F f, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, where]<class... Args>(const std::tuple<Args...>& args,
                                                                const std::tuple<Args...>& tangents) {
    auto traced =
        std::apply([&](const auto&... a) { return trace(f, {Recorder::Captures::recorded, where}, a...); }, args);
    Tensors inputs = leaves_of(args);
    const Tensors dots = detail::partners("jvp", "tangent", args, tangents, where);
    std::vector<bool> varying(inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) varying[i] = is_float(inputs[i].dtype());
    for (const Tensor& captured : traced.captured) {
      inputs.push_back(captured);
      varying.push_back(false);
    }
    const TapePtr pushed = jvp(traced.tape, varying);
    inputs.insert(inputs.end(), dots.begin(), dots.end());
    const Tensors results = detail::evaluate(*pushed, inputs);
    std::size_t next = 0;
    auto value = with_leaves(traced.result, results, next);
    auto change = traced.result;
    for_each_tensor(change, [&](Tensor& t) {
      if (!t.is_empty()) t = is_float(t.dtype()) ? results[next++] : Tensor();
    });
    return std::pair{std::move(value), std::move(change)};
  };
}

// Reverse mode: vjp(f)(args…) gives (value, pullback), where pullback(cotangents), a tree like the value, gives a tuple of
// trees like the arguments.
template <class F>
auto vjp(F f, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, where]<class... Args>(const Args&... args) {
    auto traced = trace(f, {Recorder::Captures::recorded, where}, args...);
    std::tuple<Args...> arguments{args...};
    Tensors inputs = leaves_of(arguments);
    VjpRequest request;
    for (const Tensor& input : inputs) request.wanted.push_back(is_float(input.dtype()));
    for (const Tensor& captured : traced.captured) {
      inputs.push_back(captured);
      request.wanted.push_back(false);
    }
    for (Id id : traced.tape->outputs) request.live.push_back(is_float((*traced.tape)[id].type.dtype));
    const TapePtr pulled = vjp(traced.tape, request);
    auto value = with_leaves(traced.result, detail::evaluate(*traced.tape, inputs));
    auto pullback = [=, result = value](const decltype(value)& cotangents) {
      Tensors all = inputs;
      const Tensors cts = detail::partners("vjp", "cotangent", result, cotangents, where);
      all.insert(all.end(), cts.begin(), cts.end());
      const Tensors results = detail::evaluate(*pulled, all);
      std::size_t next = leaves_of(result).size(), input = 0;
      auto gradients = arguments;
      for_each_tensor(gradients, [&](Tensor& t) {
        if (!t.is_empty()) t = request.wanted[input++] ? results[next++] : Tensor();
      });
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
    auto gradient = [f, where](const X& point, const Rest&... others) { return grad(f, where)(point, others...); };
    auto traced = trace(gradient, {Recorder::Captures::recorded, where}, x, rest...);
    std::tuple<X, Rest...> arguments{x, rest...};
    Tensors inputs = leaves_of(arguments);
    const Tensors dots = detail::partners("hvp", "direction", x, v, where);
    std::vector<bool> varying(inputs.size() + traced.captured.size(), false);
    for (std::size_t i = 0; i < dots.size(); ++i) varying[i] = true;
    inputs.insert(inputs.end(), traced.captured.begin(), traced.captured.end());
    inputs.insert(inputs.end(), dots.begin(), dots.end());
    const Tensors results = detail::evaluate(*jvp(traced.tape, varying), inputs);
    std::size_t next = traced.tape->outputs.size();
    return with_leaves(x, results, next);
  };
}

}  // namespace tapeloop
