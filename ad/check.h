// Are the derivatives of a function right? check_gradients says so in one line; gradient_report tells all that it found.
#pragma once

#include <cstdint>

#include "ad/grad.h"

namespace tapeloop {

struct CheckOptions {
  double tolerance = 1e-6;  // of |derivative − difference| / max(|derivative|, |difference|, 1e-4·max(1, |loss|))
  double step = 1e-3;       // of the differences, relative to max(1, |x|)
  int elements = 64;        // how many elements of each tensor are moved; which ones, the seed says
  int directions = 2;       // random directions for what is checked along directions
  int order = 2;            // 2: second derivatives too
  bool reverse = true;      // modes: reverse …
  bool forward = true;      // … and forward
  std::uint64_t seed = 1;   // the same seed gives the same elements and directions on every platform
  Where where = Where::current();  // named in errors; without options it is where the loss is computed
};

// What was found of one tensor: its element whose derivative is furthest from the difference quotient.
struct TensorCheck {
  enum class Verdict { agrees, kink, wrong };
  std::string name;  // "argument 0.cell.w"
  Type type;
  std::int64_t tried = 0;  // elements moved
  std::string worst;       // its index, "[2, 0]"
  double derivative = 0, difference = 0;
  double error = 0;            // relative
  int kinks = 0;               // elements at which the function has no derivative within reach of the step
  double left = 0, right = 0;  // the one-sided slopes at the last of them
  Verdict verdict = Verdict::agrees;
};

// What must hold along any direction.
struct LawCheck {
  std::string law;  // "forward mode: Jv = ⟨∇f, v⟩"
  double a = 0, b = 0, error = 0;
  bool holds = true;
  std::string note;  // why it was left out
};

struct CheckReport {
  double loss = 0, tolerance = 0;
  Where where;  // that of the options, or where the loss is computed
  std::vector<TensorCheck> tensors;
  std::vector<LawCheck> laws;

  bool passed() const;
  std::string failure() const;  // the first failure in one line, empty when there is none
};

// A table for a terminal: a line for each tensor and each law, marked ✓, ~ (a kink) or ✗.
std::string to_string(const CheckReport& report);

namespace detail {

// A concrete f32 tensor in f64, anything else as it is.
Tensor in_f64(const Tensor& x, const Where& where);

// The check of a recorded loss (output 0) at concrete inputs.
CheckReport check_tape(const TapePtr& tape, const Tensors& inputs, const std::vector<std::string>& names,
                       const CheckOptions& options);
void throw_unless_passed(const CheckReport& report);

}  // namespace detail

// Compares the derivatives of f, which returns a scalar loss or pair{loss, aux}, with numbers that know nothing of tapes:
//
//   - reverse mode with five-point central differences, element by element (Abramowitz and Stegun, 25.3.6);
//   - forward mode with reverse mode along random directions v: Jv = ⟨∇f, v⟩ (without reverse mode: with differences);
//   - second order: Hv with differences of the gradient; ⟨u, Hv⟩ = ⟨v, Hu⟩;
//   - Taylor's theorem: f(x + hv) − f(x) − h⟨∇f, v⟩ − h²⟨v, Hv⟩/2 falls as h³ when h is halved.
//
// Arguments are trees of concrete tensors; f runs in f64 whatever their float dtype is. Integers are kept as they are.
//
// Where a difference disagrees, the slopes on either side are looked at with smaller steps. If they agree with one another and
// with the derivative, the step had straddled a kink; if they differ and the derivative lies between them, the function has a
// kink right here and the derivative is one of its subgradients. Both are reported as kinks and are no failure; the laws of
// second order then mean nothing and are left out.
template <class F, class... Args>
CheckReport gradient_report(const CheckOptions& options, F f, const Args&... args) {
  std::tuple<Args...> point{args...};
  for_each_tensor(point, [&](Tensor& t) {
    if (!t.is_empty()) t = detail::in_f64(t, options.where);
  });
  const detail::Arguments given = detail::arguments_of(args...);
  const Tensors inputs = leaves_of(point);
  const auto traced = fields::visit_tuple(
      point, [&](const auto&... a) { return trace_typed(f, Recorder::Captures::recorded, types_of(inputs), a...); });
  if (!traced.captured.empty())
    throw Error("check_gradients: the function uses recorded values that are not its arguments", options.where,
                "call it outside of jit, grad and scan, or pass them as arguments");
  return detail::check_tape(traced.tape, inputs, given.names, options);
}

// Throws Error with the name of the tensor, the index, both numbers and their relative error, and the table of the report, when
// a derivative is wrong.
template <class F, class... Args>
void check_gradients(const CheckOptions& options, F f, const Args&... args) {
  detail::throw_unless_passed(gradient_report(options, std::move(f), args...));
}
template <class F, class... Args>
  requires(!std::is_same_v<F, CheckOptions>)
void check_gradients(F f, const Args&... args) {
  check_gradients(CheckOptions{.where = Where()}, std::move(f), args...);
}

}  // namespace tapeloop
