// More functions of PyTorch in ops of ours: special functions, activations, statistics, sorting, contractions, losses.
#include <cmath>

#include "ad/tape.h"
#include "models/loss.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/prefix.h"
#include "ops/rearrange.h"
#include "ops/reduce.h"
#include "ops/scatter.h"
#include "ops/shape.h"
#include "ops/sort.h"
#include "ops/source.h"
#include "ops/special.h"
#include "torch_table.h"

namespace tapeloop::testing::torch {
namespace {

void special_functions(Table& t) {
  t["tan"] = unary(tan);
  t["asin"] = t["arcsin"] = unary(asin);
  t["acos"] = t["arccos"] = unary(acos);
  t["atan"] = t["arctan"] = unary(atan);
  t["sinh"] = unary(sinh);
  t["cosh"] = unary(cosh);
  t["asinh"] = unary(asinh);
  t["acosh"] = unary(acosh);
  t["atanh"] = t["arctanh"] = unary(atanh);
  t["atan2"] = t["arctan2"] = pairwise(atan2);
  t["logaddexp"] = pairwise(logaddexp);
  t["lgamma"] = unary(lgamma);
  t["digamma"] = unary(digamma);
  t["xlogy"] = pairwise(xlogy);
  t["ceil"] = unary(ceil);
  t["round"] = unary(round);
  t["trunc"] = t["fix"] = unary(trunc);
  t["fmod"] = pairwise(fmod);
  t["remainder"] = pairwise(remainder);
  t["reciprocal"] = unary(reciprocal);
  t["isinf"] = unary(is_inf);
  t["isfinite"] = unary(is_finite);
  // Compositions that a user would write.
  t["erfc"] = [](const Args& a) { return tensor_value(1 - erf(a.tensor(0, "input"))); };
  // sin(πx)/(πx), by its series near 0, so that every derivative is right there.
  t["sinc"] = [](const Args& a) {
    const Tensor p = M_PI * a.tensor(0, "input"), q = square(p), small = abs(p) < 0.01;
    const Tensor series = 1 - q / 6 * (1 - q / 20 * (1 - q / 42));
    return tensor_value(where(small, series, sin(p) / where(small, 1, p)));
  };
  // The larger of the two taken out, so that no square overflows.
  t["hypot"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "other");
    const Tensor top = stop_gradient(maximum(abs(x), abs(y))), scale = where(top == 0, 1, top);
    return tensor_value(scale * sqrt(square(x / scale) + square(y / scale)));
  };
  t["frac"] = [](const Args& a) { return tensor_value(a.tensor(0, "input") - trunc(a.tensor(0, "input"))); };
  t["exp2"] = [](const Args& a) { return tensor_value(exp(a.tensor(0, "input") * M_LN2)); };
  t["log2"] = [](const Args& a) { return tensor_value(log(a.tensor(0, "input")) / M_LN2); };
  t["log10"] = [](const Args& a) { return tensor_value(log(a.tensor(0, "input")) / M_LN10); };
}

void activation_functions(Table& t) {
  t["sigmoid"] = unary(sigmoid);
  t["logsigmoid"] = unary(logsigmoid);
  t["softsign"] = unary(softsign);
  t["silu"] = t["swish"] = unary(silu);
  t["selu"] = unary(selu);
  t["hardsigmoid"] = unary(hardsigmoid);
  t["elu"] = [](const Args& a) { return tensor_value(elu(a.tensor(0, "input"), a.number(1, "alpha", 1))); };
  t["gelu"] = [](const Args& a) {
    return tensor_value(
        gelu(a.tensor(0, "input"), a.text(1, "approximate", "none") == "tanh" ? Gelu::tanh : Gelu::erf));
  };
  t["leaky_relu"] = [](const Args& a) {
    return tensor_value(leaky_relu(a.tensor(0, "input"), a.number(1, "negative_slope", 0.01)));
  };
  t["hardtanh"] = [](const Args& a) {
    return tensor_value(hardtanh(a.tensor(0, "input"), a.number(1, "min_val", -1), a.number(2, "max_val", 1)));
  };
  t["relu6"] = [](const Args& a) { return tensor_value(hardtanh(a.tensor(0, "input"), 0, 6)); };
  t["mish"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(x * tanh(softplus(x)));
  };
  t["clamp"] = t["clip"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    auto bound = [&](std::size_t i, const std::string& name, double missing) {
      const Value* value = a.find(i, name);
      return value ? as_tensor(*value, x.dtype()) : full({}, missing, x.dtype());
    };
    return tensor_value(clamp(x, bound(1, "min", -INFINITY), bound(2, "max", INFINITY)));
  };
  t["clamp_min"] = [](const Args& a) {
    return tensor_value(clamp(a.tensor(0, "input"), a.number(1, "min"), INFINITY));
  };
  t["clamp_max"] = [](const Args& a) {
    return tensor_value(clamp(a.tensor(0, "input"), -INFINITY, a.number(1, "max")));
  };
}

int correction_of(const Args& a) {
  if (const Value* value = a.find(99, "correction")) return int(as_number(*value));
  if (const Value* value = a.find(99, "unbiased")) return truth(*value) ? 1 : 0;
  const Value* second = a.find(1, "");
  return second && second->as<bool>() && !*second->as<bool>() ? 0 : 1;
}
Axes axes_of_statistic(const Args& a) {
  const Value* second = a.find(1, "dim");
  return second && second->as<bool>() ? Axes::everything() : axes_of(a);
}

void statistics_functions(Table& t) {
  t["prod"] = [](const Args& a) { return tensor_value(prod(a.tensor(0, "input"), axes_of(a), keeps(a))); };
  t["var"] = [](const Args& a) {
    return tensor_value(var(a.tensor(0, "input"), axes_of_statistic(a), correction_of(a), a.flag(3, "keepdim")));
  };
  t["std"] = [](const Args& a) {
    return tensor_value(stddev(a.tensor(0, "input"), axes_of_statistic(a), correction_of(a), a.flag(3, "keepdim")));
  };
  t["vector_norm"] = t["norm"] = [](const Args& a) {
    const double p = a.number(1, a.function == "norm" ? "p" : "ord", 2);
    return tensor_value(norm(a.tensor(0, "input"), p, axes_of(a, 2), a.flag(3, "keepdim")));
  };
  t["any"] = [](const Args& a) {
    return tensor_value(any(cast(a.tensor(0, "input"), Dtype::boolean), axes_of(a), keeps(a)));
  };
  t["all"] = [](const Args& a) {
    return tensor_value(all(cast(a.tensor(0, "input"), Dtype::boolean), axes_of(a), keeps(a)));
  };
  t["argmin"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(a.find(1, "dim") ? argmin(x, int(a.number(1, "dim"))) : argmin(reshape(x, {-1}), 0));
  };
  auto prefix = [](Tensor (*f)(const Tensor&, int, bool, Where)) {
    return [f](const Args& a) {
      return tensor_value(f(a.tensor(0, "input"), int(a.number(1, "dim")), false, Where::current()));
    };
  };
  t["cumsum"] = prefix([](const Tensor& x, int axis, bool reverse, Where at) { return cumsum(x, axis, reverse, at); });
  t["cumprod"] = prefix(cumprod);
  t["logcumsumexp"] = prefix(logcumsumexp);
  t["cummax"] = [](const Args& a) {
    return list_value({tensor_value(cummax(a.tensor(0, "input"), int(a.number(1, "dim")))), {None{}}});
  };
  t["cummin"] = [](const Args& a) {
    return list_value({tensor_value(cummin(a.tensor(0, "input"), int(a.number(1, "dim")))), {None{}}});
  };
  t["layer_norm"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    if (a.integers(1, "normalized_shape").size() != 1) throw NoSuchOp("layer_norm over several axes");
    auto optional = [&](std::size_t i, const std::string& name) {
      return a.find(i, name) ? a.tensor(i, name) : Tensor();
    };
    return tensor_value(layer_norm(x, optional(2, "weight"), optional(3, "bias"), a.number(4, "eps", 1e-5)));
  };
  t["cosine_similarity"] = [](const Args& a) {
    return tensor_value(
        cosine_similarity(a.tensor(0, "x1"), a.tensor(1, "x2"), int(a.number(2, "dim", 1)), a.number(3, "eps", 1e-8)));
  };
  t["normalize"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const Tensor n = norm(x, a.number(1, "p", 2), int(a.number(2, "dim", 1)), true);
    return tensor_value(x / maximum(n, a.number(3, "eps", 1e-12)));
  };
}

void sorting_functions(Table& t) {
  t["sort"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const int axis = int(a.number(1, "dim", -1));
    const bool descending = a.flag(2, "descending");
    return list_value({tensor_value(sort(x, axis, descending)), tensor_value(argsort(x, axis, descending))});
  };
  t["argsort"] = [](const Args& a) {
    return tensor_value(argsort(a.tensor(0, "input"), int(a.number(1, "dim", -1)), a.flag(2, "descending")));
  };
  t["topk"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const bool largest = a.flag(3, "largest", true);
    const TopK best = topk(largest ? x : -x, int(a.number(1, "k")), int(a.number(2, "dim", -1)));
    return list_value({tensor_value(largest ? best.values : -best.values), tensor_value(best.indices)});
  };
  // Of an even number the lower of the middle two, as in PyTorch.
  t["median"] = [](const Args& a) {
    const Value* dim = a.find(1, "dim");
    const Tensor x = dim ? a.tensor(0, "input") : reshape(a.tensor(0, "input"), {-1});
    const int axis = dim ? int(as_number(*dim)) : 0;
    const std::int64_t middle = (x.size(axis).value() - 1) / 2;
    const Tensor value = at(sort(x, axis), axis, middle);
    return dim ? list_value({tensor_value(value), tensor_value(at(argsort(x, axis), axis, middle))})
               : tensor_value(value);
  };
}

void contraction_functions(Table& t) {
  t["einsum"] = [](const Args& a) {
    Tensors operands;
    for (std::size_t i = 1; i < a.positional.size(); ++i) operands.push_back(a.tensor(i, "operand"));
    return tensor_value(einsum(a.text(0, "equation", ""), operands));
  };
  t["dot"] = t["inner"] = [](const Args& a) { return tensor_value(dot(a.tensor(0, "input"), a.tensor(1, "other"))); };
  t["outer"] = t["ger"] = [](const Args& a) { return tensor_value(outer(a.tensor(0, "input"), a.tensor(1, "vec2"))); };
  t["trace"] = [](const Args& a) { return tensor_value(trace(a.tensor(0, "input"))); };
  t["diagonal"] = [](const Args& a) {
    return tensor_value(diagonal(a.tensor(0, "input"), int(a.number(1, "offset", 0))));
  };
  t["diag"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(x.rank() == 2 ? diagonal(x) : eye(x.size(0), x.dtype()) * x);
  };
  t["tril"] = [](const Args& a) { return tensor_value(tril(a.tensor(0, "input"), int(a.number(1, "diagonal", 0)))); };
  t["triu"] = [](const Args& a) { return tensor_value(triu(a.tensor(0, "input"), int(a.number(1, "diagonal", 0)))); };
  t["tile"] = t["repeat"] = [](const Args& a) {
    const auto times = a.integers(1, "repeats");
    return tensor_value(tile(a.tensor(0, "input"), std::vector<int>(times.begin(), times.end())));
  };
  t["repeat_interleave"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const Value* dim = a.find(2, "dim");
    return tensor_value(
        repeat(dim ? x : reshape(x, {-1}), int(a.number(1, "repeats")), dim ? int(as_number(*dim)) : 0));
  };
  t["roll"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const auto shifts = a.integers(1, "shifts"), dims = a.integers(2, "dims");
    if (dims.empty()) return tensor_value(reshape(roll(reshape(x, {-1}), int(shifts.at(0)), 0), x.shape()));
    Tensor y = x;
    for (std::size_t i = 0; i < dims.size(); ++i) y = roll(y, int(shifts.at(i)), int(dims[i]));
    return tensor_value(y);
  };
  t["gather"] = [](const Args& a) {
    return tensor_value(take_along(a.tensor(0, "input"), a.tensor(2, "index"), int(a.number(1, "dim"))));
  };
  auto scattered = [](Scatter mode) {
    return [mode](const Args& a) {
      const Tensor x = a.tensor(0, "input"), index = a.tensor(2, "index");
      const Value& from = *a.find(3, "src");
      const Tensor src = from.is_tensor() ? as_tensor(from) : full(index.shape(), as_number(from), x.dtype());
      return tensor_value(scatter_along(x, index, src, int(a.number(1, "dim")), mode));
    };
  };
  t["scatter"] = scattered(Scatter::set);
  t["scatter_add"] = scattered(Scatter::add);
  // Of matrices of two rows, which is what recurrences in test cases need.
  t["inverse"] = t["inv"] = [](const Args& a) {
    const Tensor m = a.tensor(0, "input");
    if (m.rank() != 2 || m.size(0).value() != 2 || m.size(1).value() != 2)
      throw NoSuchOp("the inverse of other than 2 x 2");
    auto e = [&](int i, int j) { return at(at(m, 0, i), 0, j); };
    const Tensor determinant = e(0, 0) * e(1, 1) - e(0, 1) * e(1, 0);
    const Tensor adjugate = stack({stack({e(1, 1), -e(0, 1)}), stack({-e(1, 0), e(0, 0)})});
    return tensor_value(adjugate / determinant);
  };
}

void loss_functions(Table& t) {
  t["binary_cross_entropy_with_logits"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "target");
    if (a.text(99, "reduction", "mean") == "mean") return tensor_value(binary_cross_entropy(x, y));
    return reduced_loss(y * softplus(-x) + (1 - y) * softplus(x), a, 99);
  };
  t["huber_loss"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "target");
    const double delta = a.number(3, "delta", 1);
    if (a.text(2, "reduction", "mean") == "mean") return tensor_value(huber(x, y, delta));
    const Tensor distance = abs(x - y), near = minimum(distance, delta);
    return reduced_loss(near * (distance - 0.5 * near), a, 2);
  };
  t["smooth_l1_loss"] = t["huber_loss"];  // the same for beta = delta = 1
}

}  // namespace

void add_network_functions(Table& t) {
  special_functions(t);
  activation_functions(t);
  statistics_functions(t);
  sorting_functions(t);
  contraction_functions(t);
  loss_functions(t);
}

}  // namespace tapeloop::testing::torch
