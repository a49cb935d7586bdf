// Trees: walk the tensors in a plain struct, with their names.
//
// A tree is any nesting of
//
//   - Tensor;
//   - plain structs (aggregates without base classes, C arrays, const or reference members; at most 32 fields);
//   - std::vector, std::array, std::tuple, std::pair and std::optional;
//   - classes that list their fields in a member `auto fields() { return std::tie(weight, bias); }`;
//   - static leaves: bools, numbers, enums, std::string, std::string_view, const char*, and classes without data
//     (std::monostate, lambdas that capture nothing).
//
// Trees are values: a function of a tree can be differentiated and compiled, and returns a tree. Tensors are what
// varies; static leaves are kept as they are and are part of what a compiled program is keyed by.
//
//   struct Dense { Tensor weight, bias; };
//   struct Model { std::vector<Dense> layers; double rate; };
//
//   Model model = …;
//   for_each_named_tensor(model, [](const std::string& path, Tensor& t) { … });   // "layers.0.weight", …
//
// A class with private members, or with a base class, becomes a tree by adding `fields()`. It is written once, not
// const, and a const tree uses it too; it must be declared by the class itself, or a derived class would silently leave
// out what it adds. Its fields are named "0", "1", … unless the class has names for them, as any struct may:
//
//   static constexpr std::array field_names{"weight", "bias"};
//
// A tree may contain itself by way of a vector (struct Node { Tensor x; std::vector<Node> children; }).
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "ad/aggregate.h"

namespace tapeloop {

class Tensor;

namespace fields {

// `listed` is a class with fields(), `plain` an aggregate that is taken apart without.
enum class Kind { tensor, leaf, sequence, optional, tuple, listed, plain, unsupported };

constexpr bool is_record(Kind kind) { return kind == Kind::tuple || kind == Kind::listed || kind == Kind::plain; }

template <class T>
inline constexpr bool is_string =
    std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view> || std::is_same_v<T, const char*>;

template <class T>
concept HasFields = requires(T& object) { object.fields(); };

// The class that declares a member `fields()` of the form we ask for: its result refers to fields that can be set.
template <class Class, class... Field>
  requires(!std::is_const_v<Field> && ...)
std::type_identity<Class> declaring_class(std::tuple<Field&...> (Class::*)());

template <class T>
concept ListsItsFields = requires {
  { fields::declaring_class(&T::fields) } -> std::same_as<std::type_identity<T>>;
};

template <class T>
consteval Kind kind_of_class() {
  if constexpr (std::is_same_v<T, Tensor>) {
    return Kind::tensor;
  } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || is_string<T>) {
    return Kind::leaf;
  } else if constexpr (HasFields<T>) {
    return ListsItsFields<T> ? Kind::listed : Kind::unsupported;
  } else if constexpr (std::is_empty_v<T>) {
    return Kind::leaf;
  } else if constexpr (!std::is_move_assignable_v<T>) {  // a const or a reference among the members
    return Kind::unsupported;
  } else {
    return aggregate::is_decomposable<T> ? Kind::plain : Kind::unsupported;
  }
}

template <class... Element>
consteval Kind kind_if_mutable(Kind kind) {
  constexpr bool all_mutable = ((!std::is_reference_v<Element> && !std::is_const_v<Element>) && ...);
  return all_mutable ? kind : Kind::unsupported;
}

// What T is by itself, whatever its elements and fields are.
template <class T>
inline constexpr Kind kind_of = kind_of_class<T>();
template <class T, class Allocator>
inline constexpr Kind kind_of<std::vector<T, Allocator>> = Kind::sequence;
template <class T, std::size_t n>
inline constexpr Kind kind_of<std::array<T, n>> = kind_if_mutable<T>(Kind::sequence);
template <class T>
inline constexpr Kind kind_of<std::optional<T>> = kind_if_mutable<T>(Kind::optional);
template <class... T>
inline constexpr Kind kind_of<std::tuple<T...>> = kind_if_mutable<T...>(Kind::tuple);
template <class First, class Second>
inline constexpr Kind kind_of<std::pair<First, Second>> = kind_if_mutable<First, Second>(Kind::tuple);

// kind_of<T>, or a compile error that names the way out. The compiler's notes below it lead to the field.
template <class T>
consteval Kind kind_in_tree() {
  constexpr Kind kind = kind_of<T>;
  static_assert(kind != Kind::unsupported,
                "tapeloop: this type cannot be part of a tree. "
                "A tree is made of Tensor, std::vector, std::array, std::tuple, std::pair, std::optional, bools, "
                "numbers, enums, strings and plain structs: no base classes, no private, const or reference members, "
                "no C arrays (use std::array), no pointers, no unions, at most 32 fields. "
                "The way out: give the class itself a member `auto fields() { return std::tie(a, b); }`, not const, "
                "that lists its fields.");
  return kind;
}

template <class Tuple, class Visitor>
constexpr decltype(auto) visit_tuple(Tuple&& tuple, const Visitor& visitor) {
  return [&]<std::size_t... i>(std::index_sequence<i...>) -> decltype(auto) {
    return visitor(std::get<i>(tuple)...);
  }(std::make_index_sequence<std::tuple_size_v<std::remove_reference_t<Tuple>>>{});
}

// Returns visitor(field...) for the fields of a record: a struct or a tuple.
template <class T, class Visitor>
constexpr decltype(auto) visit(T& record, const Visitor& visitor) {
  if constexpr (kind_of<T> == Kind::plain) {
    return aggregate::visit(record, visitor);
  } else if constexpr (kind_of<T> == Kind::tuple) {
    return fields::visit_tuple(record, visitor);
  } else {
    return fields::visit_tuple(record.fields(), visitor);
  }
}

template <class... T>
struct Types {
  static constexpr std::size_t count = sizeof...(T);
};

struct TypesOf {
  template <class... T>
  Types<T...> operator()(T&...) const {
    return {};
  }
};

// The types of the fields of a record.
template <class T>
using FieldTypes = decltype(fields::visit(std::declval<T&>(), TypesOf{}));

// A reference to a function of a tensor, of one type whatever the function's is: a type of tree is then walked by one piece of
// code, however many functions walk it. A function of tensors that it must not change is given them as const.
template <class... Path>
class Visitor {
 public:
  template <class F, bool changes>
  static Visitor of(F& f, std::bool_constant<changes>) {
    return {const_cast<std::remove_const_t<F>*>(std::addressof(f)), [](void* function, const Path&... path, Tensor& t) {
              if constexpr (changes)
                (*static_cast<F*>(function))(path..., t);
              else
                (*static_cast<F*>(function))(path..., std::as_const(t));
            }};
  }
  void operator()(const Path&... path, Tensor& t) const { call_(function_, path..., t); }

 private:
  using Call = void (*)(void*, const Path&..., Tensor&);
  Visitor(void* function, Call call) : function_(function), call_(call) {}

  void* function_;
  Call call_;
};

template <class T, class... Outer>
consteval bool is_tree_within();

template <class... Outer, class... T>
consteval bool are_trees_within(Types<T...>) {
  return (is_tree_within<T, Outer...>() && ...);
}

// Whether T is a tree if the structs that it is a part of are: this ends the recursion of structs that contain
// themselves.
template <class T, class... Outer>
consteval bool is_tree_within() {
  constexpr Kind kind = kind_of<T>;
  if constexpr (kind == Kind::unsupported) {
    return false;
  } else if constexpr (kind == Kind::tensor || kind == Kind::leaf || (std::is_same_v<T, Outer> || ...)) {
    return true;
  } else if constexpr (kind == Kind::sequence || kind == Kind::optional) {
    return is_tree_within<typename T::value_type, Outer...>();
  } else {
    return are_trees_within<T, Outer...>(FieldTypes<T>{});
  }
}

// Whether a sequence has no tensors because its elements are static leaves. It must then be left alone: the elements
// of std::vector<bool> are no objects.
template <class Sequence>
inline constexpr bool is_static_sequence = kind_of<typename Sequence::value_type> == Kind::leaf;

// Visits the tensors below `tree`. A const tree is walked as if it were not, with a visitor that changes nothing.
template <class T>
void walk(T& tree, const Visitor<>& visitor) {
  constexpr Kind kind = kind_in_tree<T>();
  if constexpr (kind == Kind::tensor) {
    visitor(tree);
  } else if constexpr (kind == Kind::sequence) {
    if constexpr (!is_static_sequence<T>) {
      for (auto& child : tree) fields::walk(child, visitor);
    }
  } else if constexpr (kind == Kind::optional) {
    if (tree) fields::walk(*tree, visitor);
  } else if constexpr (is_record(kind)) {
    fields::visit(tree, [&](auto&... field) { (fields::walk(field, visitor), ...); });
  }
}

// The names of the fields of a record; none where they are numbers.
template <class T>
std::span<const std::string_view> names_of_fields() {
  if constexpr (requires { T::field_names; }) {
    static_assert(std::size(T::field_names) == FieldTypes<T>::count,
                  "tapeloop: field_names must name every field, in order");
    static constexpr auto names = []<std::size_t... i>(std::index_sequence<i...>) {
      return std::array<std::string_view, sizeof...(i)>{std::string_view(T::field_names[i])...};
    }(std::make_index_sequence<FieldTypes<T>::count>{});
    return names;
  } else if constexpr (kind_of<T> == Kind::plain) {
    return aggregate::names<T>;
  } else {
    return {};
  }
}

// The way from the root to where a walk is.
class Path {
 public:
  const std::string& text() const { return text_; }
  // Goes to child i, and gives what leave() needs to come back.
  std::size_t enter(std::size_t i, std::span<const std::string_view> names = {}) {
    const std::size_t length = text_.size();
    if (length > 0) text_ += '.';
    if (names.empty())
      text_ += std::to_string(i);
    else
      text_ += names[i];
    return length;
  }
  void leave(std::size_t length) { text_.resize(length); }

 private:
  std::string text_;
};

// As walk(), with the path to each tensor.
template <class T>
void walk_named(Path& path, T& tree, const Visitor<std::string>& visitor) {
  constexpr Kind kind = kind_in_tree<T>();
  if constexpr (kind == Kind::tensor) {
    visitor(path.text(), tree);
  } else if constexpr (kind == Kind::sequence) {
    if constexpr (!is_static_sequence<T>) {
      for (std::size_t i = 0; i < tree.size(); ++i) {
        const std::size_t here = path.enter(i);
        fields::walk_named(path, tree[i], visitor);
        path.leave(here);
      }
    }
  } else if constexpr (kind == Kind::optional) {
    if (tree) fields::walk_named(path, *tree, visitor);
  } else if constexpr (is_record(kind)) {
    fields::visit(tree, [&](auto&... field) {
      std::size_t i = 0, here = 0;
      ((here = path.enter(i++, names_of_fields<T>()), fields::walk_named(path, field, visitor), path.leave(here)), ...);
    });
  }
}

// Appends the bytes of a number or a size.
template <class T>
void append_bytes(std::string& key, const T& number) {
  // A long double of 80 bits is stored in 16 bytes, six of which have no defined value.
  constexpr bool is_padded = std::is_floating_point_v<T> && std::numeric_limits<T>::digits == 64;
  key.append(reinterpret_cast<const char*>(&number), is_padded ? 10 : sizeof(T));
}

template <class T>
void append_leaf(std::string& key, const T& leaf) {
  if constexpr (std::is_enum_v<T>) {
    key += 'e';
    append_leaf(key, static_cast<std::underlying_type_t<T>>(leaf));
  } else if constexpr (std::is_arithmetic_v<T>) {
    key += std::is_same_v<T, bool> ? 'b' : std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
    key += static_cast<char>('0' + sizeof(T));
    append_bytes(key, leaf);
  } else if constexpr (std::is_empty_v<T>) {
    key += '.';
  } else {
    if constexpr (std::is_pointer_v<T>) {
      if (leaf == nullptr) {
        key += '0';
        return;
      }
    }
    const std::string_view text = leaf;
    key += 's';
    append_bytes(key, text.size());
    key += text;
  }
}

}  // namespace fields

// Whether T, or what T refers to, is a tree (see the top of this file).
template <class T>
inline constexpr bool is_tree = fields::is_tree_within<std::remove_cvref_t<T>>();

template <class T>
concept Tree = is_tree<T>;

// Calls f(t) for each tensor t in `tree`, in declaration order: a Tensor&, or a const Tensor& if the tree is const.
// Tensors that are empty are visited, optionals that are absent are not. Allocates nothing. A type that is no tree is a
// compile error.
template <class T, class F>
void for_each_tensor(T& tree, F&& f) {
  fields::walk(const_cast<std::remove_const_t<T>&>(tree),
               fields::Visitor<>::of(f, std::bool_constant<!std::is_const_v<T>>()));
}

// As for_each_tensor, but calls f(path, t), where `path` (const std::string&) is the way from the root to t: names of
// fields, and indices into vectors, arrays, tuples and pairs, joined by dots: "cell.w", "layers.0.bias". An optional
// adds nothing to the path; a root that is a Tensor has the path "". The string changes after f returns.
template <class T, class F>
void for_each_named_tensor(T& tree, F&& f) {
  fields::Path path;
  fields::walk_named(path, const_cast<std::remove_const_t<T>&>(tree),
                     fields::Visitor<std::string>::of(f, std::bool_constant<!std::is_const_v<T>>()));
}

// Appends to `key` all that is not in the tensors of `tree`: the sizes of vectors, which optionals are present, which
// tensors are empty, and the static leaves. Floating-point numbers count by their bits: −0 is not 0.
// The description of each node shows where it ends, so two trees have equal keys just when they have the same structure
// and equal leaves, and keys can be strung together. The names of types and of fields are not part of it: a caller
// that keeps trees of several types in one table adds the type to its key.
template <class T>
void append_static(std::string& key, const T& tree) {
  constexpr fields::Kind kind = fields::kind_in_tree<T>();
  if constexpr (kind == fields::Kind::tensor) {
    key += tree.is_empty() ? 'E' : 'T';
  } else if constexpr (kind == fields::Kind::leaf) {
    fields::append_leaf(key, tree);
  } else if constexpr (kind == fields::Kind::sequence) {
    key += '[';
    fields::append_bytes(key, tree.size());
    for (const auto& child : tree) tapeloop::append_static(key, child);
  } else if constexpr (kind == fields::Kind::optional) {
    key += tree ? '?' : '-';
    if (tree) tapeloop::append_static(key, *tree);
  } else if constexpr (fields::is_record(kind)) {
    key += '(';
    fields::visit(const_cast<T&>(tree), [&](const auto&... field) { (tapeloop::append_static(key, field), ...); });
    key += ')';
  }
}

}  // namespace tapeloop
