// Many examples at once: a function of one example becomes one of a batch of them.
//
// Batching is a transformation of tapes like vjp and jvp: every record is replaced by one that handles all examples, the
// batch being the first axis of its operands. Nothing is said about it anywhere else but in an op's own rule (Op::batch);
// elementwise ops need none. It lives here and not in ad/ because a rule moves axes, and that is done by ops.
#pragma once

#include <optional>

#include "ad/grad.h"

namespace tapeloop {

// From (x…) → (y…) makes the function of n examples: the `batched` inputs have a new first axis of extent n, the others are
// the same for all. `outputs` says which of the outputs got that axis: those that depend on a batched input, and those for
// which `at_least` asks (one for each output, or empty).
// Throws InternalError at an op that has no rule.
struct BatchedTape {
  TapePtr tape;
  std::vector<bool> outputs;
};
BatchedTape batch(const TapePtr& tape, const std::vector<bool>& batched, const Extent& n,
                  const std::vector<bool>& at_least = {});

// What rules are made of. `x` n times along a new first axis; the operands of a record, each with a batch axis; x with its
// axis `from` at place `to`, the others in their order.
Tensor repeated(const Tensor& x, const Extent& n, const Where& where);
Tensors all_batched(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n);
Tensor move_axis(const Tensor& x, int from, int to, const Where& where);
// The rule of an op that does along axis `axis` (an attribute) what it did, one axis further on.
Batched batch_along_axis(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n);

inline constexpr std::nullopt_t none = std::nullopt;

struct VmapOptions {
  // For each argument: which axis of its tensors runs over the examples, or `none` for an argument that is the same for
  // all. Empty: the first axis of every argument.
  std::vector<std::optional<int>> in;
  int out = 0;  // where that axis stands in the results
};

namespace detail {

// Arguments whose batch axes were moved to the front, and the types of one example.
struct Examples {
  Tensors inputs;
  std::vector<bool> batched;
  std::vector<Type> types;
  Extent n = 0;
};
Examples examples_of(const Arguments& given, const VmapOptions& options, const Where& where);
Tensors evaluate_batch(const TapePtr& tape, Examples examples, const Tensors& captured, int out, const Where& where);

}  // namespace detail

// vmap(f)(args…) is f on each example, stacked: per-example gradients are vmap(grad(loss), {.in = {none, 0, 0}}).
// f is written for one example, as if the batch axis were not there. Values that f captures are the same for all.
// Throws Error when the tensors of batched arguments disagree about the number of examples, when none is batched, and when
// a scalar is.
template <class F>
auto vmap(F f, VmapOptions options = {}, Where where = Where::current()) {
  return [f = detail::Held{std::move(f)}, options = std::move(options), where]<class... Args>(const Args&... args) {
    detail::Examples examples = detail::examples_of(detail::arguments_of(args...), options, where);
    auto traced = trace_typed(f.function, Recorder::Captures::recorded, examples.types, args...);
    return with_leaves(std::move(traced.result),
                       detail::evaluate_batch(traced.tape, std::move(examples), traced.captured, options.out, where));
  };
}

}  // namespace tapeloop
