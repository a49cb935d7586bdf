#include "random_program.h"

#include <random>

#include "ops/cond.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/prefix.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/sort.h"
#include "ops/source.h"
#include "ops/while_loop.h"

namespace tapeloop::testing {
namespace {

constexpr unsigned kSmooth = 28, kWithBody = 3, kKinked = 9;
constexpr unsigned kProducts = 24, kScan = kSmooth, kCond = kSmooth + 1, kWhile = kSmooth + 2,
                   kFirstKinked = kSmooth + kWithBody;

class Maker {
 public:
  Maker(unsigned seed, bool smooth) : random_(seed), smooth_(smooth) {}
  unsigned draw(unsigned n) { return unsigned(random_() % n); }

  std::vector<RandomStep> steps(unsigned count, int depth) {
    std::vector<RandomStep> list;
    for (unsigned i = 0; i < count; ++i) {
      RandomStep step{draw(kSmooth), draw(1u << 20), draw(1u << 20), draw(1u << 20), {}, {}};
      if (draw(8) == 0 && depth < 3) {
        step.code = kSmooth + draw(kWithBody);
        step.body = steps(1 + draw(5), depth + 1);
        if (step.code == kCond) step.other = steps(1 + draw(5), depth + 1);
      } else if (!smooth_ && draw(3) == 0) {
        step.code = kFirstKinked + draw(kKinked);
      }
      list.push_back(std::move(step));
    }
    return list;
  }

 private:
  std::mt19937 random_;
  bool smooth_;
};

// The values that a program has at hand while it runs.
struct Values {
  Tensors floats, integers;
};

Tensor mean_of_all(const Tensor& x) { return sum(x) * (1.0 / double(std::max<std::int64_t>(1, x.count()))); }

// `y` made to fit the shape of `x`.
Tensor fitted(const Tensor& y, const Tensor& x) {
  const auto shape = broadcast_shape(x.shape(), y.shape());
  return shape && values_of(*shape) == values_of(x.shape()) ? y : mean_of_all(y);
}

Tensor partner(const Values& v, unsigned from, const Tensor& x) {
  for (std::size_t i = 0; i < v.floats.size(); ++i) {
    const Tensor& y = v.floats[(from + i) % v.floats.size()];
    if (broadcast_shape(x.shape(), y.shape())) return y;
  }
  return x * 0.75;
}

void run_steps(const std::vector<RandomStep>& steps, Values& v);

// The last value of a body, in the shape of `like`.
Tensor result_of(const std::vector<RandomStep>& body, Values inner, const Tensor& like) {
  run_steps(body, inner);
  return fitted(inner.floats.back(), like);
}

// What the integers say; no change of a float changes it.
Tensor predicate(const Values& v, const RandomStep& step) {
  const Tensor& n = v.integers[step.b % v.integers.size()];
  return remainder(sum(n), 2) == int(step.c % 2);
}

Tensor loop_over(const RandomStep& step, const Values& v, const Tensor& x) {
  const Tensor outer = v.floats[step.b % v.floats.size()];
  const Tensor state =
      step.c % 3 ? zeros(Shape(x.shape().begin() + 1, x.shape().end()), x.dtype()) : sum(tanh(x), 0) * 0.1;
  auto f = [&](const Tensor& h, const Tensor& row) {
    const Tensor y = result_of(step.body, {{outer, row, h}, v.integers}, h);
    const Tensor next = tanh(h * 0.5 + y + row * 0.25);
    return std::pair{next, step.c % 2 ? y * next : next};
  };
  const auto [last, ys] = scan(f, state, x, {.reverse = step.c % 5 < 2});
  return fitted(ys, x) * 0.5 + last;
}

Tensor turns(const RandomStep& step, const Values& v, const Tensor& x) {
  using State = std::pair<Tensor, Tensor>;
  const Tensor outer = v.floats[step.b % v.floats.size()];
  const int most = int(step.c % 4);
  auto goes_on = [&](const State& s) { return s.second < most; };
  auto f = [&](const State& s) {
    return State{tanh(s.first * 0.5 + result_of(step.body, {{outer, s.first}, v.integers}, s.first)), s.second + 1};
  };
  return while_loop(goes_on, f, State{x, full({}, 0, Dtype::i32)}, {.bound = 3}).first;
}

// A matrix that is the same wherever it is asked for: what a loop reads of it does not change from step to step.
Tensor weight(std::int64_t rows, std::int64_t columns, Dtype dtype) {
  return sin(reshape(arange(0, double(rows * columns), 1, dtype), {rows, columns}) * 1.7) * 0.3;
}

// A matrix with as many rows as x has, from `from` on; x itself when there is no other.
Tensor beside(const Values& v, unsigned from, const Tensor& x) {
  for (std::size_t i = 0; i < v.floats.size(); ++i) {
    const Tensor& y = v.floats[(from + i) % v.floats.size()];
    if (y.rank() == 2 && values_of(y.shape())[0] == values_of(x.shape())[0]) return y;
  }
  return x;
}

// Products of matrices and of batches of them, in the layouts that cells are written in. x has an axis.
Tensor product(const RandomStep& s, Values& v, const Tensor& x) {
  const std::int64_t columns = x.size(-1).value();
  if (columns == 0 || columns > 40) return x * 0.5;
  if (x.rank() == 1) return product(s, v, expand_dims(x, 0));
  if (x.rank() == 3) {
    static const std::vector<int> orders[] = {{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const Tensor y = tanh(x) * 0.25;
    const bool flag = s.c % 2 == 1;
    if (s.code == kProducts) return matmul(x, y, {.transpose_a = flag, .transpose_b = !flag});
    if (s.code == kProducts + 1) return matmul(y, transpose(sum(x, 1, true), {0, 2, 1}));
    if (s.code == kProducts + 2) return matmul(sum(x, 2, true), y, {.transpose_a = true});
    return transpose(y, orders[s.c % 5]);
  }
  const std::int64_t hidden = std::int64_t(1 + s.c % 9);
  if (s.code == kProducts) {
    // Each part goes its own way, or nowhere.
    const auto [a, b, c] = chunk<3>(matmul(x, weight(columns, 3 * hidden, x.dtype())));
    v.floats.insert(v.floats.end(), {a, tanh(b)});
    return c;
  }
  if (s.code == kProducts + 1) {
    const Tensor joined = concat({beside(v, s.b, x), x}, 1);
    if (joined.size(1).value() > 60) return cos(x);
    return matmul(joined, weight(joined.size(1).value(), hidden, x.dtype()));
  }
  if (s.code == kProducts + 2) return matmul(x, transpose(weight(hidden, columns, x.dtype())));
  return columns < 14 ? expand_dims(x, 1) * expand_dims(tanh(x), 2) : transpose(x);
}

Tensor next(const RandomStep& s, Values& v) {
  const Tensor& x = v.floats[s.a % v.floats.size()];
  const int rank = x.rank(), last = rank - 1, axis = rank ? int(s.c % unsigned(rank)) : 0;
  const Tensor& n = v.integers[s.b % v.integers.size()];
  if (rank == 0 && s.code < kFirstKinked && s.code != kCond && s.code != kWhile)
    return s.code % 2 ? sin(x) : x * 0.5 + partner(v, s.b, x) * 0.25;
  switch (s.code) {
    case 0:
      return tanh(x);
    case 1:
      return sigmoid(x) * x;
    case 2:
      return exp(-square(x));
    case 3:
      return x + partner(v, s.b, x);
    case 4:
      return sin(x) * partner(v, s.b, x);
    case 5:
      return x - partner(v, s.b, x) * 0.5;
    case 6:
      return x / (1.5 + square(partner(v, s.b, x)));
    case 7:
      return sum(x, axis, true) * 0.125 + x;
    case 8:
      return x.size(axis).value() > 0 ? mean(x, axis, true) - x : x * 2;
    case 9:
      return rank == 2 ? transpose(x) : flip(x, axis);
    case 10:
      return flip(x, axis);
    case 11:
      return concat({x, tanh(x)}, axis);
    case 12:
      return pad(x, axis, int(s.b % 3), 1);
    case 13:
      return x.size(axis).value() > 2 ? slice(x, axis, 1, s.b % 2 ? -1 : int(x.size(axis).value())) : x * 2;
    case 14:
      return rank == 2 ? matmul(x, tanh(x), {.transpose_b = true}) * 0.25 : cos(x);
    case 15:
      return rank == 2 && v.floats[0].rank() == 2 && values_of(v.floats[0].shape())[0] == values_of(x.shape())[1]
                 ? matmul(x, v.floats[0]) * 0.25
                 : softplus(x);
    case 16:
      return x.size(last).value() > 0 ? log_softmax(x, last) * 0.2 : cos(x);
    case 17: {
      if (x.size(last).value() % 2 || x.size(last).value() == 0) return sqrt(1 + square(x));
      const auto [a, b] = chunk<2>(x);
      return sigmoid(a) * tanh(b);
    }
    case 18:
      return cumsum(x, axis, s.b % 2 == 1) * 0.25;
    case 19:
      return logaddexp(x, partner(v, s.b, x));
    case 20:
      return expand_dims(x, axis);
    case 21:
      return rank == 3 ? sum(x, axis) : reshape(x, {extent_product(x.shape())});
    case 22:
      return cast(n, x.dtype()).rank() <= rank && broadcast_shape(n.shape(), x.shape())
                 ? x * (1 + 0.125 * cast(remainder(n, 5), x.dtype()))
                 : x * (cast(remainder(sum(n), 3), x.dtype()) - 1);
    case 23:
      return x.size(0).value() > 0 ? gather(x, remainder(n, int(x.size(0).value()))) * 0.5 : x + 1;
    case kProducts:
    case kProducts + 1:
    case kProducts + 2:
    case kProducts + 3:
      return product(s, v, x);
    case kScan:
      return loop_over(s, v, x);
    case kCond: {
      auto side = [&](const std::vector<RandomStep>& body) {
        return [&](const Tensor& y) {
          return y * 0.5 + result_of(body, {{v.floats[s.b % v.floats.size()], y}, v.integers}, y);
        };
      };
      return cond(predicate(v, s), side(s.body), side(s.other), x);
    }
    case kWhile:
      return turns(s, v, x);
    case kFirstKinked:
      return relu(x) - 0.25;
    case kFirstKinked + 1:
      return maximum(x, partner(v, s.b, x));
    case kFirstKinked + 2: {
      const Tensor y = partner(v, s.b, x);
      return where(x < y, x, y * 0.5);
    }
    case kFirstKinked + 3:
      return rank && x.size(last).value() > 0 ? max(x, last, true) - x : abs(x);
    case kFirstKinked + 4:
      return rank && x.size(axis).value() > 0 ? sort(x, axis) * 0.5 : abs(x);
    case kFirstKinked + 5:
      return abs(x) + floor(x);
    case kFirstKinked + 6:
      return rank && x.size(axis).value() > 0 ? cummax(x, axis) : minimum(x, 0.5 * x);
    case kFirstKinked + 7:
      return clamp(x, -0.5, 0.5);
    default:
      return where(logical_and(x > 0, is_finite(x)), x, partner(v, s.b, x) * 0.25);
  }
}

void run_steps(const std::vector<RandomStep>& steps, Values& v) {
  for (const RandomStep& step : steps) {
    Tensor value = next(step, v);
    // Neither too long nor of too many axes to go on with.
    if (value.count() > 3000) value = mean_of_all(value);
    if (value.rank() > 3)
      value = reshape(value, {value.size(0), value.size(1), extent_product({value.size(2), value.size(3)})});
    v.floats.push_back(value);
    if (step.a % 4 == 0) {
      const Tensor& n = v.integers[step.b % v.integers.size()];
      v.integers.push_back(step.c % 2 ? n * 3 - 1 : where(n > 2, n - 2, n + 5));
    }
  }
}

bool erase(std::vector<RandomStep>& steps, std::size_t& i) {
  for (std::size_t k = 0; k < steps.size(); ++k) {
    if (i == 0) {
      steps.erase(steps.begin() + std::ptrdiff_t(k));
      return true;
    }
    --i;
    if (erase(steps[k].body, i) || erase(steps[k].other, i)) return true;
  }
  return false;
}

}  // namespace

RandomProgram::RandomProgram(unsigned number) : smooth(number % 2 == 0), seed(number) {
  Maker maker(number, smooth);
  static constexpr std::int64_t sizes[] = {0, 1, 2, 3, 5, 7, 13, 16, 17, 33};
  shape = {Extent(sizes[maker.draw(7)]), Extent(sizes[maker.draw(10)])};
  // Mostly short, up to 60.
  const unsigned most = number % 25 == 0 ? 60 : number % 5 == 0 ? 25 : 12;
  steps = maker.steps(5 + maker.draw(most - 4), 0);
  if (number % 3 != 0) return;
  // A third begin with a cell that runs over time.
  shape = {Extent(sizes[1 + maker.draw(4)]), Extent(sizes[1 + maker.draw(4)]), Extent(sizes[1 + maker.draw(7)])};
  steps.insert(steps.begin(),
               {kScan, 0, maker.draw(1u << 20), maker.draw(1u << 20), maker.steps(3 + maker.draw(9), 1), {}});
}

Tensor RandomProgram::operator()(const Tensor& x, const Tensor& row, const Tensor& integers) const {
  Values v{{x, row}, {integers}};
  run_steps(steps, v);
  Tensor total = sum(sin(v.floats.back())) + cast(sum(remainder(v.integers.back(), 11)), x.dtype()) * 0.01;
  for (std::size_t i = 0; i + 1 < v.floats.size(); i += 3) total = total + sum(tanh(v.floats[i])) * 0.5;
  return total;
}

std::size_t count_steps(const std::vector<RandomStep>& steps) {
  std::size_t n = steps.size();
  for (const RandomStep& step : steps) n += count_steps(step.body) + count_steps(step.other);
  return n;
}

void erase_step(std::vector<RandomStep>& steps, std::size_t i) { erase(steps, i); }

}  // namespace tapeloop::testing
