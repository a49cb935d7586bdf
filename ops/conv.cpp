#include "ops/conv.h"

#include <fmt/format.h>

#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

// What each tap of the kernel sees of x, over all times of the result.
Tensors taps(std::string_view op, const Tensor& x, const Tensor& w, int w_rank, const ConvOptions& options,
             const Where& where) {
  check_value(op, x, where);
  check_value(op, w, where);
  if (x.rank() < 2 || w.rank() != w_rank || w.size(0).value() == 0 || !agree(x.size(-1), w.size(1)))
    throw Error(fmt::format("{}: {} with the kernel {}", op, to_string(x.type()), to_string(w.type())), where,
                fmt::format("x is [time, …, channels], the kernel [size, channels{}]", w_rank == 3 ? ", outputs" : ""));
  if (options.dilation < 1) throw Error(fmt::format("{}: dilation {} is not positive", op, options.dilation), where);
  const std::int64_t kernel = w.size(0).pin(), span = (kernel - 1) * options.dilation;
  const bool pads = options.padding != Padding::valid;
  if (!pads && x.size(0).value() < span)
    throw Error(fmt::format("{}: {} steps, the kernel spans {}", op, x.size(0).value(), span + 1), where,
                "pad x, or use Padding::same");
  const std::int64_t before = options.padding == Padding::causal ? span : pads ? span / 2 : 0;
  const Tensor all = pads && span > 0 ? pad(x, 0, before, span - before, 0, 0, where) : x;
  const Extent steps = pads ? x.size(0) : x.size(0) - Extent(span);
  Tensors result;
  for (std::int64_t k = 0; k < kernel; ++k) result.push_back(slice_at(all, 0, k * options.dilation, steps, where));
  return result;
}

}  // namespace

Tensor conv1d(const Tensor& x, const Tensor& w, const ConvOptions& options, Where where) {
  const Tensors seen = taps("conv1d", x, w, 3, options, where);
  const Extent inner = w.size(0) * w.size(1);
  return matmul(concat(seen, -1, where), reshape(w, {inner, w.size(2)}, where), {}, where);
}

Tensor depthwise_conv1d(const Tensor& x, const Tensor& w, const ConvOptions& options, Where where) {
  const Tensors seen = taps("depthwise_conv1d", x, w, 2, options, where);
  Tensor total;
  for (std::size_t k = 0; k < seen.size(); ++k) {
    const Tensor term = Operand(seen[k], where) * at(w, 0, std::int64_t(k), where);
    total = total.is_empty() ? term : Tensor(Operand(total, where) + term);
  }
  return total;
}

}  // namespace tapeloop
