// The example of ops/README.md: what it shows must compile, and behave as the op that is there already.
#include <doctest/doctest.h>

#include <cmath>

#include "ad/grad.h"
#include "jit/jit.h"
#include "op_cases.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace tapeloop {
namespace {

// d x/(1 + |x|) = dx / (1 + |x|)²
inline constexpr Op my_softsign_op = elementwise({
    .name = "my_softsign",
    .lanes = [](Lanes x) { return x[0] / (lane::abs(x[0]) + 1); },
    .flow = [](const Tensors& x, const Tensor&, const Tensor& v) { return Tensors{v / square(1 + abs(x[0]))}; },
    .cheap = true,
    .infer = infer_float,
});
// x / (1 + |x|)
inline Tensor my_softsign(const Operand& x) { return record(my_softsign_op, {x}); }

using T = const Tensors&;
using V = const std::vector<double>&;
using testing::kUnary;

const testing::OpCase kLine[] = {
    // clang-format off
{"my_softsign", kUnary, -2, 2, [](T x) { return my_softsign(x[0]); }, true, [](V x) { return x[0] / (1 + std::abs(x[0])); }},
    // clang-format on
};

}  // namespace

TEST_CASE("add an op: the example of ops/README.md works") {
  const Tensor x = Tensor::of(std::vector<double>{-3, -0.5, 0, 0.25, 8}, {5});
  CHECK(same_bits(kLine[0].f({x}), softsign(x)));
  auto gradient = grad([](const Tensor& t) { return sum(cube(kLine[0].f({t}))); });
  CHECK(same_bits(gradient(x), grad([](const Tensor& t) { return sum(cube(softsign(t))); })(x)));
  CHECK(same_bits(jit(gradient)(x), gradient(x)));
  CHECK(kLine[0].reference({-3}) == kLine[0].f({x}).data<double>()[0]);
}

}  // namespace tapeloop
