// Programs nobody thought of: seeded random compositions of ops and loops, for which the compiled program must be the
// interpreter's, bit for bit, with its gradient. A failure prints the smallest program of its seed that still fails.
#include <doctest/doctest.h>

#include <random>

#include "ad/grad.h"
#include "cases.h"
#include "jit/jit.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"

using namespace tapeloop;

namespace {

// Grows a program of `steps` ops over values of shape [rows, columns] or what ops make of them.
class RandomProgram {
 public:
  RandomProgram(unsigned seed, int steps) : random_(seed), steps_(steps) {}

  Tensor operator()(const Tensors& inputs) {
    Tensors values = inputs;
    for (int i = 0; i < steps_; ++i) values.push_back(next(values));
    Tensor total = sum(tanh(values.back()));
    for (std::size_t i = inputs.size(); i + 1 < values.size(); i += 3) total = total + sum(tanh(values[i]));
    return total;
  }

 private:
  unsigned draw(unsigned n) { return unsigned(random_() % n); }
  const Tensor& any(const Tensors& values) { return values[draw(unsigned(values.size()))]; }

  Tensor next(const Tensors& values) {
    const Tensor& x = any(values);
    const int last = x.rank() - 1;
    switch (draw(20)) {
      case 0: return tanh(x);
      case 1: return sigmoid(x) * x;
      case 2: return exp(-square(x));
      case 3: return relu(x) - 0.25;
      case 4: return with_partner(values, x, [](const Tensor& a, const Tensor& b) { return a + b; });
      case 5: return with_partner(values, x, [](const Tensor& a, const Tensor& b) { return a * b; });
      case 6: return with_partner(values, x, [](const Tensor& a, const Tensor& b) { return maximum(a, b); });
      case 7: return with_partner(values, x, [](const Tensor& a, const Tensor& b) { return where(a < b, a, b * 0.5); });
      case 8: return sum(x, last, true) * 0.125 + x;
      case 9: return mean(x, 0, true) - x;
      case 10: return max(x, last, true) - x;
      case 11: return x.rank() == 2 ? transpose(x) : flip(x, 0);
      case 12: return flip(x, last);
      case 13: return concat({x, tanh(x)}, int(draw(unsigned(x.rank()))));
      case 14: return pad(x, last, 1, 2);
      case 15: return x.size(last).value() > 2 ? slice(x, last, 1, -1) : x * 2;
      case 16: return x.rank() == 2 ? matmul(x, tanh(x), {.transpose_b = true}) * 0.25 : softmax(x);
      case 17: return log_softmax(x, last);
      case 18:
        if (x.size(last).value() % 2 == 0 && x.size(last).value() > 0) {
          const auto [a, b] = chunk<2>(x);
          return sigmoid(a) * tanh(b);
        }
        return abs(x);
      default: {
        if (x.rank() != 2) return sin(x);
        // A loop over the rows whose state is a row.
        const auto [state, ys] = scan(
            [&](const Tensor& h, const Tensor& row) {
              const Tensor n = tanh(h * 0.5 + row);
              return std::pair{n, n * row};
            },
            zeros({x.size(1)}, x.dtype()), x, {.reverse = draw(2) == 0});
        return ys + state;
      }
    }
  }

  template <class F>
  Tensor with_partner(const Tensors& values, const Tensor& x, const F& f) {
    for (int tries = 0; tries < 4; ++tries) {
      const Tensor& y = any(values);
      if (broadcast_shape(x.shape(), y.shape())) return f(x, y);
    }
    return f(x, x * 0.75);
  }

  std::mt19937 random_;
  int steps_;
};

bool agrees(unsigned seed, int steps, bool print) {
  std::mt19937 random(seed * 7919 + 1);
  const std::int64_t sizes[] = {1, 2, 3, 5, 16, 17, 33};
  const Shape shape{sizes[random() % 7], sizes[random() % 7]};
  const Dtype dtype = seed % 2 ? Dtype::f32 : Dtype::f64;
  const Tensors inputs{normal(key(seed), shape, dtype).materialized(), normal(key(seed + 1), {shape[1]}, dtype).materialized()};
  auto f = [&](const Tensors& x) {
    return value_and_grad([&](const Tensors& v) { return RandomProgram(seed, steps)(v); })(x);
  };
  auto compiled = jit(f);
  const Tensors got = leaves_of(compiled(inputs)), want = leaves_of(f(inputs));
  bool same = true;
  for (std::size_t i = 0; i < got.size(); ++i) same = same && same_bits(got[i], want[i]);
  if (print) MESSAGE(to_string(*trace(f, Recorder::Captures::recorded, inputs).tape));
  return same;
}

}  // namespace

TEST_CASE("random programs and their gradients compile to the interpreter's bits") {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    const int steps = 3 + int(seed % 12);
    ++tapeloop::testing::cases;
    const bool same = agrees(seed, steps, false);
    CHECK(same);
    if (same) continue;
    int smallest = steps;
    for (int fewer = 1; fewer < steps; ++fewer)
      if (!agrees(seed, fewer, false)) {
        smallest = fewer;
        break;
      }
    (void)agrees(seed, smallest, true);
    FAIL_CHECK("seed ", seed, " differs with ", smallest, " ops");
  }
}
