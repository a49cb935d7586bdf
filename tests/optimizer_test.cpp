// Optimisers and clipping: what holds whatever the formulas are. The formulas themselves: tests/torch_test.cpp.
#include <doctest/doctest.h>

#include <cmath>

#include "ad/grad.h"
#include "cases.h"
#include "models/average.h"
#include "models/dense.h"
#include "models/optimizer.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

using namespace tapeloop;

namespace {

struct Model {
  Dense layer;
  std::vector<Tensor> more;
  int version = 3;
};

Tensor row(std::vector<double> values) {
  const auto n = std::int64_t(values.size());
  return Tensor::of(values, {n});
}

Model model() { return {{Tensor::of(std::vector<double>{1, -2, 3, 4}, {2, 2}), row({0.5, -0.5})}, {row({2})}}; }

// A bowl whose lowest point is 0.
Tensor bowl(const Model& m) {
  Tensor total = sum(square(m.layer.w)) + sum(square(m.layer.b));
  for (const Tensor& t : m.more) total = total + sum(square(t));
  return total;
}

template <class Optimizer>
void descends(Optimizer opt) {
  Model m = model();
  const double before = bowl(m).item<double>();
  for (int i = 0; i < 50; ++i) opt.update(m, grad(bowl)(m));
  CHECK(bowl(m).item<double>() < 0.5 * before);
  CHECK(m.version == 3);
  ++tapeloop::testing::cases;
}

// The same update run at once and recorded first: the same bits.
template <class Step, class A, class B>
void same_when_recorded(Step step, const A& a, const B& b) {
  const Tensors eager = leaves_of(step(a, b));
  auto traced = trace(step, Recorder::Captures::recorded, a, b);
  CHECK(traced.captured.empty());
  Tensors inputs = leaves_of(a);
  for (const Tensor& t : leaves_of(b)) inputs.push_back(t);
  const Tensors recorded = run(*traced.tape, inputs);
  REQUIRE(eager.size() == recorded.size());
  for (std::size_t i = 0; i < eager.size(); ++i) CHECK(same_bits(eager[i].materialized(), recorded[i]));
  ++tapeloop::testing::cases;
}

template <class Optimizer>
void records(const Optimizer& opt) {
  auto step = [](Model m, Optimizer o) {
    o.update(m, clip_by_global_norm(grad(bowl)(m), 1.0));
    return std::pair{m, o};
  };
  same_when_recorded(step, model(), opt);
}

}  // namespace

TEST_CASE("optimizer: each goes down a bowl and leaves static leaves alone") {
  descends(sgd(model(), {.lr = 0.1}));
  descends(sgd(model(), {.lr = 0.02, .momentum = 0.9, .nesterov = true}));
  descends(rms_prop(model(), {.lr = 0.05}));
  descends(adam(model(), {.lr = 0.1}));
  descends(adam_w(model(), {.lr = 0.1, .weight_decay = 0.1}));
}

TEST_CASE("optimizer: an update is the same recorded as run") {
  records(sgd(model(), {.lr = 0.1}));
  records(sgd(model(), {.lr = 0.1, .momentum = 0.9}));
  records(rms_prop(model(), {.momentum = 0.5, .weight_decay = 0.1}));
  records(adam(model()));
  records(adam_w(model()));
}

TEST_CASE("average: it follows the formula, from the first update on, and leaves the model alone") {
  Model m = model();
  constexpr double decay = 0.7;
  auto mean = average(m, decay);
  double expected = 0.5;  // of layer.b[0]
  for (int t = 0; t < 40; ++t) {
    m.layer.b = row({double(t * t), 1});
    mean.update(m);
    expected += (1 - std::min(decay, (1.0 + t) / (10.0 + t))) * (t * t - expected);
    CHECK(mean.model.layer.b.to_vector<double>()[0] == doctest::Approx(expected).epsilon(1e-13));
  }
  CHECK(m.layer.b.to_vector<double>()[0] == 39 * 39);
  CHECK(same_bits(mean.model.layer.w.materialized(), model().layer.w));
  CHECK(mean.model.version == 3);
}

TEST_CASE("average: an update is the same recorded as run") {
  auto step = [](Average<Model> mean, const Model& m) {
    mean.update(m);
    return mean;
  };
  Model m = model();
  m.layer.b = row({7, 8});
  same_when_recorded(step, average(model()), m);
}

TEST_CASE("optimizer: the learning rate is a tensor that may change between updates") {
  Model m = model();
  auto opt = sgd(m, {.lr = 1});
  opt.lr = full({}, 0, Dtype::f64);
  opt.update(m, model());
  CHECK(same_bits(m.layer.w, model().layer.w));
  opt.lr = full({}, 1, Dtype::f64);
  opt.update(m, model());
  CHECK(bowl(m).item<double>() == 0);
}

TEST_CASE("optimizer: the first Adam step is lr, in f32 too, however small the gradient") {
  for (double g : {1e-3, 1.0, 1e3}) {
    std::vector<Tensor> m{Tensor::of(std::vector<float>{0}, {1})};
    auto opt = adam(m, {.lr = 0.01});
    opt.update(m, {Tensor::of(std::vector<float>{float(g)}, {1})});
    CHECK(m[0].item<float>() == doctest::Approx(-0.01).epsilon(2e-5));
    CHECK(opt.step.item<float>() == 1);
  }
}

TEST_CASE("optimizer: clipping bounds the norm and keeps small gradients") {
  const std::vector<Tensor> grads{row({3, 0}), row({-4})};
  CHECK(global_norm(grads).item<double>() == 5);
  CHECK(global_norm(clip_by_global_norm(grads, 1.0)).item<double>() == doctest::Approx(1).epsilon(1e-6));
  CHECK(global_norm(clip_by_global_norm(grads, 1.0)).item<double>() <= 1);
  CHECK(same_bits(clip_by_global_norm(grads, 10.0)[0], grads[0]));
  const std::vector<Tensor> zero{row({0, 0})};
  CHECK(global_norm(clip_by_global_norm(zero, 1.0)).item<double>() == 0);
  const auto limited = clip_by_value(grads, 3.5);
  CHECK(limited[0].to_vector<double>() == std::vector<double>{3, 0});
  CHECK(limited[1].to_vector<double>() == std::vector<double>{-3.5});
  CHECK(std::isnan(clip_by_value(std::vector<Tensor>{row({NAN})}, 1)[0].item<double>()));
}

TEST_CASE("optimizer: gradients of another model are refused by name") {
  Model m = model(), other = model();
  other.layer.b = row({1, 2, 3});
  auto opt = adam(m);
  CHECK_THROWS_WITH_AS(opt.update(m, other), doctest::Contains("Adam: layer.b is f64[2], its gradient f64[3]"), Error);
  other = model();
  other.more.clear();
  CHECK_THROWS_WITH_AS(opt.update(m, other), doctest::Contains("not those of this model"), Error);
  CHECK(same_bits(m.layer.w, model().layer.w));
}
