// Where the largest element is. (Declared in ops/reduce.h.)
#include <fmt/format.h>

#include <limits>

#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace tapeloop {
namespace {

Type infer_argmax(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const auto axis = std::size_t(attrs.integer("axis"));
  if (in[0].dtype == Dtype::boolean)
    throw Error(fmt::format("argmax: booleans have no order: {}", to_string(in[0])), where, "cast(x, Dtype::i32)");
  if (in[0].shape[axis].value() == 0)
    throw Error(fmt::format("argmax: axis {} of {} is empty", axis, to_string(in[0].shape)), where);
  Shape rest = in[0].shape;
  rest.erase(rest.begin() + std::ptrdiff_t(axis));
  return {Dtype::i32, rest, nullptr};
}

template <class T>
void first_greatest(const T* x, std::int32_t* out, std::int64_t outer, std::int64_t size, std::int64_t inner) {
  for (std::int64_t o = 0; o < outer; ++o, x += size * inner)
    for (std::int64_t i = 0; i < inner; ++i) {
      std::int32_t best = 0;
      for (std::int64_t j = 1; j < size; ++j) {
        const T now = x[j * inner + i], before = x[best * inner + i];
        if (before == before && (now > before || now != now)) best = std::int32_t(j);
      }
      *out++ = best;
    }
}

Tensor run_argmax(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const Shape& shape = in[0].shape();
  std::int64_t outer = 1, inner = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : shape[i].value();
  auto buffer = Buffer::allocate(bytes_of(type));
  auto run = [&]<class T>(T) {
    first_greatest(reinterpret_cast<const T*>(in[0].bytes()), reinterpret_cast<std::int32_t*>(buffer->data()), outer,
                   shape[axis].value(), inner);
  };
  with_number_type(in[0].dtype(), run);
  return Tensor(type, std::move(buffer));
}

}  // namespace

constinit const Op argmax_op = {
    .name = "argmax", .kind = Kind::reduce, .infer = infer_argmax, .run = run_argmax, .batch = batch_along_axis};

Tensor argmax(const Tensor& x, int axis, Where where) {
  check_value("argmax", x, where);
  axis = normal_axis("argmax", axis, x.rank(), where);
  return record(argmax_op, Tensors{x}, {{"axis", std::int64_t(axis)}}, where);
}

// Its order turned round: −x, or −1 − x of integers, which reaches all of them.
Tensor argmin(const Tensor& x, int axis, Where where) {
  check_value("argmin", x, where);
  const Operand operand(x, where);
  if (x.dtype() == Dtype::u32)
    return argmax(full_like(x, double(std::numeric_limits<std::uint32_t>::max()), where) - operand, axis, where);
  return argmax(is_signed(x.dtype()) ? Tensor(-1 - operand) : neg(operand), axis, where);
}

}  // namespace tapeloop
