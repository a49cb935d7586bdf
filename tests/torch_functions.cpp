// The functions that derivative test cases written for PyTorch call, said in ops of ours. A new op needs one line here.
#include <algorithm>
#include <numeric>

#include "ad/arithmetic.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"
#include "torch_table.h"

namespace tapeloop::testing::torch {
Function unary(Tensor (*f)(const Operand&)) {
  return [f](const Args& a) { return tensor_value(f(floating(a.tensor(0, "input")))); };
}
namespace {
Function operation(const std::string& op) {
  return [op](const Args& a) {
    if (a.positional.size() > 1 || a.named.contains("other")) {
      // add and sub have a factor for the second operand.
      const Value* alpha = a.find(99, "alpha");
      const Value& other = *a.find(1, "other");
      return binary(op, a.positional[0], alpha ? binary("*", other, *alpha) : other);
    }
    throw BadCase(op + ": one operand");
  };
}
}  // namespace

Function pairwise(Tensor (*f)(const Operand&, const Operand&)) {
  return [f](const Args& a) {
    const auto [x, y] = promoted(a.positional.at(0), *a.find(1, "other"));
    return tensor_value(f(floating(x), floating(y)));
  };
}
Axes axes_of(const Args& a, std::size_t i) {
  const auto dims = a.integers(i, "dim");
  return dims.empty() ? Axes::everything() : Axes(std::vector<int>(dims.begin(), dims.end()));
}
bool keeps(const Args& a) { return a.flag(2, "keepdim"); }
Value reduced_loss(const Tensor& each, const Args& a, std::size_t i) {
  const std::string how = a.text(i, "reduction", "mean");
  return tensor_value(how == "sum" ? sum(each) : how == "mean" ? mean(each) : each);
}

namespace {

Shape shape_of(const std::vector<std::int64_t>& sizes) { return Shape(sizes.begin(), sizes.end()); }

// max and min: of everything, of two tensors, or along an axis with the places.
Value best(const Args& a, bool greatest) {
  const Value* second = a.find(1, "other");
  const Tensor x = a.tensor(0, "input");
  if (second && second->is_tensor()) {
    const auto [p, q] = promoted(a.positional[0], *second);
    return tensor_value(greatest ? maximum(p, q) : minimum(p, q));
  }
  const Axes axes = axes_of(a);
  const Tensor y = greatest ? max(x, axes, keeps(a)) : min(x, axes, keeps(a));
  if (axes.all) return tensor_value(y);
  const Tensor place = argmax(greatest ? x : -x, axes.list[0]);
  return list_value({tensor_value(y), tensor_value(keeps(a) ? expand_dims(place, axes.list[0]) : place)});
}

Value made(const Args& a, double value) {
  const Value* dtype = a.find(99, "dtype");
  return tensor_value(full(shape_of(a.integers(0, "size")), value, dtype ? *dtype->as<Dtype>() : Dtype::f64));
}
Value alike(const Args& a, double value) { return tensor_value(full_like(a.tensor(0, "input"), value)); }

Value same(const Args& a) { return tensor_value(a.tensor(0, "input")); }

void elementwise_functions(Table& t) {
  t["relu"] = unary(relu);
  t["abs"] = unary(abs);
  t["exp"] = unary(exp);
  t["log"] = unary(log);
  t["log1p"] = unary(log1p);
  t["expm1"] = unary(expm1);
  t["sqrt"] = unary(sqrt);
  t["rsqrt"] = unary(rsqrt);
  t["tanh"] = unary(tanh);
  t["sigmoid"] = unary(sigmoid);
  t["sin"] = unary(sin);
  t["cos"] = unary(cos);
  t["erf"] = unary(erf);
  t["floor"] = unary(floor);
  t["sign"] = unary(sign);
  t["square"] = unary(square);
  t["neg"] = unary(neg);
  t["isnan"] = unary(is_nan);
  t["softplus"] = [](const Args& a) {
    if (a.number(1, "beta", 1) != 1) throw NoSuchOp("softplus with beta");
    return tensor_value(softplus(a.tensor(0, "input")));
  };
  t["add"] = operation("+");
  t["sub"] = operation("-");
  t["mul"] = operation("*");
  t["div"] = operation("/");
  t["matmul"] = t["mm"] = t["mv"] = operation("@");
  t["pow"] = [](const Args& a) { return binary("**", a.positional.at(0), *a.find(1, "exponent")); };
  t["eq"] = operation("==");
  t["ne"] = operation("!=");
  t["lt"] = operation("<");
  t["le"] = operation("<=");
  t["gt"] = operation(">");
  t["ge"] = operation(">=");
  t["maximum"] = pairwise(maximum);
  t["minimum"] = pairwise(minimum);
  t["where"] = [](const Args& a) {
    const auto [x, y] = promoted(a.positional.at(1), a.positional.at(2));
    return tensor_value(where(a.tensor(0, "condition"), x, y));
  };
  t["masked_fill"] = [](const Args& a) {
    return tensor_value(where(a.tensor(1, "mask"), a.number(2, "value"), a.tensor(0, "input")));
  };
}

void reduction_functions(Table& t) {
  t["sum"] = [](const Args& a) {
    // Python's own sum of a sequence.
    if (const Value* first = a.find(0, "input"); first && first->as<List>()) {
      Value total{Number{0, true}};
      for (const Value& item : *first->as<List>()->items) total = binary("+", total, item);
      return total;
    }
    return tensor_value(sum(numeric(a.tensor(0, "input")), axes_of(a), keeps(a)));
  };
  t["mean"] = [](const Args& a) { return tensor_value(mean(a.tensor(0, "input"), axes_of(a), keeps(a))); };
  t["amax"] = [](const Args& a) { return tensor_value(max(a.tensor(0, "input"), axes_of(a), keeps(a))); };
  t["amin"] = [](const Args& a) { return tensor_value(min(a.tensor(0, "input"), axes_of(a), keeps(a))); };
  t["max"] = [](const Args& a) { return best(a, true); };
  t["min"] = [](const Args& a) { return best(a, false); };
  t["argmax"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(a.find(1, "dim") ? argmax(x, int(a.number(1, "dim"))) : argmax(reshape(x, {-1}), 0));
  };
  t["logsumexp"] = [](const Args& a) { return tensor_value(logsumexp(a.tensor(0, "input"), axes_of(a), keeps(a))); };
  t["softmax"] = [](const Args& a) { return tensor_value(softmax(a.tensor(0, "input"), int(a.number(1, "dim", -1)))); };
  t["log_softmax"] = [](const Args& a) {
    return tensor_value(log_softmax(a.tensor(0, "input"), int(a.number(1, "dim", -1))));
  };
  t["cross_entropy"] = [](const Args& a) {
    const Tensor each = -pick_along(log_softmax(a.tensor(0, "input"), 1), a.tensor(1, "target"), 1);
    return reduced_loss(each, a, 99);
  };
  t["nll_loss"] = [](const Args& a) {
    return reduced_loss(-pick_along(a.tensor(0, "input"), a.tensor(1, "target"), 1), a, 99);
  };
  t["mse_loss"] = [](const Args& a) {
    return reduced_loss(square(a.tensor(0, "input") - a.tensor(1, "target")), a, 2);
  };
  t["l1_loss"] = [](const Args& a) { return reduced_loss(abs(a.tensor(0, "input") - a.tensor(1, "target")), a, 2); };
}

void shape_functions(Table& t) {
  t["clone"] = t["contiguous"] = same;
  t["detach"] = [](const Args& a) { return tensor_value(stop_gradient(a.tensor(0, "input"))); };
  t["reshape"] =
      t["view"] = [](const Args& a) { return reshaped(a.positional.at(0), shape_of(a.integers(1, "shape"))); };
  t["flatten"] = t["ravel"] = [](const Args& a) { return reshaped(a.positional.at(0), {-1}); };
  t["t"] = t["T"] = t["mT"] = [](const Args& a) {
    const int rank = a.tensor(0, "input").rank();
    return rank < 2 ? a.positional[0] : transposed(a.positional[0], exchanged(rank, -2, -1));
  };
  t["transpose"] = [](const Args& a) {
    return transposed(a.positional.at(0),
                      exchanged(a.tensor(0, "input").rank(), int(a.number(1, "dim0")), int(a.number(2, "dim1"))));
  };
  t["permute"] = [](const Args& a) {
    const auto order = a.integers(1, "dims");
    return transposed(a.positional.at(0), std::vector<int>(order.begin(), order.end()));
  };
  t["unsqueeze"] = [](const Args& a) {
    const int axis = int(a.number(1, "dim"));
    return view(
        a.positional.at(0), [=](const Tensor& x) { return expand_dims(x, axis); },
        [=](const Tensor&, const Tensor& x) { return squeeze(x, axis); });
  };
  t["squeeze"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    Shape shape;
    for (int axis = 0; axis < x.rank(); ++axis) {
      const int wanted = int(a.number(1, "dim", 99));
      const bool named = wanted == 99 || axis == (wanted < 0 ? wanted + x.rank() : wanted);
      if (!(named && x.size(axis).value() == 1)) shape.push_back(x.size(axis));
    }
    return reshaped(a.positional[0], shape);
  };
  t["expand"] = t["broadcast_to"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    Shape shape = shape_of(a.integers(1, "size"));
    for (std::size_t i = 0; i < shape.size(); ++i)
      if (shape[i].value() == -1) shape[i] = x.size(int(i) - int(shape.size()));
    return tensor_value(broadcast_to(x, shape));
  };
  t["flip"] = [](const Args& a) {
    Tensor x = a.tensor(0, "input");
    for (std::int64_t axis : a.integers(1, "dims")) x = flip(x, int(axis));
    return tensor_value(x);
  };
  t["cat"] = t["concat"] = t["concatenate"] = [](const Args& a) {
    return tensor_value(concat(a.tensors(0, "tensors"), int(a.number(1, "dim", 0))));
  };
  t["stack"] = [](const Args& a) { return tensor_value(stack(a.tensors(0, "tensors"), int(a.number(1, "dim", 0)))); };
  t["split"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const int axis = int(a.number(2, "dim", 0));
    const std::int64_t n = x.size(axis).value();
    std::vector<std::int64_t> sizes;
    if (a.find(1, "split_size_or_sections")->as<List>())
      sizes = a.integers(1, "split_size_or_sections");
    else
      for (std::int64_t left = n, size = std::int64_t(a.number(1, "split_size_or_sections")); left > 0; left -= size)
        sizes.push_back(std::min(left, size));
    Values parts;
    std::int64_t start = 0;
    for (std::int64_t size : sizes) {
      parts.push_back(sliced(a.positional[0], axis < 0 ? axis + x.rank() : axis, start, start + size, 1));
      start += size;
    }
    return list_value(parts);
  };
  t["chunk"] = [](const Args& a) {
    Values parts;
    for (const Tensor& part : chunk(a.tensor(0, "input"), int(a.number(1, "chunks")), int(a.number(2, "dim", 0))))
      parts.push_back(tensor_value(part));
    return list_value(parts);
  };
  t["unbind"] = [](const Args& a) {
    Values rows;
    const int axis = int(a.number(1, "dim", 0));
    for (std::int64_t i = 0; i < a.tensor(0, "input").size(axis).value(); ++i)
      rows.push_back(picked(a.positional[0], axis, i));
    return list_value(rows);
  };
  t["select"] = [](const Args& a) {
    return picked(a.positional.at(0), int(a.number(1, "dim")), std::int64_t(a.number(2, "index")));
  };
  t["narrow"] = [](const Args& a) {
    const auto start = std::int64_t(a.number(2, "start"));
    return sliced(a.positional.at(0), int(a.number(1, "dim")), start, start + std::int64_t(a.number(3, "length")), 1);
  };
  t["unfold"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const int axis = int(a.number(1, "dimension"));
    const auto size = std::int64_t(a.number(2, "size")), step = std::int64_t(a.number(3, "step"));
    Tensors windows;
    for (std::int64_t i = 0; i + size <= x.size(axis).value(); i += step)
      windows.push_back(slice(x, axis, i, i + size));
    std::vector<int> order(std::size_t(x.rank()) + 1);  // the window's axis goes last
    std::iota(order.begin(), order.end(), 0);
    order.erase(order.begin() + axis + 1);
    order.push_back(axis + 1);
    return tensor_value(transpose(stack(windows, axis), order));
  };
}

void index_functions(Table& t) {
  t["index_select"] = [](const Args& a) {
    return tensor_value(gather(a.tensor(0, "input"), a.tensor(2, "index"), int(a.number(1, "dim"))));
  };
  t["embedding"] = [](const Args& a) { return tensor_value(gather(a.tensor(1, "weight"), a.tensor(0, "input"))); };
  t["index_add"] = [](const Args& a) {
    if (a.number(1, "dim") != 0) throw NoSuchOp("index_add along another axis");
    return tensor_value(scatter_add(a.tensor(2, "index"), a.tensor(3, "source"), a.tensor(0, "input")));
  };
  t["index_put"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const Tensor at = a.tensors(1, "indices").at(0), values = broadcast_to(a.tensor(2, "values"), at.shape());
    if (x.rank() != 1 || a.find(1, "indices")->as<List>()->items->size() != 1)
      throw NoSuchOp("index_put into a matrix");
    if (a.flag(3, "accumulate")) return tensor_value(scatter_add(at, values, x));
    const Tensor taken = scatter_add(at, ones_like(values), x.shape());
    return tensor_value(scatter_add(at, values, where(taken > 0, 0, x)));
  };
  t["one_hot"] = [](const Args& a) {
    return tensor_value(one_hot(a.tensor(0, "input"), std::int64_t(a.number(1, "num_classes")), Dtype::i32));
  };
}

void making_functions(Table& t) {
  t["tensor"] = t["as_tensor"] = [](const Args& a) {
    const Tensor x = as_tensor(a.positional.at(0));
    const Value* number = a.find(0, "data");
    const Tensor y = number && number->as<Number>() && number->as<Number>()->integral ? cast(x, Dtype::i32) : x;
    const Value* dtype = a.find(99, "dtype");
    return tensor_value(dtype ? cast(y, *dtype->as<Dtype>()) : y);
  };
  t["zeros"] = [](const Args& a) { return made(a, 0); };
  t["ones"] = [](const Args& a) { return made(a, 1); };
  t["full"] = [](const Args& a) {
    return tensor_value(full(shape_of(a.integers(0, "size")), a.number(1, "fill_value"), Dtype::f64));
  };
  t["zeros_like"] = [](const Args& a) { return alike(a, 0); };
  t["ones_like"] = [](const Args& a) { return alike(a, 1); };
  t["full_like"] = [](const Args& a) { return alike(a, a.number(1, "fill_value")); };
  t["zero"] = t["zeros_like"];
  t["fill"] = t["full_like"];
  t["copy"] = [](const Args& a) { return tensor_value(a.tensor(1, "src")); };
  t["eye"] = [](const Args& a) { return tensor_value(eye(std::int64_t(a.number(0, "n")), Dtype::f64)); };
  t["arange"] = [](const Args& a) {
    const bool integral = std::all_of(a.positional.begin(), a.positional.end(),
                                      [](const Value& v) { return v.as<Number>() && v.as<Number>()->integral; });
    const double first = a.positional.size() > 1 ? as_number(a.positional[0]) : 0,
                 last = as_number(a.positional.at(a.positional.size() > 1 ? 1 : 0));
    const double step = a.number(2, "step", 1);
    std::vector<double> numbers;
    for (int i = 0; first + i * step < last; ++i) numbers.push_back(first + i * step);
    return tensor_value(frozen(numbers, {std::int64_t(numbers.size())}, integral ? Dtype::i32 : Dtype::f64));
  };
  t["to"] = t["type"] = [](const Args& a) {
    const Value& to = a.positional.at(1);
    return tensor_value(cast(a.tensor(0, "input"), to.as<Dtype>() ? *to.as<Dtype>() : as_tensor(to).dtype()));
  };
  t["double"] = [](const Args& a) { return tensor_value(cast(a.tensor(0, "input"), Dtype::f64)); };
  t["float"] = [](const Args& a) { return tensor_value(cast(a.tensor(0, "input"), Dtype::f32)); };
  t["long"] = t["int"] = [](const Args& a) { return tensor_value(cast(a.tensor(0, "input"), Dtype::i32)); };
  t["bool"] = [](const Args& a) { return tensor_value(cast(a.tensor(0, "input"), Dtype::boolean)); };
}

// What is about numbers and lists, not tensors.
void python_functions(Table& t) {
  t["range"] = [](const Args& a) {
    const auto n = a.integers(0, "n");
    const std::int64_t start = n.size() > 1 ? n[0] : 0, stop = n.size() > 1 ? n[1] : n.at(0),
                       step = n.size() > 2 ? n[2] : 1;
    Values items;
    for (std::int64_t i = start; step > 0 ? i < stop : i > stop; i += step) items.push_back({Number{double(i), true}});
    return list_value(items);
  };
  t["len"] = [](const Args& a) {
    const List* list = a.positional.at(0).as<List>();
    return Value{Number{list ? double(list->items->size()) : double(a.tensor(0, "input").size(0).value()), true}};
  };
  t["zip"] = [](const Args& a) {
    Values rows;
    for (std::size_t i = 0;; ++i) {
      Values row;
      for (const Value& list : a.positional)
        if (i < list.as<List>()->items->size()) row.push_back((*list.as<List>()->items)[i]);
      if (row.size() != a.positional.size()) return list_value(rows);
      rows.push_back(list_value(row));
    }
  };
  t["enumerate"] = [](const Args& a) {
    Values rows;
    for (const Value& item : *a.positional.at(0).as<List>()->items)
      rows.push_back(list_value({{Number{double(rows.size()), true}}, item}));
    return list_value(rows);
  };
  t["reversed"] = [](const Args& a) {
    Values items = *a.positional.at(0).as<List>()->items;
    std::reverse(items.begin(), items.end());
    return list_value(items);
  };
  t["shape"] = t["size"] = [](const Args& a) {
    const std::vector<std::int64_t> sizes = values_of(a.tensor(0, "input").shape());
    Values items;
    for (std::int64_t n : sizes) items.push_back({Number{double(n), true}});
    return a.find(1, "dim") ? subscript(list_value(items), {*a.find(1, "dim")}) : list_value(items);
  };
  t["numel"] = [](const Args& a) { return Value{Number{double(a.tensor(0, "input").count()), true}}; };
  t["dim"] = t["ndim"] = [](const Args& a) { return Value{Number{double(a.tensor(0, "input").rank()), true}}; };
}

}  // namespace

const Function& function_named(const std::string& name) {
  static const Table table = [] {
    Table t;
    elementwise_functions(t);
    reduction_functions(t);
    shape_functions(t);
    index_functions(t);
    making_functions(t);
    python_functions(t);
    add_network_functions(t);
    return t;
  }();
  const auto found = table.find(name);
  if (found == table.end()) throw NoSuchOp(name);
  return found->second;
}

}  // namespace tapeloop::testing::torch
