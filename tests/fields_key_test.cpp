// Trees: what a key tells apart.
#include "ad/fields.h"

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "tests/trees.h"

namespace tapeloop::testing::trees {
namespace {

template <class T>
std::string key(const T& tree) {
  std::string text;
  append_static(text, tree);
  return text;
}

TEST_CASE("fields: equal trees have equal keys") {
  CHECK(key(Model{}) == key(Model{}));
  CHECK(key(Everything{}) == key(Everything{}));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(key(nan) == key(nan));
  CHECK(key(std::string("a\0b", 3)) == key(std::string_view("a\0b", 3)));
  const std::string copy = "text";
  CHECK(key(copy.c_str()) == key(static_cast<const char*>("text")));
  CHECK(key(1.0L / 3) == key(1.0L / 3));

  // The numbers in a tensor are no part of the key; whether it has any is.
  Dense d, e;
  d.weight = some_tensor();
  e.weight = Tensor::of(std::vector<double>{1, 2, 3}, Shape{3});
  CHECK(key(d) == key(e));
  e.bias = some_tensor();
  CHECK(key(d) != key(e));
}

TEST_CASE("fields: a key is appended") {
  std::string text = "before";
  append_static(text, Dense{});
  CHECK(text == "before" + key(Dense{}));
}

TEST_CASE("fields: every static leaf is in the key") {
  const Everything e;
  std::set<std::string> keys{key(e)};
  std::size_t changes = 0;
  const auto expect_new_key = [&](auto change) {
    Everything changed;
    change(changed);
    keys.insert(key(changed));
    CHECK(keys.size() == 1 + ++changes);
  };
  expect_new_key([](auto& x) { x.flag = false; });
  expect_new_key([](auto& x) { x.count = 4; });
  expect_new_key([](auto& x) { x.name = "y"; });
  expect_new_key([](auto& x) { x.text = "x"; });
  expect_new_key([](auto& x) { x.text = ""; });
  expect_new_key([](auto& x) { x.text = nullptr; });
  expect_new_key([](auto& x) { x.view = "x"; });
  expect_new_key([](auto& x) { x.activation = Activation::tanh; });
  expect_new_key([](auto& x) { x.maybe.emplace(); });
  expect_new_key([](auto& x) { x.maybe = some_tensor(); });
  expect_new_key([](auto& x) { x.perhaps.emplace(); });
  expect_new_key([](auto& x) { x.fixed[1].bias = some_tensor(); });
  expect_new_key([](auto& x) { x.numbers[2] = -0.0f; });
  expect_new_key([](auto& x) { x.numbers[2] = std::numeric_limits<float>::denorm_min(); });
  expect_new_key([](auto& x) { x.bits = {true, true}; });
  expect_new_key([](auto& x) { x.bits = {true}; });
  expect_new_key([](auto& x) { x.names = {"ab"}; });
  expect_new_key([](auto& x) { x.names = {"", "ab"}; });
  expect_new_key([](auto& x) { x.names = {"ab", ""}; });
  expect_new_key([](auto& x) { std::get<1>(x.triple) = 1; });
  expect_new_key([](auto& x) { x.both.second.resize(1); });
  expect_new_key([](auto& x) { x.both.second.resize(2); });
  expect_new_key([](auto& x) { x.last = some_tensor(); });
}

TEST_CASE("fields: trees of different structure never have the same key") {
  using V = std::vector<Tensor>;
  using Vs = std::vector<V>;
  using Os = std::vector<std::optional<Tensor>>;
  const Tensor empty, full = some_tensor();
  const std::tuple<> none;
  const std::tuple<Tensor> one;
  const std::optional<std::optional<Tensor>> absent, holds_absent(std::in_place);
  const std::vector<std::string> keys{
      key(empty), key(full), key(V{}), key(V{empty}), key(V{full}), key(V{empty, empty}), key(V{empty, full}),
      key(V{full, empty}), key(Vs{{}, {empty}}), key(Vs{{empty}, {}}), key(Vs{{}, {}}), key(Os{std::nullopt, empty}),
      key(Os{empty, std::nullopt}), key(Os{std::nullopt}), key(absent), key(holds_absent), key(none), key(one),
      key(std::tuple<std::tuple<Tensor>>{}), key(std::tuple{none, empty}), key(std::tuple{one, empty}),
      key(std::tuple{empty, one}), key(std::array<Tensor, 3>{}), key(Mgu{}), key(Empty{}),
      // Leaves of different types with the same value.
      key(false), key(std::int8_t{0}), key(std::uint8_t{0}), key(0), key(0u), key(0L), key(0.0f), key(0.0), key(-0.0),
      key(0.0L), key(Activation{}), key(training), key(inference),
      // Strings that hold what looks like the description of something else.
      key(std::string()), key(std::string("T")), key(std::string(1, '\0')), key(std::string(2, '\0')),
      key(key(std::string("T"))), key(std::vector<std::string>{"a", "b"}), key(std::vector<std::string>{"ab"}),
      key(std::vector<std::string>{"as", "b"}), key(static_cast<const char*>(nullptr))};
  CHECK(std::set<std::string>(keys.begin(), keys.end()).size() == keys.size());
  // Nor is one the beginning of another, so that keys can be strung together.
  for (const std::string& a : keys) {
    for (const std::string& b : keys) CHECK((&a == &b || !b.starts_with(a)));
  }
}

}  // namespace
}  // namespace tapeloop::testing::trees
