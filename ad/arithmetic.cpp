#include "ad/arithmetic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ad/tape.h"

namespace tapeloop {
namespace {

template <class T>
void fill(std::byte* out, std::int64_t count, T value) {
  std::fill_n(reinterpret_cast<T*>(out), count, value);
}

Type infer_full(const Op&, std::span<const Type>, const Attrs& attrs, const Where&) {
  return Type{attrs.get<Dtype>("dtype"), attrs.get<Shape>("shape"), nullptr};
}

Tensor run_full(const Op&, std::span<const Tensor>, const Attrs& attrs, const Type& type) {
  const std::int64_t count = count_of(type.shape);
  auto buffer = Buffer::allocate(count * size_of(type.dtype));
  const double value = attrs.get<double>("value");
  switch (type.dtype) {
    case Dtype::f32:
      fill(buffer->data(), count, float(value));
      break;
    case Dtype::f64:
      fill(buffer->data(), count, value);
      break;
    case Dtype::i32:
      fill(buffer->data(), count, std::int32_t(value));
      break;
    case Dtype::u32:
      fill(buffer->data(), count, std::uint32_t(value));
      break;
    case Dtype::i64:
      fill(buffer->data(), count, i64_of(value));
      break;
    default:
      fill(buffer->data(), count, value != 0);
      break;
  }
  return Tensor(type, std::move(buffer));
}

}  // namespace

// d(a + b) = da + db
constinit const Op add_op = elementwise({
    .name = "add",
    .lanes = [](Lanes x) { return x[0] + x[1]; },
    .flow = [](const Tensors&, const Tensor&, const Tensor& v) { return Tensors{v, v}; },
    .cheap = true,
    .infer = infer_number,
});

// d(a · b) = b da + a db
constinit const Op mul_op = elementwise({
    .name = "mul",
    .lanes = [](Lanes x) { return x[0] * x[1]; },
    .partials = [](const Tensors& x, const Tensor&) { return Tensors{x[1], x[0]}; },
    .cheap = true,
    .infer = infer_number,
});

constinit const Op full_op = {
    .name = "full", .kind = Kind::source, .cheap = true, .infer = infer_full, .run = run_full};

constinit const Op stop_gradient_op = elementwise({
    .name = "stop_gradient",
    .lanes = [](Lanes x) { return x[0]; },
    .cheap = true,
});

Tensor full(const Shape& shape, double value, Dtype dtype, const Where& where) {
  if (!holds(dtype, value))
    throw Error(fmt::format("full: {} does not hold {}", name_of(dtype), value), where,
                "take a dtype that does: Dtype::i64, or a floating-point one");
  return generate(full_op, {{"shape", shape}, {"dtype", dtype}, {"value", value}}, where);
}

Tensor full_like(const Tensor& x, double value, const Where& where) { return full(x.shape(), value, x.dtype(), where); }

Tensor stop_gradient(const Tensor& x, const Where& where) { return record(stop_gradient_op, {x}, {}, where); }

bool is_full_of(const Tensor& x, double value) {
  if (x.is_empty()) return false;
  if (x.is_generated()) return &x.generator() == &full_op && x.generator_attrs().get<double>("value") == value;
  if (!x.is_recorded()) return false;
  const Record& r = (*x.recorder())[x.id()];
  return r.op == &full_op && r.attrs.get<double>("value") == value;
}

Tensor literal(const Tensor& number, const Where& where) {
  const double value = number.item<double>();
  // Not every integer of 64 bits is a double.
  if (number.dtype() == Dtype::i64 && i64_of(value) != number.item<std::int64_t>()) return constant(number, where);
  return full(number.shape(), value, number.dtype(), where);
}

Tensor accumulate(const Tensor& sum, const Tensor& contribution) {
  if (sum.is_empty()) return contribution;
  if (contribution.is_empty()) return sum;
  if (contribution.is_recorded()) {
    const std::shared_ptr<Recorder>& recorder = contribution.recorder();
    const Record r = (*recorder)[contribution.id()];
    if (r.op->start >= 0 && int(r.in.size()) == r.op->start) {
      Tensors operands;
      for (Id id : r.in) operands.push_back(Tensor::recorded((*recorder)[id].type, recorder, id));
      operands.push_back(sum);
      return record(*r.op, operands, r.attrs, r.where);
    }
  }
  return record(add_op, {sum, contribution}, {}, Where::current());
}

}  // namespace tapeloop
