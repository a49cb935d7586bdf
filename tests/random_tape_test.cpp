// Programs nobody thought of: seeded random compositions of ops, loops in loops and branches, for which must hold
//
//   - compiled, a program (of every fifth, its gradient) is the interpreter's, bit for bit, in f32 or in f64;
//   - the gradient of a loop is that of its steps written out;
//   - forward and reverse mode agree, and both with differences where the program is smooth.
//
// TAPELOOP_RANDOM_PROGRAMS=N tries N of them instead of five hundred.
#include <cmath>

#include "ad/grad.h"
#include "jit/jit.h"
#include "ops/elementwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "same.h"
#include "soak.h"

using namespace tapeloop;
using tapeloop::testing::RandomProgram;
using tapeloop::testing::same;

namespace {

constexpr Dtype f64 = Dtype::f64;

Tensors inputs_of(const RandomProgram& p, Dtype dtype) {
  const auto seed = std::uint64_t(p.seed);
  const Tensor integers = cast(floor(uniform(key(seed + 2), {p.shape[0]}, -4, 9)), Dtype::i32);
  return {normal(key(seed), p.shape, dtype).materialized(),
          normal(key(seed + 1), {p.shape.back()}, dtype).materialized(), integers.materialized()};
}

TapePtr tape_of(const RandomProgram& p, const Tensors& x) {
  return trace([&](const Tensor& a, const Tensor& b, const Tensor& n) { return p(a, b, n); },
               Recorder::Captures::recorded, x[0], x[1], x[2])
      .tape;
}

TapePtr gradient_of(const TapePtr& tape) { return vjp(tape, {{true, true, false}, {true}, {}}); }

double difference(double a, double b) { return std::abs(a - b) / std::max({1.0, std::abs(a), std::abs(b)}); }

bool near(const Tensors& a, const Tensors& b, double tolerance) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = a[i].to_vector<double>(), y = b[i].to_vector<double>();
    double largest = 1;
    for (double v : y) largest = std::max(largest, std::abs(v));
    for (std::size_t k = 0; k < x.size(); ++k)
      if (!(std::abs(x[k] - y[k]) <= tolerance * largest)) return false;
  }
  return true;
}

double dot(const Tensor& a, const Tensor& b) { return sum(a * b).item<double>(); }

// The law that a program breaks; empty when there is none.
std::string broken_law(const RandomProgram& p) {
  {
    // Nearly all of the time goes to LLVM, and most of that to gradients: every fifth is compiled.
    Options chosen = tapeloop::testing::quickly(options(), p.seed % 3 != 0);
    // On one, two or three threads.
    chosen.threads = 1 + int(p.seed % 3);
    chosen.all_threads = true;
    const ScopedOptions scope(chosen);
    const Tensors x = inputs_of(p, p.seed % 4 < 2 ? Dtype::f32 : f64);
    const TapePtr tape = tape_of(p, x), compiled = p.seed % 5 == 0 ? gradient_of(tape) : tape;
    Tensors arguments = x;
    if (compiled != tape) arguments.push_back(full({}, 1, x[0].dtype()).materialized());
    if (!same((*Program::compile(compiled))(arguments), run(*compiled, arguments)))
      return "compiled, it gives other bits";
  }
  const Tensors x = inputs_of(p, f64);
  const TapePtr tape = tape_of(p, x), gradient = gradient_of(tape);
  Tensors with_ct = x;
  with_ct.push_back(full({}, 1, f64).materialized());
  const Tensors reverse = run(*gradient, with_ct);
  if (!std::isfinite(reverse[0].item<double>())) return "its value is not finite";
  if (!near(run(*gradient_of(expand(tape)), with_ct), reverse, 1e-11))
    return "its loops, written out, have another gradient";

  const Tensor v = normal(key(p.seed + 3), x[0].shape(), f64).materialized(),
               w = normal(key(p.seed + 4), x[1].shape(), f64).materialized();
  Tensors with_dots = x;
  with_dots.insert(with_dots.end(), {v, w});
  const double slope = dot(reverse[1], v) + dot(reverse[2], w),
               scale = sum(abs(reverse[1] * v)).item<double>() + sum(abs(reverse[2] * w)).item<double>();
  const double forward = run(*jvp(tape, {true, true, false}), with_dots)[1].item<double>();
  if (!(std::abs(forward - slope) <= 1e-10 * std::max(1.0, scale))) return "forward and reverse mode differ";
  if (!p.smooth) return "";
  // Five points, at two steps: the better of the two.
  auto quotient = [&](double h) {
    auto at = [&](double s) {
      return run(*tape, {(x[0] + v * s).materialized(), (x[1] + w * s).materialized(), x[2]})[0].item<double>();
    };
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  };
  const double error = std::min(difference(quotient(1e-3), slope), difference(quotient(2e-4), slope));
  return error <= 1e-6 * std::max(1.0, scale / std::max(1.0, std::abs(slope))) ? ""
                                                                               : "differences give another derivative";
}

std::string described(const RandomProgram& p) { return to_string(*tape_of(p, inputs_of(p, f64))); }

void check_half(unsigned half) {
  tapeloop::testing::soak<RandomProgram>(half, "TAPELOOP_RANDOM_PROGRAMS", tapeloop::testing::kInstrumented ? 60 : 500,
                                         broken_law, described);
}

}  // namespace

TEST_CASE("random programs: compiled, written out, forward, reverse and by differences they are the same" *
          doctest::test_suite("long")) {
  check_half(0);
}

TEST_CASE("random programs, the other half: likewise" * doctest::test_suite("long")) { check_half(1); }

TEST_CASE("random programs: a failure is found again in fewer steps") {
  // Of what a shrunk program must keep, here that it has a loop.
  const RandomProgram p(32);
  const std::size_t all = tapeloop::testing::count_steps(p.steps);
  CHECK(all >= 5);
  for (std::size_t i = 0; i < all; ++i) {
    RandomProgram fewer = p;
    erase_step(fewer.steps, i);
    CHECK(tapeloop::testing::count_steps(fewer.steps) < all);
  }
}
