// What is compiled by kind, at sizes for which threads divide the work: the same bits on any number of threads and any
// instruction set.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "ad/options.h"
#include "cases.h"
#include "jit/jit.h"
#include "ops/elementwise.h"
#include "ops/prefix.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/scatter.h"
#include "ops/sort.h"

namespace tapeloop {
namespace {

struct Program {
  const char* name;
  Tensor (*f)(const Tensor& x);
};

const Program kPrograms[] = {
    {"cumsum along rows", [](const Tensor& x) { return cumsum(x * x, -1); }},
    {"cumsum along columns", [](const Tensor& x) { return cumsum(x, 0, true); }},
    {"linear_recurrence", [](const Tensor& x) { return linear_recurrence(sigmoid(x), x, 0); }},
    {"logcumsumexp", [](const Tensor& x) { return logcumsumexp(x, -1); }},
    {"cummax", [](const Tensor& x) { return cummax(x, 0); }},
    {"prod", [](const Tensor& x) { return prod(1 + 0.01 * x, -1); }},
    {"sort rows", [](const Tensor& x) { return sort(x, -1); }},
    {"sort columns, descending", [](const Tensor& x) { return sort(x, 0, true); }},
    {"argsort with ties and NaN",
     [](const Tensor& x) { return cast(argsort(where(x > 1.5, log(-x), round(x * 2))), x.dtype()); }},
    {"scatter", [](const Tensor& x) { return scatter(x, cast(round(sum(x, -1)), Dtype::i32), x * 2); }},
};

TEST_CASE("kinds: threads and instruction sets change no bit of cumulative ops, sorting and scattering") {
  for (const Program& program : kPrograms)
    for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
      CAPTURE(program.name);
      const Tensor x = normal(key(1), {301, 257}, dtype).materialized();
      auto f = [&](const Tensor& t) {
        auto [y, pull] = vjp(program.f)(t);
        return std::pair{y, std::get<0>(pull(y))};
      };
      const auto [want, want_gradient] = f(x);
      for (int threads : {1, 2, 3})
        for (const char* isa : {"avx512", "sse2"}) {
          if (threads != 2 && std::string(isa) == "sse2") continue;
          CAPTURE(threads);
          CAPTURE(isa);
          Options chosen = options();
          chosen.threads = threads;
          chosen.isa = isa;
          const ScopedOptions scope(chosen);
          auto compiled = jit(f);
          const auto [y, gradient] = compiled(x);
          CHECK(same_bits(y, want));
          CHECK(same_bits(gradient, want_gradient));
          ++testing::cases;
        }
    }
}

}  // namespace
}  // namespace tapeloop
