#include "ad/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tapeloop::detail {
namespace {

// SplitMix64 (Steele, Lea and Flood 2014): the same numbers on every platform, unlike <random>'s distributions.
struct Random {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return double(next() >> 11) * 0x1p-52 - 1; }  // in [-1, 1)
};

double loss_at(const Tape& tape, const Tensors& inputs) { return run(tape, inputs)[0].item<double>(); }

// "[2, 0]" of a row-major position.
std::string index_of(std::int64_t position, const Shape& shape) {
  std::vector<std::int64_t> index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0; position /= shape[axis].value()) index[axis] = position % shape[axis].value();
  return fmt::format("[{}]", fmt::join(index, ", "));
}

// The positions to try: all of them, or as many as asked for without repetition, by a partial Fisher–Yates shuffle.
std::vector<std::int64_t> choose(std::int64_t count, int wanted, Random& random) {
  std::vector<std::int64_t> all(std::size_t(count), 0);
  std::iota(all.begin(), all.end(), 0);
  if (count <= wanted) return all;
  for (std::size_t i = 0; i < std::size_t(wanted); ++i)
    std::swap(all[i], all[i + std::size_t(random.next() % (all.size() - i))]);
  all.resize(std::size_t(wanted));
  return all;
}

struct Comparison {
  const CheckOptions& options;
  double floor;

  // Written so that a NaN on either side fails.
  void operator()(const std::string& what, std::string_view first, double a, std::string_view second, double b) const {
    const double error = a == b ? 0 : std::abs(a - b) / std::max({std::abs(a), std::abs(b), floor});
    if (error <= options.tolerance) return;
    throw Error(fmt::format("check_gradients: {}: {} gives {:.12g}, {} {:.12g}: relative error {:.3g}, tolerance {:.3g}",
                            what, first, a, second, b, error, options.tolerance),
                options.where, "the function may have a kink or a jump here; otherwise a derivative is wrong");
  }
};

}  // namespace

Tensor in_f64(const Tensor& x, const Where& where) {
  if (x.is_recorded())
    throw Error("check_gradients: an argument is recorded, it has no numbers to move", where, "call it outside of jit, grad and scan");
  if (x.dtype() != Dtype::f32) return x.materialized();
  const auto values = x.data<float>(where);
  return Tensor::of(std::vector<double>(values.begin(), values.end()), x.shape(), where);
}

void check_tape(const TapePtr& tape, const Tensors& inputs, const std::vector<std::string>& names,
                const CheckOptions& given) {
  CheckOptions options = given;
  if (options.where.line() == 0 && !tape->outputs.empty()) options.where = (*tape)[tape->outputs[0]].where;
  std::vector<bool> wanted;
  for (const Tensor& input : inputs) wanted.push_back(is_float(input.dtype()));
  const Tensors results = value_and_gradients(tape, inputs, wanted, names, options.where);
  const double loss = results[0].item<double>();
  if (!std::isfinite(loss)) throw Error(fmt::format("check_gradients: the loss is {}", loss), options.where);
  const Comparison compare{options, 1e-4 * std::max(1.0, std::abs(loss))};
  Random random{options.seed};

  Tensors directions;
  double along = 0, scale = 0;  // ⟨∇f, v⟩ and the sum of the magnitudes of its terms
  std::size_t next = tape->outputs.size();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!wanted[i]) continue;
    const std::vector<double> gradient = results[next++].to_vector<double>(), values = inputs[i].to_vector<double>();
    for (std::int64_t position : choose(inputs[i].count(), options.elements, random)) {
      const auto p = std::size_t(position);
      const double h = options.step * std::max(1.0, std::abs(values[p]));
      auto moved = [&](double by) {
        std::vector<double> there = values;
        there[p] += by;
        Tensors arguments = inputs;
        arguments[i] = Tensor::of(there, inputs[i].shape());
        return loss_at(*tape, arguments);
      };
      const double difference = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      compare(names[i] + " at " + index_of(position, inputs[i].shape()), "reverse mode", gradient[p], "the difference quotient", difference);
    }
    std::vector<double> v(values.size());
    for (std::size_t p = 0; p < v.size(); ++p) {
      v[p] = random.uniform();
      along += gradient[p] * v[p];
      scale += std::abs(gradient[p] * v[p]);
    }
    directions.push_back(Tensor::of(v, inputs[i].shape()));
  }
  Tensors arguments = inputs;
  arguments.insert(arguments.end(), directions.begin(), directions.end());
  const double forward = run(*jvp(tape, wanted), arguments)[tape->outputs.size()].item<double>();
  Comparison{options, std::max(compare.floor, scale)}("along a random direction", "forward mode", forward, "reverse mode", along);
}

}  // namespace tapeloop::detail
