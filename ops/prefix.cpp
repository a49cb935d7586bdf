#include "ops/prefix.h"

#include <fmt/format.h>

#include <cstring>

#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

constexpr double kLowest = -std::numeric_limits<double>::infinity();

// --- value --------------------------------------------------------------------------------------------------------------

// All rows take a step together: the elements at one place of the axis are brought side by side for the lane program.
Tensor run_prefix(const Op& op, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const auto axis = std::size_t(attrs.integer("axis"));
  const std::int64_t n = type.shape[axis].value();
  std::int64_t outer = 1, inner = 1;
  for (std::size_t i = 0; i < type.shape.size(); ++i)
    if (i != axis) (i < axis ? outer : inner) *= type.shape[i].value();
  auto buffer = Buffer::allocate(bytes_of(type));
  if (outer * inner == 0 || n == 0) return Tensor(type, std::move(buffer));

  std::vector<Type> types{type};
  std::vector<std::shared_ptr<Buffer>> side;
  for (const Tensor& x : in) {
    types.push_back(x.type());
    side.push_back(Buffer::allocate(outer * inner * size_of(x.dtype())));
  }
  const LaneProgram& step = lane_program(op, types, attrs);
  const Tensor first =
      full_op.run(full_op, {}, {{"value", neutral_of(op.fold, type.dtype)}}, Type{type.dtype, {outer, inner}, nullptr});
  auto carry = Buffer::allocate(outer * inner * size_of(type.dtype));
  std::memcpy(carry->data(), first.bytes(), std::size_t(outer * inner * size_of(type.dtype)));
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t at = attrs.flag("reverse") ? n - 1 - i : i;
    const auto each_row = [&](int size, auto copy) {
      for (std::int64_t o = 0; o < outer; ++o)
        copy(std::size_t((o * n + at) * inner * size), std::size_t(o * inner * size), std::size_t(inner * size));
    };
    std::vector<LaneOperand> operands{{carry->data(), 1}};
    for (std::size_t k = 0; k < in.size(); ++k) {
      each_row(size_of(in[k].dtype()), [&](std::size_t there, std::size_t here, std::size_t bytes) {
        std::memcpy(side[k]->data() + here, in[k].bytes() + there, bytes);
      });
      operands.push_back({side[k]->data(), 1});
    }
    run_lanes(step, operands, carry->data(), outer * inner);
    each_row(size_of(type.dtype), [&](std::size_t there, std::size_t here, std::size_t bytes) {
      std::memcpy(buffer->data() + there, carry->data() + here, bytes);
    });
  }
  return Tensor(type, std::move(buffer));
}

Type infer_cumsum(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  if (in.size() == 2 && (in[1].dtype != Dtype::boolean || !agree(in[0].shape, in[1].shape)))
    throw Error(fmt::format("cumsum: keep is {} for {}", to_string(in[1]), to_string(in[0])), where,
                "a boolean for each element");
  return infer_number(op, in.first(1), attrs, where);
}

// --- derivatives ----------------------------------------------------------------------------------------------------------

struct Direction {
  int axis;
  bool reverse;
  Where where;
  explicit Direction(const Record& r)
      : axis(r.attrs.integer("axis")), reverse(r.attrs.flag("reverse")), where(r.where) {}

  // What stands one step earlier (later); `outside` before the first (after the last).
  Tensor earlier(const Tensor& x, double outside) const { return shifted(x, outside, !reverse); }
  Tensor later(const Tensor& x, double outside) const { return shifted(x, outside, reverse); }
  Tensor shifted(const Tensor& x, double outside, bool forward) const {
    const Tensor longer = pad(x, axis, forward ? 1 : 0, forward ? 0 : 1, outside, 0, where);
    return slice_at(longer, axis, forward ? 0 : 1, x.size(axis), where);
  }
  // r[i] = b[i] + a[i + 1]·r[i + 1]: how cotangents flow back through y[i] = a[i]·y[i − 1] + b[i].
  Tensor back(const Tensor& a, const Tensor& b) const {
    return linear_recurrence(later(a, 0), b, axis, !reverse, where);
  }
  Tensor forth(const Tensor& a, const Tensor& b) const { return linear_recurrence(a, b, axis, reverse, where); }
  Operand at(const Tensor& x) const { return Operand(x, where); }
};

Tensor again(const Record& r, const Tensors& in) { return record(*r.op, in, r.attrs, r.where); }

// x̄[i] = ȳ[i] + x̄[i + 1], unless the sum began anew at i + 1
Pullback vjp_cumsum(const Record& r, const Tensors& in, const Demand&) {
  return {again(r, in), [d = Direction(r), in](const Tensors& cts) {
            if (in.size() == 1) return Tensors{cumsum(cts[0], d.axis, !d.reverse, d.where)};
            return Tensors{cumsum(cts[0], d.later(in[1], 0), d.axis, !d.reverse, d.where), Tensor()};
          }};
}
Pushforward jvp_cumsum(const Record& r, const Tensors& in, const Tensors& dots) {
  return {again(r, in), {again(r, in.size() == 1 ? Tensors{dots[0]} : Tensors{dots[0], in[1]})}};
}

// x̄[i] = y[i − 1]·r[i]
Pullback vjp_cumprod(const Record& r, const Tensors& in, const Demand&) {
  const Tensor y = again(r, in);
  return {y, [d = Direction(r), x = in[0], y](const Tensors& cts) {
            return Tensors{d.at(d.earlier(y, 1)) * d.back(x, cts[0])};
          }};
}
// ẏ[i] = x[i]·ẏ[i − 1] + y[i − 1]·ẋ[i]
Pushforward jvp_cumprod(const Record& r, const Tensors& in, const Tensors& dots) {
  const Direction d(r);
  const Tensor y = again(r, in);
  return {y, {d.forth(in[0], d.at(d.earlier(y, 1)) * dots[0])}};
}

// Where the maximum is another element than before: there it receives all that flows up to the next one. Of equal ones the
// later takes over; nothing but a NaN does from a NaN.
Tensor is_new_maximum(const Direction& d, const Tensor& x, const Tensor& y) {
  return logical_or(d.at(d.at(x) >= d.earlier(y, kLowest)), d.at(d.at(x) != x));
}
Pullback vjp_cummax(const Record& r, const Tensors& in, const Demand&) {
  const Tensor y = again(r, in);
  return {y, [d = Direction(r), x = in[0], y](const Tensors& cts) {
            const Tensor is_new = is_new_maximum(d, x, y);
            const Tensor kept = d.later(logical_not(d.at(is_new)), 0);
            return Tensors{where(d.at(is_new), cumsum(cts[0], kept, d.axis, !d.reverse, d.where), 0)};
          }};
}
Pushforward jvp_cummax(const Record& r, const Tensors& in, const Tensors& dots) {
  const Direction d(r);
  const Tensor y = again(r, in), is_new = is_new_maximum(d, in[0], y);
  return {y, {cumsum(where(d.at(is_new), dots[0], 0), logical_not(d.at(is_new)), d.axis, d.reverse, d.where)}};
}

// ẏ[i] = σ(y[i − 1] − x[i])·ẏ[i − 1] + σ(x[i] − y[i − 1])·ẋ[i]
struct LogWeights {
  Tensor before, here;
  LogWeights(const Direction& d, const Tensor& x, const Tensor& y) {
    const Tensor last = d.earlier(y, kLowest);
    // Of two of one infinity; the derivative of an ordinary tie is that of the difference.
    const Tensor same = logical_and(d.at(d.at(last) == x), d.at(is_inf(d.at(x))));
    const Tensor ordinary = where(d.at(same), 0, d.at(last) - x);
    // The first has nobody to share with.
    const Tensor is_first = d.earlier(zeros_like(x), 1);
    const Tensor difference = where(d.at(is_first) > 0, kLowest, ordinary);
    before = sigmoid(d.at(difference));
    here = sigmoid(neg(d.at(difference)));
  }
};
Pullback vjp_logcumsumexp(const Record& r, const Tensors& in, const Demand&) {
  const Tensor y = again(r, in);
  return {y, [d = Direction(r), x = in[0], y](const Tensors& cts) {
            const LogWeights weights(d, x, y);
            return Tensors{d.at(weights.here) * d.back(weights.before, cts[0])};
          }};
}
Pushforward jvp_logcumsumexp(const Record& r, const Tensors& in, const Tensors& dots) {
  const Direction d(r);
  const Tensor y = again(r, in);
  const LogWeights weights(d, in[0], y);
  return {y, {d.forth(weights.before, d.at(weights.here) * dots[0])}};
}

// b̄ = r, ā[i] = y[i − 1]·r[i]
Pullback vjp_linear_recurrence(const Record& r, const Tensors& in, const Demand& demand) {
  const Tensor y = again(r, in);
  return {y, [d = Direction(r), a = in[0], y, demand](const Tensors& cts) {
            const Tensor back = d.back(a, cts[0]);
            return Tensors{demand.wanted[0] ? d.at(d.earlier(y, 0)) * back : Tensor(), back};
          }};
}
// ẏ[i] = a[i]·ẏ[i − 1] + (ȧ[i]·y[i − 1] + ḃ[i])
Pushforward jvp_linear_recurrence(const Record& r, const Tensors& in, const Tensors& dots) {
  const Direction d(r);
  const Tensor y = again(r, in);
  Tensor change = dots[1];
  if (!dots[0].is_empty()) {
    const Tensor of_a = d.at(dots[0]) * d.earlier(y, 0);
    change = change.is_empty() ? of_a : Tensor(d.at(of_a) + change);
  }
  return {y, {d.forth(in[0], change)}};
}

Tensor prefix(const Op& op, const Tensors& in, int axis, bool reverse, const Where& where) {
  for (const Tensor& x : in) check_value(op.name, x, where);
  axis = normal_axis(op.name, axis, in[0].rank(), where);
  return record(op, in, {{"axis", std::int64_t(axis)}, {"reverse", std::int64_t(reverse)}}, where);
}

}  // namespace

constinit const Op cumsum_op = {
    .name = "cumsum",
    .kind = Kind::prefix,
    .fold = LaneOp::add,
    .infer = infer_cumsum,
    .run = run_prefix,
    .lanes = [](Lanes x) { return x.size() == 3 ? lane::select(x[2], x[0] + x[1], x[1]) : x[0] + x[1]; },
    .vjp = vjp_cumsum,
    .jvp = jvp_cumsum,
    .batch = batch_along_axis};
constinit const Op cumprod_op = {.name = "cumprod",
                                 .kind = Kind::prefix,
                                 .fold = LaneOp::mul,
                                 .infer = infer_number,
                                 .run = run_prefix,
                                 .lanes = [](Lanes x) { return x[0] * x[1]; },
                                 .vjp = vjp_cumprod,
                                 .jvp = jvp_cumprod,
                                 .batch = batch_along_axis};
constinit const Op cummax_op = {.name = "cummax",
                                .kind = Kind::prefix,
                                .fold = LaneOp::max,
                                .infer = infer_number,
                                .run = run_prefix,
                                .lanes = [](Lanes x) { return lane::max(x[0], x[1]); },
                                .vjp = vjp_cummax,
                                .jvp = jvp_cummax,
                                .batch = batch_along_axis};
constinit const Op logcumsumexp_op = {.name = "logcumsumexp",
                                      .kind = Kind::prefix,
                                      .fold = LaneOp::max,
                                      .infer = infer_float,
                                      .run = run_prefix,
                                      .lanes = [](Lanes x) { return lane::logaddexp(x[0], x[1]); },
                                      .vjp = vjp_logcumsumexp,
                                      .jvp = jvp_logcumsumexp,
                                      .batch = batch_along_axis};
constinit const Op linear_recurrence_op = {.name = "linear_recurrence",
                                           .kind = Kind::prefix,
                                           .fold = LaneOp::add,
                                           .infer = infer_float,
                                           .run = run_prefix,
                                           .lanes = [](Lanes x) { return x[1] * x[0] + x[2]; },
                                           .vjp = vjp_linear_recurrence,
                                           .jvp = jvp_linear_recurrence,
                                           .batch = batch_along_axis};

Tensor cumsum(const Tensor& x, int axis, bool reverse, Where where) {
  return prefix(cumsum_op, {x}, axis, reverse, where);
}
Tensor cumsum(const Tensor& x, const Tensor& keep, int axis, bool reverse, Where where) {
  return prefix(cumsum_op, {x, keep}, axis, reverse, where);
}
Tensor cumprod(const Tensor& x, int axis, bool reverse, Where where) {
  return prefix(cumprod_op, {x}, axis, reverse, where);
}
Tensor cummax(const Tensor& x, int axis, bool reverse, Where where) {
  return prefix(cummax_op, {x}, axis, reverse, where);
}
Tensor cummin(const Tensor& x, int axis, bool reverse, Where where) {
  return neg(Operand(cummax(neg(Operand(x, where)), axis, reverse, where), where));
}
Tensor logcumsumexp(const Tensor& x, int axis, bool reverse, Where where) {
  return prefix(logcumsumexp_op, {x}, axis, reverse, where);
}
Tensor linear_recurrence(const Tensor& a, const Tensor& b, int axis, bool reverse, Where where) {
  return prefix(linear_recurrence_op, {a, b}, axis, reverse, where);
}

}  // namespace tapeloop
