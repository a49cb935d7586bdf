// Calling a C++ function with recorded arguments: how a tape is made of a user's code.
#pragma once

#include <tuple>
#include <utility>

#include "ad/fields.h"
#include "ad/tape.h"

namespace tapeloop {

// The tensors of a tree that have a value, in the order of their declaration.
template <class Tree>
Tensors leaves_of(const Tree& tree) {
  Tensors leaves;
  for_each_tensor(tree, [&](const Tensor& t) {
    if (!t.is_empty()) leaves.push_back(t);
  });
  return leaves;
}

// The same tree with other tensors in the places of those that have a value. `next` is advanced past those taken.
template <class Tree>
Tree with_leaves(Tree tree, const Tensors& leaves, std::size_t& next) {
  for_each_tensor(tree, [&](Tensor& t) {
    if (!t.is_empty()) t = leaves[next++];
  });
  return tree;
}
template <class Tree>
Tree with_leaves(Tree tree, const Tensors& leaves) {
  std::size_t next = 0;
  return with_leaves(std::move(tree), leaves, next);
}

// The names of the leaves, each after the name of its tree: "cell.w".
template <class Tree>
std::vector<std::string> names_of(const Tree& tree) {
  std::vector<std::string> names;
  for_each_named_tensor(tree, [&](const std::string& name, const Tensor& t) {
    if (!t.is_empty()) names.push_back(name);
  });
  return names;
}

inline std::vector<Type> types_of(const Tensors& tensors) {
  std::vector<Type> types;
  for (const Tensor& tensor : tensors) types.push_back(tensor.type());
  return types;
}

namespace detail {
// A user's function as part of one of ours: may be called where ours is const, even if it changes itself.
template <class F>
struct Held {
  mutable F function;

  template <class... Args>
  decltype(auto) operator()(Args&&... args) const {
    return function(std::forward<Args>(args)...);
  }
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

// Records `f(args…)`. `types` are those of the leaves of all arguments (a caller may give them symbolic extents).
template <class F, class... Args>
auto trace_typed(F&& f, const Recording& how, const std::vector<Type>& types, const Args&... args) {
  auto recorder = Recorder::start(how.captures);
  Tensors inputs;
  for (const Type& type : types) inputs.push_back(recorder->input(type));
  std::size_t next = 0;
  // Braces fix the order in which the leaves are taken.
  std::tuple<Args...> recorded{with_leaves(args, inputs, next)...};
  auto result = std::apply([&](auto&... a) { return f(std::move(a)...); }, recorded);
  using Result = std::remove_cvref_t<decltype(result)>;
  TapePtr tape = recorder->finish(leaves_of(result), how.where);
  return Traced<Result>{std::move(tape), recorder->captured(), std::move(result)};
}

template <class F, class... Args>
auto trace(F&& f, const Recording& how, const Args&... args) {
  std::vector<Type> types;
  (
      [&] {
        for (const Tensor& leaf : leaves_of(args)) types.push_back(leaf.type());
      }(),
      ...);
  return trace_typed(std::forward<F>(f), how, types, args...);
}

}  // namespace tapeloop
