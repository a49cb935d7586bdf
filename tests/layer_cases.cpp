// Products, norms, convolutions and losses, under test.
#include "models/loss.h"
#include "op_cases.h"
#include "ops/contract.h"
#include "ops/conv.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/source.h"

namespace tapeloop::testing {
namespace {

using T = const Tensors&;

const std::vector<Shapes> kVectors{{{3}, {3}}, {{1}, {1}}, {{0}, {0}}, {{17}, {17}}, {{257}, {257}}};
const std::vector<Shapes> kWithRow{
    {{3, 5}, {5}, {5}}, {{1, 1}, {1}, {1}}, {{2, 3, 7}, {7}, {7}}, {{7, 64}, {64}, {64}}, {{0, 4}, {4}, {4}}};
const std::vector<Shapes> kAlike{
    {{3, 5}, {3, 5}}, {{1, 1}, {1, 1}}, {{2, 3, 7}, {2, 3, 7}}, {{5, 18}, {5, 18}}, {{1, 17}, {1, 17}}};
const std::vector<Shapes> kSignals{
    {{7, 2, 3}, {3, 3, 4}}, {{9, 3}, {2, 3, 1}}, {{17, 1, 16}, {3, 16, 5}}, {{4, 2, 1}, {1, 1, 2}}};

Tensor labels(const Tensor& logits) {
  const Shape rows(logits.shape().begin(), logits.shape().end() - 1);
  return remainder(cast(iota(rows, Flattened()) * 3, Dtype::i32), extent(logits.size(-1), Dtype::i32));
}

}  // namespace

std::vector<OpCase> layer_cases() {
  // clang-format off: one line per op
  return {
      {"matmul", {{{3, 4}, {4, 5}}, {{1, 7}, {7, 1}}, {{7, 33}, {33, 40}}, {{3, 0}, {0, 4}}, {{0, 3}, {3, 4}}, {{2, 3, 4}, {4, 5}}, {{2, 3, 4}, {2, 4, 5}}, {{4}, {4, 3}}, {{3, 4}, {4}}, {{4}, {4}}}, -1, 1, [](T x) { return matmul(x[0], x[1]); }},
      {"matmul", {{{4, 3}, {5, 4}}, {{33, 8}, {65, 33}}, {{1, 1}, {1, 1}}}, -1, 1, [](T x) { return matmul(x[0], x[1], MatmulOptions{true, true}); }},
      {"matmul", {{{3, 4}, {4, 5}, {5}}, {{3, 4}, {4, 5}, {3, 5}}, {{2, 3, 4}, {2, 4, 5}, {5}}}, -1, 1, [](T x) { return matmul(x[0], x[1], x[2]); }},
      {"dot", kVectors, -1, 1, [](T x) { return dot(x[0], x[1]); }},
      {"outer", {{{3}, {4}}, {{1}, {17}}, {{0}, {3}}, {{2, 3}, {5}}, {{}, {4}}}, -1, 1, [](T x) { return outer(x[0], x[1]); }},
      {"einsum", {{{2, 3, 4}, {2, 4, 5}}, {{1, 1, 1}, {1, 1, 1}}, {{3, 2, 17}, {3, 17, 2}}, {{2, 0, 4}, {2, 4, 3}}}, -1, 1, [](T x) { return einsum("bij,bjk->bki", {x[0], x[1]}); }},
      {"einsum", {{{2, 3}, {3, 4}, {4}}, {{1, 7}, {7, 1}, {1}}}, -1, 1, [](T x) { return einsum("ij,jk,k->i", {x[0], x[1], x[2]}); }},
      {"einsum", kSquare, -1, 1, [](T x) { return x[0].rank() == 2 ? einsum("ii->i", {x[0]}) : einsum("bii", {x[0]}); }},
      {"einsum", {{{3}, {3}}, {{5}, {5}}}, -1, 1, [](T x) { return einsum("i,i->", {x[0], x[1]}) + einsum("i,j->ji", {x[0], x[1]}); }},
      {"conv1d", kSignals, -1, 1, [](T x) { return conv1d(x[0], x[1]); }},
      {"conv1d", kSignals, -1, 1, [](T x) { return conv1d(x[0], x[1], {.padding = Padding::same, .dilation = 2}); }},
      {"conv1d", {{{7, 2, 3}, {3, 3, 4}}, {{5, 3}, {2, 3, 1}}, {{9, 1, 16}, {3, 16, 5}}}, -1, 1, [](T x) { return conv1d(x[0], x[1], {.padding = Padding::valid, .dilation = 3}); }},
      {"depthwise_conv1d", {{{7, 2, 3}, {3, 3}}, {{9, 5}, {2, 5}}, {{4, 1, 17}, {4, 17}}}, -1, 1, [](T x) { return depthwise_conv1d(x[0], x[1], {.dilation = 2}); }},

      {"var", kFilled, -2, 2, [](T x) { return var(x[0], -1, 0); }},
      {"var", {{{3, 5}}, {{2, 3, 7}}, {{17, 2}}}, -2, 2, [](T x) { return var(x[0], 0) + var(x[0]); }},
      {"stddev", {{{3, 5}}, {{5, 18}}, {{2, 3, 7}}, {{17, 2}}}, -2, 2, [](T x) { return stddev(x[0], -1); }},
      {"norm", kMatrix, -2, 2, [](T x) { return norm(x[0], 2, -1); }},
      {"norm", kMatrix, -2, 2, [](T x) { return norm(x[0], 1) + norm(x[0], 3, 0, true); }},
      {"norm", kFilled, -2, 2, [](T x) { return norm(x[0], std::numeric_limits<double>::infinity(), -1) * norm(x[0], -std::numeric_limits<double>::infinity(), -1) * norm(x[0], 0, -1); }},
      {"layer_norm", kWithRow, -2, 2, [](T x) { return layer_norm(x[0], x[1], x[2]); }},
      {"layer_norm", kMatrix, -2, 2, [](T x) { return layer_norm(x[0]); }},
      {"rms_norm", kWithRow, -2, 2, [](T x) { return rms_norm(x[0], x[1]) + x[2]; }},
      {"group_norm", {{{3, 6}, {6}, {6}}, {{2, 3, 12}, {12}, {12}}, {{1, 3}, {3}, {3}}}, -2, 2, [](T x) { return group_norm(x[0], 3, x[1], x[2]); }},

      {"cross_entropy", kFilled, -2, 2, [](T x) { return cross_entropy(x[0], labels(x[0])); }},
      {"cross_entropy", kFilled, -2, 2, [](T x) { return cross_entropy(x[0], labels(x[0]), {.smoothing = 0.1}); }},
      {"binary_cross_entropy", kAlike, -2, 2, [](T x) { return binary_cross_entropy(x[0], sigmoid(x[1])); }},
      {"mse", kAlike, -2, 2, [](T x) { return mse(x[0], x[1]); }},
      {"huber", kAlike, -2, 2, [](T x) { return huber(x[0], x[1], 0.71); }},
      {"kl_divergence", kAlike, -2, 2, [](T x) { return kl_divergence(softmax(x[0]), log_softmax(x[1])); }},
      {"cosine_similarity", kAlike, 0.3, 2, [](T x) { return cosine_similarity(x[0], x[1]); }},
      {"cosine_embedding", {{{3, 5}, {3, 5}}, {{5, 18}, {5, 18}}, {{2, 3, 7}, {2, 3, 7}}}, 0.3, 2, [](T x) { return cosine_embedding(x[0], x[1], sum(x[0], -1) < sum(x[1], -1), 0.1); }},

      {"scan", {{{3, 4}, {6, 3, 5}, {5, 8}, {4, 8}}, {{1, 4}, {2, 1, 5}, {5, 8}, {4, 8}}}, -1, 1, [](T x) {
         auto [last, ys] = scan([&](const Tensor& h, const Tensor& xt) {
           auto [a, b] = chunk<2>(matmul(h, x[3], matmul(xt, x[2])));
           Tensor n = sigmoid(a) * h + tanh(b);
           return std::pair{n, n};
         }, x[0], x[1], {.reverse = true});
         return concat({ys, expand_dims(last, 0)}, 0);
       }},
  };
  // clang-format on
}

}  // namespace tapeloop::testing
