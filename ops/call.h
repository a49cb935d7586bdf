// Functions kept whole on the tape, so that something else than their own records can be done with them: computed again in
// the backward pass instead of kept (checkpoint), or differentiated by a rule that the user gives (custom_vjp, custom_jvp).
//
// Each is one record whose body is a tape: operands are the function's arguments, then what it captured. A compiler puts the
// body in the record's place, once all derivatives have been taken.
#pragma once

#include "ad/grad.h"
#include "ad/trace.h"

namespace tapeloop {

namespace detail {

// Of a traced function: its operands are the leaves of the arguments, then the captured values.
Tensors checkpoint_leaves(const TapePtr& body, const Tensors& operands, const Where& where);

// A rule as traced: inputs are the arguments, y, the floating-point ones among the cotangents of y (tangents of the arguments),
// then what it captured; outputs are those of the wanted derivatives that it gives, the others are zero.
struct CustomRule {
  TapePtr tape;
  Tensors captured;
  std::vector<bool> given;  // one for each wanted derivative
};
Tensors custom_leaves(const Op& op, const TapePtr& body, const Tensors& arguments, const Tensors& captured,
                      const CustomRule& rule, const Where& where);

// Tensors of the types of a tape's outputs, that can be traced for.
Tensors placeholders(const Tape& tape);

// `tree` without its leaves that are not floating-point.
template <class Tree>
Tree only_floats(Tree tree) {
  for_each_tensor(tree, [](Tensor& t) {
    if (!t.is_empty() && !is_float(t.dtype())) t = Tensor();
  });
  return tree;
}

// What a rule returned, one for each floating-point tensor of `like`; where it left a tensor empty, so is the entry.
std::vector<bool> matched(std::string_view op, const Tensors& like, const std::vector<std::string>& names,
                          const Tensors& given, const Where& where);
template <class Like, class Given>
std::vector<bool> matched(std::string_view op, const Like& like, const Given& given, const Where& where) {
  return detail::matched(op, detail::tensors_of(like), detail::names_of_tensors(like), detail::tensors_of(given),
                         where);
}

}  // namespace detail

// checkpoint(f)(args…) is f(args…), but its derivative keeps nothing of f's inside: it computes f again when it needs it.
// Values and gradients are the same bits. f may use values of its surroundings.
template <class F>
auto checkpoint(F f, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, where]<class... Args>(const Args&... args) {
    Tensors operands = leaves_of_all(args...);
    auto traced = trace_typed(f.function, Recorder::Captures::all, types_of(operands), args...);
    operands.insert(operands.end(), traced.captured.begin(), traced.captured.end());
    return with_leaves(std::move(traced.result), detail::checkpoint_leaves(traced.tape, operands, where));
  };
}

// f with a reverse rule of the user's: rule(args…, y, ȳ) returns the cotangents of the arguments, as a tuple of trees like
// them (a tree, for one argument). y is what f returned, ȳ the derivative of the loss with respect to it. Empty tensors in
// what it returns stand for zeros. Forward mode is derived: the rule is linear in ȳ, and its transpose is the forward rule.
//
//   auto clipped = custom_vjp([](Tensor x) { return x; }, [](Tensor x, Tensor y, Tensor ct) { return clamp(ct, -1, 1); });
//
// Nobody checks that the rule is the derivative of f; check_gradients(f) does.
// Throws Error when f uses recorded values that are not its arguments (they would get no gradient), or when what the rule
// returns does not have the types of the arguments.
template <class F, class Rule>
auto custom_vjp(F f, Rule rule, Where where = Where::current());

// f with a forward rule of the user's: rule(args…, y, ẋ…) returns the tangent of y, a tree like it, for tangents of all the
// arguments. Reverse mode is its transpose, so the rule must be linear in the tangents. Otherwise as custom_vjp.
template <class F, class Rule>
auto custom_jvp(F f, Rule rule, Where where = Where::current());

// The same value, recorded so that what is computed from it is merged with nothing that is computed from x itself, and not
// before `after` is known.
Tensor barrier(const Tensor& x, const Tensor& after, const Where& where);

extern const Op checkpoint_op;  // attribute: body
extern const Op
    custom_vjp_op;  // attributes: body; rule: (operands, y, ȳ of floats) → x̄ of floats among the first `arguments`
extern const Op
    custom_jvp_op;  // attributes: body; rule: (operands, ẋ of floats among the first `arguments`) → ẏ of floats
extern const Op barrier_op;  // operands: x, after

// --- implementation of the templates ------------------------------------------------------------------------------------------

template <class F, class Rule>
auto custom_vjp(F f, Rule rule, Where where) {
  return [f = detail::Held{std::move(f)}, rule = detail::Held{std::move(rule)},
          where]<class... Args>(const Args&... args) {
    auto traced = trace(f.function, Recorder::Captures::all, args...);
    const auto y = with_leaves(traced.result, detail::placeholders(*traced.tape));
    const std::tuple<Args...> arguments{args...};
    detail::CustomRule custom;
    auto whole = [&](const auto&... all) {
      auto given = rule.function(all...);
      custom.given = detail::matched("custom_vjp", arguments, given, where);
      return given;
    };
    auto traced_rule = trace(whole, Recorder::Captures::all, args..., y, detail::only_floats(y));
    custom.tape = traced_rule.tape;
    custom.captured = traced_rule.captured;
    return with_leaves(std::move(traced.result), detail::custom_leaves(custom_vjp_op, traced.tape, leaves_of(arguments),
                                                                       traced.captured, custom, where));
  };
}

template <class F, class Rule>
auto custom_jvp(F f, Rule rule, Where where) {
  return [f = detail::Held{std::move(f)}, rule = detail::Held{std::move(rule)},
          where]<class... Args>(const Args&... args) {
    auto traced = trace(f.function, Recorder::Captures::all, args...);
    const auto y = with_leaves(traced.result, detail::placeholders(*traced.tape));
    detail::CustomRule custom;
    auto whole = [&](const auto&... all) {
      auto given = rule.function(all...);
      custom.given = detail::matched("custom_jvp", y, given, where);
      return given;
    };
    auto traced_rule = trace(whole, Recorder::Captures::all, args..., y, detail::only_floats(args)...);
    custom.tape = traced_rule.tape;
    custom.captured = traced_rule.captured;
    return with_leaves(
        std::move(traced.result),
        detail::custom_leaves(custom_jvp_op, traced.tape, leaves_of_all(args...), traced.captured, custom, where));
  };
}

}  // namespace tapeloop
