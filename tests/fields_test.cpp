// Trees: which types are trees, what is visited in which order under which name, and what a key tells apart.
#include "ad/fields.h"

#include <doctest/doctest.h>

#include <any>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "ad/tensor.h"

using tapeloop::append_static;
using tapeloop::for_each_named_tensor;
using tapeloop::for_each_tensor;
using tapeloop::is_tree;
using tapeloop::Tensor;

namespace {

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

Tensor some_tensor() { return Tensor::of(std::vector<float>{1}, tapeloop::Shape{1}); }

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

template <class T>
std::string key(const T& tree) {
  std::string text;
  append_static(text, tree);
  return text;
}

using Addresses = std::vector<const Tensor*>;
using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("fields: the tensors of a plain struct are visited in declaration order") {
  Model m;
  m.layers.resize(2);
  CHECK(addresses(m) == Addresses{&m.cell.w, &m.cell.u, &m.cell.b, &m.layers[0].weight, &m.layers[0].bias,
                                  &m.layers[1].weight, &m.layers[1].bias, &m.out.weight, &m.out.bias});
}

TEST_CASE("fields: containers are visited in order, and static leaves and absent optionals are passed over") {
  Everything e;
  std::get<1>(e.both).resize(1);
  const Addresses without_optionals{&e.fixed[0].weight,          &e.fixed[0].bias,
                                    &e.fixed[1].weight,          &e.fixed[1].bias,
                                    &std::get<0>(e.triple),      &std::get<2>(e.triple).weight,
                                    &std::get<2>(e.triple).bias, &std::get<0>(e.single).weight,
                                    &std::get<0>(e.single).bias, &e.both.first,
                                    &e.both.second[0],           &e.last};
  CHECK(addresses(e) == without_optionals);
  e.maybe.emplace();
  e.perhaps.emplace();
  Addresses with_optionals{&*e.maybe, &e.perhaps->weight, &e.perhaps->bias};
  with_optionals.insert(with_optionals.end(), without_optionals.begin(), without_optionals.end());
  CHECK(addresses(e) == with_optionals);
}

TEST_CASE("fields: a tree of one tensor, of none, or that contains itself is visited") {
  Tensor t;
  CHECK(addresses(t) == Addresses{&t});
  Empty empty;
  CHECK(addresses(empty).empty());
  std::vector<bool> bits{true};
  CHECK(addresses(bits).empty());
  Node node;
  node.children.resize(2);
  node.children[0].children.resize(1);
  CHECK(names(node) == Names{"x", "children.0.x", "children.0.children.0.x", "children.1.x"});
}

TEST_CASE("fields: a mutable tree gives tensors that can be set, a const tree gives const tensors") {
  Model m;
  m.layers.resize(1);
  for_each_tensor(m, [](Tensor& t) { t = some_tensor(); });
  CHECK_FALSE(m.cell.w.is_empty());
  CHECK_FALSE(m.layers[0].bias.is_empty());
  CHECK_FALSE(m.out.bias.is_empty());

  const auto expect_const = [](auto& tree) {
    for_each_tensor(tree, []<class T>(T&) { static_assert(std::is_same_v<T, const Tensor>); });
    for_each_named_tensor(tree,
                          []<class T>(const std::string&, T&) { static_assert(std::is_same_v<T, const Tensor>); });
  };
  expect_const(std::as_const(m));
  expect_const(std::as_const(m.cell.w));
  const Everything e;
  expect_const(e);
  const Private p(3);
  expect_const(p);
  const Named n;
  expect_const(n);
}

TEST_CASE("fields: the visitor is neither copied nor moved") {
  Dense d;
  struct Counter {
    int count = 0;
    Counter() = default;
    Counter(const Counter&) = delete;
    void operator()(const Tensor&) { ++count; }
    void operator()(const std::string&, const Tensor&) { ++count; }
  } counter;
  for_each_tensor(d, counter);
  for_each_named_tensor(d, counter);
  CHECK(counter.count == 4);
  for_each_tensor(d, Counter{});
}

TEST_CASE("fields: names are those of the fields, and indices in containers") {
  Model m;
  m.layers.resize(2);
  CHECK(names(m) == Names{"cell.w", "cell.u", "cell.b", "layers.0.weight", "layers.0.bias", "layers.1.weight",
                          "layers.1.bias", "out.weight", "out.bias"});
  CHECK(names(std::as_const(m)) == names(m));

  Everything e;
  e.maybe.emplace();
  e.perhaps.emplace();
  e.both.second.resize(11);
  const Names found = names(e);
  CHECK(Names(found.begin(), found.begin() + 13) == Names{"maybe", "perhaps.weight", "perhaps.bias", "fixed.0.weight",
                                                          "fixed.0.bias", "fixed.1.weight", "fixed.1.bias", "triple.0",
                                                          "triple.2.weight", "triple.2.bias", "single.0.weight",
                                                          "single.0.bias", "both.0"});
  CHECK(found[23] == "both.1.10");
  CHECK(found.back() == "last");
}

TEST_CASE("fields: a tensor at the root has no name, and a container at the root only indices") {
  Tensor t;
  CHECK(names(t) == Names{""});
  std::optional<Tensor> maybe = t;
  CHECK(names(maybe) == Names{""});
  std::vector<Dense> layers(1);
  CHECK(names(layers) == Names{"0.weight", "0.bias"});
  std::tuple<Tensor, Dense> two;
  CHECK(names(two) == Names{"0", "1.weight", "1.bias"});
  std::vector<std::vector<Tensor>> nested(2, std::vector<Tensor>(1));
  CHECK(names(nested) == Names{"0.0", "1.0"});
}

TEST_CASE("fields: names of local, templated and oddly named structs are found") {
  struct Local {
    struct Inner {
      Tensor value, external_;
    };
    Inner first;
    Tensor operator_, x1, _y, N, größe;
  };
  Local local;
  CHECK(names(local) == Names{"first.value", "first.external_", "operator_", "x1", "_y", "N", "größe"});
  Adam<Dense> adam;
  CHECK(names(adam) == Names{"m.weight", "m.bias", "v.weight", "v.bias", "step"});
  Adam<Local> local_adam;
  CHECK(names(local_adam)[9] == "v.operator_");
  Adam<std::pair<Tensor, Adam<Tensor>>> deep;
  CHECK(names(deep) == Names{"m.0", "m.1.m", "m.1.v", "m.1.step", "v.0", "v.1.m", "v.1.v", "v.1.step", "step"});
}

TEST_CASE("fields: a class may list its fields, and name them") {
  Private p(3);
  CHECK(names(p) == Names{"0", "2.weight", "2.bias"});
  Named n;
  CHECK(names(n) == Names{"kernel", "offset.weight", "offset.bias"});
  Renamed r;
  CHECK(names(r) == Names{"weight_ih", "weight_hh"});
  WithArray a;
  CHECK(names(a) == Names{"0", "1", "2", "3"});
  for_each_tensor(a, [](Tensor& t) { t = some_tensor(); });
  CHECK_FALSE(a.gates[3].is_empty());
}

TEST_CASE("fields: structs with members that have no default are counted") {
  struct Required {
    Private first;
    Tensor t;
    Private second;
  };
  Required r{Private(1), {}, Private(2)};
  CHECK(names(r) ==
        Names{"first.0", "first.2.weight", "first.2.bias", "t", "second.0", "second.2.weight", "second.2.bias"});
  struct Initialised {
    Tensor t;
    Private p = Private(3);
    std::optional<Private> q;
    std::vector<Private> list;
    Tensor u;
  };
  Initialised i;
  CHECK(names(i) == Names{"t", "p.0", "p.2.weight", "p.2.bias", "u"});
}

TEST_CASE("fields: 1 to 32 fields are counted, whatever they are") {
  Wide wide;
  const Names found = names(wide);
  REQUIRE(found.size() == 32);
  for (int i = 0; i < 32; ++i) {
    CHECK(found[i] == (i < 10 ? "t0" : "t") + std::to_string(i));
  }
  CHECK(addresses(wide).front() == &wide.t00);
  CHECK(addresses(wide).back() == &wide.t31);

  struct Widest {
    Wide a, b;
    std::array<Wide, 2> c;
  };
  Widest widest;
  CHECK(names(widest).size() == 128);

  using tapeloop::aggregate::count;
  static_assert(count<Dense> == 2 && count<Mgu> == 3 && count<Model> == 4 && count<Adam<Model>> == 4);
  static_assert(count<Everything> == 17 && count<Widest> == 3 && count<Node> == 2);
  struct One {
    std::optional<Dense> dense;
  };
  struct Array {
    std::array<std::array<Dense, 3>, 2> array;
    Dense dense;
  };
  struct Singles {
    One one;
    std::tuple<One> tuple;
    std::array<One, 1> array;
    std::optional<std::optional<One>> optional;
  };
  struct Strings {
    std::string a;
    std::vector<std::string> b;
    std::optional<std::string> c;
    std::string_view d;
    const char* e;
  };
  struct Hollow {
    Empty a;
    std::tuple<> b;
    Tensor c;
    std::array<Tensor, 0> d;
  };
  static_assert(count<One> == 1 && count<Array> == 2 && count<Singles> == 4 && count<Strings> == 5);
  static_assert(count<Hollow> == 4 && is_tree<Hollow>);
}

TEST_CASE("fields: nestings of structs, containers, tensors and static leaves are trees") {
  static_assert(is_tree<Tensor> && is_tree<bool> && is_tree<int> && is_tree<double> && is_tree<Activation>);
  static_assert(is_tree<Mode> && is_tree<std::string> && is_tree<std::string_view> && is_tree<const char*>);
  static_assert(is_tree<std::monostate> && is_tree<Empty> && is_tree<decltype([](Tensor t) { return t; })>);
  static_assert(is_tree<Model> && is_tree<Adam<Model>> && is_tree<Everything> && is_tree<Wide> && is_tree<Node>);
  static_assert(is_tree<std::vector<Model>> && is_tree<std::optional<Model>> && is_tree<std::pair<Model, Tensor>>);
  static_assert(is_tree<std::tuple<Model, Tensor, int>> && is_tree<std::tuple<>> && is_tree<std::array<Tensor, 4>>);
  static_assert(is_tree<Private> && is_tree<Named> && is_tree<Renamed> && is_tree<WithArray>);
  static_assert(is_tree<const Model> && is_tree<Model&> && is_tree<const Model&> && is_tree<Model&&>);
  static_assert(tapeloop::Tree<Model> && !tapeloop::Tree<Model*>);
}

// `Outer` is a tree just when its field is.
template <class Field>
struct Outer {
  Tensor before;
  Field field;
  Tensor after;
};

template <class T>
constexpr bool is_refused = !is_tree<T> && !is_tree<Outer<T>> && !is_tree<std::vector<Outer<T>>> &&
                            !is_tree<std::tuple<int, T>> && !is_tree<std::optional<Outer<T>>>;

TEST_CASE("fields: pointers, references, C arrays, unions and functions are not trees") {
  union Union {
    int i;
    float f;
  };
  int captured = 0;
  auto closure = [captured] { return captured; };
  static_assert(!is_refused<Tensor> && !is_refused<int>);  // the test can tell
  static_assert(is_refused<Tensor*> && is_refused<const Tensor*> && is_refused<void*> && is_refused<char*>);
  static_assert(is_refused<std::nullptr_t> && is_refused<Tensor Model::*> && is_refused<int (*)()>);
  static_assert(is_refused<Union> && is_refused<decltype(closure)> && is_refused<std::function<void()>>);
  static_assert(is_refused<std::shared_ptr<Tensor>> && is_refused<std::unique_ptr<Tensor>> && is_refused<std::any>);
  static_assert(is_refused<std::variant<Tensor, int>> && is_refused<std::map<std::string, Tensor>>);
  static_assert(!is_tree<std::tuple<Tensor&>> && !is_tree<std::pair<int, const Tensor&>>);
  static_assert(!is_tree<std::vector<Tensor*>> && !is_tree<std::optional<Tensor*>> && !is_tree<void>);

  struct Reference {
    Tensor& t;
  };
  struct ConstReference {
    Tensor before;
    const Tensor& t;
  };
  struct Const {
    const Tensor t;
    int i;
  };
  static_assert(is_refused<Reference> && is_refused<ConstReference> && is_refused<Const>);
  static_assert(!is_tree<std::tuple<const Tensor>> && !is_tree<std::array<const Tensor, 2>>);

  struct Array {
    Tensor t[3];
  };
  struct ArrayOfOne {
    int i[1];
    Tensor t;
  };
  struct ArrayInside {
    Tensor a;
    Dense d;
    Tensor matrix[2][2];
    Tensor b;
  };
  struct ArrayLast {
    std::optional<Dense> a;
    char text[8];
  };
  struct ArrayOfRequired {
    Private p;
    int i[2];
  };
  static_assert(is_refused<Array> && is_refused<ArrayOfOne> && is_refused<ArrayInside> && is_refused<ArrayLast>);
  static_assert(is_refused<ArrayOfRequired> && !is_tree<Tensor[2]>);
}

TEST_CASE("fields: derived classes, classes with private members and too many fields are not trees") {
  struct Base {
    Tensor t;
  };
  struct Derived : Base {
    Tensor u;
  };
  struct DerivedFromEmpty : Empty {
    Tensor t, u;
  };
  struct OnlyDerived : Base {};
  class Hidden {
   public:
    explicit Hidden(int i) : i_(i) {}
    int get() const { return i_; }

   private:
    int i_;
  };
  struct Virtual {
    Tensor t;
    virtual ~Virtual() = default;
  };
  struct TooMany {
    Wide wide;
    int i01, i02, i03, i04, i05, i06, i07, i08, i09, i10, i11, i12, i13, i14, i15, i16;
    int i17, i18, i19, i20, i21, i22, i23, i24, i25, i26, i27, i28, i29, i30, i31, i32;
  };
  static_assert(is_refused<Derived> && is_refused<DerivedFromEmpty> && is_refused<OnlyDerived>);
  static_assert(is_refused<Hidden> && is_refused<Virtual> && is_refused<TooMany>);
}

TEST_CASE("fields: fields() must be the class's own, and refer to fields that can be set") {
  struct Inherits : Private {
    using Private::Private;
    Tensor forgotten;
  };
  struct OwnList : Dense {
    Tensor extra;
    auto fields() { return std::tie(weight, bias, extra); }
  };
  struct OnlyConst {
    Tensor t;
    auto fields() const { return std::tie(t); }
  };
  struct ByValue {
    Tensor t;
    auto fields() { return std::make_tuple(t); }
  };
  struct NotATuple {
    Tensor t;
    Tensor& fields() { return t; }
  };
  struct BadField {
    Tensor* t;
    auto fields() { return std::tie(t); }
  };
  static_assert(is_tree<OwnList>);
  static_assert(is_refused<Inherits> && is_refused<OnlyConst> && is_refused<ByValue> && is_refused<NotATuple>);
  static_assert(is_refused<BadField>);
  OwnList own;
  CHECK(addresses(own) == Addresses{&own.weight, &own.bias, &own.extra});
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
  e.weight = Tensor::of(std::vector<double>{1, 2, 3}, tapeloop::Shape{3});
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
