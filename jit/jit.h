// jit(f): a function of trees, compiled.
//
//   auto step = jit([](Model m, Tensor x) { return …; });
//   m = step(m, x);
//
// The first call with arguments of a new kind records f and compiles it; later calls run the machine code. Every axis of an
// argument is a symbol: a new sequence length or batch size uses the same code, unless f asked for the number. Captured
// variables that are not tensors are frozen at the first call; captured tensors are an error (pass them, or constant(t)).
//
// The result is the interpreter's, bit for bit, on any number of threads and every instruction set.
#pragma once

#include <any>
#include <memory>
#include <mutex>
#include <string>
#include <typeinfo>
#include <vector>

#include "ad/arithmetic.h"
#include "ad/options.h"
#include "ad/trace.h"

namespace tapeloop {

// Machine code for one tape. Thread-safe.
class Program {
 public:
  // Throws InternalError when the compiler fails; compiled programs are shared between equal tapes.
  static std::shared_ptr<const Program> compile(const TapePtr& tape);
  virtual ~Program() = default;

  // Whether the code serves arguments of these types: dtypes and numbers as compiled, symbols in agreement.
  virtual bool accepts(const std::vector<Type>& types) const = 0;
  virtual Tensors operator()(const Tensors& arguments) const = 0;

  // Whether `tape` is the one that was compiled, symbols taken by name.
  virtual bool is_of(const TapePtr& tape) const = 0;
  virtual double compile_seconds() const = 0;
};

// How many programs LLVM has been run for in this process: tests ask whether a call compiled anything.
std::int64_t programs_compiled();

namespace detail {

// One symbol for each axis that is not of extent 1.
std::vector<Type> symbolic_types(const Tensors& leaves);
std::string describe_types(const Tensors& leaves);

}  // namespace detail

template <class F>
class Jit {
 public:
  Jit(F f, const Where& where) : f_(std::move(f)), where_(where) {}

  template <class... Args>
  auto operator()(const Args&... args) {
    Tensors leaves;
    std::string key;
    (
        [&] {
          key += typeid(Args).name();
          append_static(key, args);
          for (const Tensor& leaf : leaves_of(args)) leaves.push_back(leaf.materialized());
        }(),
        ...);
    for (const Tensor& leaf : leaves)
      if (leaf.is_recorded()) return f_(args...);
    key += detail::describe_types(leaves);
    using Result = std::remove_cvref_t<decltype(f_(args...))>;

    std::lock_guard lock(*mutex_);
    if (!options().jit) {
      auto traced = trace(f_, {Recorder::Captures::recorded, where_}, args...);
      return with_leaves(std::move(traced.result), run(*traced.tape, leaves));
    }
    const std::vector<Type> types = types_of(leaves);
    for (const Entry& entry : entries_)
      if (entry.key == key && entry.program->accepts(types)) {
        if (options().check) check_unchanged(entry, leaves, args...);
        return with_leaves(std::any_cast<const Result&>(entry.result), (*entry.program)(leaves));
      }
    auto traced = trace_typed(f_, {Recorder::Captures::recorded, where_}, detail::symbolic_types(leaves), args...);
    auto program = Program::compile(traced.tape);
    Result result = with_leaves(std::move(traced.result), (*program)(leaves));
    // Kept for its structure: its tensors are replaced on every call. Generated ones hold no memory.
    std::vector<Tensor> blanks;
    for (const Tensor& leaf : leaves_of(result)) blanks.push_back(full({}, 0, leaf.dtype()));
    entries_.push_back({std::move(key), std::move(program), with_leaves(result, blanks)});
    return result;
  }

 private:
  struct Entry {
    std::string key;  // types, static leaves and dtypes of the arguments
    std::shared_ptr<const Program> program;
    std::any result;
  };

  template <class... Args>
  void check_unchanged(const Entry& entry, const Tensors& leaves, const Args&... args) {
    auto traced = trace_typed(f_, {Recorder::Captures::recorded, where_}, detail::symbolic_types(leaves), args...);
    if (!entry.program->is_of(traced.tape))
      throw Error("jit: the function records something else than when it was compiled", where_,
                  "a captured variable has changed; pass what varies as an argument");
  }

  F f_;
  Where where_;
  std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
  std::vector<Entry> entries_;
};

template <class F>
Jit<F> jit(F f, Where where = Where::current()) {
  return Jit<F>(std::move(f), where);
}

}  // namespace tapeloop
