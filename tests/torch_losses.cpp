// PyTorch's losses, in ops of ours.
#include <cmath>
#include <numbers>

#include "models/loss.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"
#include "torch_table.h"

namespace tapeloop::testing::torch {
namespace {

// −Σ w·log p at the targets, classes along axis 1 (0 without a batch), over Σ w if it is a mean.
Value negative_log_likelihood(const Args& a, const Tensor& log_p) {
  const int axis = log_p.rank() == 1 ? 0 : 1;
  const std::string how = a.text(99, "reduction", "mean");
  const double smoothing = a.number(99, "label_smoothing", 0);
  const Tensor target = a.tensor(1, "target");
  Shape across(std::size_t(log_p.rank()), Extent(1));
  across[std::size_t(axis)] = log_p.size(axis);
  const Tensor weight = a.find(2, "weight") ? reshape(a.tensor(2, "weight"), across) : Tensor();
  if (is_float(target.dtype())) {
    // Probabilities of classes.
    const Tensor q = target * (1 - smoothing) + smoothing / double(log_p.size(axis).value());
    const Tensor terms = weight.is_empty() ? q * log_p : q * log_p * weight;
    const Tensor each = -sum(terms, axis);
    return reduced_loss(each, a, 99);
  }
  const int ignored = int(a.number(99, "ignore_index", -100));
  const Tensor counts = target != ignored, safe = where(counts, target, 0);
  const Tensor weights =
      weight.is_empty() ? cast(counts, log_p.dtype()) : where(counts, gather(reshape(weight, {-1}), safe), 0);
  const Tensor nll = -(weights * pick_along(log_p, safe, axis));
  Tensor each = nll;
  if (smoothing != 0) {
    const Tensor all = -sum(weight.is_empty() ? log_p : log_p * weight, axis);
    each = (1 - smoothing) * nll + smoothing / double(log_p.size(axis).value()) * where(counts, all, 0);
  }
  if (how == "none") return tensor_value(each);
  return tensor_value(how == "sum" ? sum(each) : sum(each) / sum(weights));
}

void classification(Table& t) {
  t["cross_entropy"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    return negative_log_likelihood(a, log_softmax(x, x.rank() == 1 ? 0 : 1));
  };
  t["nll_loss"] = [](const Args& a) { return negative_log_likelihood(a, a.tensor(0, "input")); };
  t["binary_cross_entropy_with_logits"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "target");
    const bool plain = !a.find(2, "weight") && !a.find(99, "pos_weight");
    if (plain && a.text(99, "reduction", "mean") == "mean") return tensor_value(binary_cross_entropy(x, y));
    const Tensor positive = a.find(99, "pos_weight") ? a.tensor(99, "pos_weight") * y : y;
    const Tensor each = positive * softplus(-x) + (1 - y) * softplus(x);
    return reduced_loss(a.find(2, "weight") ? each * a.tensor(2, "weight") : each, a, 99);
  };
  // Logarithms are not below −100 there; the derivative is (x − y) over x(1 − x), which is not below 1e-12.
  t["binary_cross_entropy"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "target");
    const Tensor value = -(y * maximum(log(x), -100) + (1 - y) * maximum(log(1 - x), -100));
    const Tensor slope = (x - y) / maximum(x * (1 - x), 1e-12);
    const Tensor each = stop_gradient(value) + stop_gradient(slope) * (x - stop_gradient(x));
    return reduced_loss(a.find(2, "weight") ? each * a.tensor(2, "weight") : each, a, 99);
  };
  t["kl_div"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "target");
    const Tensor each = a.flag(99, "log_target") ? exp(y) * (y - x) : xlogy(y, y) - y * x;
    if (a.text(99, "reduction", "mean") == "batchmean") return tensor_value(sum(each) / double(x.size(0).value()));
    return reduced_loss(each, a, 99);
  };
  t["hinge_embedding_loss"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "target");
    const Tensor apart = maximum(a.number(2, "margin", 1) - x, 0);
    return reduced_loss(where(y == 1, x, 0) + where(y == -1, apart, 0), a, 99);
  };
  t["soft_margin_loss"] = [](const Args& a) {
    return reduced_loss(softplus(-(a.tensor(1, "target") * a.tensor(0, "input"))), a, 99);
  };
  t["multilabel_soft_margin_loss"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "target");
    return reduced_loss(mean(y * softplus(-x) + (1 - y) * softplus(x), -1), a, 99);
  };
}

void regression(Table& t) {
  t["mse_loss"] = [](const Args& a) {
    return reduced_loss(square(a.tensor(0, "input") - a.tensor(1, "target")), a, 2);
  };
  t["l1_loss"] = [](const Args& a) { return reduced_loss(abs(a.tensor(0, "input") - a.tensor(1, "target")), a, 2); };
  t["huber_loss"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "target");
    const double delta = a.number(3, "delta", 1);
    if (a.text(2, "reduction", "mean") == "mean") return tensor_value(huber(x, y, delta));
    const Tensor distance = abs(x - y), near = minimum(distance, delta);
    return reduced_loss(near * (distance - 0.5 * near), a, 2);
  };
  t["smooth_l1_loss"] = [](const Args& a) {
    const Tensor distance = abs(a.tensor(0, "input") - a.tensor(1, "target"));
    const double beta = a.number(3, "beta", 1);
    if (beta == 0) return reduced_loss(distance, a, 2);
    return reduced_loss(where(distance < beta, 0.5 * square(distance) / beta, distance - 0.5 * beta), a, 2);
  };
  t["poisson_nll_loss"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "target");
    const bool is_log = a.flag(2, "log_input", true);
    Tensor each = is_log ? exp(x) - y * x : x - y * log(x + a.number(99, "eps", 1e-8));
    if (a.flag(3, "full")) each = each + where(y > 1, y * log(y) - y + 0.5 * log(2 * M_PI * y), 0);
    return reduced_loss(each, a, 99);
  };
  t["gaussian_nll_loss"] = [](const Args& a) {
    const Tensor given = a.tensor(2, "var");
    const double eps = a.number(4, "eps", 1e-6);
    // The floor of the variance is not part of the derivative there.
    const Tensor v = given + stop_gradient(maximum(given, eps) - given);
    Tensor each = 0.5 * (log(v) + square(a.tensor(0, "input") - a.tensor(1, "target")) / v);
    if (a.flag(3, "full")) each = each + 0.5 * std::log(2 * M_PI);
    return reduced_loss(each, a, 99);
  };
}

// A distance along an axis, whose gradient is 0 where it is 0.
Tensor distance_of(const Tensor& x, double p, int axis, bool keep) { return norm(x, p, axis, keep); }

void distances(Table& t) {
  t["cosine_similarity"] = [](const Args& a) {
    return tensor_value(
        cosine_similarity(a.tensor(0, "x1"), a.tensor(1, "x2"), int(a.number(2, "dim", 1)), a.number(3, "eps", 1e-8)));
  };
  t["normalize"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    const Tensor n = norm(x, a.number(1, "p", 2), int(a.number(2, "dim", 1)), true);
    return tensor_value(x / clamp(n, a.number(3, "eps", 1e-12), INFINITY));
  };
  t["pairwise_distance"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "x1"), y = a.tensor(1, "x2");
    return tensor_value(distance_of(x - y + a.number(3, "eps", 1e-6), a.number(2, "p", 2), -1, a.flag(4, "keepdim")));
  };
  t["cdist"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "x1"), y = a.tensor(1, "x2");
    return tensor_value(distance_of(expand_dims(x, -2) - expand_dims(y, -3), a.number(2, "p", 2), -1, false));
  };
  t["pdist"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input");
    std::vector<double> first, second;
    for (std::int64_t i = 0; i < x.size(0).value(); ++i)
      for (std::int64_t j = i + 1; j < x.size(0).value(); ++j) {
        first.push_back(double(i));
        second.push_back(double(j));
      }
    const Shape pairs{std::int64_t(first.size())};
    return tensor_value(norm(gather(x, frozen(first, pairs, Dtype::i32)) - gather(x, frozen(second, pairs, Dtype::i32)),
                             a.number(1, "p", 2), -1));
  };
  t["dist"] = [](const Args& a) {
    return tensor_value(norm(a.tensor(0, "input") - a.tensor(1, "other"), a.number(2, "p", 2)));
  };
  t["margin_ranking_loss"] = [](const Args& a) {
    const Tensor y = a.tensor(2, "target");
    // clamp_min, whose derivative at its bound is that of x
    return reduced_loss(
        clamp(-y * (a.tensor(0, "input1") - a.tensor(1, "input2")) + a.number(3, "margin", 0), 0, INFINITY), a, 99);
  };
  t["triplet_margin_loss"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "anchor");
    const double p = a.number(4, "p", 2), eps = a.number(5, "eps", 1e-6);
    const Tensor near = norm(x - a.tensor(1, "positive") + eps, p, -1),
                 from_x = norm(x - a.tensor(2, "negative") + eps, p, -1);
    const Tensor from_other = norm(a.tensor(1, "positive") - a.tensor(2, "negative") + eps, p, -1);
    const Tensor far = a.flag(6, "swap") ? minimum(from_x, from_other) : from_x;
    return reduced_loss(clamp(a.number(3, "margin", 1) + near - far, 0, INFINITY), a, 99);
  };
  t["cosine_embedding_loss"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input1"), y = a.tensor(1, "input2"), target = a.tensor(2, "target");
    const double eps = 1e-12;
    auto squares = [&](const Tensor& v) { return sum(square(v), -1) + eps; };
    const Tensor cosine = sum(x * y, -1) / sqrt(squares(x) * squares(y));
    const Tensor apart = clamp(cosine - a.number(3, "margin", 0), 0, INFINITY);
    return reduced_loss(where(target == 1, 1 - cosine, where(target == -1, apart, 0 * cosine)), a, 99);
  };
}

}  // namespace

void add_loss_functions(Table& t) {
  classification(t);
  regression(t);
  distances(t);
}

}  // namespace tapeloop::testing::torch
