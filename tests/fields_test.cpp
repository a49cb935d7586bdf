// Trees: what is visited in which order under which name.
#include "ad/fields.h"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/trees.h"

// Functions of a user's own, whose names are none of our business.
namespace someone {
struct Owner {
  tapeloop::Tensor weight, bias;
};
template <class... Anything>
void walk(Owner&, Anything&&...) {}
template <class... Anything>
void visit(Owner&, Anything&&...) {}
template <class Path, class... Anything>
void walk_named(Path&, Owner&, Anything&&...) {}
}  // namespace someone

namespace tapeloop::testing::trees {
namespace {

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

TEST_CASE("fields: functions of a user's that are called as ours are left alone") {
  std::vector<someone::Owner> owners(1);
  CHECK(addresses(owners).size() == 2);
  CHECK(names(owners) == Names{"0.weight", "0.bias"});
  CHECK(names(owners[0]) == Names{"weight", "bias"});
}

}  // namespace
}  // namespace tapeloop::testing::trees
