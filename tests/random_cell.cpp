#include "random_cell.h"

#include <random>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/prefix.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/source.h"

namespace tapeloop::testing {
namespace {

constexpr unsigned kCodes = 31;

// The weights of a cell, which it asks for one after the other: the first run makes them, every other finds them.
class Weights {
 public:
  Weights(const Tensors* given, unsigned seed, Dtype dtype) : given_(given), seed_(seed), dtype_(dtype) {}

  Tensor operator()(const Shape& shape) {
    if (given_) return given_->at(next_++);
    made_.push_back((0.4 * normal(key(seed_ * 977 + made_.size()), shape, dtype_)).materialized());
    return made_.back();
  }
  // A step is computed again, or the next cell begins.
  void again() { next_ = first_; }
  void go_on() { first_ = next_; }
  const Tensors& made() const { return made_; }

 private:
  const Tensors* given_;
  std::uint64_t seed_;
  Dtype dtype_;
  Tensors made_;
  std::size_t first_ = 0, next_ = 0;
};

// One step of time while it is being computed. All values are [rows, columns]; the memory, if there is one, is
// [rows, hidden, hidden].
struct Step {
  Weights& weight;
  std::int64_t hidden;
  Tensors values;
  Tensor memory = {};

  static std::int64_t columns(const Tensor& x) { return x.size(1).value(); }
  const Tensor& any(unsigned i) const { return values[i % values.size()]; }

  // As many columns as asked for: the value itself, or a product with a weight.
  Tensor fitted(const Tensor& x, std::int64_t n) { return columns(x) == n ? x : matmul(x, weight({columns(x), n})); }

  // Each head of a state is multiplied with a matrix of its own.
  Tensor heads(const Tensor& x, std::int64_t n) {
    const std::int64_t size = columns(x) / n;
    const Tensor apart = transpose(reshape(x, {x.size(0), n, size}), {1, 0, 2});
    return reshape(transpose(matmul(apart, weight({n, size, size})), {1, 0, 2}), {x.size(0), n * size});
  }

  // Attention of one value over slots that another makes.
  Tensor attention(const Tensor& x, const Tensor& y) {
    const std::int64_t size = columns(x), slots = 3;
    const Tensor kept = reshape(matmul(y, weight({columns(y), slots * size})), {x.size(0), slots, size});
    const Tensor scores = softmax(sum(kept * expand_dims(x, 1), 2));
    return sum(kept * expand_dims(scores, 2), 1);
  }

  // The memory takes in a value under a key, in one of several spellings, and is asked before or after.
  Tensor remember(const Tensor& x, const Tensor& y, unsigned how) {
    const Tensor key = tanh(fitted(x, hidden)), value = fitted(y, hidden), query = fitted(any(how), hidden);
    const Tensor row = expand_dims(key, 1), kept = expand_dims(sigmoid(sum(x, 1, true)), 2) * memory;
    const Tensor before = memory;
    if (how % 3 == 0)
      memory = kept + 0.5 * matmul(expand_dims(value, 2), row);
    else if (how % 3 == 1)
      memory = kept + expand_dims(value, 2) * row * 0.5;
    else
      memory = memory + 0.3 * matmul(expand_dims(value, 2) - matmul(memory, expand_dims(key, 2)), row);
    const Tensor& asked = how % 4 ? memory : before;
    if (how % 5 == 0) return sum(asked * expand_dims(query, 1), 2);
    return squeeze(matmul(asked, expand_dims(query, 2), {.transpose_a = how % 2 == 1}), 2);
  }

  Tensor next(const RandomStep& s) {
    const Tensor &x = any(s.a), &y = any(s.b);
    const std::int64_t n = columns(x), h = s.c % 3 ? hidden : std::int64_t(1 + s.c % 7);
    switch (s.code) {
      case 0:
        return tanh(x);
      case 1:
        return sigmoid(x);
      case 2:
        return x + fitted(y, n);
      case 3:
        return x * fitted(y, n);
      case 4:
        return x - fitted(y, n) * 0.5;
      case 5:
        return sigmoid(x) * tanh(fitted(y, n));
      case 6:
        return matmul(x, weight({n, h}));
      case 7:
        return matmul(x, weight({n, h}), fitted(y, h));
      case 8: {
        const auto [a, b, c] = chunk<3>(matmul(x, weight({n, 3 * h})));
        values.insert(values.end(), {tanh(a), b});
        return sigmoid(c);
      }
      case 9: {
        const auto [a, b, c, d] =
            chunk<4>(matmul(x, weight({n, 4 * h}), matmul(y, weight({columns(y), 4 * h}))) + weight({4 * h}));
        const Tensor kept = sigmoid(a) * fitted(any(s.c), h) + sigmoid(b) * tanh(c);
        values.push_back(kept);
        return sigmoid(d) * tanh(kept);
      }
      case 10:
        return matmul(concat({x, y}, 1), weight({n + columns(y), h}));
      case 11:
        return concat({x, tanh(y)}, 1);
      case 12:
        return layer_norm(x, weight({n}), weight({n}));
      case 13:
        return rms_norm(x, weight({n}));
      case 14:
        return softmax(x);
      case 15:
        return x * weight({n}) + weight({n});
      case 16:
        return matmul(x, weight({h, n}), {.transpose_b = true});
      case 17:
        return squeeze(matmul(expand_dims(x, 1), expand_dims(x, 2) * expand_dims(tanh(y), 1)), 1) * 0.25;
      case 18:
        return n > 1 ? slice(x, 1, s.c % 2, s.c % 2 ? n : n - 1) : sin(x);
      case 19:
        return n > 1 ? concat({slice(x, 1, 1, n), slice(x, 1, 0, 1)}, 1) : cos(x);
      case 20:
        return cumsum(x, 1, s.c % 2 == 1) * 0.125;
      case 21:
        return where(x > 0, x, fitted(y, n) * 0.5);
      case 22:
        return x / (1 + abs(fitted(y, n)));
      case 23: {
        const auto [u, v] = chunk<2>(weight({n, 2 * h}));
        return sigmoid(matmul(x, u)) * matmul(x, v);
      }
      case 24:
        return matmul(x, tanh(weight({n, h})) * 0.5);
      case 25:
        return s.c % 4 ? x - max(x, 1, true) : x - mean(x, 0, true);
      case 26:
        return n % 2 == 0 ? heads(x, 2) : relu(x);
      case 27:
        return attention(x, y);
      case 28: {  // a few turns within the step
        const Tensor w = weight({n, n});
        const auto turn = [&](const Tensor& z, const Tensor& t) { return std::pair{tanh(matmul(z, w, x * t)), z}; };
        return scan(turn, x * 0.5, 1 / arange(1, 3, 1, x.dtype())).first;
      }
      case 29:
        return memory.is_empty() ? sin(x) : tanh(remember(x, y, s.c));
    }
    return s.c % 2 ? stop_gradient(x) * 0.5 : softplus(x);
  }
};

}  // namespace

RandomCell::RandomCell(unsigned number) : seed(number) {
  std::mt19937 random(number * 2654435761u + 1);
  const auto draw = [&](unsigned n) { return unsigned(random() % n); };
  static constexpr std::int64_t sizes[] = {1, 2, 3, 5, 7, 8, 13, 16, 17, 24, 33};
  inputs = sizes[draw(11)];
  hidden = sizes[draw(11)];
  states = 1 + int(draw(3));
  layers = draw(3) ? 1 : 2 + int(draw(2));
  memory = draw(3) == 0;
  dtype = draw(2) ? Dtype::f64 : Dtype::f32;
  reverse = draw(4) == 0;
  deep = draw(5) == 0;
  if (draw(4) == 0) (draw(2) ? truncate : checkpoint) = 1 + draw(6);
  for (unsigned i = 2 + draw(9); i-- > 0;)
    steps.push_back({draw(kCodes), draw(1u << 20), draw(1u << 20), draw(1u << 20), {}, {}});
}

namespace {

// One layer: states and input to states and output.
std::pair<Tensors, Tensor> one_layer(const RandomCell& cell, Weights& weight, const Tensors& states, const Tensor& x) {
  Step step{weight, cell.hidden, Tensors(states.begin(), states.begin() + cell.states)};
  if (cell.memory) step.memory = states.back();
  step.values.push_back(x);
  for (const RandomStep& s : cell.steps) {
    Tensor value = step.next(s);
    if (Step::columns(value) > 150) value = step.fitted(value, cell.hidden);
    step.values.push_back(value);
  }
  if (cell.memory) step.values.push_back(tanh(step.remember(step.values.back(), x, cell.seed)));
  // Each state becomes what was computed last, last but one, …; some by a gate, some as it is.
  Tensors after;
  for (std::size_t i = 0; i < std::size_t(cell.states); ++i) {
    const Tensor now = step.fitted(step.values[step.values.size() - 1 - i], cell.hidden);
    after.push_back((cell.seed + i) % 3 == 0 ? 0.5 * states[i] + tanh(now) * 0.5 : tanh(now));
  }
  if (cell.memory) after.push_back(step.memory);
  const Tensor& out = step.values[step.values.size() / 2];
  return {after, cell.seed % 2 ? out : concat({out, after[0]}, 1)};
}

// All of them, each on the output of the one before; some look at a state of the first as it was before the step, too.
std::pair<Tensors, Tensor> one_step(const RandomCell& cell, Weights& weight, const Tensors& states, Tensor x) {
  Tensors after;
  for (auto first = states.begin(); first != states.end(); first += cell.states_of_layer()) {
    if (first != states.begin() && cell.seed % 5 == 0) x = concat({x, states[0]}, 1);
    auto [own, y] = one_layer(cell, weight, Tensors(first, first + cell.states_of_layer()), x);
    after.insert(after.end(), own.begin(), own.end());
    x = y;
  }
  return {after, x};
}

}  // namespace

Tensors RandomCell::arguments(std::int64_t length, std::int64_t rows) const {
  const auto some = [&](std::uint64_t of, const Shape& shape) {
    return (0.7 * normal(key(seed * std::uint64_t(31) + of), shape, dtype)).materialized();
  };
  Tensors list{some(1, {length, rows, inputs})}, now;
  for (int i = 0; i < states_of_layer() * layers; ++i) {
    const bool matrix = i % states_of_layer() == states;
    now.push_back(some(10 + std::uint64_t(i), matrix ? Shape{rows, hidden, hidden} : Shape{rows, hidden}));
  }
  list.insert(list.end(), now.begin(), now.end());
  Weights weight(nullptr, seed, dtype);
  const auto [after, out] = one_step(*this, weight, now, some(9, {rows, inputs}));
  if (deep) (void)one_step(*this, weight, now, out);
  list.insert(list.end(), weight.made().begin(), weight.made().end());
  return list;
}

Tensor RandomCell::operator()(const Tensors& list) const {
  const auto after_xs = list.begin() + 1, after_states = after_xs + states_of_layer() * layers;
  const Tensors initial(after_xs, after_states), given(after_states, list.end());
  Weights weight(&given, seed, dtype);
  const auto step = [&](const Tensors& now, const Tensor& x) {
    weight.again();
    return one_step(*this, weight, now, x);
  };
  const ScanOptions options{.reverse = reverse, .truncate = truncate, .checkpoint = checkpoint};
  auto [last, ys] = scan(step, initial, list[0], options);
  if (deep) {
    weight.go_on();
    const auto [last_above, ys_above] = scan(step, initial, ys, {.reverse = !reverse && seed % 3 == 0});
    last.insert(last.end(), last_above.begin(), last_above.end());
    ys = ys_above;
  }
  Tensor total = sum(sin(ys));
  for (const Tensor& s : last) total = total + sum(square(s));
  return total;
}

}  // namespace tapeloop::testing
