// The fields of a plain struct: how many there are, what they are, and what they are called.
//
// C++20 has no reflection, but an aggregate gives all three away:
//
//   count     S{any, any, any} is well formed just when S has room for three initialisers, where `any` converts to
//             whatever type the field has.
//   visit     auto& [a, b, c] = s;   decomposes s once the count is known.
//   names     A pointer to a field of a global object can be a template argument, and compilers spell template
//             arguments out in __PRETTY_FUNCTION__: "[field = &external.value.bias]".
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tapeloop::aggregate {

// The largest number of fields that can be counted and visited.
inline constexpr std::size_t max_fields = 32;

// Converts to any type, so it can initialise any field. Aggregate initialisation prefers converting an initialiser to
// a nested struct over handing it to that struct's first field (brace elision), so each field takes exactly one.
// The conversion is const because a class with a constructor template, such as std::optional, could use either that
// or the conversion: binding a non-const Anything to the constructor is then the better match, not an equal one.
// It is never called, but needs a body: GCC takes the constraints of std::optional for a use.
struct Anything {
  template <class T>
  operator T() const {  // NOLINT(google-explicit-constructor)
    __builtin_unreachable();
  }
};

// Converts to the base classes of T and nothing else.
template <class T>
struct AnyBaseOf {
  template <class Base>
    requires(std::is_base_of_v<Base, T> && !std::is_same_v<Base, T>)
  operator Base() const;
};

template <std::size_t>
using AnythingAt = Anything;

template <class T, std::size_t... I>
consteval bool accepts(std::index_sequence<I...>) {
  return requires { T{AnythingAt<I>{}...}; };
}

template <class T, std::size_t... I>
consteval bool accepts_base_first(std::index_sequence<I...>) {
  return requires { T{AnyBaseOf<T>{}, AnythingAt<I>{}...}; };
}

template <class T, std::size_t... Before, std::size_t... After>
consteval bool accepts_braces_between(std::index_sequence<Before...>, std::index_sequence<After...>) {
  return requires { T{AnythingAt<Before>{}..., {}, AnythingAt<After>{}...}; };
}

// The largest n for which T takes n initialisers. Fewer may be too few, when T has members that cannot be
// default-initialised, so the search first climbs to a number that fits. max_fields + 1 means: none fits, or too many.
template <class T, std::size_t n = 0, bool smaller_fits = false>
consteval std::size_t count_initialisers() {
  constexpr bool fits = accepts<T>(std::make_index_sequence<n>{});
  if constexpr (smaller_fits && !fits) {
    return n - 1;
  } else if constexpr (n > max_fields) {
    return n;
  } else {
    return count_initialisers<T, n + 1, fits>();
  }
}

// How many initialisers the aggregate T takes. This is the number of its fields if `is_decomposable<T>`.
template <class T>
inline constexpr std::size_t count = count_initialisers<T>();

// Whether a C array of several elements begins at initialiser i. Nothing converts to an array, so brace elision gives
// it one initialiser an element, where `{}` initialises all of it and leaves room for fewer initialisers after it.
template <class T, std::size_t i>
consteval bool is_array_at() {
  constexpr std::size_t after = count<T> - 1 - i;
  constexpr auto braces_fit = []<std::size_t n>(std::index_sequence<n>) {
    return accepts_braces_between<T>(std::make_index_sequence<i>{}, std::make_index_sequence<n>{});
  };
  if constexpr (braces_fit(std::index_sequence<after>{})) {
    return false;
  } else {  // an array, or a field without a default: then no number fits
    return [&]<std::size_t... fewer>(std::index_sequence<fewer...>) {
      return (braces_fit(std::index_sequence<fewer>{}) || ...);
    }(std::make_index_sequence<after>{});
  }
}

template <class T>
consteval bool check_decomposable() {
  if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T> || count<T> > max_fields) {
    return false;
  } else if constexpr (count<T> == 0) {
    return true;
  } else if constexpr (accepts_base_first<T>(std::make_index_sequence<count<T> - 1>{})) {
    return false;  // a base class takes an initialiser but is no field
  } else {
    return []<std::size_t... i>(std::index_sequence<i...>) {
      return !(is_array_at<T, i>() || ...);
    }(std::make_index_sequence<count<T>>{});
  }
}

// Whether `visit` can take T apart: an aggregate class of at most max_fields fields, without base classes and without
// C arrays. (A C array of one element is counted right and visited as what it is.) Bit-fields and anonymous unions
// cannot be told from other fields; visiting a struct that has them does not compile.
template <class T>
inline constexpr bool is_decomposable = check_decomposable<T>();

// Returns visitor(field...) with a reference to each field of `object`, in declaration order. Fields of a const object
// are const. A structured binding has as many names in the source as there are fields: hence the table. (`n`, which it
// skips, is their number.)
template <class T, class Visitor>
  requires is_decomposable<std::remove_const_t<T>>
constexpr decltype(auto) visit(T& object, Visitor&& visitor) {
  constexpr std::size_t n = count<std::remove_const_t<T>>;
  if constexpr (n == 0) {
    return visitor();
  }
#define TAPELOOP_FIELDS(number, ...) \
  else if constexpr (n == number) {  \
    auto& [__VA_ARGS__] = object;    \
    return visitor(__VA_ARGS__);     \
  }
  TAPELOOP_FIELDS(1, a)
  TAPELOOP_FIELDS(2, a, b)
  TAPELOOP_FIELDS(3, a, b, c)
  TAPELOOP_FIELDS(4, a, b, c, d)
  TAPELOOP_FIELDS(5, a, b, c, d, e)
  TAPELOOP_FIELDS(6, a, b, c, d, e, f)
  TAPELOOP_FIELDS(7, a, b, c, d, e, f, g)
  TAPELOOP_FIELDS(8, a, b, c, d, e, f, g, h)
  TAPELOOP_FIELDS(9, a, b, c, d, e, f, g, h, i)
  TAPELOOP_FIELDS(10, a, b, c, d, e, f, g, h, i, j)
  TAPELOOP_FIELDS(11, a, b, c, d, e, f, g, h, i, j, k)
  TAPELOOP_FIELDS(12, a, b, c, d, e, f, g, h, i, j, k, l)
  TAPELOOP_FIELDS(13, a, b, c, d, e, f, g, h, i, j, k, l, m)
  TAPELOOP_FIELDS(14, a, b, c, d, e, f, g, h, i, j, k, l, m, o)
  TAPELOOP_FIELDS(15, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p)
  TAPELOOP_FIELDS(16, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q)
  TAPELOOP_FIELDS(17, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r)
  TAPELOOP_FIELDS(18, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s)
  TAPELOOP_FIELDS(19, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t)
  TAPELOOP_FIELDS(20, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u)
  TAPELOOP_FIELDS(21, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v)
  TAPELOOP_FIELDS(22, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w)
  TAPELOOP_FIELDS(23, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x)
  TAPELOOP_FIELDS(24, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y)
  TAPELOOP_FIELDS(25, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y, z)
  TAPELOOP_FIELDS(26, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y, z, A)
  TAPELOOP_FIELDS(27, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y, z, A, B)
  TAPELOOP_FIELDS(28, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C)
  TAPELOOP_FIELDS(29, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C, D)
  TAPELOOP_FIELDS(30, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C, D, E)
  TAPELOOP_FIELDS(31, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C, D, E, F)
  TAPELOOP_FIELDS(32, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C, D, E, F, G)
#undef TAPELOOP_FIELDS
}

// Only the addresses of the fields of this object are used, and only while compiling, so it is never defined. It is a
// static member, since an `extern` variable cannot have a local struct as its type. Clang warns all the same.
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-var-template"
#pragma clang diagnostic ignored "-Wundefined-internal"
#endif
template <class T>
struct Holder {
  T value;
  static const Holder external;
};

template <class T>
consteval auto addresses_of_fields() {
  return visit(Holder<T>::external.value, [](auto&... field) { return std::tuple(std::addressof(field)...); });
}
#ifdef __clang__
#pragma clang diagnostic pop
#endif

// The name of the field that `field` points to. The signature ends in "…::value.Model::bias)]" with GCC and in
// "….value.bias]" with Clang. (The return type is `auto` since GCC appends what aliases in a signature stand for.)
template <auto* field>
consteval auto name_of_field() {
  std::string_view signature = __PRETTY_FUNCTION__;
  signature = signature.substr(0, signature.find_last_not_of(")]") + 1);
  return signature.substr(signature.find_last_of(".:") + 1);
}

// The names of the fields of T, in declaration order.
template <class T>
  requires is_decomposable<T>
inline constexpr std::array<std::string_view, count<T>> names = []<std::size_t... i>(std::index_sequence<i...>) {
  return std::array<std::string_view, count<T>>{name_of_field<std::get<i>(addresses_of_fields<T>())>()...};
}(std::make_index_sequence<count<T>>{});

}  // namespace tapeloop::aggregate
