// Cells over time.
//
// A cell is anything that can be called as
//
//   state' = cell(state, x)                  the output is the state's first tensor
//   pair{state', output} = cell(state, x)
//
// where state, x and output are trees. Sequences are time-major: every tensor of xs is [T, B, …]. unroll() runs a cell
// over them; stacked() makes one cell of several; unroll_both() reads a sequence in both directions.
#pragma once

#include <algorithm>

#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/scan.h"

namespace tapeloop {

struct UnrollOptions {
  std::int64_t truncate =
      0;  // > 0: no gradient passes from step k to step k − 1, 2k to 2k − 1, …, counted in running order
  // > 0: keeps only the state, once in so many steps, and computes the steps between again for the gradient, which has the
  // same bits. Or as many bytes as that may take, from which the schedule follows (ScanOptions).
  std::int64_t checkpoint = 0;
  std::int64_t memory_budget = 0;
  bool reverse = false;  // from the last step to the first; outputs stand where their inputs do
  // i32 [B]: how many steps of each row are real, the others are padding. A row's state does not change in its padding, so
  // `last` is the state after its own last step (reverse: its first); outputs there are zero, and nothing that the padding
  // holds, NaN included, reaches a value or a gradient. Every tensor of state and xs must then have B as its first axis.
  Tensor lengths = {};
};

template <class State, class Outputs>
struct Unrolled {
  State last;
  Outputs outputs;  // every tensor has a new leading axis T
};

namespace detail {

template <class State, class Result>
auto state_and_output(Result result) {
  if constexpr (std::is_same_v<Result, State>) {
    Tensor first;
    for_each_tensor(result, [&](Tensor& t) {
      if (first.is_empty()) first = t;
    });
    return std::pair{std::move(result), std::move(first)};
  } else {
    static_assert(std::is_same_v<decltype(result.first), State>,
                  "unroll: a cell must return its state, or pair{state, output}, with the state's C++ type unchanged");
    return result;
  }
}

template <class Tree, class F>
Tree mapped(Tree tree, F f) {
  for_each_tensor(tree, [&](Tensor& t) {
    if (!t.is_empty()) t = f(t);
  });
  return tree;
}

// a [B] of booleans, with axes of extent 1 up to the rank of `like`.
inline Tensor aligned(const Tensor& a, const Tensor& like) {
  Shape shape(std::size_t(like.rank()), Extent(1));
  shape[0] = a.size(0);
  return reshape(a, shape);
}

// What is new where `real` holds, and `other` in the padding.
template <class Tree>
Tree select_rows(const Tensor& real, const Tree& tree, const Tree& other) {
  const Tensors old = leaves_of(other);
  std::size_t next = 0;
  return mapped(tree, [&](const Tensor& t) {
    const Tensor& o = old[next++];
    return t.rank() == 0 ? t : where(aligned(real, t), t, o);
  });
}
template <class Tree>
Tree zero_rows(const Tensor& real, const Tree& tree) {
  return mapped(
      tree, [&](const Tensor& t) { return is_float(t.dtype()) && t.rank() > 0 ? where(aligned(real, t), t, 0) : t; });
}

template <class Xs>
Extent steps_of(const Xs& xs, const Where& caller) {
  const Tensors leaves = leaves_of(xs);
  if (leaves.empty())
    throw Error("unroll: xs have no tensors", caller, "a Tensor must be given a value before it is used");
  if (leaves[0].rank() == 0) throw Error("unroll: xs have no leading axis of time", caller, "xs are [T, B, …]");
  return leaves[0].size(0);
}

template <class Cell, class State, class Xs>
auto unroll_within(const Cell& cell, const State& state, const Xs& xs, const UnrollOptions& options,
                   const Where& caller) {
  (void)steps_of(xs, caller);
  const ScanOptions over_time{.reverse = options.reverse,
                              .truncate = options.truncate,
                              .checkpoint = options.checkpoint,
                              .memory_budget = options.memory_budget};
  if (options.lengths.is_empty()) {
    auto step = [&](const State& s, const Xs& x) { return state_and_output<State>(cell(s, x)); };
    auto [last, outputs] = scan(step, state, xs, over_time, caller);
    return Unrolled<State, decltype(outputs)>{std::move(last), std::move(outputs)};
  } else {
    const Tensor& lengths = options.lengths;
    if (lengths.dtype() != Dtype::i32 || lengths.rank() != 1)
      throw Error("unroll: lengths are " + to_string(lengths.type()) + ", not i32[B]", caller);
    const Tensors leaves = leaves_of(xs);
    if (leaves[0].rank() < 2 || !agree(lengths.size(0), leaves[0].size(1)))
      throw Error("unroll: lengths are " + to_string(lengths.type()) + " for xs " + to_string(leaves[0].type()), caller,
                  "one length for each row");
    // What is known of them; in a program being recorded a length beyond the sequence is one of all steps, a negative one 0.
    if (!lengths.is_recorded())
      for (int n : lengths.data<std::int32_t>())
        if (n < 0 || n > steps_of(xs, caller).value())
          throw Error("unroll: a length is " + std::to_string(n) + ", the sequence has " +
                          std::to_string(steps_of(xs, caller).value()) + " steps",
                      caller);
    // The number of the step is part of the state, so that it needs no tensor as long as the sequence.
    using Counted = std::pair<State, Tensor>;
    const Tensor first =
        options.reverse ? extent(steps_of(xs, caller), Dtype::i32, caller) - 1 : zeros({}, Dtype::i32, caller);
    auto step = [&](const Counted& counted, const Xs& x) {
      const auto& [before, t] = counted;
      const Tensor real = t < lengths;
      auto [after, output] = state_and_output<State>(cell(before, zero_rows(real, x)));
      return std::pair{Counted{select_rows(real, after, before), options.reverse ? t - 1 : t + 1},
                       zero_rows(real, output)};
    };
    auto [last, outputs] = scan(step, Counted{state, first}, xs, over_time, caller);
    return Unrolled<State, decltype(outputs)>{std::move(last.first), std::move(outputs)};
  }
}

}  // namespace detail

// Runs a cell over the leading axis of xs: auto [last, outputs] = unroll(cell, state, xs). Gradients flow to the cell's
// tensors, the initial state and xs.
// Throws Error when xs differ in length, the cell changes the type of its state, or an option is negative.
template <class Cell, class State, class Xs>
auto unroll(const Cell& cell, const State& state, const Xs& xs, const UnrollOptions& options = {},
            Where caller = Where::current()) {
  try {
    return detail::unroll_within(cell, state, xs, options, caller);
  } catch (const Error& error) {
    throw error.called_from("unroll", caller);
  }
}

// Several cells as one: each reads the output of the one before. The state is the tuple (the vector) of their states.
template <class... Cells>
struct Stacked {
  std::tuple<Cells...> cells;

  template <class... States, class X>
  auto operator()(const std::tuple<States...>& states, const X& x) const {
    return step<0>(states, std::tuple<>{}, x);
  }
  auto initial(const Extent& batch) const {
    return std::apply([&](const auto&... cell) { return std::tuple{cell.initial(batch)...}; }, cells);
  }

  template <std::size_t I, class States, class Done, class X>
  auto step(const States& states, const Done& done, const X& x) const {
    if constexpr (I == sizeof...(Cells)) {
      return std::pair{done, x};
    } else {
      using State = std::tuple_element_t<I, States>;
      auto [state, output] = detail::state_and_output<State>(std::get<I>(cells)(std::get<I>(states), x));
      return step<I + 1>(states, std::tuple_cat(done, std::tuple{state}), output);
    }
  }
};

template <class Cell>
struct StackedAlike {
  std::vector<Cell> cells;

  template <class State>
  auto operator()(std::vector<State> states, Tensor x) const {
    if (states.size() != cells.size())
      throw Error("stacked: " + std::to_string(cells.size()) + " cells, " + std::to_string(states.size()) + " states");
    for (std::size_t i = 0; i < cells.size(); ++i)
      std::tie(states[i], x) = detail::state_and_output<State>(cells[i](states[i], x));
    return std::pair{std::move(states), std::move(x)};
  }
  auto initial(const Extent& batch) const {
    std::vector<decltype(cells[0].initial(batch))> states;
    for (const Cell& cell : cells) states.push_back(cell.initial(batch));
    return states;
  }
};

template <class... Cells>
Stacked<Cells...> stacked(Cells... cells) {
  return {{std::move(cells)...}};
}
template <class Cell>
StackedAlike<Cell> stacked(std::vector<Cell> cells) {
  return {std::move(cells)};
}

// One cell forwards and one backwards in time; `last` is the pair of their states, outputs are joined along the last axis.
template <class Forward, class Backward, class State, class Other, class Xs>
auto unroll_both(const Forward& forward, const Backward& backward, const std::pair<State, Other>& states, const Xs& xs,
                 UnrollOptions options = {}, Where caller = Where::current()) {
  auto there = unroll(forward, states.first, xs, options, caller);
  options.reverse = !options.reverse;
  auto back = unroll(backward, states.second, xs, options, caller);
  std::pair last{there.last, back.last};
  return Unrolled<decltype(last), Tensor>{last, concat({there.outputs, back.outputs}, -1, caller)};
}

}  // namespace tapeloop
