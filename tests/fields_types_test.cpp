// Trees: which types are trees, and how many fields a struct has.
#include "ad/fields.h"

#include <any>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "tests/trees.h"

namespace tapeloop::testing::trees {
namespace {

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

  using aggregate::count;
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
  static_assert(Tree<Model> && !Tree<Model*>);
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

}  // namespace
}  // namespace tapeloop::testing::trees
