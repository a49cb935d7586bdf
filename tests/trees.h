// Trees to test ad/fields.h with, and what is visited in them.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "ad/fields.h"
#include "ad/tensor.h"

namespace tapeloop::testing::trees {

enum class Activation : std::uint8_t { tanh, relu };
enum Mode { training, inference };

struct Dense {
  Tensor weight, bias;
};
struct Mgu {
  Tensor w, u, b;
  Tensor operator()(Tensor h, Tensor) const { return h; }
};
struct Model {
  Mgu cell;
  std::vector<Dense> layers;
  double dropout = 0.5;
  Dense out;
};
template <class M>
struct Adam {
  M m, v;
  Tensor step;
  double rate = 0.001;
};
struct Everything {
  bool flag = true;
  int count = 3;
  std::string name = "x";
  const char* text = "y";
  std::string_view view = "z";
  Activation activation = Activation::relu;
  std::monostate nothing;
  std::optional<Tensor> maybe;
  std::optional<Dense> perhaps;
  std::array<Dense, 2> fixed;
  std::array<float, 3> numbers{};
  std::vector<bool> bits{true, false};
  std::vector<std::string> names{"a", "b"};
  std::tuple<Tensor, int, Dense> triple;
  std::tuple<Dense> single;
  std::pair<Tensor, std::vector<Tensor>> both;
  Tensor last;
};
struct Empty {};
struct Node {
  Tensor x;
  std::vector<Node> children;
};

// A class with private members, and one that cannot be default-constructed.
class Private {
 public:
  explicit Private(int size) : size_(size) {}
  auto fields() { return std::tie(weight_, size_, dense_); }

 private:
  Tensor weight_;
  int size_;
  Dense dense_;
};
class Named {
 public:
  static constexpr std::array field_names{"kernel", "offset"};
  auto fields() { return std::tie(first_, second_); }
  auto fields() const { return std::tie(first_, second_); }

 private:
  Tensor first_;
  Dense second_;
};
struct Renamed {
  static constexpr std::array<std::string_view, 2> field_names{"weight_ih", "weight_hh"};
  Tensor w, u;
};
struct WithArray {
  Tensor gates[4];
  auto fields() { return std::tie(gates[0], gates[1], gates[2], gates[3]); }
};

struct Wide {
  Tensor t00, t01, t02, t03, t04, t05, t06, t07, t08, t09, t10, t11, t12, t13, t14, t15;
  Tensor t16, t17, t18, t19, t20, t21, t22, t23, t24, t25, t26, t27, t28, t29, t30, t31;
};

inline Tensor some_tensor() { return Tensor::of(std::vector<float>{1}, Shape{1}); }

template <class T>
std::vector<const Tensor*> addresses(T& tree) {
  std::vector<const Tensor*> found;
  for_each_tensor(tree, [&](const Tensor& t) { found.push_back(&t); });
  return found;
}

// The names of the tensors. The walk with names must find the tensors of the one without, in the same order.
template <class T>
std::vector<std::string> names(T& tree) {
  std::vector<std::string> paths;
  std::vector<const Tensor*> found;
  for_each_named_tensor(tree, [&](const std::string& path, const Tensor& t) {
    paths.push_back(path);
    found.push_back(&t);
  });
  CHECK(found == addresses(tree));
  return paths;
}

using Addresses = std::vector<const Tensor*>;
using Names = std::vector<std::string>;

}  // namespace tapeloop::testing::trees
