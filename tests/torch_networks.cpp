// PyTorch's activations, layers and cells in ops of ours.
#include <cmath>

#include "ops/conv.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"
#include "torch_table.h"

namespace tapeloop::testing::torch {

Tensor optional_tensor(const Args& a, std::size_t i, const std::string& name) {
  return a.find(i, name) ? a.tensor(i, name) : Tensor();
}

namespace {

void smooth_activations(Table& t) {
  t["sigmoid"] = t["expit"] = unary(sigmoid);
  t["logsigmoid"] = unary(logsigmoid);
  t["softsign"] = unary(softsign);
  t["silu"] = t["swish"] = unary(silu);
  t["selu"] = unary(selu);
  t["elu"] = [](const Args& a) { return tensor_value(elu(a.tensor(0, "input"), a.number(1, "alpha", 1))); };
  t["celu"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const double alpha = a.number(1, "alpha", 1);
    return tensor_value(where(x > 0, x, alpha * expm1(where(x > 0, 0, x) / alpha)));
  };
  t["gelu"] = [](const Args& a) {
    return tensor_value(
        gelu(a.tensor(0, "input"), a.text(1, "approximate", "none") == "tanh" ? Gelu::tanh : Gelu::erf));
  };
  t["mish"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(x * tanh(softplus(x)));
  };
  t["tanhshrink"] = [](const Args& a) { return tensor_value(a.tensor(0, "input") - tanh(a.tensor(0, "input"))); };
  t["glu"] = [](const Args& a) {
    const Tensors halves = chunk(a.tensor(0, "input"), 2, int(a.number(1, "dim", -1)));
    return tensor_value(halves[0] * sigmoid(halves[1]));
  };
}

void activations_with_kinks(Table& t) {
  t["hardsigmoid"] = unary(hardsigmoid);
  t["leaky_relu"] = [](const Args& a) {
    return tensor_value(leaky_relu(a.tensor(0, "input"), a.number(1, "negative_slope", 0.01)));
  };
  t["prelu"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    Tensor w = a.tensor(1, "weight");
    // One slope, or one for each channel, which is axis 1.
    if (w.count() > 1 && x.rank() > 2) {
      Shape shape(std::size_t(x.rank()) - 1, Extent(1));
      shape[0] = w.size(0);
      w = reshape(w, shape);
    }
    return tensor_value(where(x > 0, x, w * x));
  };
  t["hardtanh"] = [](const Args& a) {
    return tensor_value(hardtanh(a.tensor(0, "input"), a.number(1, "min_val", -1), a.number(2, "max_val", 1)));
  };
  t["relu6"] = [](const Args& a) { return tensor_value(hardtanh(a.tensor(0, "input"), 0, 6)); };
  t["hardswish"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(x * hardsigmoid(x));
  };
  t["threshold"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(where(x <= a.number(1, "threshold"), a.number(2, "value"), x));
  };
  t["hardshrink"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return tensor_value(where(abs(x) <= a.number(1, "lambd", 0.5), 0, x));
  };
  t["softshrink"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const double edge = a.number(1, "lambd", 0.5);
    return tensor_value(where(x > edge, x - edge, where(x < -edge, x + edge, 0 * x)));
  };
  t["clamp"] = t["clip"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    auto bound = [&](std::size_t i, const std::string& name, double missing) {
      const Value* value = a.find(i, name);
      return value ? as_tensor(*value, x.dtype()) : full({}, missing, x.dtype());
    };
    return tensor_value(clamp(x, bound(1, "min", -INFINITY), bound(2, "max", INFINITY)));
  };
  t["clamp_min"] = [](const Args& a) {
    return tensor_value(clamp(a.tensor(0, "input"), as_tensor(*a.find(1, "min")), INFINITY));
  };
  t["clamp_max"] = [](const Args& a) {
    return tensor_value(clamp(a.tensor(0, "input"), -INFINITY, as_tensor(*a.find(1, "max"))));
  };
}

// Over several last axes as over one of as many elements.
Value layer_norm_of(const Args& a) {
  const Tensor x = a.tensor(0, "input");
  const std::size_t last = a.integers(1, "normalized_shape").size();
  Shape shape(x.shape().begin(), x.shape().end() - std::ptrdiff_t(last));
  shape.emplace_back(-1);
  auto flat = [&](std::size_t i, const std::string& name) {
    const Tensor t = optional_tensor(a, i, name);
    return t.is_empty() ? t : reshape(t, {-1});
  };
  return tensor_value(
      reshape(layer_norm(reshape(x, shape), flat(2, "weight"), flat(3, "bias"), a.number(4, "eps", 1e-5)), x.shape()));
}

// Channels are axis 1 there, and the last axis here.
Value group_norm_of(const Args& a) {
  const Tensor x = a.tensor(0, "input");
  const std::int64_t batch = x.size(0).value(), channels = x.size(1).value();
  const int groups = int(a.function == "instance_norm" ? double(channels) : a.number(1, "num_groups"));
  const Tensor rows = layer_norm(reshape(x, {batch, groups, -1}), {}, {}, a.number(4, "eps", 1e-5));
  Shape shape(std::size_t(x.rank()) - 1, Extent(1));
  shape[0] = channels;
  Tensor y = reshape(rows, x.shape());
  const std::size_t first = a.function == "instance_norm" ? 3 : 2;
  if (const Tensor w = optional_tensor(a, first, "weight"); !w.is_empty()) y = y * reshape(w, shape);
  if (const Tensor b = optional_tensor(a, first + 1, "bias"); !b.is_empty()) y = y + reshape(b, shape);
  return tensor_value(y);
}

Value batch_norm_of(const Args& a) {
  const Tensor x = a.tensor(0, "input");
  Shape shape(std::size_t(x.rank()) - 1, Extent(1));
  shape[0] = x.size(1);
  std::vector<int> others;
  for (int d = 0; d < x.rank(); ++d)
    if (d != 1) others.push_back(d);
  const bool training = a.flag(5, "training");
  const Tensor centre = training ? mean(x, others, true) : reshape(a.tensor(1, "running_mean"), shape),
               variance = training ? var(x, others, 0, true) : reshape(a.tensor(2, "running_var"), shape);
  Tensor y = (x - centre) * rsqrt(variance + a.number(7, "eps", 1e-5));
  if (const Tensor w = optional_tensor(a, 3, "weight"); !w.is_empty()) y = y * reshape(w, shape);
  if (const Tensor b = optional_tensor(a, 4, "bias"); !b.is_empty()) y = y + reshape(b, shape);
  return tensor_value(y);
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  const Tensor y = matmul(x, transpose(w));
  return b.is_empty() ? y : y + b;
}

// x [N, C, L] and w [O, C/groups, K] as sums of products of windows.
Value conv1d_of(const Args& a) {
  const Tensor given = a.tensor(0, "input"), w = a.tensor(1, "weight"), bias = optional_tensor(a, 2, "bias");
  const auto padding = std::int64_t(a.number(4, "padding", 0)), stride = std::int64_t(a.number(3, "stride", 1));
  const auto dilation = std::int64_t(a.number(5, "dilation", 1)), groups = std::int64_t(a.number(6, "groups", 1));
  const bool single = given.rank() == 2;
  const Tensor x = pad(single ? expand_dims(given, 0) : given, 2, padding, padding);
  const std::int64_t taps = w.size(2).value(), inputs = w.size(1).value(), outputs = w.size(0).value() / groups;
  const std::int64_t length = x.size(2).value() - (taps - 1) * dilation;
  Tensors parts;
  for (std::int64_t g = 0; g < groups; ++g) {
    const Tensor from = slice(x, 1, g * inputs, (g + 1) * inputs), by = slice(w, 0, g * outputs, (g + 1) * outputs);
    Tensor total;
    for (std::int64_t k = 0; k < taps; ++k) {
      const Tensor tap = matmul(at(by, 2, k), slice(from, 2, k * dilation, k * dilation + length, stride));
      total = total.is_empty() ? tap : total + tap;
    }
    parts.push_back(total);
  }
  Tensor y = concat(parts, 1);
  if (!bias.is_empty()) y = y + expand_dims(bias, 1);
  return tensor_value(single ? squeeze(y, 0) : y);
}

Value pooled(const Args& a, bool greatest) {
  const Tensor x = a.tensor(0, "input");
  const auto size = std::int64_t(a.number(1, "kernel_size"));
  const auto stride = std::int64_t(a.number(2, "stride", double(size)));
  Tensors windows;
  for (std::int64_t i = 0; i + size <= x.size(-1).value(); i += stride) windows.push_back(slice(x, -1, i, i + size));
  const Tensor all = stack(windows, -2);
  if (!greatest) return tensor_value(mean(all, -1));
  return tensor_value(squeeze(take_along(all, expand_dims(argmax(all, -1), -1), -1), -1));
}

void layers(Table& t) {
  t["layer_norm"] = layer_norm_of;
  t["group_norm"] = t["instance_norm"] = group_norm_of;
  t["batch_norm"] = batch_norm_of;
  t["linear"] = [](const Args& a) {
    return tensor_value(linear(a.tensor(0, "input"), a.tensor(1, "weight"), optional_tensor(a, 2, "bias")));
  };
  t["bilinear"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input1"), y = a.tensor(1, "input2"), w = a.tensor(2, "weight");
    // Σ x_i w_oij y_j
    const Tensor inner = matmul(expand_dims(expand_dims(x, -2), -2), w);
    const Tensor z = squeeze(matmul(inner, expand_dims(expand_dims(y, -1), -3)), -1);
    const Tensor b = optional_tensor(a, 3, "bias"), flat = squeeze(z, -1);
    return tensor_value(b.is_empty() ? flat : flat + b);
  };
  t["conv1d"] = conv1d_of;
  t["avg_pool1d"] = [](const Args& a) { return pooled(a, false); };
  t["max_pool1d"] = [](const Args& a) { return pooled(a, true); };
  t["dropout"] = [](const Args& a) {
    if (a.flag(2, "training", true) && a.number(1, "p", 0.5) != 0) throw NoSuchOp("dropout by PyTorch's generator");
    return a.positional.at(0);
  };
}

// Cells with PyTorch's weights [gates·hidden, inputs]: rnn_tanh_cell(x, h, w_ih, w_hh, b_ih, b_hh) and its like.
void cells(Table& t) {
  auto simple = [](Tensor (*f)(const Operand&)) {
    return [f](const Args& a) {
      return tensor_value(f(linear(a.tensor(0, "input"), a.tensor(2, "w_ih"), optional_tensor(a, 4, "b_ih")) +
                            linear(a.tensor(1, "hx"), a.tensor(3, "w_hh"), optional_tensor(a, 5, "b_hh"))));
    };
  };
  t["rnn_tanh_cell"] = simple(tanh);
  t["rnn_relu_cell"] = simple(relu);
  t["lstm_cell"] = [](const Args& a) {
    const Tensors state = a.tensors(1, "hx");
    const Tensor gates = linear(a.tensor(0, "input"), a.tensor(2, "w_ih"), optional_tensor(a, 4, "b_ih")) +
                         linear(state.at(0), a.tensor(3, "w_hh"), optional_tensor(a, 5, "b_hh"));
    const auto [i, f, g, o] = chunk<4>(gates);
    const Tensor c = sigmoid(f) * state.at(1) + sigmoid(i) * tanh(g);
    return list_value({tensor_value(sigmoid(o) * tanh(c)), tensor_value(c)});
  };
  t["gru_cell"] = [](const Args& a) {
    const Tensor h = a.tensor(1, "hx");
    const auto [xr, xz, xn] =
        chunk<3>(linear(a.tensor(0, "input"), a.tensor(2, "w_ih"), optional_tensor(a, 4, "b_ih")));
    const auto [hr, hz, hn] = chunk<3>(linear(h, a.tensor(3, "w_hh"), optional_tensor(a, 5, "b_hh")));
    const Tensor r = sigmoid(xr + hr), z = sigmoid(xz + hz), n = tanh(xn + r * hn);
    return tensor_value((1 - z) * n + z * h);
  };
}

}  // namespace

void add_network_functions(Table& t) {
  smooth_activations(t);
  activations_with_kinks(t);
  layers(t);
  cells(t);
}

}  // namespace tapeloop::testing::torch
