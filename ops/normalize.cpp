#include "ops/normalize.h"

#include <fmt/format.h>

#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

// f(x) where x > 0; elsewhere 0·x, which is 0 with derivatives 0 of every order, and NaN for NaN.
template <class F>
Tensor where_positive(const Tensor& x, const Where& where, const F& f) {
  const Tensor positive = Operand(x, where) > 0;
  const Tensor safe = tapeloop::where(Operand(positive, where), x, 1);
  return tapeloop::where(Operand(positive, where), f(Operand(safe, where)), 0 * Operand(x, where));
}

// How many elements are reduced into one.
Extent reduced_count(std::string_view op, const Tensor& x, const Axes& axes, const Where& where) {
  if (axes.all) return extent_product(x.shape());
  Extent n = 1;
  for (int axis : axes.list) n = n * x.size(normal_axis(op, axis, x.rank(), where));
  return n;
}

Tensor affine(Tensor x, const Tensor& scale, const Tensor& bias, const Where& where) {
  if (!scale.is_empty()) x = Operand(x, where) * scale;
  if (!bias.is_empty()) x = Operand(x, where) + bias;
  return x;
}

Tensor standardized(const Tensor& x, double epsilon, const Where& where) {
  const Tensor centred = Operand(x, where) - mean(x, -1, true, where);
  const Tensor variance = mean(square(Operand(centred, where)), -1, true, where);
  return Operand(centred, where) * rsqrt(Operand(Operand(variance, where) + epsilon, where));
}

}  // namespace

Tensor var(const Tensor& x, const Axes& axes, int correction, bool keep, Where where) {
  needs_float("var", x, where);
  const Tensor centred = Operand(x, where) - mean(x, axes, true, where);
  const Tensor count = extent(reduced_count("var", x, axes, where), x.dtype(), where);
  const Tensor left = Operand(count, where) - correction;
  // Of too few elements there is no variance: 0/0.
  const Tensor freedom = correction > 0 ? maximum(Operand(left, where), 0) : left;
  return Operand(sum(square(Operand(centred, where)), axes, keep, where), where) / freedom;
}

Tensor stddev(const Tensor& x, const Axes& axes, int correction, bool keep, Where where) {
  return where_positive(var(x, axes, correction, keep, where), where, [](const Operand& v) { return sqrt(v); });
}

Tensor norm(const Tensor& x, double p, const Axes& axes, bool keep, Where where) {
  needs_float("norm", x, where);
  const Tensor magnitude = abs(Operand(x, where));
  if (std::isnan(p)) throw Error("norm: p is NaN", where);
  if (std::isinf(p)) return p > 0 ? max(magnitude, axes, keep, where) : min(magnitude, axes, keep, where);
  if (p == 0) return sum(cast(Operand(x, where) != 0, x.dtype(), where), axes, keep, where);
  if (p == 1) return sum(magnitude, axes, keep, where);
  if (p == 2)
    return where_positive(sum(square(Operand(x, where)), axes, keep, where), where,
                          [](const Operand& s) { return sqrt(s); });
  // A negative power of 0 makes the norm a constant 0.
  const Tensor other_than_zero = tapeloop::where(Operand(x, where) == 0, 0, magnitude);
  const Tensor powers = p > 0 ? where_positive(magnitude, where, [&](const Operand& a) { return pow(a, p); })
                              : pow(Operand(other_than_zero, where), p);
  return where_positive(sum(powers, axes, keep, where), where, [&](const Operand& s) { return pow(s, 1 / p); });
}

Tensor layer_norm(const Tensor& x, const Tensor& scale, const Tensor& bias, double epsilon, Where where) {
  needs_float("layer_norm", x, where);
  return affine(standardized(x, epsilon, where), scale, bias, where);
}

Tensor rms_norm(const Tensor& x, const Tensor& scale, double epsilon, Where where) {
  needs_float("rms_norm", x, where);
  const Tensor power = mean(square(Operand(x, where)), -1, true, where);
  return affine(Operand(x, where) * rsqrt(Operand(Operand(power, where) + epsilon, where)), scale, {}, where);
}

Tensor group_norm(const Tensor& x, int groups, const Tensor& scale, const Tensor& bias, double epsilon, Where where) {
  needs_float("group_norm", x, where);
  if (x.rank() == 0 || groups < 1 || x.size(-1).value() % groups != 0)
    throw Error(fmt::format("group_norm: {} groups for {}", groups, to_string(x.shape())), where,
                "the last axis divides into equal groups");
  Shape shape(x.shape().begin(), x.shape().end() - 1);
  shape.push_back(groups);
  shape.push_back(x.size(-1).pin() / groups);
  return affine(reshape(standardized(reshape(x, shape, where), epsilon, where), x.shape(), where), scale, bias, where);
}

}  // namespace tapeloop
