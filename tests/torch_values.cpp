#include <algorithm>
#include <cmath>
#include <numeric>

#include "ad/arithmetic.h"
#include "ad/tape.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"
#include "torch_language.h"

namespace tapeloop::testing::torch {

// --- values --------------------------------------------------------------------------------------------------------------

Value tensor_value(const Tensor& t) { return {std::make_shared<Box>(Box{t, nullptr, {}, {}})}; }
Value list_value(Values items) { return {List{std::make_shared<Values>(std::move(items))}}; }

double as_number(const Value& value) {
  if (const Number* n = value.as<Number>()) return n->value;
  if (const bool* b = value.as<bool>()) return *b ? 1 : 0;
  if (value.is_tensor()) {
    if (as_tensor(value).count() != 1) throw BadCase("a number is needed, not " + to_string(as_tensor(value).type()));
    return numbers_read(as_tensor(value))[0];
  }
  throw BadCase("a number is needed");
}

bool truth(const Value& value) {
  if (value.is_none()) return false;
  if (const List* list = value.as<List>()) return !list->items->empty();
  return as_number(value) != 0;
}

Tensor frozen(const std::vector<double>& numbers, const Shape& shape, Dtype dtype) {
  Tensor t = Tensor::of(numbers, shape);
  if (dtype != Dtype::f64) t = dtype == Dtype::boolean ? (t != 0) : cast(t, dtype);
  return constant(t.materialized());
}

namespace {

void flatten(const Value& value, Shape& shape, std::size_t depth, std::vector<double>& numbers, bool& integral,
             bool& boolean) {
  if (const List* list = value.as<List>()) {
    if (shape.size() == depth) shape.push_back(std::int64_t(list->items->size()));
    for (const Value& item : *list->items) flatten(item, shape, depth + 1, numbers, integral, boolean);
    return;
  }
  const Number* n = value.as<Number>();
  integral = integral && (n ? n->integral : value.as<bool>() != nullptr);
  boolean = boolean && value.as<bool>();
  numbers.push_back(as_number(value));
}

Tensor tensor_of(const Value& value) {
  Shape shape;
  std::vector<double> numbers;
  bool integral = true, boolean = true;
  flatten(value, shape, 0, numbers, integral, boolean);
  return frozen(numbers, shape,
                numbers.empty() ? Dtype::f64
                : boolean       ? Dtype::boolean
                : integral      ? Dtype::i32
                                : Dtype::f64);
}

int rank_of(Dtype dtype) { return dtype == Dtype::boolean ? 0 : is_integer(dtype) ? 1 : dtype == Dtype::f32 ? 2 : 3; }
Dtype wider(Dtype a, Dtype b) { return rank_of(a) < rank_of(b) ? b : a; }

}  // namespace

Tensor floating(const Tensor& t) { return is_float(t.dtype()) ? t : cast(t, Dtype::f64); }
Tensor numeric(const Tensor& t) { return t.dtype() == Dtype::boolean ? cast(t, Dtype::i32) : t; }

Tensor as_tensor(const Value& value, Dtype like) {
  if (const BoxPtr* box = value.as<BoxPtr>()) return (*box)->read();
  if (value.as<Number>() || value.as<bool>()) return frozen({as_number(value)}, {}, like);
  if (value.as<List>()) return tensor_of(value);
  throw BadCase("a tensor is needed");
}

Value view(const Value& of, std::function<Tensor(const Tensor&)> get,
           std::function<Tensor(const Tensor&, const Tensor&)> put) {
  if (const BoxPtr* box = of.as<BoxPtr>())
    return {std::make_shared<Box>(Box{Tensor(), *box, std::move(get), std::move(put)})};
  return tensor_value(get(as_tensor(of)));
}

namespace {

// The part of `parent` along `axis` from `start` by `step`, replaced.
Tensor with_part(const Tensor& parent, int axis, std::int64_t start, std::int64_t step, const Tensor& part) {
  const std::int64_t n = parent.size(axis).value(), count = part.size(axis).value();
  Tensors rows;
  std::int64_t next = start;
  for (std::int64_t i = 0, taken = 0; i < n; ++i) {
    const bool is_new = taken < count && i == next;
    rows.push_back(is_new ? slice(part, axis, taken, taken + 1) : slice(parent, axis, i, i + 1));
    if (is_new) ++taken, next += step;
  }
  return concat(rows, axis);
}

}  // namespace

Value sliced(const Value& of, int axis, std::int64_t start, std::int64_t stop, std::int64_t step) {
  return view(
      of, [=](const Tensor& t) { return slice(t, axis, start, stop, step); },
      [=](const Tensor& parent, const Tensor& part) {
        const std::int64_t n = parent.size(axis).value();
        return with_part(parent, axis, std::clamp<std::int64_t>(start < 0 ? start + n : start, 0, n), step, part);
      });
}
Value picked(const Value& of, int axis, std::int64_t index) {
  return view(
      of, [=](const Tensor& t) { return at(t, axis, index); },
      [=](const Tensor& parent, const Tensor& part) {
        return with_part(parent, axis, index < 0 ? index + parent.size(axis).value() : index, 1,
                         expand_dims(part, axis));
      });
}
Value reshaped(const Value& of, const Shape& shape) {
  return view(
      of, [=](const Tensor& t) { return reshape(t, shape); },
      [](const Tensor& parent, const Tensor& part) { return reshape(part, parent.shape()); });
}
Value transposed(const Value& of, const std::vector<int>& order) {
  std::vector<int> inverse(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    inverse.at(std::size_t(order[i] < 0 ? order[i] + int(order.size()) : order[i])) = int(i);
  return view(
      of, [=](const Tensor& t) { return transpose(t, order); },
      [=](const Tensor&, const Tensor& part) { return transpose(part, inverse); });
}

std::vector<int> exchanged(int rank, int a, int b) {
  std::vector<int> order(std::size_t(rank), 0);
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[std::size_t(a < 0 ? a + rank : a)], order[std::size_t(b < 0 ? b + rank : b)]);
  return order;
}

Values items_of(const Value& value) {
  if (const List* list = value.as<List>()) return *list->items;
  if (const std::string* text = value.as<std::string>()) {
    Values letters;
    for (char c : *text) letters.push_back({std::string(1, c)});
    return letters;
  }
  if (const BoxPtr* box = value.as<BoxPtr>()) {
    Values rows;
    const std::int64_t n = (*box)->read().size(0).value();
    for (std::int64_t i = 0; i < n; ++i) rows.push_back(subscript(value, {{Number{double(i), true}}}));
    return rows;
  }
  throw BadCase("this is no sequence");
}

// --- arguments -------------------------------------------------------------------------------------------------------------

const Value* Args::find(std::size_t i, const std::string& name) const {
  const auto it = named.find(name);
  const Value* value = it != named.end() ? &it->second : i < positional.size() ? &positional[i] : nullptr;
  return value && value->is_none() ? nullptr : value;
}
Tensor Args::tensor(std::size_t i, const std::string& name) const {
  const Value* value = find(i, name);
  if (!value) throw BadCase(function + ": no " + name);
  return as_tensor(*value);
}
double Args::number(std::size_t i, const std::string& name) const {
  const Value* value = find(i, name);
  if (!value) throw BadCase(function + ": no " + name);
  return as_number(*value);
}
double Args::number(std::size_t i, const std::string& name, double missing) const {
  const Value* value = find(i, name);
  return value ? as_number(*value) : missing;
}
bool Args::flag(std::size_t i, const std::string& name, bool missing) const {
  const Value* value = find(i, name);
  return value ? truth(*value) : missing;
}
std::string Args::text(std::size_t i, const std::string& name, const std::string& missing) const {
  const Value* value = find(i, name);
  return value && value->as<std::string>() ? *value->as<std::string>() : missing;
}
std::vector<std::int64_t> Args::integers(std::size_t i, const std::string& name) const {
  std::vector<std::int64_t> result;
  const Value* value = find(i, name);
  if (!value) return result;
  if (const List* list = value->as<List>()) {
    for (const Value& item : *list->items) result.push_back(std::int64_t(as_number(item)));
  } else if (named.contains(name)) {
    result.push_back(std::int64_t(as_number(*value)));
  } else {
    for (; i < positional.size() && positional[i].as<Number>(); ++i)
      result.push_back(std::int64_t(as_number(positional[i])));
  }
  return result;
}
std::vector<Tensor> Args::tensors(std::size_t i, const std::string& name) const {
  const Value* value = find(i, name);
  if (!value || !value->as<List>()) throw BadCase(function + ": a list of tensors is needed");
  std::vector<Tensor> result;
  for (const Value& item : *value->as<List>()->items) result.push_back(as_tensor(item));
  return result;
}

// --- arithmetic --------------------------------------------------------------------------------------------------------------

// Two operands in one dtype. A number takes the tensor's dtype, or makes integers floating-point when it is a fraction.
std::pair<Tensor, Tensor> promoted(const Value& a, const Value& b) {
  auto dtype_with = [](const Value& tensor, const Value& other) {
    const Dtype dtype = as_tensor(tensor).dtype();
    const Number* n = other.as<Number>();
    return n && !n->integral && !is_float(dtype) ? Dtype::f64 : n && dtype == Dtype::boolean ? Dtype::i32 : dtype;
  };
  Dtype dtype = Dtype::f64;
  if (a.is_tensor() && b.is_tensor())
    dtype = wider(as_tensor(a).dtype(), as_tensor(b).dtype());
  else if (a.is_tensor())
    dtype = dtype_with(a, b);
  else if (b.is_tensor())
    dtype = dtype_with(b, a);
  return {cast(as_tensor(a, dtype), dtype), cast(as_tensor(b, dtype), dtype)};
}

namespace {

Value on_numbers(const std::string& op, const Value& a, const Value& b) {
  const double x = as_number(a), y = as_number(b);
  const bool integral =
      !(a.as<Number>() && !a.as<Number>()->integral) && !(b.as<Number>() && !b.as<Number>()->integral);
  if (op == "+") return {Number{x + y, integral}};
  if (op == "-") return {Number{x - y, integral}};
  if (op == "*") return {Number{x * y, integral}};
  if (op == "/") return {Number{x / y, false}};
  if (op == "//") return {Number{std::floor(x / y), integral}};
  if (op == "%") return {Number{x - y * std::floor(x / y), integral}};
  if (op == "**") return {Number{std::pow(x, y), integral && y >= 0}};
  if (op == "<") return {x < y};
  if (op == "<=") return {x <= y};
  if (op == ">") return {x > y};
  if (op == ">=") return {x >= y};
  if (op == "==") return {x == y};
  if (op == "!=") return {x != y};
  if (op == "&") return {x != 0 && y != 0};
  if (op == "|") return {x != 0 || y != 0};
  throw BadCase("operator " + op);
}

}  // namespace

Value binary(const std::string& op, const Value& a, const Value& b) {
  if (a.as<List>() && b.as<List>() && op == "+") {
    Values joined = *a.as<List>()->items;
    joined.insert(joined.end(), b.as<List>()->items->begin(), b.as<List>()->items->end());
    return list_value(joined);
  }
  if (a.as<List>() && b.as<Number>() && op == "*") {
    Values repeated;
    for (int i = 0; i < int(as_number(b)); ++i)
      repeated.insert(repeated.end(), a.as<List>()->items->begin(), a.as<List>()->items->end());
    return list_value(repeated);
  }
  if (const std::string *p = a.as<std::string>(), *q = b.as<std::string>(); p && q) {
    if (op == "+") return {*p + *q};
    return {op == "==" ? *p == *q : *p != *q};
  }
  const bool is_dtype = a.as<Dtype>() && b.as<Dtype>();
  if (is_dtype) return {(op == "==") == (*a.as<Dtype>() == *b.as<Dtype>())};
  if (!a.is_tensor() && !b.is_tensor()) return on_numbers(op, a, b);
  if (op == "**" && b.as<Number>()) return tensor_value(pow(floating(as_tensor(a)), as_number(b)));
  const auto [x, y] = promoted(a, b);
  if (op == "==") return tensor_value(x == y);
  if (op == "!=") return tensor_value(x != y);
  if (op == "&") return tensor_value(logical_and(x, y));
  if (op == "|") return tensor_value(logical_or(x, y));
  if (op == "^") return tensor_value(logical_xor(x, y));
  const Tensor p = numeric(x), q = numeric(y);
  if (op == "+") return tensor_value(p + q);
  if (op == "-") return tensor_value(p - q);
  if (op == "*") return tensor_value(p * q);
  if (op == "<") return tensor_value(p < q);
  if (op == "<=") return tensor_value(p <= q);
  if (op == ">") return tensor_value(p > q);
  if (op == ">=") return tensor_value(p >= q);
  if (op == "/") return tensor_value(floating(p) / floating(q));
  if (op == "//") return tensor_value(floor_divide(p, q));
  if (op == "%") return tensor_value(remainder(p, q));
  if (op == "**") return tensor_value(pow(floating(p), floating(q)));
  if (op == "@") return tensor_value(matmul(floating(p), floating(q)));
  throw NoSuchOp("operator " + op);
}

}  // namespace tapeloop::testing::torch
