// Extents, shapes, types and the broadcasting rule.
//
// An *extent* is the size of one axis: a number, or a symbol with its current value. `jit` gives every axis of every
// argument a symbol. Recording merges symbols that must agree; an axis that meets a number, or whose value the code asks
// for (`int(x.size(0))`), is *pinned* to that number. The symbols that are left are run-time arguments of the compiled
// program: this is why a new sequence length or batch size needs no new code. Sums, products and quotients of extents are
// extents again.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ad/dtype.h"
#include "ad/error.h"

namespace tapeloop {

struct Symbol;

class Extent {
 public:
  Extent(std::int64_t value = 0)
      : value_(value) {}  // NOLINT(google-explicit-constructor): sizes are written as numbers

  // A new symbol whose current value is `value`. Extent 1 is always a number (it broadcasts), so it stays one.
  static Extent symbol(std::int64_t value);

  // The current value, without pinning: for messages, allocation and the interpreter.
  std::int64_t value() const { return value_; }

  // The value as a number the program may depend on: pins the symbol.
  std::int64_t pin() const;
  explicit operator std::int64_t() const { return pin(); }
  explicit operator int() const { return int(pin()); }

  bool is_number() const;
  bool is_one() const { return is_number() && value() == 1; }
  // The extent with merged symbols replaced by their representative and pinned ones by their number.
  Extent resolved() const;

  friend Extent operator+(const Extent& a, const Extent& b);
  friend Extent operator-(const Extent& a, const Extent& b);
  friend Extent operator*(const Extent& a, const Extent& b);
  friend Extent operator/(const Extent& a, const Extent& b);  // rounded down; the divisor is not zero
  friend Extent operator%(const Extent& a, const Extent& b);
  friend Extent min(const Extent& a, const Extent& b);
  friend Extent max(const Extent& a, const Extent& b);

  enum class Form : char { add = '+', sub = '-', mul = '*', div = '/', mod = '%', min = '<', max = '>' };

  // Equal by name, not by value: two different symbols that happen to be 5 are different.
  friend bool operator==(const Extent& a, const Extent& b);

  // Representative symbol, or null for a number. Symbols live as long as an extent names them.
  const Symbol* symbol() const;

  // Merges two extents that must agree and returns the result; empty when their values differ.
  friend std::optional<Extent> agree(const Extent& a, const Extent& b);

 private:
  static Extent derive(Form form, const Extent& a, const Extent& b);

  std::int64_t value_ = 0;
  std::shared_ptr<Symbol> symbol_;
  friend struct Symbol;
  friend std::string to_string(const Extent& extent);
};

// A node of the union-find over symbols, or of an expression of extents.
struct Symbol {
  std::shared_ptr<Symbol> parent;  // set when merged into another
  bool pinned = false;
  std::int64_t value = 0;
  std::optional<Extent::Form> form;  // set for an expression of two extents
  Extent a, b;
};

Extent min(const Extent& a, const Extent& b);
Extent max(const Extent& a, const Extent& b);
std::optional<Extent> agree(const Extent& a, const Extent& b);
std::string to_string(const Extent& extent);  // "32", or "n32" for a symbol whose value is 32

// Evaluates an extent under new values of its leaf symbols, given by `leaf`.
std::int64_t evaluate(const Extent& extent, const std::function<std::int64_t(const Symbol*)>& leaf);

using Shape = std::vector<Extent>;

std::int64_t count_of(const Shape& shape);  // elements, by current values
Extent extent_product(const Shape& shape);  // the same as an extent
std::string to_string(const Shape& shape);  // "[32, 128]"
std::vector<std::int64_t> values_of(const Shape& shape);

// The shape both operands are stretched to, as in NumPy: aligned at the last axis, 1 stretches. Empty when they clash.
std::optional<Shape> broadcast_shape(const Shape& a, const Shape& b);

// Same rank and agreeing extents (which are merged).
bool agree(const Shape& a, const Shape& b);

// What is known of a tensor when it is recorded.
struct Type {
  Dtype dtype = Dtype::f32;
  Shape shape;
  std::shared_ptr<const std::vector<Type>> parts;  // of a tuple

  int rank() const { return int(shape.size()); }
  friend bool operator==(const Type& a, const Type& b);
};

Type tuple_type(std::vector<Type> parts);
std::string to_string(const Type& type);  // "f32[32, 128]"
std::int64_t bytes_of(const Type& type);  // of its elements in memory, by current values; a tuple has none of its own

// Throws Error naming `op` when an extent is negative, or when the elements are more than any memory holds.
void check_size(std::string_view op, const Type& type, const Where& where);

// `axis` counted from the front; negative axes count from the back. Throws Error naming `op`.
int normal_axis(std::string_view op, int axis, int rank, const Where& where);

}  // namespace tapeloop
