#include "ad/attrs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>

#include "ad/tape.h"

namespace tapeloop {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

bool equal(const Attrs::Value& a, const Attrs::Value& b) {
  if (a.index() != b.index()) return false;
  if (const auto* x = std::get_if<double>(&a))
    return std::bit_cast<std::uint64_t>(*x) == std::bit_cast<std::uint64_t>(std::get<double>(b));
  if (const auto* x = std::get_if<TapePtr>(&a)) {
    const TapePtr& y = std::get<TapePtr>(b);
    return *x == y || **x == *y;
  }
  if (const auto* x = std::get_if<Tensor>(&a)) {
    const Tensor& y = std::get<Tensor>(b);
    return x->bytes() == y.bytes() || same_bits(*x, y);
  }
  return std::visit(Overloaded{[](const Tensor&) { return false; },
                               [&](const auto& x) { return x == std::get<std::decay_t<decltype(x)>>(b); }},
                    a);
}

}  // namespace

const Attrs::Value& Attrs::find(std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.first == name) return entry.second;
  throw InternalError(fmt::format("a record has no attribute '{}'", name));
}

bool Attrs::has(std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.first == name) return true;
  return false;
}

Attrs Attrs::with(std::string_view name, Value value) const {
  Attrs result = *this;
  for (Entry& entry : result.entries_)
    if (entry.first == name) {
      entry.second = std::move(value);
      return result;
    }
  result.entries_.emplace_back(name, std::move(value));
  return result;
}

bool operator==(const Attrs& a, const Attrs& b) {
  if (a.entries_.size() != b.entries_.size()) return false;
  for (std::size_t i = 0; i < a.entries_.size(); ++i)
    if (a.entries_[i].first != b.entries_[i].first || !equal(a.entries_[i].second, b.entries_[i].second)) return false;
  return true;
}

std::size_t hash_of(const Shape& shape) {
  // Whether an extent is a symbol may change while recording (pinning), and so may its name (merging): only the value
  // stays what it was.
  std::size_t h = shape.size();
  for (const Extent& extent : shape) h = hash_combine(h, std::size_t(extent.value()));
  return h;
}

std::size_t hash_of(const Type& type) {
  std::size_t h = hash_combine(std::size_t(type.dtype), hash_of(type.shape));
  if (type.parts)
    for (const Type& part : *type.parts) h = hash_combine(h, hash_of(part));
  return h;
}

std::size_t Attrs::hash() const {
  std::size_t h = entries_.size();
  for (const Entry& entry : entries_) {
    h = hash_combine(h, entry.second.index());
    h = hash_combine(
        h, std::visit(
               Overloaded{[](std::int64_t x) { return std::size_t(x); },
                          [](double x) { return std::size_t(std::bit_cast<std::uint64_t>(x)); },
                          [](const std::string& x) { return std::hash<std::string>{}(x); },
                          [](const Ints& x) {
                            std::size_t s = x.size();
                            for (std::int64_t i : x) s = hash_combine(s, std::size_t(i));
                            return s;
                          },
                          [](const Shape& x) { return hash_of(x); }, [](Dtype x) { return std::size_t(x); },
                          [](const TapePtr& x) { return x->hash; }, [](const Tensor& x) { return hash_of(x.type()); }},
               entry.second));
  }
  return h;
}

std::string to_string(const Attrs& attrs) {
  const auto text_of = Overloaded{
      [](std::int64_t x) { return fmt::format("{}", x); },
      [](double x) { return fmt::format("{}", x); },
      [](const std::string& x) { return x; },
      [](const Ints& x) { return fmt::format("[{}]", fmt::join(x, ", ")); },
      [](const Shape& x) {
        std::string s;
        for (const Extent& e : x) s += (s.empty() ? "" : ", ") + to_string(e);
        return fmt::format("[{}]", s);
      },
      [](Dtype x) { return std::string(name_of(x)); },
      [](const TapePtr& x) { return fmt::format("<{} records>", x->size()); },
      [](const Tensor& x) { return to_string(x); },
  };
  std::string text;
  for (const auto& [name, value] : attrs.entries())
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, std::visit(text_of, value));
  return text;
}

}  // namespace tapeloop
