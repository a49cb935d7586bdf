// The cells and the optimisers against numbers stored from PyTorch 1.13 (tests/golden/torch_cells.py).
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ad/grad.h"
#include "cases.h"
#include "models/cell.h"
#include "models/gru.h"
#include "models/lstm.h"
#include "models/optimizer.h"
#include "models/rnn.h"

using namespace tapeloop;
using Json = nlohmann::json;

namespace {

const Json& golden() {
  static const Json json = Json::parse(std::ifstream(TAPELOOP_SOURCE_DIR "/tests/golden/torch_cells.json"));
  return json;
}

Tensor tensor(const Json& json) {
  const auto sizes = json["shape"].get<std::vector<std::int64_t>>();
  return Tensor::of(json["values"].get<std::vector<double>>(), Shape(sizes.begin(), sizes.end()));
}

Tensors tensors(const Json& list) {
  Tensors result;
  for (const Json& json : list) result.push_back(tensor(json));
  return result;
}

// The largest difference, relative to the largest of max(1, |b|); infinite when the shapes differ.
double distance(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || values_of(a.shape()) != values_of(b.shape())) return INFINITY;
  double worst = 0;
  auto x = a.data<double>(), y = b.data<double>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = std::abs(x[i] - y[i]) / std::max(1.0, std::abs(y[i]));
    if (!(d <= worst)) worst = d;
  }
  return worst;
}

void close(const std::string& what, const Tensor& a, const Json& b) {
  INFO(what);
  CHECK(distance(a, tensor(b)) <= 1e-12);
  ++tapeloop::testing::cases;
}

// Outputs, final state and gradients of one cell; gives the gradient with respect to the cell.
template <class Cell, class State>
Cell compare(const Json& json, const Cell& cell, const State& state) {
  INFO(json["name"].get<std::string>());
  const Tensor weight = tensor(json["weight"]);
  const Tensors last_weights = tensors(json["last_weights"]);
  auto loss = [](const Cell& c, const State& s, const Tensor& x, const Tensor& w, const Tensors& lw) {
    auto [last, outputs] = unroll(c, s, x);
    Tensor total = sum(outputs * w);
    const Tensors leaves = leaves_of(last);
    for (std::size_t i = 0; i < leaves.size(); ++i) total = total + sum(leaves[i] * lw[i]);
    return std::pair{total, std::pair{outputs, leaves}};
  };
  const Tensor xs = tensor(json["xs"]);
  const auto [l, aux] = loss(cell, state, xs, weight, last_weights);
  const auto [d_cell, d_state, d_xs] = grad<0, 1, 2>(loss)(cell, state, xs, weight, last_weights);
  CHECK(std::abs(l.template item<double>() - json["loss"].get<double>()) <= 1e-12 * 100);
  close("outputs", aux.first, json["outputs"]);
  const Tensors d_states = leaves_of(d_state);
  for (std::size_t i = 0; i < d_states.size(); ++i) {
    close("last", aux.second[i], json["last"][i]);
    close("gradient of the state", d_states[i], json["d_state"][i]);
  }
  close("gradient of xs", d_xs, json["d_xs"]);
  close("gradient of w", d_cell.w, json["d_w"]);
  close("gradient of u", d_cell.u, json["d_u"]);
  close("gradient of b", d_cell.b, json["d_b_input"]);
  return d_cell;
}

struct Parameter {
  Tensor p;
};

template <class Optimizer>
void follow(const Json& json, Optimizer optimizer) {
  INFO(json["name"].get<std::string>());
  Parameter model{tensor(json["start"])};
  for (std::size_t i = 0; i < json["grads"].size(); ++i) {
    optimizer.update(model, Parameter{tensor(json["grads"][i])});
    close("step " + std::to_string(i), model.p, json["values"][i]);
  }
}

}  // namespace

TEST_CASE("torch: RNN, GRU and LSTM have PyTorch's outputs and all of its gradients") {
  for (const Json& json : golden()["cells"]) {
    const auto name = json["name"].get<std::string>();
    const Tensor w = tensor(json["w"]), u = tensor(json["u"]),
                 both = tensor(json["b_input"]) + tensor(json["b_hidden"]);
    const Tensors state = tensors(json["state"]);
    if (name == "rnn_tanh" || name == "rnn_relu") {
      compare(json, Rnn{w, u, both, name == "rnn_relu" ? Rnn::Activation::relu : Rnn::Activation::tanh}, state[0]);
    } else if (name == "lstm") {
      compare(json, Lstm{w, u, both}, Lstm::State{state[0], state[1]});
    } else {
      REQUIRE(name == "gru");
      const auto [br, bz, bn] = chunk<3>(both);
      const auto input = chunk<3>(tensor(json["b_input"])), hidden = chunk<3>(tensor(json["b_hidden"]));
      const Gru grads = compare(json, Gru{w, u, concat({br, bz, input[2]}), hidden[2]}, state[0]);
      CHECK(distance(grads.un_bias, chunk<3>(tensor(json["d_b_hidden"]))[2]) <= 1e-12);
    }
  }
}

TEST_CASE("torch: optimisers take PyTorch's steps") {
  const Json& all = golden()["optimizers"];
  const Parameter p{tensor(all[0]["start"])};
  REQUIRE(all.size() == 8);
  follow(all[0], sgd(p, {.lr = 0.1, .weight_decay = 0.01}));
  follow(all[1], sgd(p, {.lr = 0.1, .momentum = 0.9}));
  follow(all[2], sgd(p, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}));
  follow(all[3], rms_prop(p, {.lr = 0.01, .weight_decay = 0.01}));
  follow(all[4], rms_prop(p, {.lr = 0.01, .momentum = 0.9}));
  follow(all[5], adam(p, {.lr = 0.01}));
  follow(all[6], adam(p, {.lr = 0.01, .weight_decay = 0.1}));
  follow(all[7], adam_w(p, {.lr = 0.01, .weight_decay = 0.01}));
}
