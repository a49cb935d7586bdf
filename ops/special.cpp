#include "ops/special.h"

#include <fmt/format.h>

#include "ad/tape.h"

namespace tapeloop {
namespace {

constexpr int kHighest = 12;

Tensor next_order(const Record& r, const Tensors& in) {
  return polygamma(r.attrs.integer("order") + 1, Operand(in[0], r.where));
}

// d ψ⁽ⁿ⁾(x) = ψ⁽ⁿ⁺¹⁾(x) dx
Pullback vjp_polygamma(const Record& r, const Tensors& in, const Demand&) {
  return {record(*r.op, in, r.attrs, r.where),
          [r, in](const Tensors& cts) { return Tensors{Operand(cts[0], r.where) * next_order(r, in)}; }};
}

Pushforward jvp_polygamma(const Record& r, const Tensors& in, const Tensors& dots) {
  return {record(*r.op, in, r.attrs, r.where), {Operand(dots[0], r.where) * next_order(r, in)}};
}

}  // namespace

constinit const Op polygamma_op = [] {
  Op op = elementwise({
      .name = "polygamma",
      .lanes = [](Lanes x) { return lane::polygamma(x.attrs->integer("order"), x[0]); },
      .infer = infer_float,
  });
  op.vjp = vjp_polygamma;
  op.jvp = jvp_polygamma;
  return op;
}();

Tensor polygamma(int n, const Operand& x) {
  if (n < 0 || n > kHighest)
    throw Error(fmt::format("polygamma: order {} is not in 0 … {}", n, kHighest), x.where,
                "log Γ can be differentiated 13 times");
  return record(polygamma_op, {x}, {{"order", std::int64_t(n)}});
}

}  // namespace tapeloop
