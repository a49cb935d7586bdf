// A compiled function with arguments and results in fixed places, for calls of well under a microsecond: streaming.
//
//   auto step = jit([](const Lstm& cell, Lstm::State s, const Tensor& x) { return cell(s, x); });
//   auto bound = step.bind(cell, cell.initial(1), zeros({1, 32}));
//   for (;;) {
//     read(bound.input<2>());        // std::span<float>
//     bound();                       // the state is updated in place
//     play(bound.output<0>());
//   }
//
// A call allocates nothing, takes no lock and makes no system call; it runs on the calling thread, and one thread at a time
// may use a Bound. bound.function() and bound.context() make the same call for C: function(context).
//
// Denormals are flushed during a call, as operands and as results (TAPELOOP_DENORMALS=1: they are not). A thread that does so
// anyway, as audio threads do, or that holds a FlushDenormals (ad/denormals.h) around its loop spares every call the two
// changes of mode: up to 50 ns on an AMD Zen 5, where they cost nothing in one process and that much in the next.
#pragma once

#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include "ad/trace.h"

namespace tapeloop {

namespace detail {

// The part of a Bound that does not depend on C++ types.
class BoundCode {
 public:
  // Argument `input` of the tape is replaced by its result `output` after every call.
  struct Carry {
    std::size_t input, output;
  };
  // Compiles a tape all of whose extents are numbers. The first `frozen` arguments keep the values they have.
  static std::unique_ptr<BoundCode> compile(const TapePtr& tape, const Tensors& arguments, std::size_t frozen,
                                            std::vector<Carry> carries);
  virtual ~BoundCode() = default;

  struct Context;
  virtual Context* context() = 0;
  static void call(void* context);

  // Throw Error when `T` is not the dtype, there is no such tensor, or the argument is frozen.
  template <class T>
  std::span<T> input(std::size_t i, const Where& where) {
    return typed<T>(input_bytes(i, dtype_of<T>(), where));
  }
  template <class T>
  std::span<const T> output(std::size_t i, const Where& where) {
    return typed<T>(output_bytes(i, dtype_of<T>(), where));
  }

 private:
  template <class T>
  static std::span<T> typed(std::span<std::byte> bytes) {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  virtual std::span<std::byte> input_bytes(std::size_t i, Dtype dtype, const Where& where) = 0;
  virtual std::span<std::byte> output_bytes(std::size_t i, Dtype dtype, const Where& where) = 0;
};

// Where the tensors of each part of a tuple, or of anything else as a whole, begin among all leaves.
template <class Tree>
std::vector<std::size_t> first_leaves(const Tree& tree) {
  std::vector<std::size_t> first{0};
  if constexpr (fields::kind_of<Tree> == fields::Kind::tuple)
    fields::visit_tuple(tree,
                        [&](const auto&... part) { (first.push_back(first.back() + leaves_of(part).size()), ...); });
  else
    first.push_back(leaves_of(tree).size());
  return first;
}

}  // namespace detail

class Bound {
 public:
  using Function = void (*)(void* context);

  Bound(std::unique_ptr<detail::BoundCode> code, std::vector<std::size_t> inputs, std::vector<std::size_t> outputs)
      : code_(std::move(code)), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}

  void operator()() { detail::BoundCode::call(code_->context()); }
  Function function() const { return &detail::BoundCode::call; }
  void* context() { return code_->context(); }

  // Tensor number `leaf` of argument `I`, to be written before a call; of the state: what it is now. The place of a state
  // changes with every call.
  template <std::size_t I, class T = float>
  std::span<T> input(std::size_t leaf = 0, Where where = Where::current()) {
    return code_->input<T>(place(inputs_, I, leaf, where), where);
  }
  // Tensor number `leaf` of part `I` of a result that is a tuple or a pair; any other result is its own part 0. Valid until
  // the next call.
  template <std::size_t I = 0, class T = float>
  std::span<const T> output(std::size_t leaf = 0, Where where = Where::current()) {
    return code_->output<T>(place(outputs_, I, leaf, where), where);
  }

 private:
  static std::size_t place(const std::vector<std::size_t>& first, std::size_t part, std::size_t leaf,
                           const Where& where) {
    if (part + 1 >= first.size() || leaf >= first[part + 1] - first[part])
      throw Error("bound: there is no tensor " + std::to_string(leaf) + " in part " + std::to_string(part), where);
    return first[part] + leaf;
  }

  std::unique_ptr<detail::BoundCode> code_;
  std::vector<std::size_t> inputs_, outputs_;  // where the tensors of each argument and part of the result begin
};

}  // namespace tapeloop
