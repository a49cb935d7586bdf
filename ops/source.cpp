#include "ops/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"

namespace tapeloop {
namespace {

Type infer_iota(const Op&, std::span<const Type>, const Attrs& attrs, const Where& where) {
  const Shape& shape = attrs.get<Shape>("shape");
  const Dtype dtype = attrs.get<Dtype>("dtype");
  if (!is_float(dtype) && !is_integer(dtype))
    throw Error(fmt::format("iota: positions are numbers, not {}", name_of(dtype)), where);
  return {dtype, shape, nullptr};
}

// Position i along the axis fills `inner` elements in a row; after `size` positions it starts again.
template <class T>
void count_up(std::byte* out, std::int64_t count, std::int64_t size, std::int64_t inner) {
  T* to = reinterpret_cast<T*>(out);
  for (std::int64_t i = 0; i < count; ++i) to[i] = T(i / inner % size);
}

Tensor run_iota(const Op&, std::span<const Tensor>, const Attrs& attrs, const Type& type) {
  const std::int64_t count = count_of(type.shape);
  const int axis = attrs.integer("axis");
  std::int64_t size = count, inner = 1;
  if (axis >= 0) {
    size = type.shape[std::size_t(axis)].value();
    for (std::size_t i = std::size_t(axis) + 1; i < type.shape.size(); ++i) inner *= type.shape[i].value();
  }
  auto buffer = Buffer::allocate(count * size_of(type.dtype));
  switch (type.dtype) {
    case Dtype::f32:
      count_up<float>(buffer->data(), count, size, inner);
      break;
    case Dtype::f64:
      count_up<double>(buffer->data(), count, size, inner);
      break;
    case Dtype::i32:
      count_up<std::int32_t>(buffer->data(), count, size, inner);
      break;
    case Dtype::i64:
      count_up<std::int64_t>(buffer->data(), count, size, inner);
      break;
    default:
      count_up<std::uint32_t>(buffer->data(), count, size, inner);
      break;
  }
  return Tensor(type, std::move(buffer));
}

}  // namespace

constinit const Op iota_op = {
    .name = "iota", .kind = Kind::source, .cheap = true, .infer = infer_iota, .run = run_iota};

Tensor iota(const Shape& shape, Flattened, Dtype dtype, Where where) {
  return generate(iota_op, {{"shape", shape}, {"axis", std::int64_t(-1)}, {"dtype", dtype}}, where);
}

Tensor iota(const Shape& shape, int axis, Dtype dtype, Where where) {
  axis = normal_axis("iota", axis, int(shape.size()), where);
  return generate(iota_op, {{"shape", shape}, {"axis", std::int64_t(axis)}, {"dtype", dtype}}, where);
}

Tensor arange(const Extent& n, Dtype dtype, Where where) {
  check_size("arange", {dtype, {n}, nullptr}, where);
  return iota({n}, 0, dtype, where);
}

Tensor arange(double start, double stop, double step, Dtype dtype, Where where) {
  if (step == 0 || !std::isfinite((stop - start) / step))
    throw Error(fmt::format("arange: from {} to {} by {}", start, stop, step), where);
  const auto n = std::int64_t(std::max(0.0, std::ceil((stop - start) / step)));
  return Operand(start, where) + Tensor(Operand(step, where) * iota({n}, 0, dtype, where));
}

// The last one is `stop` itself, whatever the steps before it rounded to.
Tensor linspace(double start, double stop, std::int64_t n, Dtype dtype, Where where) {
  if (n < 0) throw Error(fmt::format("linspace: {} numbers", n), where);
  if (!is_float(dtype))
    throw Error(fmt::format("linspace: needs a floating-point dtype, got {}", name_of(dtype)), where);
  const Tensor i = iota({n}, 0, dtype, where);
  if (n < 2) return Operand(i, where) + start;
  const Tensor before = Operand(start, where) + Tensor(Operand((stop - start) / double(n - 1), where) * i);
  return tapeloop::where(Operand(Operand(i, where) == n - 1, where), stop, before);
}

Tensor eye(const Extent& n, Dtype dtype, Where where) {
  const Shape shape{n, n};
  check_size("eye", {dtype, shape, nullptr}, where);
  return cast(Operand(iota(shape, 0, Dtype::i32, where), where) == iota(shape, 1, Dtype::i32, where), dtype, where);
}

}  // namespace tapeloop
