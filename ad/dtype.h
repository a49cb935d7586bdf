// The element types of a tensor.
#pragma once

#include <cstdint>
#include <string_view>

namespace tapeloop {

// `tuple` is the type of a record with several results (scan, split); `pick` takes one of them.
enum class Dtype : std::uint8_t { f32, f64, i32, u32, i64, boolean, tuple };

constexpr bool is_float(Dtype d) { return d == Dtype::f32 || d == Dtype::f64; }
constexpr bool is_signed(Dtype d) { return d == Dtype::i32 || d == Dtype::i64; }  // of integers
constexpr bool is_integer(Dtype d) { return is_signed(d) || d == Dtype::u32; }

// Bytes of one element; a boolean is one byte, 0 or 1.
constexpr int size_of(Dtype d) {
  switch (d) {
    case Dtype::f64:
    case Dtype::i64:
      return 8;
    case Dtype::boolean:
      return 1;
    case Dtype::tuple:
      return 0;
    default:
      return 4;
  }
}

constexpr std::string_view name_of(Dtype d) {
  switch (d) {
    case Dtype::f32:
      return "f32";
    case Dtype::f64:
      return "f64";
    case Dtype::i32:
      return "i32";
    case Dtype::u32:
      return "u32";
    case Dtype::i64:
      return "i64";
    case Dtype::boolean:
      return "bool";
    case Dtype::tuple:
      return "tuple";
  }
  return "?";
}

// The dtype that stores a C++ scalar type.
template <class T>
constexpr Dtype dtype_of();
template <>
constexpr Dtype dtype_of<float>() {
  return Dtype::f32;
}
template <>
constexpr Dtype dtype_of<double>() {
  return Dtype::f64;
}
template <>
constexpr Dtype dtype_of<std::int32_t>() {
  return Dtype::i32;
}
template <>
constexpr Dtype dtype_of<std::uint32_t>() {
  return Dtype::u32;
}
template <>
constexpr Dtype dtype_of<std::int64_t>() {
  return Dtype::i64;
}
template <>
constexpr Dtype dtype_of<bool>() {
  return Dtype::boolean;
}

// A number as an i64: without its fraction, the nearest that there is beyond the ends, NaN as 0. The ends of i64 as doubles
// come back as what they were.
constexpr std::int64_t i64_of(double x) {
  if (x >= 0x1p63) return INT64_MAX;
  return x > -0x1p63 ? std::int64_t(x) : x <= -0x1p63 ? INT64_MIN : 0;
}

// Whether a number, its fraction cut off, is one of the dtype's. All are of i64 up to both of its ends as doubles.
constexpr bool holds(Dtype dtype, double value) {
  if (dtype == Dtype::i64) return value >= -0x1p63 && value <= 0x1p63;
  if (dtype == Dtype::i32) return value > -0x1p31 - 1 && value < 0x1p31;
  return dtype != Dtype::u32 || (value > -1 && value < 0x1p32);
}

// f(T()) for the C++ type T that stores the numbers of `dtype`, which is none of boolean and tuple.
template <class F>
void with_number_type(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::f32:
      return f(float());
    case Dtype::f64:
      return f(double());
    case Dtype::i32:
      return f(std::int32_t());
    case Dtype::i64:
      return f(std::int64_t());
    default:
      return f(std::uint32_t());
  }
}

}  // namespace tapeloop
