#include "ops/jacobian.h"

#include <fmt/format.h>

#include "ops/shape.h"
#include "ops/source.h"

namespace tapeloop::detail {
namespace {

Shape joined(Shape a, const Shape& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// One pass for each element of the output: the rows.
Tensors by_reverse(const TapePtr& tape, const Tensors& inputs, std::size_t arguments, const Where& where) {
  const Type& y = tape->output_type(0);
  VjpRequest request{std::vector<bool>(inputs.size(), false), {true}, {}};
  std::fill_n(request.wanted.begin(), arguments, true);
  std::vector<bool> batched(inputs.size() + 1, false), all(1 + arguments, true);
  batched.back() = true;
  const Extent n = extent_product(y.shape);
  Tensors operands = inputs;
  operands.push_back(reshape(eye(n, y.dtype, where), joined({n}, y.shape), where));
  const Tensors results = evaluate(*batch(vjp(tape, request), batched, n, all).tape, operands);
  Tensors jacobian;
  for (std::size_t i = 0; i < arguments; ++i)
    jacobian.push_back(reshape(results[1 + i], joined(y.shape, inputs[i].shape()), where));
  return jacobian;
}

// One pass for each element of the arguments: the columns.
Tensors by_forward(const TapePtr& tape, const Tensors& inputs, std::size_t arguments, const Where& where) {
  const Type& y = tape->output_type(0);
  std::vector<bool> varying(inputs.size(), false), batched(inputs.size() + arguments, false);
  std::fill_n(varying.begin(), arguments, true);
  std::fill_n(batched.begin() + std::ptrdiff_t(inputs.size()), arguments, true);
  std::vector<Extent> sizes, offsets;
  Extent n = 0;
  for (std::size_t i = 0; i < arguments; ++i) {
    sizes.push_back(extent_product(inputs[i].shape()));
    offsets.push_back(n);
    n = n + sizes.back();
  }
  Tensors operands = inputs;
  for (std::size_t i = 0; i < arguments; ++i) {
    const Tensor own = eye(sizes[i], inputs[i].dtype(), where);
    operands.push_back(reshape(pad(own, 0, offsets[i], n - offsets[i] - sizes[i], 0, 0, where),
                               joined({n}, inputs[i].shape()), where));
  }
  const Tensor columns = evaluate(*batch(jvp(tape, varying), batched, n, {true, true}).tape, operands)[1];
  Tensors jacobian;
  for (std::size_t i = 0; i < arguments; ++i) {
    const Tensor own = move_axis(slice_at(columns, 0, offsets[i], sizes[i], where), 0, int(y.shape.size()), where);
    jacobian.push_back(reshape(own, joined(y.shape, inputs[i].shape()), where));
  }
  return jacobian;
}

}  // namespace

Tensors jacobian_leaves(const TapePtr& tape, const Tensors& inputs, std::size_t arguments, Mode mode,
                        const Where& where) {
  if (tape->outputs.size() != 1 || !is_float(tape->output_type(0).dtype))
    throw Error(fmt::format("jacobian: the function returns {}", tape->outputs.size() == 1
                                                                     ? to_string(tape->output_type(0))
                                                                     : fmt::format("{} tensors", tape->outputs.size())),
                where, "it must return one floating-point tensor; join several with concat()");
  for (std::size_t i = 0; i < arguments; ++i)
    if (!is_float(inputs[i].dtype()))
      throw Error(
          fmt::format("jacobian: a tensor {} of the first argument takes no derivative", to_string(inputs[i].type())),
          where, "pass integers as a later argument");
  return mode == Mode::reverse ? by_reverse(tape, inputs, arguments, where)
                               : by_forward(tape, inputs, arguments, where);
}

}  // namespace tapeloop::detail
