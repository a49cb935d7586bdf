// PyTorch's statistics, cumulative sums and their like, sorting: what goes along axes.
#include <cmath>
#include <numeric>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/prefix.h"
#include "ops/reduce.h"
#include "ops/scatter.h"
#include "ops/shape.h"
#include "ops/sort.h"
#include "ops/source.h"
#include "torch_table.h"

namespace tapeloop::testing::torch {
namespace {

int correction_of(const Args& a) {
  if (const Value* value = a.find(99, "correction")) return int(as_number(*value));
  if (const Value* value = a.find(99, "unbiased")) return truth(*value) ? 1 : 0;
  for (std::size_t i : {1, 2})
    if (const Value* value = a.find(i, ""); value && value->as<bool>()) return *value->as<bool>() ? 1 : 0;
  return 1;
}
// (x, unbiased), (x, dim, unbiased, keepdim) or by name
Axes axes_of_statistic(const Args& a) {
  const Value* second = a.find(1, "dim");
  return second && second->as<bool>() ? Axes::everything() : axes_of(a);
}

// `value` is one of the elements of x; all that equal it share its gradient.
Tensor shared_among(const Tensor& x, const Tensor& value) {
  const Tensor v = stop_gradient(value), equal = x == v;
  const Tensor ties = cast(equal, x.dtype());
  return v + sum(where(equal, x - stop_gradient(x), 0)) / stop_gradient(sum(ties));
}

Tensor vector_norm(const Tensor& x, double p, const Axes& axes, bool keep) { return norm(x, p, axes, keep); }

Value norm_of(const Args& a) {
  const bool is_norm = a.function == "norm";
  const char* name = is_norm && !a.named.contains("ord") ? "p" : "ord";
  const Value* p = a.find(1, name);
  const Tensor x = a.tensor(0, a.named.contains("x") ? "x" : "input");
  if (p && p->as<std::string>() && *p->as<std::string>() != "fro") throw NoSuchOp("norm " + *p->as<std::string>());
  // Of a matrix linalg.norm has norms of its own.
  if (a.module == "torch.linalg" && p && !p->as<std::string>() && x.rank() == 2 && !a.find(2, "dim")) {
    const double ord = as_number(*p);
    if (std::abs(ord) != 1 && !std::isinf(ord)) throw NoSuchOp("that norm of a matrix");
    const Tensor sums = sum(abs(x), std::isinf(ord) ? 1 : 0);
    return tensor_value(ord > 0 ? max(sums) : min(sums));
  }
  const double order = p && !p->as<std::string>() ? as_number(*p) : 2;
  return tensor_value(vector_norm(x, order, axes_of(a, 2), a.flag(3, "keepdim")));
}

void moments(Table& t) {
  t["prod"] = [](const Args& a) { return tensor_value(prod(numeric(a.tensor(0, "input")), axes_of(a), keeps(a))); };
  auto variance = [](const Args& a) {
    return var(a.tensor(0, "input"), axes_of_statistic(a), correction_of(a), a.flag(3, "keepdim"));
  };
  auto deviation = [](const Args& a) {
    return stddev(a.tensor(0, "input"), axes_of_statistic(a), correction_of(a), a.flag(3, "keepdim"));
  };
  auto centre = [](const Args& a) { return mean(a.tensor(0, "input"), axes_of_statistic(a), a.flag(3, "keepdim")); };
  t["var"] = [=](const Args& a) { return tensor_value(variance(a)); };
  t["std"] = [=](const Args& a) { return tensor_value(deviation(a)); };
  t["var_mean"] = [=](const Args& a) { return list_value({tensor_value(variance(a)), tensor_value(centre(a))}); };
  t["std_mean"] = [=](const Args& a) { return list_value({tensor_value(deviation(a)), tensor_value(centre(a))}); };
  t["norm"] = t["vector_norm"] = norm_of;
  t["matrix_norm"] = [](const Args& a) {
    const Value* ord = a.find(1, "ord");
    if (ord && ord->as<Number>() && (as_number(*ord) == 1 || as_number(*ord) == INFINITY)) {
      const Tensor sums = sum(abs(a.tensor(0, "A")), as_number(*ord) == 1 ? -2 : -1);
      return tensor_value(max(sums, -1));
    }
    if (ord && !(ord->as<std::string>() && *ord->as<std::string>() == "fro")) throw NoSuchOp("that matrix norm");
    return tensor_value(norm(a.tensor(0, "A"), 2, Axes({-2, -1}), a.flag(3, "keepdim")));
  };
  // Every slice along `dim` is brought to at most this norm.
  t["renorm"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const int dim = int(a.number(2, "dim")), from = dim < 0 ? dim + x.rank() : dim;
    std::vector<int> others;
    for (int d = 0; d < x.rank(); ++d)
      if (d != from) others.push_back(d);
    const Tensor n = norm(x, a.number(1, "p"), others, true);
    const double most = a.number(3, "maxnorm");
    return tensor_value(x * where(n > most, most / (n + 1e-7), 1));
  };
  t["nansum"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(sum(where(is_nan(x), 0, x), axes_of(a), keeps(a)));
  };
  t["nanmean"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const Tensor n = sum(cast(logical_not(is_nan(x)), x.dtype()), axes_of(a), keeps(a));
    return tensor_value(sum(where(is_nan(x), 0, x), axes_of(a), keeps(a)) / n);
  };
  t["cov"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), c = x - mean(x, -1, true);
    return tensor_value(matmul(c, transpose(c)) / (double(x.size(-1).value()) - a.number(99, "correction", 1)));
  };
  t["any"] = [](const Args& a) {
    return tensor_value(any(cast(a.tensor(0, "input"), Dtype::boolean), axes_of(a), keeps(a)));
  };
  t["all"] = [](const Args& a) {
    return tensor_value(all(cast(a.tensor(0, "input"), Dtype::boolean), axes_of(a), keeps(a)));
  };
  t["count_nonzero"] = [](const Args& a) {
    return tensor_value(sum(cast(a.tensor(0, "input") != 0, Dtype::i32), axes_of(a)));
  };
  t["aminmax"] = [](const Args& a) {
    const Axes axes = axes_of(a);
    const Tensor x = a.tensor(0, "input");
    return list_value({tensor_value(min(x, axes, keeps(a))), tensor_value(max(x, axes, keeps(a)))});
  };
}

// The last place of the greatest (smallest) so far, as cummax and cummin name it: later ones win ties.
Tensor place_so_far(const Tensor& x, int axis, bool greatest) {
  const std::int64_t n = x.size(axis).value();
  Tensors places;
  for (std::int64_t i = 0; i < n; ++i) {
    const Tensor seen = flip(slice(x, axis, 0, i + 1), axis);
    places.push_back(int(i) - (greatest ? argmax(seen, axis) : argmin(seen, axis)));
  }
  return stack(places, axis);
}

void cumulative(Table& t) {
  auto prefix = [](Tensor (*f)(const Tensor&, int, bool, Where)) {
    return [f](const Args& a) {
      return tensor_value(f(numeric(a.tensor(0, "input")), int(a.number(1, "dim")), false, Where::current()));
    };
  };
  t["cumsum"] = prefix([](const Tensor& x, int axis, bool reverse, Where at) { return cumsum(x, axis, reverse, at); });
  t["cumprod"] = prefix(cumprod);
  t["logcumsumexp"] = prefix(logcumsumexp);
  auto best_so_far = [](bool greatest) {
    return [greatest](const Args& a) {
      const Tensor x = a.tensor(0, "input");
      const int dim = int(a.number(1, "dim")), axis = dim < 0 ? dim + x.rank() : dim;
      return list_value(
          {tensor_value(greatest ? cummax(x, axis) : cummin(x, axis)), tensor_value(place_so_far(x, axis, greatest))});
    };
  };
  t["cummax"] = best_so_far(true);
  t["cummin"] = best_so_far(false);
  t["diff"] = [](const Args& a) {
    Tensor x = a.tensor(0, "input");
    const int axis = int(a.number(2, "dim", -1));
    if (a.find(3, "prepend")) x = concat({a.tensor(3, "prepend"), x}, axis);
    if (a.find(4, "append")) x = concat({x, a.tensor(4, "append")}, axis);
    for (int i = 0; i < int(a.number(1, "n", 1)); ++i) x = slice(x, axis, 1) - slice(x, axis, 0, -1);
    return tensor_value(x);
  };
  t["trapezoid"] = t["trapz"] = t["cumulative_trapezoid"] = [](const Args& a) {
    const Tensor y = a.tensor(0, "y");
    const int axis = int(a.number(2, "dim", -1));
    const Tensor pairs = slice(y, axis, 1) + slice(y, axis, 0, -1);
    const Value* x = a.find(1, "x");
    Tensor steps = full({}, a.number(99, "dx", 1), y.dtype());
    if (x && x->is_tensor()) steps = slice(as_tensor(*x), -1, 1) - slice(as_tensor(*x), -1, 0, -1);
    if (x && !x->is_tensor()) steps = full({}, as_number(*x), y.dtype());
    const Tensor areas = 0.5 * pairs * steps;
    return tensor_value(a.function == "cumulative_trapezoid" ? cumsum(areas, axis) : sum(areas, axis));
  };
}

// The element at place k of the sorted axis, and where it stood.
Value at_rank(const Tensor& x, int axis, std::int64_t k, bool keep) {
  const Tensor value = slice(sort(x, axis), axis, k, k + 1), place = slice(argsort(x, axis), axis, k, k + 1);
  return list_value(
      {tensor_value(keep ? value : squeeze(value, axis)), tensor_value(keep ? place : squeeze(place, axis))});
}

void sorting(Table& t) {
  t["sort"] = t["msort"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    if (a.function == "msort") return tensor_value(sort(x, 0));
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
  t["kthvalue"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const int dim = int(a.number(2, "dim", -1));
    return at_rank(x, dim < 0 ? dim + x.rank() : dim, std::int64_t(a.number(1, "k")) - 1, a.flag(3, "keepdim"));
  };
  // Of an even number the lower of the middle two. Of everything, equal elements share the gradient.
  t["median"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    if (!a.find(1, "dim")) {
      const Tensor all = sort(reshape(x, {-1}));
      return tensor_value(shared_among(x, at(all, 0, (all.size(0).value() - 1) / 2)));
    }
    const int dim = int(a.number(1, "dim")), axis = dim < 0 ? dim + x.rank() : dim;
    return at_rank(x, axis, (x.size(axis).value() - 1) / 2, keeps(a));
  };
  t["quantile"] = [](const Args& a) {
    const Tensor given = a.tensor(0, "input");
    const Value* dim = a.find(2, "dim");
    const Tensor x = dim ? given : reshape(given, {-1});
    const int axis = dim ? (as_number(*dim) < 0 ? int(as_number(*dim)) + x.rank() : int(as_number(*dim))) : 0;
    const Tensor sorted = sort(x, axis);
    auto one = [&](double q) {
      const double place = q * double(x.size(axis).value() - 1);
      const std::string how = a.text(4, "interpolation", "linear");
      const Tensor below = at(sorted, axis, std::int64_t(std::floor(place))),
                   above = at(sorted, axis, std::int64_t(std::ceil(place)));
      if (how == "lower") return below;
      if (how == "higher") return above;
      if (how == "nearest") return at(sorted, axis, std::int64_t(std::nearbyint(place)));
      return below + (how == "midpoint" ? 0.5 : place - std::floor(place)) * (above - below);
    };
    const Value& q = *a.find(1, "q");
    if (!q.is_tensor()) return tensor_value(one(as_number(q)));
    Tensors all;
    for (double each : numbers_read(as_tensor(q))) all.push_back(one(each));
    return tensor_value(as_tensor(q).rank() == 0 ? all[0] : stack(all, 0));
  };
  t["searchsorted"] = [](const Args& a) {
    const Tensor sorted = a.tensor(0, "sorted_sequence"), values = a.tensor(1, "values");
    const Tensor v = expand_dims(values, -1);
    return tensor_value(sum(cast(a.flag(99, "right") ? sorted <= v : sorted < v, Dtype::i32), -1));
  };
}

}  // namespace

void add_statistics_functions(Table& t) {
  moments(t);
  cumulative(t);
  sorting(t);
}

}  // namespace tapeloop::testing::torch
