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
#include <optional>
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

// Returns visitor(field...) for the fields of a record: a struct or a tuple.
template <class T, class Visitor>
constexpr decltype(auto) visit(T& record, Visitor visitor) {
  using Node = std::remove_const_t<T>;
  if constexpr (kind_of<Node> == Kind::plain) {
    return aggregate::visit(record, visitor);
  } else if constexpr (kind_of<Node> == Kind::tuple) {
    return std::apply(visitor, record);
  } else if constexpr (std::is_const_v<T>) {
    // fields() only refers to the fields, so calling it leaves a const object as it is; the references that it returns
    // become const before anyone can write through them.
    return std::apply([&](auto&... field) -> decltype(auto) { return visitor(std::as_const(field)...); },
                      const_cast<Node&>(record).fields());
  } else {
    return std::apply(visitor, record.fields());
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

// The name of field i of a record.
template <class T>
std::string name_of_child(std::size_t i) {
  if constexpr (requires { T::field_names; }) {
    static_assert(std::size(T::field_names) == FieldTypes<T>::count,
                  "tapeloop: field_names must name every field, in order");
    return std::string(T::field_names[i]);
  } else if constexpr (kind_of<T> == Kind::plain) {
    return std::string(aggregate::names<T>[i]);
  } else {
    return std::to_string(i);
  }
}

// Visits the tensors below `tree`, which is at `path`; `path` is the same string throughout, longer while inside.
template <class T, class F>
void walk_named(std::string& path, T& tree, F& f) {
  using Node = std::remove_const_t<T>;
  constexpr Kind kind = kind_in_tree<Node>();
  const auto walk_child = [&](const std::string& name, auto& child) {
    const std::size_t length = path.size();
    if (length > 0) path += '.';
    path += name;
    walk_named(path, child, f);
    path.resize(length);
  };
  if constexpr (kind == Kind::tensor) {
    f(std::as_const(path), tree);
  } else if constexpr (kind == Kind::sequence) {
    if constexpr (!is_static_sequence<Node>) {
      for (std::size_t i = 0; i < tree.size(); ++i) walk_child(std::to_string(i), tree[i]);
    }
  } else if constexpr (kind == Kind::optional) {
    if (tree) walk_named(path, *tree, f);
  } else if constexpr (is_record(kind)) {
    fields::visit(tree, [&](auto&... field) {
      std::size_t i = 0;
      (walk_child(name_of_child<Node>(i++), field), ...);
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
// Tensors that are empty are visited, optionals that are absent are not. Allocates nothing, and compiles to the loops
// over vectors and the accesses to fields that one would write by hand. A type that is no tree is a compile error.
template <class T, class F>
void for_each_tensor(T& tree, F&& f) {
  using Node = std::remove_const_t<T>;
  constexpr fields::Kind kind = fields::kind_in_tree<Node>();
  if constexpr (kind == fields::Kind::tensor) {
    f(tree);
  } else if constexpr (kind == fields::Kind::sequence) {
    if constexpr (!fields::is_static_sequence<Node>) {
      for (auto& child : tree) tapeloop::for_each_tensor(child, f);
    }
  } else if constexpr (kind == fields::Kind::optional) {
    if (tree) tapeloop::for_each_tensor(*tree, f);
  } else if constexpr (fields::is_record(kind)) {
    fields::visit(tree, [&](auto&... field) { (tapeloop::for_each_tensor(field, f), ...); });
  }
}

// As for_each_tensor, but calls f(path, t), where `path` (const std::string&) is the way from the root to t: names of
// fields, and indices into vectors, arrays, tuples and pairs, joined by dots: "cell.w", "layers.0.bias". An optional
// adds nothing to the path; a root that is a Tensor has the path "". The string changes after f returns.
template <class T, class F>
void for_each_named_tensor(T& tree, F&& f) {
  std::string path;
  fields::walk_named(path, tree, f);
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
    fields::visit(tree, [&](const auto&... field) { (tapeloop::append_static(key, field), ...); });
    key += ')';
  }
}

}  // namespace tapeloop
