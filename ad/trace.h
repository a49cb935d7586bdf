// Calling a C++ function with recorded arguments: how a tape is made of a user's code.
#pragma once

#include <tuple>
#include <utility>

#include "ad/fields.h"
#include "ad/tape.h"

namespace tapeloop {

namespace detail {
// Functions of one type for all trees, so that there is one walk of each type of tree (fields::Visitor).
struct CollectLeaves {
  Tensors& leaves;
  void operator()(const Tensor& t) const {
    if (!t.is_empty()) leaves.push_back(t);
  }
};
struct ReplaceLeaves {
  const Tensors& leaves;
  std::size_t& next;
  void operator()(Tensor& t) const {
    if (!t.is_empty()) t = leaves[next++];
  }
};
struct CollectNames {
  std::vector<std::string>& names;
  void operator()(const std::string& name, const Tensor& t) const {
    if (!t.is_empty()) names.push_back(name);
  }
};
}  // namespace detail

// The tensors of a tree that have a value, in the order of their declaration.
template <class Tree>
Tensors leaves_of(const Tree& tree) {
  Tensors leaves;
  for_each_tensor(tree, detail::CollectLeaves{leaves});
  return leaves;
}
// The same of several trees.
template <class... Trees>
Tensors leaves_of_all(const Trees&... trees) {
  Tensors leaves;
  (for_each_tensor(trees, detail::CollectLeaves{leaves}), ...);
  return leaves;
}

// The same tree with other tensors in the places of those that have a value. `next` is advanced past those taken.
template <class Tree>
Tree with_leaves(Tree tree, const Tensors& leaves, std::size_t& next) {
  for_each_tensor(tree, detail::ReplaceLeaves{leaves, next});
  return tree;
}
template <class Tree>
Tree with_leaves(Tree tree, const Tensors& leaves) {
  std::size_t next = 0;
  for_each_tensor(tree, detail::ReplaceLeaves{leaves, next});
  return tree;
}

// The names of the leaves, each after the name of its tree: "cell.w".
template <class Tree>
std::vector<std::string> names_of(const Tree& tree) {
  std::vector<std::string> names;
  for_each_named_tensor(tree, detail::CollectNames{names});
  return names;
}

namespace detail {
// A user's function as part of one of ours: may be called where ours is const, even if it changes itself.
template <class F>
struct Held {
  mutable F function;
};
}  // namespace detail

template <class Result>
struct Traced {
  TapePtr tape;      // inputs: the leaves of the arguments in order, then the captured values
  Tensors captured;  // outer values that the function used without being given them
  Result result;     // what the function returned; its leaves are the tape's outputs
};

// How a function is recorded, and whose call it is that records it: that is where a result that cannot be returned is blamed.
struct Recording {
  Recorder::Captures captures;
  Where where;
  // NOLINTNEXTLINE(google-explicit-constructor): notes the caller's line
  Recording(Recorder::Captures c, Where w = Where::current()) : captures(c), where(w) {}
};

namespace detail {
// Calls f with arguments that are made one after the other: braces fix their order, which a call would leave open.
template <class Result>
struct InOrder {
  Result result;
  template <class F, class... Args>
  explicit InOrder(F& f, Args&&... args) : result(f(std::move(args)...)) {}
};
}  // namespace detail

// Records `f(args…)`. `types` are those of the leaves of all arguments (a caller may give them symbolic extents).
template <class F, class... Args>
auto trace_typed(F&& f, const Recording& how, const std::vector<Type>& types, const Args&... args) {
  using Result = std::remove_cvref_t<decltype(f(std::declval<Args>()...))>;
  const auto recorder = Recorder::start(how.captures);
  const Tensors inputs = recorder->inputs(types);
  std::size_t next = 0;
  detail::InOrder<Result> call{f, with_leaves(args, inputs, next)...};
  TapePtr tape = recorder->finish(leaves_of(call.result), how.where);
  return Traced<Result>{std::move(tape), recorder->captured(), std::move(call.result)};
}

template <class F, class... Args>
auto trace(F&& f, const Recording& how, const Args&... args) {
  return trace_typed(f, how, types_of(leaves_of_all(args...)), args...);
}

}  // namespace tapeloop
