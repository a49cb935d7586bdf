// Attributes of a record: plain data beside its operands (an axis, sizes, the body of a loop). Equality, hash and print
// of records come from them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ad/shape.h"
#include "ad/tensor.h"

namespace tapeloop {

struct Tape;
using TapePtr = std::shared_ptr<const Tape>;
using Ints = std::vector<std::int64_t>;

class Attrs {
 public:
  using Value = std::variant<std::int64_t, double, std::string, Ints, Shape, Dtype, TapePtr, Tensor>;
  using Entry = std::pair<std::string_view, Value>;  // names are string literals

  Attrs() = default;
  Attrs(std::initializer_list<Entry> entries) : entries_(entries) {}

  template <class T>
  const T& get(std::string_view name) const {
    return std::get<T>(find(name));
  }
  int integer(std::string_view name) const { return int(get<std::int64_t>(name)); }
  bool flag(std::string_view name) const { return get<std::int64_t>(name) != 0; }
  const Extent& extent(std::string_view name) const { return get<Shape>(name).front(); }
  bool has(std::string_view name) const;
  Attrs with(std::string_view name, Value value) const;

  const std::vector<Entry>& entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }

  // Numbers compare by bit pattern, tapes by structure, constants by identity of their buffer.
  friend bool operator==(const Attrs& a, const Attrs& b);
  // Stable under merging of symbols: symbolic extents do not take part.
  std::size_t hash() const;

 private:
  const Value& find(std::string_view name) const;
  std::vector<Entry> entries_;
};

std::string to_string(const Attrs& attrs);

inline std::size_t hash_combine(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15ull + (seed << 6) + (seed >> 2));
}
std::size_t hash_of(const Shape& shape);
std::size_t hash_of(const Type& type);

}  // namespace tapeloop
