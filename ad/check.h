// check_gradients: one line that says whether the derivatives of a function are right.
#pragma once

#include <cstdint>

#include "ad/grad.h"

namespace tapeloop {

struct CheckOptions {
  double tolerance = 1e-6;     // of |derivative − difference| / max(|derivative|, |difference|, 1e-4·max(1, |loss|))
  double step = 1e-3;          // of the differences, relative to max(1, |x|)
  int elements = 64;           // how many elements of each tensor are moved; which ones, the seed says
  std::uint64_t seed = 1;
  Where where = Where::current();  // named in errors; without options it is where the loss is computed
};

namespace detail {

// A concrete f32 tensor in f64, anything else as it is.
Tensor in_f64(const Tensor& x, const Where& where);

// The check of a recorded loss (output 0) at concrete inputs. Throws Error at the first derivative that is wrong.
void check_tape(const TapePtr& tape, const Tensors& inputs, const std::vector<std::string>& names, const CheckOptions& options);

}  // namespace detail

// Compares the derivatives of f, which returns a scalar loss or pair{loss, aux}, with numbers that know nothing of tapes:
//
//   - reverse mode with five-point central differences, element by element (Abramowitz and Stegun, 25.3.6);
//   - forward with reverse mode along a random direction v: ⟨∇f, v⟩ = Jv.
//
// Arguments are trees of concrete tensors; f runs in f64 whatever their float dtype is. Integers are kept as they are.
// Throws Error with the name of the tensor ("argument 0.cell.w"), the index, both numbers and their relative error.
template <class F, class... Args>
void check_gradients(const CheckOptions& options, F f, const Args&... args) {
  std::vector<bool> unused;
  std::vector<std::string> names;
  detail::gather_leaves(unused, names, args...);
  std::tuple<Args...> point{args...};
  for_each_tensor(point, [&](Tensor& t) {
    if (!t.is_empty()) t = detail::in_f64(t, options.where);
  });
  auto traced = std::apply([&](const auto&... a) { return trace(f, Recorder::Captures::recorded, a...); }, point);
  if (!traced.captured.empty())
    throw Error("check_gradients: the function uses recorded values that are not its arguments", options.where,
                "call it outside of jit, grad and scan, or pass them as arguments");
  detail::check_tape(traced.tape, leaves_of(point), names, options);
}
template <class F, class... Args>
  requires(!std::is_same_v<F, CheckOptions>)
void check_gradients(F f, const Args&... args) {
  check_gradients(CheckOptions{.where = Where()}, std::move(f), args...);
}

}  // namespace tapeloop
