#include "ops/reduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <type_traits>

#include "ad/arithmetic.h"
#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/elementwise.h"
#include "ops/prefix.h"
#include "ops/shape.h"
#include "ops/strides.h"

namespace tapeloop {
namespace {

constexpr int kPartials = 16;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool contains(const Ints& axes, std::size_t axis) {
  return std::find(axes.begin(), axes.end(), std::int64_t(axis)) != axes.end();
}

Ints kept_axes(const Ints& axes, std::size_t rank) {
  Ints kept;
  for (std::size_t axis = 0; axis < rank; ++axis)
    if (!contains(axes, axis)) kept.push_back(std::int64_t(axis));
  return kept;
}

Shape without(const Shape& shape, const Ints& axes) {
  Shape rest;
  for (std::int64_t axis : kept_axes(axes, shape.size())) rest.push_back(shape[std::size_t(axis)]);
  return rest;
}

// A reduced tensor stretched over the axes that were reduced.
Tensor stretch(const Tensor& x, const Shape& shape, const Ints& axes, const Where& where) {
  return broadcast_axes(x, shape, kept_axes(axes, shape.size()), where);
}

// --- walking ----------------------------------------------------------------------------------------------------------

// Positions of a box in row-major order, as offsets into memory.
struct Box {
  std::vector<std::int64_t> sizes, strides;

  std::vector<std::int64_t> offsets() const {
    std::vector<std::int64_t> all{0};
    for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
      std::vector<std::int64_t> next;
      next.reserve(all.size() * std::size_t(sizes[axis]));
      for (std::int64_t offset : all)
        for (std::int64_t i = 0; i < sizes[axis]; ++i) next.push_back(offset + i * strides[axis]);
      all = std::move(next);
    }
    return all;
  }
};

// A shape seen by a reduction: kept axes, reduced axes before a kept one, and the run at the end that is of one sort.
struct Walk {
  Box kept, reduced;
  std::int64_t run = 1;  // elements of the axes at the end, all reduced or all kept
  bool run_is_reduced = false;

  Walk(const Shape& shape, const Ints& axes) {
    std::size_t end = shape.size();
    run_is_reduced = end > 0 && contains(axes, end - 1);
    while (end > 0 && contains(axes, end - 1) == run_is_reduced) run *= shape[--end].value();
    std::int64_t stride = run;
    for (std::size_t axis = end; axis-- > 0; stride *= shape[axis].value()) {
      Box& box = contains(axes, axis) ? reduced : kept;
      box.sizes.insert(box.sizes.begin(), shape[axis].value());
      box.strides.insert(box.strides.begin(), stride);
    }
  }
};

// --- sum, product --------------------------------------------------------------------------------------------------------------

// Σ or Π. `T` is an unsigned type for integers, so that they wrap.
template <class T, class Combine>
void fold(const Walk& walk, const T* x, const T* start, T* out, T neutral, Combine combine) {
  const auto kept = walk.kept.offsets(), reduced = walk.reduced.offsets();
  for (std::int64_t at : kept) {
    if (walk.run_is_reduced) {
      T partial[kPartials];
      std::fill_n(partial, kPartials, neutral);
      for (std::int64_t before : reduced) {
        const T* run = x + at + before;
        std::int64_t j = 0;
        for (; j + kPartials <= walk.run; j += kPartials)
          for (int i = 0; i < kPartials; ++i) partial[i] = combine(partial[i], run[j + i]);
        for (int i = 0; j + i < walk.run; ++i) partial[i] = combine(partial[i], run[j + i]);
      }
      for (int width = kPartials / 2; width >= 1; width /= 2)
        for (int i = 0; i < width; ++i) partial[i] = combine(partial[i], partial[i + width]);
      *out++ = start ? combine(*start++, partial[0]) : partial[0];
    } else {
      for (std::int64_t j = 0; j < walk.run; ++j) out[j] = start ? start[j] : neutral;
      for (std::int64_t before : reduced) {
        const T* run = x + at + before;
        for (std::int64_t j = 0; j < walk.run; ++j) out[j] = combine(out[j], run[j]);
      }
      out += walk.run;
      if (start) start += walk.run;
    }
  }
}

Type infer_reduce(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  if (in[0].dtype == Dtype::boolean)
    throw Error(fmt::format("{}: booleans have no arithmetic: {}", op.name, to_string(in[0])), where,
                "cast(x, Dtype::i32) counts; cast(x, Dtype::f32) makes numbers of them");
  Type type{in[0].dtype, without(in[0].shape, attrs.get<Ints>("axes")), nullptr};
  if (in.size() == 2 && (in[1].dtype != type.dtype || !agree(in[1].shape, type.shape)))
    throw Error(fmt::format("{}: start is {}, the result {}", op.name, to_string(in[1]), to_string(type)), where);
  return type;
}

template <class Combine>
Tensor run_fold(const Op& op, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const Walk walk(in[0].shape(), attrs.get<Ints>("axes"));
  auto buffer = buffer_for(type);
  auto run = [&]<class T>(T) {
    fold(walk, reinterpret_cast<const T*>(in[0].bytes()),
         in.size() == 2 ? reinterpret_cast<const T*>(in[1].bytes()) : nullptr, reinterpret_cast<T*>(buffer->data()),
         T(neutral_of(op.fold, type.dtype)), Combine());
  };
  if (type.dtype == Dtype::f32)
    run(float());
  else if (type.dtype == Dtype::f64)
    run(double());
  else if (type.dtype == Dtype::i64)
    run(std::uint64_t());
  else
    run(std::uint32_t());
  return Tensor(type, std::move(buffer));
}

// y = s + Σ x:  every summed element gets ȳ, and so does s.
Pullback vjp_sum(const Record& r, const Tensors& in, const Demand&) {
  auto pull = [shape = in[0].shape(), axes = r.attrs.get<Ints>("axes"), n = in.size(),
               where = r.where](const Tensors& cts) {
    Tensors result{stretch(cts[0], shape, axes, where)};
    if (n == 2) result.push_back(cts[0]);
    return result;
  };
  return {record(sum_op, in, r.attrs, r.where), pull};
}

// ẏ = ṡ + Σ ẋ
Pushforward jvp_sum(const Record& r, const Tensors& in, const Tensors& dots) {
  Tensor dot = dots.size() == 2 ? dots[1] : Tensor();
  if (!dots[0].is_empty())
    dot = record(sum_op, dot.is_empty() ? Tensors{dots[0]} : Tensors{dots[0], dot}, r.attrs, r.where);
  return {record(sum_op, in, r.attrs, r.where), {dot}};
}

// The product of all other elements that are reduced with one: of those before and of those after it.
Tensor product_of_others(const Tensor& x, const Ints& axes, const Where& where) {
  std::vector<int> order;
  for (std::int64_t axis : kept_axes(axes, x.shape().size())) order.push_back(int(axis));
  Shape row, moved;
  for (int axis : order) row.push_back(x.size(axis));
  Extent n = 1;
  for (std::int64_t axis : axes) {
    order.push_back(int(axis));
    n = n * x.size(int(axis));
  }
  for (int axis : order) moved.push_back(x.size(axis));
  row.push_back(n);
  const Tensor flat = reshape(transpose(x, order, where), row, where);
  const Tensor before = cumprod(slice_at(pad(flat, -1, 1, 0, 1, 0, where), -1, 0, n, where), -1, false, where);
  const Tensor after = cumprod(slice_at(pad(flat, -1, 0, 1, 1, 0, where), -1, 1, n, where), -1, true, where);
  std::vector<int> back(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) back[std::size_t(order[i])] = int(i);
  return transpose(reshape(Operand(before, where) * after, moved, where), back, where);
}

// x̄ᵢ = ȳ Π xⱼ over the others
Pullback vjp_prod(const Record& r, const Tensors& in, const Demand&) {
  return {record(prod_op, in, r.attrs, r.where), [r, x = in[0]](const Tensors& cts) {
            const Ints& axes = r.attrs.get<Ints>("axes");
            return Tensors{Operand(stretch(cts[0], x.shape(), axes, r.where), r.where) *
                           product_of_others(x, axes, r.where)};
          }};
}

// ẏ = Σᵢ ẋᵢ Π xⱼ over the others
Pushforward jvp_prod(const Record& r, const Tensors& in, const Tensors& dots) {
  const Tensor others = product_of_others(in[0], r.attrs.get<Ints>("axes"), r.where);
  return {record(prod_op, in, r.attrs, r.where),
          {record(sum_op, Tensors{Operand(dots[0], r.where) * others}, r.attrs, r.where)}};
}

Batched batch_reduce(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  Ints axes;
  for (std::int64_t axis : r.attrs.get<Ints>("axes")) axes.push_back(axis + 1);
  return {record(*r.op, all_batched(r, in, batched, n), r.attrs.with("axes", axes), r.where), {}};
}

// --- max, min ---------------------------------------------------------------------------------------------------

// What flushing does to an operand, which a comparison alone would not write down. Nothing while denormals are kept.
template <class T>
T flushed(T x) {
  return x == 0 ? std::copysign(T(0), x) : x;
}

// The same choice as lane::max and lane::min make.
template <bool greatest, class T>
T better(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    a = flushed(a);
    b = flushed(b);
    if (a != a || b != b) return a + b;
    if (a == b) return std::signbit(a) == greatest ? b : a;
  }
  return (greatest ? a < b : b < a) ? b : a;
}

template <bool greatest, class T>
void best_of(const Walk& walk, const T* x, T* out) {
  using Limits = std::numeric_limits<T>;
  T worst = greatest ? Limits::lowest() : Limits::max();
  if constexpr (std::is_floating_point_v<T>) worst = greatest ? -Limits::infinity() : Limits::infinity();
  const auto kept = walk.kept.offsets(), reduced = walk.reduced.offsets();
  for (std::int64_t at : kept) {
    const std::int64_t width = walk.run_is_reduced ? 1 : walk.run;
    for (std::int64_t j = 0; j < width; ++j) out[j] = worst;
    for (std::int64_t before : reduced)
      for (std::int64_t j = 0; j < walk.run; ++j) {
        T& best = out[walk.run_is_reduced ? 0 : j];
        best = better<greatest>(best, x[at + before + j]);
      }
    out += width;
  }
}

template <bool greatest>
Tensor run_best(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const Walk walk(in[0].shape(), attrs.get<Ints>("axes"));
  auto buffer = buffer_for(type);
  auto run = [&]<class T>(T) {
    best_of<greatest>(walk, reinterpret_cast<const T*>(in[0].bytes()), reinterpret_cast<T*>(buffer->data()));
  };
  with_number_type(type.dtype, run);
  return Tensor(type, std::move(buffer));
}

// The elements that are the best one share what flows through it. Selected rather than multiplied, so that an infinite
// cotangent stays with them; next to a NaN nothing is best, and the share is 0/0 or ∞·0.
struct Ties {
  Tensor is_worse, is_best, count;

  Ties(const Record& r, const Tensor& x, const Tensor& y) {
    const Ints& axes = r.attrs.get<Ints>("axes");
    const Tensor best = stretch(y, x.shape(), axes, r.where);
    is_worse = r.op == &max_op ? x < best : x > best;
    is_best = cast(x == best, x.dtype(), r.where);
    count = record(sum_op, Tensors{is_best}, {{"axes", axes}}, r.where);
  }
};

// x̄ = ȳ / (number of ties) at every tie
Pullback vjp_best(const Record& r, const Tensors& in, const Demand&) {
  const Tensor& x = in[0];
  const Tensor y = record(*r.op, in, r.attrs, r.where);
  return {y, [r, x, y](const Tensors& cts) {
            const Ties ties(r, x, y);
            const Tensor share = stretch(cts[0] / ties.count, x.shape(), r.attrs.get<Ints>("axes"), r.where);
            return Tensors{where(ties.is_worse, 0, share * ties.is_best)};
          }};
}

// ẏ = Σ ẋ over the ties / (number of ties)
Pushforward jvp_best(const Record& r, const Tensors& in, const Tensors& dots) {
  const Tensor y = record(*r.op, in, r.attrs, r.where);
  const Ties ties(r, in[0], y);
  const Tensor taken = where(ties.is_worse, 0, dots[0] * ties.is_best);
  return {y, {record(sum_op, Tensors{taken}, r.attrs, r.where) / ties.count}};
}

// --- extent -------------------------------------------------------------------------------------------------------------

Type infer_extent(const Op&, std::span<const Type>, const Attrs& attrs, const Where&) {
  return {attrs.get<Dtype>("dtype"), {}, nullptr};
}

Tensor run_extent(const Op&, std::span<const Tensor>, const Attrs& attrs, const Type& type) {
  return full_op.run(full_op, {}, {{"value", double(attrs.extent("extent").value())}}, type);
}

}  // namespace

double neutral_of(LaneOp fold, Dtype dtype) {
  if (fold == LaneOp::add) return 0;
  if (fold == LaneOp::mul) return 1;
  const bool greatest = fold == LaneOp::max;
  if (is_float(dtype)) return greatest ? -kInfinity : kInfinity;
  if (dtype == Dtype::u32) return greatest ? 0 : double(std::numeric_limits<std::uint32_t>::max());
  if (dtype == Dtype::i64) return greatest ? -0x1p63 : 0x1p63;  // which converts to the greatest i64
  return greatest ? double(std::numeric_limits<std::int32_t>::lowest())
                  : double(std::numeric_limits<std::int32_t>::max());
}

constinit const Op sum_op = {.name = "sum",
                             .kind = Kind::reduce,
                             .start = 1,
                             .infer = infer_reduce,
                             .run = run_fold<std::plus<>>,
                             .vjp = vjp_sum,
                             .jvp = jvp_sum,
                             .batch = batch_reduce};
constinit const Op prod_op = {.name = "prod",
                              .kind = Kind::reduce,
                              .fold = LaneOp::mul,
                              .infer = infer_reduce,
                              .run = run_fold<std::multiplies<>>,
                              .vjp = vjp_prod,
                              .jvp = jvp_prod,
                              .batch = batch_reduce};
constinit const Op max_op = {.name = "max",
                             .kind = Kind::reduce,
                             .fold = LaneOp::max,
                             .infer = infer_reduce,
                             .run = run_best<true>,
                             .vjp = vjp_best,
                             .jvp = jvp_best,
                             .batch = batch_reduce};
constinit const Op min_op = {.name = "min",
                             .kind = Kind::reduce,
                             .fold = LaneOp::min,
                             .infer = infer_reduce,
                             .run = run_best<false>,
                             .vjp = vjp_best,
                             .jvp = jvp_best,
                             .batch = batch_reduce};
constinit const Op extent_op = {
    .name = "extent", .kind = Kind::source, .cheap = true, .infer = infer_extent, .run = run_extent};

Tensor extent(const Extent& value, Dtype dtype, Where where) {
  return generate(extent_op, {{"extent", Shape{value}}, {"dtype", dtype}}, where);
}

}  // namespace tapeloop
