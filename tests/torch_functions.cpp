// The functions that derivative test cases written for PyTorch call, said in ops of ours. A new op needs one line here.
#include <algorithm>
#include <cmath>
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

// The first place of the greatest (smallest) element: along an axis, or of all.
Value best_place(const Args& a, bool greatest) {
  const Tensor x = numeric(a.tensor(0, "input"));
  if (!a.find(1, "dim")) {
    const Tensor all = reshape(x, {-1});
    return tensor_value(greatest ? argmax(all, 0) : argmin(all, 0));
  }
  const int axis = int(a.number(1, "dim")), from = axis < 0 ? axis + x.rank() : axis;
  const Tensor place = greatest ? argmax(x, axis) : argmin(x, axis);
  return tensor_value(keeps(a) ? expand_dims(place, from) : place);
}

// max and min: of everything, of two tensors, or along an axis with the places: there the gradient goes to the place alone.
Value best(const Args& a, bool greatest) {
  const Value* second = a.find(1, "other");
  if (a.positional.size() > 1 && !a.positional[0].is_tensor() && !a.positional[0].as<List>()) {
    // Python's own, of numbers.
    Value most = a.positional[0];
    for (const Value& v : a.positional)
      if (greatest ? as_number(v) > as_number(most) : as_number(v) < as_number(most)) most = v;
    return most;
  }
  if (const List* list = a.positional.at(0).as<List>()) {
    Value most = list->items->at(0);
    for (const Value& v : *list->items)
      if (truth(binary(greatest ? ">" : "<", v, most))) most = v;
    return most;
  }
  const Tensor x = a.tensor(0, "input");
  if (second && second->is_tensor()) {
    const auto [p, q] = promoted(a.positional[0], *second);
    return tensor_value(greatest ? maximum(p, q) : minimum(p, q));
  }
  const Axes axes = axes_of(a);
  if (axes.all) return tensor_value(greatest ? max(x) : min(x));
  if (x.rank() == 0) return list_value({a.positional[0], tensor_value(frozen({0}, {}, Dtype::i32))});
  const int axis = axes.list.at(0) < 0 ? axes.list[0] + x.rank() : axes.list[0];
  const Tensor place = expand_dims(greatest ? argmax(x, axis) : argmin(x, axis), axis);
  const Tensor value = take_along(x, place, axis);
  return list_value(
      {tensor_value(keeps(a) ? value : squeeze(value, axis)), tensor_value(keeps(a) ? place : squeeze(place, axis))});
}

Value made(const Args& a, double value) {
  const Value* dtype = a.find(99, "dtype");
  return tensor_value(full(shape_of(a.integers(0, "size")), value, dtype ? *dtype->as<Dtype>() : Dtype::f64));
}
Args without_self(const Args& a) { return {a.function, {a.positional.begin() + 1, a.positional.end()}, a.named}; }
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
  t["neg"] = t["negative"] = unary(neg);
  t["absolute"] = t["fabs"] = t["abs"];
  t["isnan"] = unary(is_nan);
  t["softplus"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const double beta = a.number(1, "beta", 1), threshold = a.number(2, "threshold", 20);
    const Tensor scaled = beta == 1 ? x : x * beta, y = softplus(scaled);
    // Beyond the threshold it is x itself; by default that is the same to rounding.
    return tensor_value(beta == 1 && threshold == 20 ? y : where(scaled > threshold, x, y / beta));
  };
  t["add"] = operation("+");
  t["sub"] = t["subtract"] = operation("-");
  t["mul"] = t["multiply"] = operation("*");
  t["div"] = t["divide"] = t["true_divide"] = [](const Args& a) {
    const std::string mode = a.text(2, "rounding_mode", "");
    if (mode == "floor") return binary("//", a.positional.at(0), *a.find(1, "other"));
    const Value quotient = binary("/", a.positional.at(0), *a.find(1, "other"));
    return mode == "trunc" ? tensor_value(trunc(as_tensor(quotient))) : quotient;
  };
  t["matmul"] = t["mm"] = t["mv"] = t["bmm"] = [](const Args& a) {
    const Value* other = a.find(1, a.function == "matmul" ? "other" : a.function == "mv" ? "vec" : "mat2");
    return binary("@", a.positional.at(0), other ? *other : *a.find(1, "other"));
  };
  t["pow"] = t["float_power"] = [](const Args& a) { return binary("**", a.positional.at(0), *a.find(1, "exponent")); };
  t["eq"] = operation("==");
  t["ne"] = operation("!=");
  t["lt"] = operation("<");
  t["le"] = operation("<=");
  t["gt"] = operation(">");
  t["ge"] = operation(">=");
  t["maximum"] = pairwise(maximum);
  t["minimum"] = pairwise(minimum);
  t["where"] = [](const Args& a) {
    if (a.positional.size() == 1) return function_named("nonzero")({"nonzero", a.positional, {{"as_tuple", {true}}}});
    if (a.function == "where" && a.positional.at(0).is_tensor() && a.positional.size() == 3 &&
        as_tensor(a.positional[0]).dtype() != Dtype::boolean && as_tensor(a.positional[1]).dtype() == Dtype::boolean) {
      // x.where(condition, y)
      const auto [x, y] = promoted(a.positional[0], a.positional[2]);
      return tensor_value(where(as_tensor(a.positional[1]), x, y));
    }
    const auto [x, y] = promoted(a.positional.at(1), a.positional.at(2));
    return tensor_value(where(a.tensor(0, "condition"), x, y));
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
  t["mean"] = [](const Args& a) { return tensor_value(mean(floating(a.tensor(0, "input")), axes_of(a), keeps(a))); };
  t["amax"] = [](const Args& a) { return tensor_value(max(a.tensor(0, "input"), axes_of(a), keeps(a))); };
  t["amin"] = [](const Args& a) { return tensor_value(min(a.tensor(0, "input"), axes_of(a), keeps(a))); };
  t["max"] = [](const Args& a) { return best(a, true); };
  t["min"] = [](const Args& a) { return best(a, false); };
  t["argmax"] = [](const Args& a) { return best_place(a, true); };
  t["argmin"] = [](const Args& a) { return best_place(a, false); };
  t["logsumexp"] = [](const Args& a) { return tensor_value(logsumexp(a.tensor(0, "input"), axes_of(a), keeps(a))); };
  t["softmax"] = [](const Args& a) { return tensor_value(softmax(a.tensor(0, "input"), int(a.number(1, "dim", -1)))); };
  t["softmin"] = [](const Args& a) {
    return tensor_value(softmax(-a.tensor(0, "input"), int(a.number(1, "dim", -1))));
  };
  t["log_softmax"] = [](const Args& a) {
    return tensor_value(log_softmax(a.tensor(0, "input"), int(a.number(1, "dim", -1))));
  };
}

void shape_functions(Table& t) {
  t["clone"] = same;
  // These give the tensor itself where nothing has to be done.
  t["contiguous"] = t["cpu"] = t["positive"] = [](const Args& a) { return a.positional.at(0); };
  t["detach"] = [](const Args& a) { return tensor_value(stop_gradient(a.tensor(0, "input"))); };
  t["reshape"] = t["view"] = t["_unsafe_view"] = [](const Args& a) {
    if (a.find(1, "dtype") && a.find(1, "dtype")->as<Dtype>()) throw NoSuchOp("view of another dtype");
    return reshaped(a.positional.at(0), shape_of(a.integers(1, a.named.contains("size") ? "size" : "shape")));
  };
  t["flatten"] = t["ravel"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const int first = int(a.number(1, "start_dim", 0)), last = int(a.number(2, "end_dim", -1));
    const int from = first < 0 ? first + x.rank() : first, to = last < 0 ? last + x.rank() : last;
    Shape shape;
    for (int i = 0; i < from; ++i) shape.push_back(x.size(i));
    std::int64_t flat = 1;
    for (int i = from; i <= to; ++i) flat *= x.size(i).value();
    shape.push_back(flat);
    for (int i = to + 1; i < x.rank(); ++i) shape.push_back(x.size(i));
    return reshaped(a.positional[0], shape);
  };
  t["t"] = t["T"] = t["mT"] = t["H"] = t["mH"] = t["adjoint"] = [](const Args& a) {
    const int rank = a.tensor(0, "input").rank();
    return rank < 2 ? a.positional[0] : transposed(a.positional[0], exchanged(rank, -2, -1));
  };
  t["transpose"] = t["swapaxes"] = t["swapdims"] = [](const Args& a) {
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
    const char* name = a.named.contains("split_size") ? "split_size" : "split_size_or_sections";
    if (a.find(1, name)->as<List>())
      sizes = a.integers(1, name);
    else
      for (std::int64_t left = n, size = std::int64_t(a.number(1, name)); left > 0; left -= size)
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
    const Value dim{Number{a.number(2, "dim", 0), true}};
    const double n = double(a.tensor(0, "input").size(int(a.number(2, "dim", 0))).value());
    const Value size{Number{std::ceil(n / a.number(1, "chunks")), true}};
    return function_named("split")({"split", {a.positional.at(0), size, dim}, {}});
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
    const int given = int(a.number(1, "dimension")), axis = given < 0 ? given + x.rank() : given;
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
  t["split_with_sizes"] = t["split"];
  t["broadcast_tensors"] = [](const Args& a) {
    Tensor total = zeros({}, Dtype::f64);
    for (std::size_t i = 0; i < a.positional.size(); ++i) total = total + 0 * floating(a.tensor(i, "tensors"));
    Values all;
    for (const Value& v : a.positional) all.push_back(tensor_value(broadcast_to(as_tensor(v), total.shape())));
    return list_value(all);
  };
  t["equal"] = [](const Args& a) {
    const Tensor x = floating(a.tensor(0, "input")), y = floating(a.tensor(1, "other"));
    if (values_of(x.shape()) != values_of(y.shape())) return Value{false};
    return Value{numbers_read(all(x == y))[0] != 0};
  };
  t["allclose"] = [](const Args& a) {
    const Tensor x = floating(a.tensor(0, "input")), y = floating(a.tensor(1, "other"));
    return Value{numbers_read(all(abs(x - y) <= a.number(3, "atol", 1e-8) + a.number(2, "rtol", 1e-5) * abs(y)))[0] !=
                 0};
  };
}

void making_functions(Table& t) {
  t["tensor"] = t["as_tensor"] = [](const Args& a) {
    const Tensor x = as_tensor(a.positional.at(0));
    const Value* number = a.find(0, "data");
    const bool integral = number && number->as<Number>() && number->as<Number>()->integral;
    const Tensor y = integral ? cast(x, Dtype::i32) : number && number->as<bool>() ? cast(x, Dtype::boolean) : x;
    const Value* dtype = a.find(99, "dtype");
    return tensor_value(dtype ? cast(y, *dtype->as<Dtype>()) : y);
  };
  t["zeros"] = [](const Args& a) { return made(a, 0); };
  t["ones"] = [](const Args& a) { return made(a, 1); };
  t["full"] = [](const Args& a) {
    const Value* value = a.find(1, "fill_value");
    if (value && value->is_tensor())
      return tensor_value(broadcast_to(as_tensor(*value), shape_of(a.integers(0, "size"))));
    return tensor_value(full(shape_of(a.integers(0, "size")), a.number(1, "fill_value"), Dtype::f64));
  };
  t["empty"] = t["new_zeros"] = [](const Args& a) { return made(a.function == "empty" ? a : without_self(a), 0); };
  t["new_ones"] = [](const Args& a) { return made(without_self(a), 1); };
  t["new_tensor"] = [](const Args& a) { return tensor_value(as_tensor(a.positional.at(1))); };
  t["scalar_tensor"] = [](const Args& a) { return tensor_value(as_tensor(a.positional.at(0))); };
  t["empty_like"] = [](const Args& a) { return alike(a, 0); };
  t["linspace"] = [](const Args& a) {
    return tensor_value(
        linspace(a.number(0, "start"), a.number(1, "end"), std::int64_t(a.number(2, "steps")), Dtype::f64));
  };
  t["zeros_like"] = [](const Args& a) { return alike(a, 0); };
  t["ones_like"] = [](const Args& a) { return alike(a, 1); };
  t["full_like"] = t["fill"] = [](const Args& a) {
    const Value* value = a.find(1, a.named.contains("value") ? "value" : "fill_value");
    if (!value) throw BadCase("fill: no value");
    return tensor_value(broadcast_to(as_tensor(*value, a.tensor(0, "input").dtype()), a.tensor(0, "input").shape()));
  };
  t["zero"] = t["zeros_like"];
  t["copy"] = [](const Args& a) { return tensor_value(a.tensor(1, "src")); };
  t["eye"] = [](const Args& a) {
    const auto n = std::int64_t(a.number(0, "n")), m = std::int64_t(a.number(1, "m", double(n)));
    const Tensor square = eye(std::max(n, m), Dtype::f64);
    return tensor_value(slice(slice(square, 0, 0, n), 1, 0, m));
  };
  t["arange"] = [](const Args& a) {
    const bool integral = std::all_of(a.positional.begin(), a.positional.end(),
                                      [](const Value& v) { return v.as<Number>() && v.as<Number>()->integral; });
    const double first = a.positional.size() > 1 ? as_number(a.positional[0]) : 0,
                 last = as_number(a.positional.at(a.positional.size() > 1 ? 1 : 0));
    const double step = a.number(2, "step", 1);
    std::vector<double> numbers;
    for (int i = 0; step > 0 ? first + i * step < last : first + i * step > last; ++i)
      numbers.push_back(first + i * step);
    const Value* dtype = a.find(99, "dtype");
    return tensor_value(frozen(numbers, {std::int64_t(numbers.size())},
                               dtype      ? *dtype->as<Dtype>()
                               : integral ? Dtype::i32
                                          : Dtype::f64));
  };
  t["type_as"] = t["to"] = t["type"] = [](const Args& a) {
    const Value& to = a.positional.size() > 1 ? a.positional[1] : *a.find(1, "dtype");
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
        if (const Values items = items_of(list); i < items.size()) row.push_back(items[i]);
      if (row.size() != a.positional.size()) return list_value(rows);
      rows.push_back(list_value(row));
    }
  };
  t["enumerate"] = [](const Args& a) {
    Values rows;
    for (const Value& item : items_of(a.positional.at(0)))
      rows.push_back(list_value({{Number{double(rows.size()), true}}, item}));
    return list_value(rows);
  };
  t["reversed"] = [](const Args& a) {
    Values items = items_of(a.positional.at(0));
    std::reverse(items.begin(), items.end());
    return list_value(items);
  };
  t["list"] = t["tuple"] = t["tolist"] = [](const Args& a) { return list_value(items_of(a.positional.at(0))); };
  t["shape"] = t["size"] = [](const Args& a) {
    const std::vector<std::int64_t> sizes = values_of(a.tensor(0, "input").shape());
    Values items;
    for (std::int64_t n : sizes) items.push_back({Number{double(n), true}});
    return a.find(1, "dim") ? subscript(list_value(items), {*a.find(1, "dim")}) : list_value(items);
  };
  t["numel"] = [](const Args& a) { return Value{Number{double(a.tensor(0, "input").count()), true}}; };
  t["nelement"] = t["numel"];
  t["ndimension"] = t["dim"] =
      t["ndim"] = [](const Args& a) { return Value{Number{double(a.tensor(0, "input").rank()), true}}; };
}

const Table& table() {
  static const Table table = [] {
    Table t;
    elementwise_functions(t);
    reduction_functions(t);
    shape_functions(t);
    making_functions(t);
    python_functions(t);
    add_network_functions(t);
    add_index_functions(t);
    add_special_functions(t);
    add_statistics_functions(t);
    add_linear_functions(t);
    add_view_functions(t);
    add_loss_functions(t);
    return t;
  }();
  return table;
}

}  // namespace

bool is_function(const std::string& name) { return table().contains(name); }

const Function& function_named(const std::string& name) {
  const auto found = table().find(name);
  if (found == table().end()) throw NoSuchOp(name);
  return found->second;
}

}  // namespace tapeloop::testing::torch
