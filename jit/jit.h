// jit(f): a function of trees, compiled.
//
//   auto step = jit([](Model m, Tensor x) { return …; });
//   m = step(std::move(m), x);
//
// The first call with arguments of a new kind records f and compiles it; later calls run the machine code. Every axis of an
// argument is a symbol: a new sequence length or batch size uses the same code, unless f asked for the number. Captured
// variables that are not tensors are frozen at the first call; captured tensors are an error (pass them, or constant(t)).
//
// An argument given with std::move is empty after the call, and its memory is used for results where nobody else sees it:
// a training step called as above updates its parameters in place. A call that throws leaves all arguments as they were.
//
// The result is the interpreter's, bit for bit, on any number of threads and every instruction set.
#pragma once

#include <any>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ad/arithmetic.h"
#include "ad/options.h"
#include "ad/trace.h"
#include "jit/bound.h"
#include "jit/call.h"

namespace tapeloop {

// Machine code for one tape. Thread-safe.
class Program {
 public:
  // Throws InternalError when the compiler fails.
  static std::shared_ptr<const Program> compile(const TapePtr& tape);
  virtual ~Program() = default;

  // Whether the code serves these arguments: dtypes and numbers as compiled, symbols in agreement.
  virtual bool accepts(std::span<const Argument> arguments) const = 0;

  // Runs the code on concrete or generated arguments that it accepts, and puts what it gives into `results`. Once it has
  // run with arguments of these extents, and results of calls before have been freed, it allocates nothing.
  virtual void run(std::span<const Argument> arguments, Tensors& results) const = 0;

  // How much memory such a call works in, beside arguments and results.
  virtual std::int64_t workspace_bytes(std::span<const Argument> arguments) const = 0;

  // run() by value. With recorded arguments the tape is recorded on theirs instead.
  Tensors operator()(const Tensors& arguments) const;

  virtual const TapePtr& tape() const = 0;
  // Whether `other` is the tape that was compiled, symbols taken by name.
  bool is_of(const TapePtr& other) const;
  virtual double compile_seconds() const = 0;
};

// How many programs LLVM has been run for in this process: tests ask whether a call compiled anything.
std::int64_t programs_compiled();

namespace detail {

// The types of arguments, with one symbol for each axis that is not of extent 1.
std::vector<Type> symbolic_types(std::span<const Argument> arguments);
// Copies that can be interpreted.
Tensors materialized(std::span<const Argument> arguments);

// What a function has been compiled to for one kind of arguments.
struct CompiledCall {
  std::string key;  // of the arguments
  std::shared_ptr<const Program> program;
  std::any result;  // what f returned: its tensors are to be replaced
};

// What a function has been compiled to. Thread-safe.
class CompiledCalls {
 public:
  const CompiledCall* find(const Call& call) const;
  const CompiledCall* add(CompiledCall compiled);

 private:
  mutable std::mutex mutex_;
  std::deque<CompiledCall> calls_;  // none of them ever moves
};

// Throws Error when `tape`, what f records now, is not what was compiled.
void check_unchanged(const CompiledCall& compiled, const TapePtr& tape, const Where& where);

struct ForgetLeaves {
  void operator()(Tensor& t) const {
    if (!t.is_empty()) t = full({}, 0, t.dtype());
  }
};
struct TakeResults {
  Tensors& results;
  std::size_t next = 0;
  void operator()(Tensor& t) {
    if (!t.is_empty()) t = std::move(results[next++]);
  }
};

// What of a result can be the next state: the first part of a pair or tuple, or all of it.
template <class Result>
struct CarriedPart {
  using Type = Result;
};
template <class State, class... Rest>
struct CarriedPart<std::tuple<State, Rest...>> {
  using Type = State;
};
template <class State, class Output>
struct CarriedPart<std::pair<State, Output>> {
  using Type = State;
};

}  // namespace detail

template <class F>
class Jit {
 public:
  Jit(F f, const Where& where) : f_{std::move(f)}, where_(where) {}

  template <class... Args>
  auto operator()(Args&&... args) const {
    using Result = std::remove_cvref_t<decltype(f_.function(std::declval<std::remove_cvref_t<Args>>()...))>;
    detail::Call call;
    call.gather(std::forward<Args>(args)...);  // takes nothing away yet: it notes what may be taken
    // NOLINTBEGIN(bugprone-use-after-move)
    if (call.is_recorded()) return Result(f_.function(std::as_const(args)...));
    if (!options().jit) {
      auto traced = record(call, std::as_const(args)...);
      const Tensors values = tapeloop::run(*traced.tape, detail::materialized(call.arguments()));
      empty_moved(call.arguments());
      return with_leaves(std::move(traced.result), values);
    }
    const detail::CompiledCall* compiled = compiled_->find(call);
    if (!compiled || options().check) compiled = compile(compiled, call, std::as_const(args)...);
    // NOLINTEND(bugprone-use-after-move)
    compiled->program->run(call.arguments(), call.results());
    Result result = *std::any_cast<Result>(&compiled->result);
    for_each_tensor(result, detail::TakeResults{call.results()});
    return result;
  }

  // How many bytes a call with these arguments works in, beside arguments and results: what a gradient keeps of every step is
  // most of it. Compiles, and runs nothing. Throws Error when f does, or when an argument is recorded.
  template <class... Args>
  std::int64_t workspace_bytes(const Args&... args) const {
    detail::Call call;
    call.gather(args...);
    if (call.is_recorded())
      throw Error("workspace_bytes: a recorded tensor has no place in memory", where_, "give concrete values");
    const detail::CompiledCall* compiled = compiled_->find(call);
    if (!compiled) compiled = compile(compiled, call, args...);
    return compiled->program->workspace_bytes(call.arguments());
  }

  // The function for these sizes, with arguments and results in fixed places: see jit/bound.h.
  //
  // The state is the first argument but the last one whose C++ type is that of the result, or of its first part, with
  // tensors of the same types: cells are called as f(weights, state, x). It is replaced by that after every call. Arguments
  // before it are taken as they are now, and what depends on them alone is computed here, once. Without a state all
  // arguments but the last are taken so.
  template <class... Args>
  Bound bind(const Args&... args) const {
    static_assert(sizeof...(Args) > 0, "bind: give the arguments of the function");
    const auto concrete = [this](auto tree) {
      for_each_tensor(tree, [this](Tensor& t) {
        if (t.is_recorded())
          throw Error("bind: a recorded tensor has no place in memory", where_, "bind to concrete values");
        if (!t.is_empty()) t = t.materialized();
      });
      return tree;
    };
    const std::tuple<Args...> given{concrete(args)...};
    const Tensors leaves = leaves_of(given);
    auto traced = fields::visit_tuple(given, [&](const auto&... a) {
      return trace_typed(f_.function, {Recorder::Captures::recorded, where_}, types_of(leaves), a...);
    });
    const std::vector<std::size_t> inputs = detail::first_leaves(given), outputs = detail::first_leaves(traced.result);
    std::size_t frozen = inputs[sizeof...(Args) - 1], position = 0;
    std::vector<detail::BoundCode::Carry> carries;
    using State = typename detail::CarriedPart<decltype(traced.result)>::Type;
    (
        [&] {
          const std::size_t i = position++, first = inputs[i], count = inputs[i + 1] - first;
          if (!std::is_same_v<Args, State> || i + 1 == sizeof...(Args) || !carries.empty() || count != outputs[1])
            return;
          for (std::size_t k = 0; k < count; ++k)
            if (!(traced.tape->output_type(k) == leaves[first + k].type())) return;
          frozen = first;
          for (std::size_t k = 0; k < count; ++k) carries.push_back({first + k, k});
        }(),
        ...);
    return Bound(detail::BoundCode::compile(traced.tape, leaves, frozen, std::move(carries)), inputs, outputs);
  }

 private:
  template <class... Args>
  auto record(const detail::Call& call, const Args&... args) const {
    return trace_typed(f_.function, {Recorder::Captures::recorded, where_}, detail::symbolic_types(call.arguments()),
                       args...);
  }

  // Compiles f for these arguments, or checks that it still is what was compiled.
  template <class... Args>
  const detail::CompiledCall* compile(const detail::CompiledCall* compiled, const detail::Call& call,
                                      const Args&... args) const {
    auto traced = record(call, args...);
    if (compiled) {
      detail::check_unchanged(*compiled, traced.tape, where_);
      return compiled;
    }
    std::shared_ptr<const Program> program = Program::compile(traced.tape);
    // Its tensors are replaced on every call. Generated ones hold no memory.
    for_each_tensor(traced.result, detail::ForgetLeaves());
    return compiled_->add({call.key(), std::move(program), std::any(std::move(traced.result))});
  }

  detail::Held<F> f_;
  Where where_;
  std::shared_ptr<detail::CompiledCalls> compiled_ =
      std::make_shared<detail::CompiledCalls>();  // copies have it together
};

template <class F>
Jit<F> jit(F f, Where where = Where::current()) {
  return Jit<F>(std::move(f), where);
}

}  // namespace tapeloop
