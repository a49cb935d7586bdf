// Derivative corner cases with the answers of PyTorch 1.13 in f64: kinks, zeros and infinities, broadcasting, aliasing,
// higher order, recurrences, regressions of other systems. The cases lie beside the repository on machines that have them.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ad/grad.h"
#include "cases.h"
#include "jit/jit.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "torch_language.h"
#include "torture_conventions.h"

using namespace tapeloop;
using namespace tapeloop::testing;
using Json = nlohmann::ordered_json;  // which input is the first matters

namespace {

double number_of(const Json& json) {
  if (json.is_number()) return json.get<double>();
  const auto text = json.get<std::string>();
  return text == "inf" ? INFINITY : text == "-inf" ? -INFINITY : NAN;
}

void flatten(const Json& json, std::vector<std::int64_t>& shape, std::size_t depth, std::vector<double>& numbers) {
  if (!json.is_array()) {
    numbers.push_back(number_of(json));
    return;
  }
  if (shape.size() == depth) shape.push_back(std::int64_t(json.size()));
  for (const Json& item : json) flatten(item, shape, depth + 1, numbers);
}

Tensor tensor_of(const Json& json) {
  std::vector<std::int64_t> shape;
  std::vector<double> numbers;
  flatten(json, shape, 0, numbers);
  return Tensor::of(numbers, Shape(shape.begin(), shape.end()));
}

bool close(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

// "" when equal within the tolerance, else how they differ.
std::string difference(const std::string& what, const Tensor& got, const Json& want, double tolerance) {
  const Tensor expected = want.is_string() && want.get<std::string>().starts_with("no-dependency")
                              ? zeros_like(got).materialized()
                              : tensor_of(want);
  const auto x = cast(got, Dtype::f64).materialized().to_vector<double>(), y = expected.to_vector<double>();
  bool same = values_of(got.shape()) == values_of(expected.shape());
  for (std::size_t i = 0; same && i < x.size(); ++i) same = close(x[i], y[i], tolerance);
  return same ? "" : what + ": " + to_string(got) + ", expected " + to_string(expected) + "; ";
}

// One case as a function of its inputs.
struct Case {
  std::string id, policy;
  torch::Program program;
  std::vector<std::string> names;
  Tensors inputs;
  std::optional<Tensor> cotangent;
  double tolerance;
  std::vector<double> reads = {};

  explicit Case(const Json& json)
      : id(json["id"]),
        policy(json["policy"]),
        program(json["expr"].get<std::string>()),
        tolerance(json["tol"].get<double>()) {
    for (const auto& [name, value] : json["inputs"].items()) {
      names.push_back(name);
      inputs.push_back(tensor_of(value));
    }
    if (json.contains("cotangent")) cotangent = constant(tensor_of(json["cotangent"]));
    torch::Reads first;
    (void)run(inputs, first);
    reads = first.values;
  }

  Tensor run(const Tensors& at, torch::Reads& numbers) const {
    std::map<std::string, Tensor> named;
    for (std::size_t i = 0; i < names.size(); ++i) named[names[i]] = at[i];
    return program.run(named, numbers);
  }
  Tensor value(const Tensors& at) const {
    torch::Reads numbers{reads, 0, true};
    return run(at, numbers);
  }
  // What is differentiated, and the value beside it.
  std::pair<Tensor, Tensor> loss(const Tensors& at) const {
    const Tensor y = value(at);
    return {sum(cotangent ? y * *cotangent : y), y};
  }
  // The derivative of order n of the loss with respect to the first input, summed before each further derivative.
  Tensor derivative(int order, const Tensor& x) const {
    auto along = [&](const Tensor& t) {
      Tensors at = inputs;
      for (Tensor& other : at) other = constant(other);
      at[0] = t;
      return at;
    };
    if (order == 1) return grad([&](const Tensor& t) { return loss(along(t)).first; })(x);
    return grad([&](const Tensor& t) { return sum(derivative(order - 1, t)); })(x);
  }
};

struct Answer {
  Tensor value;
  Tensors gradients, higher;
};

Tensors all_of(const Answer& a) {
  Tensors all{a.value};
  all.insert(all.end(), a.gradients.begin(), a.gradients.end());
  all.insert(all.end(), a.higher.begin(), a.higher.end());
  return all;
}

Answer answer(const Case& c, const std::vector<int>& orders, const Tensors& inputs) {
  auto [l, y, gradients] = value_and_grad([&](const Tensors& at) { return c.loss(at); })(inputs);
  Answer a{y, gradients, {}};
  for (int order : orders) a.higher.push_back(c.derivative(order, inputs[0]));
  return a;
}

// Whether to compile: what is written out for thousands of steps is the interpreter's business.
bool worth_compiling(const Case& c) {
  return trace([&](const Tensors& at) { return c.loss(at).first; }, Recorder::Captures::recorded, c.inputs)
             .tape->size() <= 2000;
}

// The gradient by central differences: what a case without a recorded gradient must give, since here nothing is ever changed
// in place behind a derivative's back.
std::string unlike_differences(const Case& c, const Tensors& gradients) {
  std::string wrong;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const auto values = c.inputs[i].to_vector<double>(), g = gradients[i].to_vector<double>();
    for (std::size_t k = 0; k < values.size(); ++k) {
      auto loss_at = [&](double h) {
        std::vector<double> moved = values;
        moved[k] += h;
        Tensors at = c.inputs;
        at[i] = Tensor::of(moved, c.inputs[i].shape());
        return c.loss(at).first.item<double>();
      };
      const double h = 1e-5 * std::max(1.0, std::abs(values[k])), difference = (loss_at(h) - loss_at(-h)) / (2 * h);
      if (!close(g[k], difference, 1e-7))
        wrong += "gradient of " + c.names[i] + " against differences: " + std::to_string(g[k]) + ", " +
                 std::to_string(difference) + "; ";
    }
  }
  return wrong;
}

struct Tally {
  int checked = 0, as_documented = 0;
};

// Every case of a file. What the evaluator does not know is a failure like any other.
void check_cases(std::istream& file) {
  const Json all = Json::parse(file);
  std::map<std::string, Tally> tallies;
  int compiled = 0, seen = 0;
  for (const Json& json : all["cases"]) {
    const std::string id = json["id"], policy = json["policy"];
    if (policy == "property" || (tapeloop::testing::kInstrumented && ++seen % 4 != 0)) continue;
    INFO(id << " " << json.value("title", "") << ": " << json["expr"].get<std::string>());
    Tally& tally = tallies[policy];
    try {
      const Case c(json);
      std::vector<int> orders;
      if (json.contains("higher"))
        for (const Json& h : json["higher"]) orders.push_back(h["order"].get<int>());
      const Answer a = answer(c, orders, c.inputs);

      std::string wrong;
      if (json.contains("value")) wrong += difference("value", a.value, json["value"], c.tolerance);
      if (json.contains("grad")) {
        for (std::size_t i = 0; i < c.names.size(); ++i)
          if (json["grad"].contains(c.names[i]))
            wrong += difference("gradient of " + c.names[i], a.gradients[i], json["grad"][c.names[i]], c.tolerance);
      } else {
        wrong += unlike_differences(c, a.gradients);
      }
      for (std::size_t i = 0; i < orders.size(); ++i)
        wrong += difference("order " + std::to_string(orders[i]), a.higher[i], json["higher"][i]["value"], c.tolerance);

      const auto convention = conventions().find(id);
      if (wrong.empty()) {
        // An entry that PyTorch's answer satisfies is out of date.
        CHECK_MESSAGE(convention == conventions().end(), "the answer is PyTorch's, yet ", id,
                      " is listed as a deviation");
      } else if (convention != conventions().end()) {
        // A deviation holds to what is documented.
        const Convention& ours = convention->second;
        std::string undocumented;
        for (std::size_t i = 0; i < c.names.size(); ++i)
          if (const auto g = ours.gradients.find(c.names[i]); g != ours.gradients.end())
            undocumented += difference("gradient of " + c.names[i], reshape(a.gradients[i], {-1}).materialized(),
                                       Json(g->second), c.tolerance);
          else if (json.contains("grad") && json["grad"].contains(c.names[i]))
            undocumented +=
                difference("gradient of " + c.names[i], a.gradients[i], json["grad"][c.names[i]], c.tolerance);
        for (std::size_t i = 0; i < orders.size(); ++i)
          if (const auto h = ours.higher.find(orders[i]); h != ours.higher.end())
            undocumented += difference("order " + std::to_string(orders[i]), reshape(a.higher[i], {-1}).materialized(),
                                       Json(h->second), c.tolerance);
        CHECK_MESSAGE(undocumented.empty(), undocumented);
        ++tally.as_documented;
      } else {
        FAIL_CHECK(wrong);
      }

      if (worth_compiling(c) && (!tapeloop::testing::kInstrumented || tally.checked % 5 == 0)) {
        const ScopedOptions scope(tapeloop::testing::quickly(options(), tally.checked % 2 == 1));
        const Tensors want = all_of(a), got = all_of([&] {
                                          auto f = jit([&](const Tensors& at) {
                                            const Answer b = answer(c, orders, at);
                                            return std::tuple{b.value, b.gradients, b.higher};
                                          });
                                          auto [value, gradients, higher] = f(c.inputs);
                                          return Answer{value, gradients, higher};
                                        }());
        for (std::size_t i = 0; i < want.size(); ++i) CHECK(same_bits(got[i].materialized(), want[i].materialized()));
        ++compiled;
      }
      ++tally.checked;
      ++tapeloop::testing::cases;
    } catch (const torch::NoSuchOp& missing) {
      FAIL_CHECK("the evaluator of test cases does not know ", missing.what(), "; a line in tests/torch_*.cpp says it");
    } catch (const std::exception& error) {
      FAIL_CHECK(std::string(error.what()));
    }
  }
  for (const auto& [policy, tally] : tallies) {
    std::string text = policy + ": " + std::to_string(tally.checked) + " checked";
    if (tally.as_documented) text += " (" + std::to_string(tally.as_documented) + " deviate as documented)";
    MESSAGE(text);
  }
  MESSAGE(compiled << " of them compiled as well, to the interpreter's bits");
}

}  // namespace

TEST_CASE("torture: values, gradients and higher derivatives are those that were recorded, interpreted and compiled" *
          doctest::test_suite("long")) {
  std::ifstream file(TAPELOOP_SHARED_DIR "/data/torture/torture.json");
  if (!file) {
    MESSAGE("skipped: torture.json is not on this machine");
    return;
  }
  check_cases(file);
}

TEST_CASE("torture: the same of our own cases (tests/golden/torture_cases.py)" * doctest::test_suite("long")) {
  std::ifstream file(TAPELOOP_SOURCE_DIR "/tests/golden/torture_cases.json");
  REQUIRE(file);
  check_cases(file);
}
