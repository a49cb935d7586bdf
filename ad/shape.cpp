#include "ad/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace tapeloop {
namespace {

std::shared_ptr<Symbol> root_of(std::shared_ptr<Symbol> node) {
  while (node && node->parent) node = node->parent;
  return node;
}

void pin_leaves(const std::shared_ptr<Symbol>& root) {
  if (root->pinned) return;
  root->pinned = true;
  if (root->form) {
    (void)root->a.pin();
    (void)root->b.pin();
  }
}

std::int64_t apply(char form, std::int64_t a, std::int64_t b) {
  switch (form) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    case '<':
      return std::min(a, b);
    case '>':
      return std::max(a, b);
    default:
      return a % b;
  }
}

}  // namespace

Extent Extent::symbol(std::int64_t value) {
  Extent extent(value);
  if (value != 1) {
    extent.symbol_ = std::make_shared<Symbol>();
    extent.symbol_->value = value;
  }
  return extent;
}

std::int64_t Extent::pin() const {
  if (symbol_) pin_leaves(root_of(symbol_));
  return value_;
}

bool Extent::is_number() const { return resolved().symbol_ == nullptr; }

Extent Extent::resolved() const {
  if (!symbol_) return *this;
  std::shared_ptr<Symbol> root = root_of(symbol_);
  if (root->pinned || (root->form && root->a.is_number() && root->b.is_number())) return Extent(value_);
  Extent result(value_);
  result.symbol_ = std::move(root);
  return result;
}

const Symbol* Extent::symbol() const { return resolved().symbol_.get(); }

Extent Extent::derive(Form form, const Extent& a, const Extent& b) {
  const Extent x = a.resolved(), y = b.resolved();
  Extent result(apply(char(form), x.value_, y.value_));
  if (!x.symbol_ && !y.symbol_) return result;
  // The neutral elements, so that a shape that was taken apart and put together again is the same shape.
  if (form == Form::mul && !x.symbol_ && x.value_ == 1) return y;
  if ((form == Form::mul || form == Form::div) && !y.symbol_ && y.value_ == 1) return x;
  if ((form == Form::add || form == Form::sub) && !y.symbol_ && y.value_ == 0) return x;
  if (form == Form::add && !x.symbol_ && x.value_ == 0) return y;
  if (form == Form::mul && ((!x.symbol_ && x.value_ == 0) || (!y.symbol_ && y.value_ == 0))) return Extent(0);
  // (a + b) - b and (a - b) + b
  if ((form == Form::sub || form == Form::add) && x.symbol_ && x.symbol_->form) {
    const Form inverse = form == Form::sub ? Form::add : Form::sub;
    if (*x.symbol_->form == inverse && x.symbol_->b == y) return x.symbol_->a.resolved();
    if (form == Form::sub && inverse == Form::add && *x.symbol_->form == inverse && x.symbol_->a == y)
      return x.symbol_->b.resolved();
  }
  // b + (a - b) and a - (a - b)
  if (form == Form::sub && y.symbol_ && y.symbol_->form == Form::sub && y.symbol_->a == x)
    return y.symbol_->b.resolved();
  if (form == Form::add && y.symbol_ && y.symbol_->form == Form::sub && y.symbol_->b == x)
    return y.symbol_->a.resolved();
  if (form == Form::sub && x == y) return Extent(0);
  result.symbol_ = std::make_shared<Symbol>();
  result.symbol_->value = result.value_;
  result.symbol_->form = form;
  result.symbol_->a = x;
  result.symbol_->b = y;
  return result;
}

Extent operator+(const Extent& a, const Extent& b) { return Extent::derive(Extent::Form::add, a, b); }
Extent operator-(const Extent& a, const Extent& b) { return Extent::derive(Extent::Form::sub, a, b); }
Extent operator*(const Extent& a, const Extent& b) { return Extent::derive(Extent::Form::mul, a, b); }
Extent operator/(const Extent& a, const Extent& b) { return Extent::derive(Extent::Form::div, a, b); }
Extent operator%(const Extent& a, const Extent& b) { return Extent::derive(Extent::Form::mod, a, b); }
Extent min(const Extent& a, const Extent& b) { return Extent::derive(Extent::Form::min, a, b); }
Extent max(const Extent& a, const Extent& b) { return Extent::derive(Extent::Form::max, a, b); }

bool operator==(const Extent& a, const Extent& b) {
  if (!a.symbol_ && !b.symbol_) return a.value_ == b.value_;
  const Extent x = a.resolved(), y = b.resolved();
  if (!x.symbol_ || !y.symbol_) return !x.symbol_ && !y.symbol_ && x.value_ == y.value_;
  if (x.symbol_ == y.symbol_) return true;
  return x.symbol_->form && x.symbol_->form == y.symbol_->form && x.symbol_->a == y.symbol_->a &&
         x.symbol_->b == y.symbol_->b;
}

std::optional<Extent> agree(const Extent& a, const Extent& b) {
  if (a.value_ != b.value_) return std::nullopt;
  if (!a.symbol_ && !b.symbol_) return a;
  const Extent x = a.resolved(), y = b.resolved();
  if (x == y) return x;
  const bool leaves = x.symbol_ && y.symbol_ && !x.symbol_->form && !y.symbol_->form;
  if (leaves) {
    y.symbol_->parent = x.symbol_;
    return x;
  }
  // A number, or an expression that is not the same by name: all that is known is that the values agree now.
  (void)x.pin();
  (void)y.pin();
  return Extent(a.value_);
}

std::string to_string(const Extent& extent) {
  return extent.is_number() ? fmt::format("{}", extent.value()) : fmt::format("n{}", extent.value());
}

std::int64_t evaluate(const Extent& extent, const std::function<std::int64_t(const Symbol*)>& leaf) {
  const Extent x = extent.resolved();
  const Symbol* symbol = x.symbol();
  if (!symbol) return x.value();
  if (!symbol->form) return leaf(symbol);
  return apply(char(*symbol->form), evaluate(symbol->a, leaf), evaluate(symbol->b, leaf));
}

std::int64_t count_of(const Shape& shape) {
  std::int64_t count = 1;
  for (const Extent& extent : shape) count *= extent.value();
  return count;
}

Extent extent_product(const Shape& shape) {
  Extent product = 1;
  for (const Extent& extent : shape) product = product * extent;
  return product;
}

std::vector<std::int64_t> values_of(const Shape& shape) {
  std::vector<std::int64_t> values;
  for (const Extent& extent : shape) values.push_back(extent.value());
  return values;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(values_of(shape), ", ")); }

std::optional<Shape> broadcast_shape(const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  Shape result(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const Extent x = i < rank - a.size() ? Extent(1) : a[i - (rank - a.size())];
    const Extent y = i < rank - b.size() ? Extent(1) : b[i - (rank - b.size())];
    if (x.value() == 1) {
      result[i] = y;
    } else if (y.value() == 1) {
      result[i] = x;
    } else if (std::optional<Extent> both = agree(x, y)) {
      result[i] = *both;
    } else {
      return std::nullopt;
    }
  }
  return result;
}

bool agree(const Shape& a, const Shape& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].value() != b[i].value()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) (void)agree(a[i], b[i]);
  return true;
}

bool operator==(const Type& a, const Type& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  if (!a.parts || !b.parts) return !a.parts && !b.parts;
  return *a.parts == *b.parts;
}

std::int64_t bytes_of(const Type& type) {
  return type.dtype == Dtype::tuple ? 0 : count_of(type.shape) * size_of(type.dtype);
}

Type tuple_type(std::vector<Type> parts) {
  return Type{Dtype::tuple, {}, std::make_shared<const std::vector<Type>>(std::move(parts))};
}

std::string to_string(const Type& type) {
  if (type.dtype != Dtype::tuple) return fmt::format("{}{}", name_of(type.dtype), to_string(type.shape));
  std::string text = "(";
  for (const Type& part : *type.parts) text += (text.size() > 1 ? ", " : "") + to_string(part);
  return text + ")";
}

void check_size(std::string_view op, const Type& type, const Where& where) {
  if (type.parts) {
    for (const Type& part : *type.parts) check_size(op, part, where);
    return;
  }
  constexpr std::int64_t most = std::int64_t(1) << 46;  // elements; an address has 47 bits
  std::int64_t count = 1;
  bool nothing = false, overflows = false;
  for (const Extent& extent : type.shape) {
    const std::int64_t n = extent.value();
    if (n < 0) throw Error(fmt::format("{}: negative size in {}", op, to_string(type.shape)), where);
    nothing = nothing || n == 0;
    overflows = overflows || (n > 0 && count > most / n);
    if (n > 0 && !overflows) count *= n;
  }
  if (overflows && !nothing)
    throw Error(fmt::format("{}: {} has more elements than any memory holds", op, to_string(type)), where);
}

int normal_axis(std::string_view op, int axis, int rank, const Where& where) {
  if (axis < -rank || axis >= rank)
    throw Error(fmt::format("{}: axis {} of a tensor with {} axes", op, axis, rank), where,
                rank == 0 ? "a scalar has no axes" : fmt::format("axes go from {} to {}", -rank, rank - 1));
  return axis < 0 ? axis + rank : axis;
}

}  // namespace tapeloop
