#include "ops/sort.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

Type infer_argsort(const Op&, std::span<const Type> in, const Attrs&, const Where& where) {
  if (in[0].dtype == Dtype::boolean)
    throw Error(fmt::format("argsort: booleans have no order: {}", to_string(in[0])), where, "cast(x, Dtype::i32)");
  return {Dtype::i32, in[0].shape, nullptr};
}

template <class T>
void sort_rows(const T* x, std::int32_t* out, std::int64_t outer, std::int64_t size, std::int64_t inner,
               bool descending) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(size));
  for (std::int64_t o = 0; o < outer; ++o, x += size * inner, out += size * inner)
    for (std::int64_t i = 0; i < inner; ++i) {
      std::iota(order.begin(), order.end(), 0);
      // Equal ones by their positions, which makes the order stable.
      std::sort(order.begin(), order.end(), [&](std::int32_t j, std::int32_t k) {
        const T a = x[j * inner + i], b = x[k * inner + i];
        const bool is_less = descending ? b < a : a < b, is_greater = descending ? a < b : b < a;
        if (is_less || is_greater) return is_less;
        const bool a_is_nan = a != a, b_is_nan = b != b;
        return a_is_nan == b_is_nan ? j < k : b_is_nan;
      });
      for (std::int64_t j = 0; j < size; ++j) out[j * inner + i] = order[std::size_t(j)];
    }
}

Tensor run_argsort(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const auto axis = std::size_t(attrs.integer("axis"));
  std::int64_t outer = 1, inner = 1;
  for (std::size_t i = 0; i < type.shape.size(); ++i)
    if (i != axis) (i < axis ? outer : inner) *= type.shape[i].value();
  auto buffer = Buffer::allocate(bytes_of(type));
  auto run = [&]<class T>(T) {
    sort_rows(reinterpret_cast<const T*>(in[0].bytes()), reinterpret_cast<std::int32_t*>(buffer->data()), outer,
              type.shape[axis].value(), inner, attrs.flag("descending"));
  };
  with_number_type(in[0].dtype(), run);
  return Tensor(type, std::move(buffer));
}

}  // namespace

constinit const Op argsort_op = {
    .name = "argsort", .kind = Kind::sort, .infer = infer_argsort, .run = run_argsort, .batch = batch_along_axis};

Tensor argsort(const Tensor& x, int axis, bool descending, Where where) {
  check_value("argsort", x, where);
  axis = normal_axis("argsort", axis, x.rank(), where);
  return record(argsort_op, Tensors{x}, {{"axis", std::int64_t(axis)}, {"descending", std::int64_t(descending)}},
                where);
}

Tensor sort(const Tensor& x, int axis, bool descending, Where where) {
  return take_along(x, argsort(x, axis, descending, where), axis, where);
}

TopK topk(const Tensor& x, int k, int axis, Where where) {
  check_value("topk", x, where);
  axis = normal_axis("topk", axis, x.rank(), where);
  if (k < 0 || k > x.size(axis).value())
    throw Error(fmt::format("topk: {} elements of axis {} of {}", k, axis, to_string(x.shape())), where);
  const Tensor indices = slice_at(argsort(x, axis, true, where), axis, 0, k, where);
  return {take_along(x, indices, axis, where), indices};
}

}  // namespace tapeloop
