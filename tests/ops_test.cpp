// What must hold of every op: its value, the compiler's bits, and its derivatives by three ways that do not know of one
// another (forward mode, reverse mode, finite differences).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>

#include "ad/check.h"
#include "cases.h"
#include "jit/jit.h"
#include "op_cases.h"
#include "ops/batch.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

using namespace tapeloop;
using tapeloop::testing::op_cases;
using tapeloop::testing::OpCase;
using tapeloop::testing::Shapes;

namespace {

Tensors random_operands(const Shapes& shapes, double low, double high, Dtype dtype, unsigned seed) {
  std::mt19937_64 random(seed);
  Tensors operands;
  // Kinks of floor, relu … are at whole numbers, those of sort, max … where two elements (or their squares) meet. Only
  // products have more elements than fit between one another.
  std::vector<double> taken;
  const auto is_at_a_kink = [&](double v) {
    if (std::abs(v - std::round(v)) < 0.02) return true;
    return taken.size() < 500 &&
           std::any_of(
               taken.begin(), taken.end(), [&](double t) { return std::abs(std::abs(v) - std::abs(t)) < 5e-4; });
  };
  for (const auto& sizes : shapes) {
    Shape shape(sizes.begin(), sizes.end());
    std::vector<double> values(std::size_t(count_of(shape)));
    for (double& v : values) {
      do v = low + (high - low) * double(random() >> 11) * 0x1p-53;
      while (is_at_a_kink(v));
      taken.push_back(v);
    }
    if (dtype == Dtype::f64)
      operands.push_back(Tensor::of(values, shape));
    else
      operands.push_back(Tensor::of(std::vector<float>(values.begin(), values.end()), shape));
  }
  return operands;
}

double dot(const Tensors& a, const Tensors& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto x = a[i].data<double>(), y = b[i].data<double>();
    for (std::size_t k = 0; k < x.size(); ++k) total += x[k] * y[k];
  }
  return total;
}

Tensors along(const Tensors& x, const Tensors& v, double h) {
  Tensors result;
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::vector<double> values = x[i].to_vector<double>();
    auto direction = v[i].data<double>();
    for (std::size_t k = 0; k < values.size(); ++k) values[k] += h * direction[k];
    result.push_back(Tensor::of(values, x[i].shape()));
  }
  return result;
}

bool close(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * (1 + std::abs(a) + std::abs(b));
}

// Every op gets at least so many samples: its shapes are gone through again with other values until they are enough.
// TAPELOOP_OP_SAMPLES=N asks for another number.
std::size_t samples_of_each() {
  const char* text = std::getenv("TAPELOOP_OP_SAMPLES");
  return text ? std::size_t(std::max(1L, std::atol(text))) : tapeloop::testing::kInstrumented ? 1 : 50;
}

std::size_t rounds_of(const OpCase& c) {
  static const std::map<std::string, std::size_t> samples = [] {
    std::map<std::string, std::size_t> counts;
    for (const OpCase& other : op_cases()) counts[other.op] += other.samples.size();
    return counts;
  }();
  const std::size_t own = samples.at(c.op);
  return (samples_of_each() + own - 1) / own;
}

template <class Check>
void for_each_sample(const Check& check) {
  int line = 0;
  for (const OpCase& c : op_cases()) {
    ++line;
    unsigned seed = 0;
    for (std::size_t round = 0; round < rounds_of(c); ++round)
      for (const Shapes& shapes : c.samples) {
        ++seed;
        CAPTURE(c.op);
        CAPTURE(line);
        CAPTURE(seed);
        check(c, shapes, seed);
        ++tapeloop::testing::cases;
      }
  }
}

// Numbers at which functions break, at all places of the operands in turn.
Tensors extreme_operands(std::size_t operands, Dtype dtype) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> numbers{0.0, -0.0, 1,    -1,    0.5,  -2.5, 1e-30, -1e-30,
                                    1e4, -1e4, 1e30, -1e30, 3e38, inf,  -inf,  std::nan("")};
  Tensors result;
  std::int64_t count = 1;
  for (std::size_t i = 0; i < operands; ++i) count *= std::int64_t(numbers.size());
  std::int64_t stride = 1;
  for (std::size_t i = 0; i < operands; ++i, stride *= std::int64_t(numbers.size())) {
    std::vector<double> values;
    for (std::int64_t k = 0; k < count; ++k) values.push_back(numbers[std::size_t(k / stride) % numbers.size()]);
    result.push_back(dtype == Dtype::f64 ? Tensor::of(values, {count})
                                         : Tensor::of(std::vector<float>(values.begin(), values.end()), {count}));
  }
  return result;
}

// The element of t that broadcasting to `sizes` brings to place i.
double element_at(const Tensor& t, const std::vector<std::int64_t>& sizes, std::size_t i) {
  std::size_t rest = i, place = 0, stride = 1;
  const auto own = values_of(t.shape());
  for (std::size_t a = 0; a < own.size(); ++a) {
    const std::size_t axis = own.size() - 1 - a, full = std::size_t(sizes[sizes.size() - 1 - a]);
    const std::size_t k = rest % full;
    rest /= full;
    if (own[axis] != 1) place += k * stride;
    stride *= std::size_t(own[axis]);
  }
  return t.data<double>()[place];
}

void check_reference(const OpCase& c, const Tensors& x) {
  const Tensor y = c.f(x);
  const auto values = y.data<double>();
  const auto sizes = values_of(y.shape());
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::vector<double> operands;
    for (const Tensor& t : x) operands.push_back(element_at(t, sizes, i));
    const double want = c.reference(operands);
    CAPTURE(operands[0]);
    CAPTURE(operands.back());
    if (std::isfinite(want))
      CHECK(std::abs(values[i] - want) <= 1e-14 * (1 + std::abs(want)));
    else
      CHECK(same_bits(Tensor::of(std::vector{values[i]}, {}), Tensor::of(std::vector{want}, {})));
  }
}

// The samples of one op, for a program that does them all: compiling is what takes the time. Samples of one kind, whose
// axes are 1, 0 or more at the same places, take turns in it, so that mostly the same code serves.
std::vector<std::vector<Tensors>> batches_of(const OpCase& c, std::size_t line, Dtype dtype) {
  std::map<std::string, std::vector<Tensors>> kinds;
  unsigned seed = 0;
  for (std::size_t round = 0; round < rounds_of(c); ++round)
    for (const Shapes& shapes : c.samples) {
      std::string kind;
      for (const auto& sizes : shapes) {
        for (std::int64_t size : sizes) kind += size > 1 ? 'n' : char('0' + size);
        kind += ' ';
      }
      const Tensors x = random_operands(shapes, c.low, c.high, dtype, ++seed);
      kinds[kind].push_back(x);
      if (x.size() > 1 &&
          std::all_of(shapes.begin(), shapes.end(), [&](const auto& sizes) { return sizes == shapes[0]; }))
        kinds[kind + "aliased"].push_back(Tensors(x.size(), x[0]));
    }
  // Of many kinds, every second for each dtype, and fewer where sanitizers watch: which ones, changes from op to op.
  if (kinds.size() > 3) {
    const std::size_t share = tapeloop::testing::kInstrumented ? std::min<std::size_t>(6, kinds.size() / 2) : 2;
    std::size_t i = line + (dtype == Dtype::f64);
    std::erase_if(kinds, [&](const auto&) { return i++ % share != 0; });
  }
  if (c.reference) kinds["extreme"] = {extreme_operands(c.samples[0].size(), dtype)};
  std::size_t longest = 0;
  for (const auto& [kind, samples] : kinds) longest = std::max(longest, samples.size());
  std::vector<std::vector<Tensors>> batches(longest);
  for (std::size_t i = 0; i < longest; ++i)
    for (const auto& [kind, samples] : kinds) batches[i].push_back(samples[i % samples.size()]);
  return batches;
}

}  // namespace

TEST_CASE("every elementwise op gives the value of its plain reference") {
  for_each_sample([](const OpCase& c, const Shapes& shapes, unsigned seed) {
    if (c.reference) check_reference(c, random_operands(shapes, c.low, c.high, Dtype::f64, seed));
  });
}

TEST_CASE("every elementwise op gives the value of its plain reference at zeros, infinities, NaN and far out") {
  for (const OpCase& c : op_cases()) {
    CAPTURE(c.op);
    if (!c.reference) continue;
    check_reference(c, extreme_operands(c.samples[0].size(), Dtype::f64));
    ++tapeloop::testing::cases;
  }
}

TEST_CASE_TEMPLATE("compiled values and gradients of every op are the interpreter's, bit for bit" *
                       doctest::test_suite("long"),
                   T, float, double) {
  const Dtype dtype = dtype_of<T>();
  std::size_t line = 0;
  for (const OpCase& c : op_cases()) {
    ++line;
    auto f = [&](const std::vector<Tensors>& samples) {
      std::vector<std::pair<Tensor, Tensors>> results;
      for (const Tensors& x : samples) {
        auto [y, pull] = vjp(c.f)(x);
        results.push_back({y, std::get<0>(pull(y))});
      }
      return results;
    };
    auto compiled = jit(f);
    for (const std::vector<Tensors>& samples : batches_of(c, line, dtype)) {
      const Tensors got = leaves_of(compiled(samples));
      ScopedOptions interpret([] {
        Options o = options();
        o.jit = false;
        return o;
      }());
      const Tensors want = leaves_of(compiled(samples));
      for (std::size_t i = 0; i < got.size(); ++i) {
        CAPTURE(c.op);
        CAPTURE(i);
        CHECK_MESSAGE(same_bits(got[i], want[i]), to_string(got[i]), " against ", to_string(want[i]));
      }
      tapeloop::testing::cases += long(samples.size());
    }
  }
}

TEST_CASE("forward mode agrees with finite differences along a random direction") {
  for_each_sample([](const OpCase& c, const Shapes& shapes, unsigned seed) {
    if (!c.smooth) return;
    const Tensors x = random_operands(shapes, c.low, c.high, Dtype::f64, seed);
    const Tensors v = random_operands(shapes, -1, 1, Dtype::f64, seed + 100);
    const auto [y, change] = jvp(c.f)(std::tuple{x}, std::tuple{v});
    const Tensors weights = random_operands({values_of(y.shape())}, -1, 1, Dtype::f64, seed + 200);
    auto along_v = [&](double h) { return dot({c.f(along(x, v, h))}, weights); };
    const double h = 1e-4;
    const double difference = (8 * (along_v(h) - along_v(-h)) - (along_v(2 * h) - along_v(-2 * h))) / (12 * h);
    CHECK(close(dot({change}, weights), difference, 1e-9));
  });
}

// One step is too long for a function that bends much, another loses too much of a number to rounding, and of a derivative that
// happens to be nearly zero no difference knows nine digits: so the best of a few steps counts, at one of a few places. No step
// and no place brings a wrong derivative so near to the differences.
TEST_CASE("gradients of smooth ops are within 1e-9 of the checker's differences, relatively") {
  for (const OpCase& c : op_cases()) {
    if (!c.smooth) continue;
    CAPTURE(c.op);
    unsigned seed = 300;
    int tried = 0;
    for (const Shapes& shapes : c.samples) {
      std::vector<double> errors(shapes.size(), 1);
      const auto is_near = [&] {
        return std::all_of(errors.begin(), errors.end(), [](double error) { return error <= 1e-9; });
      };
      std::int64_t elements = 0;
      for (int place = 0; place < 16 && !is_near(); ++place) {
        const Tensors x = random_operands(shapes, c.low, c.high, Dtype::f64, ++seed);
        elements = 0;
        for (const Tensor& t : x) elements += t.count();
        if (elements == 0 || elements > 400) break;
        const Tensor weights = random_operands({values_of(c.f(x).shape())}, 0.5, 1.5, Dtype::f64, seed + 200)[0];
        auto loss = [&](const Tensors& t) { return sum(c.f(t) * constant(weights)); };
        for (double step : {1e-2, 3e-3, 1e-3, 3e-4, 1e-4}) {
          const CheckReport report =
              gradient_report({.tolerance = 1e-9, .step = step, .elements = 12, .order = 1, .forward = false}, loss, x);
          for (std::size_t i = 0; i < x.size(); ++i)
            if (report.tensors[i].kinks == 0) errors[i] = std::min(errors[i], report.tensors[i].error);
          if (is_near()) break;
        }
      }
      if (elements == 0 || elements > 400) continue;
      CAPTURE(seed);
      for (double error : errors) CHECK(error <= 1e-9);
      ++tapeloop::testing::cases;
      if (++tried == 3) break;
    }
    CHECK(tried > 0);
  }
}

TEST_CASE("reverse mode is the transpose of forward mode") {
  for_each_sample([](const OpCase& c, const Shapes& shapes, unsigned seed) {
    const Tensors x = random_operands(shapes, c.low, c.high, Dtype::f64, seed);
    const Tensors v = random_operands(shapes, -1, 1, Dtype::f64, seed + 100);
    const auto [y, change] = jvp(c.f)(std::tuple{x}, std::tuple{v});
    const auto [value, pull] = vjp(c.f)(x);
    const Tensors u = random_operands({values_of(y.shape())}, -1, 1, Dtype::f64, seed + 200);
    CHECK(close(dot(u, {change}), dot(std::get<0>(pull(u[0])), v), 1e-12));
  });
}

TEST_CASE("second derivatives agree with differences of the gradient" * doctest::test_suite("long")) {
  for_each_sample([](const OpCase& c, const Shapes& shapes, unsigned seed) {
    if (!c.smooth) return;
    const Tensors x = random_operands(shapes, c.low, c.high, Dtype::f64, seed);
    const Tensors v = random_operands(shapes, -1, 1, Dtype::f64, seed + 100);
    auto loss = [&](const Tensors& t) { return sum(square(c.f(t))); };
    const Tensors exact = hvp(loss)(v, x);
    const double h = 1e-4;
    auto gradient_along = [&](double k) { return dot(grad(loss)(along(x, v, k)), v); };
    const double difference =
        (8 * (gradient_along(h) - gradient_along(-h)) - (gradient_along(2 * h) - gradient_along(-2 * h))) / (12 * h);
    CHECK(close(dot(exact, v), difference, 1e-8));
  });
}

TEST_CASE("vmap of every op is the loop over the examples, bit for bit, whichever operands are batched" *
          doctest::test_suite("long")) {
  constexpr int examples = 3;
  unsigned seed = 0;
  const auto check = [&](const OpCase& c, const Shapes& shapes, bool compile) {
    CAPTURE(c.op);
    CAPTURE(++seed);
    Shapes batch_shapes = shapes;
    for (auto& sizes : batch_shapes) sizes.insert(sizes.begin(), examples);
    const Tensors many = random_operands(batch_shapes, c.low, c.high, Dtype::f64, seed);
    // All operands batched, and each alone.
    for (std::size_t only = 0; only <= shapes.size(); ++only) {
      if (shapes.size() == 1 && only == 0) continue;
      CAPTURE(only);
      auto is_batched = [&](std::size_t i) { return only == shapes.size() || i == only; };
      Tensors batched;
      for (std::size_t i = 0; i < many.size(); ++i)
        if (is_batched(i)) batched.push_back(many[i]);
      auto operands_of = [&](const Tensors& own) {  // of one example
        Tensors all;
        std::size_t next = 0;
        for (std::size_t i = 0; i < many.size(); ++i)
          all.push_back(is_batched(i) ? own[next++] : constant(at(many[i], 0, 0)));
        return all;
      };
      auto f = [&](const Tensors& own) { return c.f(operands_of(own)); };
      auto gradient = [&](const Tensors& own) {
        return grad([&](const Tensors& x) { return sum(square(f(x))); })(own);
      };
      const Tensor y = vmap(f)(batched);
      const Tensors grads = c.smooth ? vmap(gradient)(batched) : Tensors();
      for (int e = 0; e < examples; ++e) {
        Tensors own;
        for (const Tensor& t : batched) own.push_back(at(t, 0, e));
        CHECK(same_bits(at(y, 0, e), f(own)));
        const Tensors expected = c.smooth ? gradient(own) : Tensors();
        for (std::size_t i = 0; i < grads.size(); ++i) CHECK(same_bits(at(grads[i], 0, e), expected[i]));
      }
      if (compile && only + 1 >= shapes.size()) CHECK(same_bits(jit(vmap(f))(batched), y));
      tapeloop::testing::cases += c.smooth ? 2 : 1;
    }
  };
  for (const OpCase& c : op_cases())
    for (const Shapes& shapes : c.samples) {
      const bool first = &shapes == &c.samples[0];
      if (first || !tapeloop::testing::kInstrumented) check(c, shapes, !c.reference && first);
    }
}
