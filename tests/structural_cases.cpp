// The ops that move, choose, order and accumulate elements, under test.
#include "op_cases.h"
#include "ops/call.h"
#include "ops/cond.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/prefix.h"
#include "ops/random.h"
#include "ops/rearrange.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/scatter.h"
#include "ops/shape.h"
#include "ops/sort.h"
#include "ops/source.h"
#include "ops/while_loop.h"

namespace tapeloop::testing {
namespace {

using T = const Tensors&;

// Indices in −below … below, some of them twice, and one that is outside.
Tensor indices(const Shape& shape, std::int64_t below) {
  std::vector<std::int32_t> values;
  for (std::int64_t i = 0; i < count_of(shape); ++i) values.push_back(std::int32_t((i * 7 + 3) % (2 * below) - below));
  return constant(Tensor::of(values, shape));
}
Tensor number(std::int32_t i) { return constant(Tensor::of(std::vector<std::int32_t>{i}, {})); }
Tensor as_float(const Tensor& x, const Tensor& like) { return cast(x, like.dtype()); }

const std::vector<Shapes> kPairs{
    {{3}, {4}}, {{2, 3}, {5, 3}}, {{0, 3}, {2, 3}}, {{1, 17}, {1, 17}}, {{2, 1, 3}, {2, 1, 3}}};
const std::vector<Shapes> kPairsAlike{{{}, {}}, {{0}, {0}}, {{1}, {1}}, {{17}, {17}}, {{2, 3, 5}, {2, 3, 5}}};
const std::vector<Shapes> kLong{{{7}}, {{9, 5}}, {{6, 1}}, {{17, 3}}, {{8, 2, 3}}};
const std::vector<Shapes> kTables{{{5, 3}}, {{6}}, {{4, 17}}, {{4, 1}}, {{7, 2, 3}}};
const std::vector<Shapes> kUpdates{
    {{5, 3}, {9, 3}}, {{4}, {9}}, {{4, 17}, {9, 17}}, {{7, 2, 3}, {9, 2, 3}}, {{4, 1}, {9, 1}}};

}  // namespace

std::vector<OpCase> structural_cases() {
  // clang-format off: one line per op
  return {
      {"sum", kMatrix, -2, 2, [](T x) { return sum(x[0]); }},
      {"sum", kMatrix, -2, 2, [](T x) { return sum(x[0] * x[0], -1); }},
      {"sum", kMatrix, -2, 2, [](T x) { return sum(x[0], 0, true) * x[0]; }},
      {"sum", {{{2, 3, 7}}, {{3, 2, 16}}, {{1, 5, 1}}}, -2, 2, [](T x) { return sum(x[0] * x[0], {0, -1}); }},
      {"prod", kMatrix, 0.2, 1.8, [](T x) { return prod(x[0], -1); }},
      {"prod", kMatrix, -1.5, 1.5, [](T x) { return prod(x[0], 0, true) * x[0]; }},
      {"prod", {{{5}}, {{1}}, {{0}}, {{2, 3}}, {{3, 1, 2}}}, -2, 2, [](T x) { return prod(x[0]); }},
      {"prod", {{{6}}, {{2, 5}}, {{3, 4}}}, -2, 2, [](T x) { return prod(where(iota(x[0].shape(), -1) == 1, x[0] * 0, x[0]), -1); }},
      {"mean", kFilled, -2, 2, [](T x) { return mean(x[0] * x[0], 0); }},
      {"extent", kMatrix, -2, 2, [](T x) { return x[0] * extent(x[0].size(0), x[0].dtype()); }},
      {"max", kFilled, -2, 2, [](T x) { return max(x[0], -1); }},
      {"max", kFilled, -2, 2, [](T x) { return max(x[0]) + max(x[0], 0, true); }},
      {"min", kFilled, -2, 2, [](T x) { return min(x[0], 0); }},
      {"min", kFilled, -2, 2, [](T x) { return min(x[0], {-1, -2}); }},
      {"any", kMatrix, -2, 2, [](T x) { return as_float(any(x[0] > 1, -1), x[0]); }, false},
      {"any", kMatrix, -2, 2, [](T x) { return as_float(any(x[0] > 1), x[0]); }, false},
      {"all", kMatrix, -2, 2, [](T x) { return as_float(all(x[0] > -1, 0), x[0]); }, false},
      {"argmax", kFilled, -2, 2, [](T x) { return as_float(argmax(x[0], -1), x[0]); }, false},
      {"argmax", kFilled, -2, 2, [](T x) { return as_float(argmax(x[0], 0), x[0]); }, false},
      {"argmin", kFilled, -2, 2, [](T x) { return as_float(argmin(x[0], -2), x[0]); }, false},
      {"argmin", kFilled, -2, 2, [](T x) { return as_float(argmin(cast(x[0] * 8, Dtype::i32), 0) + argmin(cast(x[0] * 8, Dtype::u32), 0) + argmin(cast(x[0] * 8, Dtype::i64), 0), x[0]); }, false},
      {"logsumexp", kFilled, -2, 2, [](T x) { return logsumexp(x[0], -1); }},
      {"softmax", kFilled, -2, 2, [](T x) { return softmax(x[0]); }},
      {"log_softmax", kFilled, -2, 2, [](T x) { return log_softmax(x[0], 0); }},

      {"cumsum", kMatrix, -2, 2, [](T x) { return cumsum(x[0] * x[0], -1); }},
      {"cumsum", kMatrix, -2, 2, [](T x) { return cumsum(x[0], 0, true) * x[0]; }},
      {"cumsum", kMatrix, -2, 2, [](T x) { return cumsum(x[0] * x[0], x[0] > -1, -2, true); }},
      {"cumsum", {{{33}}, {{0}}, {{1}}}, -2, 2, [](T x) { return as_float(cumsum(cast(x[0] * 100, Dtype::i32)), x[0]) + as_float(cumsum(cast(x[0] * 1e12, Dtype::i64)), x[0]); }, false},
      {"cumprod", kMatrix, -1.5, 1.5, [](T x) { return cumprod(x[0], -1); }},
      {"cumprod", kMatrix, -1.5, 1.5, [](T x) { return cumprod(x[0], 0, true); }},
      {"cumprod", {{{6}}, {{3, 5}}}, -2, 2, [](T x) { return cumprod(where(iota(x[0].shape(), -1) == 2, x[0] * 0, x[0]), -1); }},
      {"cummax", kMatrix, -2, 2, [](T x) { return cummax(x[0], -1) * x[0]; }},
      {"cummax", kMatrix, -2, 2, [](T x) { return cummax(x[0] * x[0], 0, true); }},
      {"cummin", kMatrix, -2, 2, [](T x) { return cummin(x[0], -2); }},
      {"logcumsumexp", kMatrix, -2, 2, [](T x) { return logcumsumexp(x[0], -1); }},
      {"logcumsumexp", kMatrix, -2, 2, [](T x) { return logcumsumexp(x[0], 0, true); }},
      {"linear_recurrence", {{{5, 3}, {5, 3}}, {{1, 4}, {1, 4}}, {{0, 4}, {0, 4}}, {{7, 17}, {7, 17}}, {{6}, {6}}}, -1, 1, [](T x) { return linear_recurrence(x[0], x[1]); }},
      {"linear_recurrence", {{{3, 5}, {3, 5}}, {{17, 2}, {17, 2}}, {{2, 3, 7}, {2, 3, 7}}}, -1, 1, [](T x) { return linear_recurrence(x[0], x[1] * x[0], -1, true); }},

      {"argsort", kMatrix, -2, 2, [](T x) { return as_float(argsort(x[0]), x[0]); }, false},
      {"argsort", kMatrix, -2, 2, [](T x) { return as_float(argsort(cast(x[0] * 4, Dtype::i32), 0, true) + argsort(cast(x[0] * 4, Dtype::i64), 0, true), x[0]); }, false},
      {"sort", kMatrix, -2, 2, [](T x) { return sort(x[0], -1) * x[0]; }},
      {"sort", kMatrix, -2, 2, [](T x) { return sort(x[0] * x[0], 0, true); }},
      {"sort", {{{257}}, {{1}}, {{0}}}, -2, 2, [](T x) { return sort(x[0]); }},
      {"topk", {{{3, 5}}, {{2, 18}}, {{7, 64}}, {{3}}}, -2, 2, [](T x) { return topk(x[0], 3).values * 2; }},
      {"topk", {{{3, 5}}, {{5, 1}}, {{2, 2, 3}}}, -2, 2, [](T x) { return square(topk(x[0], 2, 0).values); }},

      {"reshape", {{{3, 4}}, {{2, 6}}, {{2, 2, 3}}, {{12}}, {{1, 12}}}, -2, 2, [](T x) { return reshape(x[0] * x[0], {4, 3}) * 2; }},
      {"transpose", kMatrix, -2, 2, [](T x) { return transpose(x[0] * x[0]); }},
      {"transpose", {{{2, 3, 5}}, {{1, 4, 2}}, {{3, 0, 2}}}, -2, 2, [](T x) { return transpose(x[0], {2, 0, -2}); }},
      {"broadcast_to", {{{5}}, {{1}}, {{3, 1}}, {{}}, {{2, 1, 5}}}, -2, 2, [](T x) { return broadcast_to(x[0], {2, 3, 5}) * x[0]; }},
      {"slice", kLong, -2, 2, [](T x) { return slice(x[0], 0, 1, 6, 2); }},
      {"slice", {{{3, 7}}, {{2, 40}}, {{1, 6}}}, -2, 2, [](T x) { return slice(x[0] * x[0], -1, 2, 5); }},
      {"slice_at", kLong, -2, 2, [](T x) { return slice_at(x[0] * x[0], 0, 1, x[0].size(0) - 3); }},
      {"at", kLong, -2, 2, [](T x) { return at(x[0], 0, -2) * at(x[0], 0, 1); }},
      {"flip", kMatrix, -2, 2, [](T x) { return flip(x[0] * x[0], -1); }},
      {"pad", kMatrix, -2, 2, [](T x) { return pad(x[0] * x[0], -1, 2, 1); }},
      {"pad", {{{5, 3}}, {{2, 20}}, {{1, 1}}}, -2, 2, [](T x) { return pad(x[0], 0, 1, 2, 0.5, 1); }},
      {"concat", kPairs, -2, 2, [](T x) { return concat({x[0] * x[0], x[1], x[0]}, 0); }},
      {"concat", {{{3, 2}, {3, 17}}, {{1, 2}, {1, 0}}}, -2, 2, [](T x) { return concat({x[0], x[1] * x[1]}, -1); }},
      {"stack", {{{3}, {3}}, {{2, 5}, {2, 5}}, {{0}, {0}}, {{1, 16}, {1, 16}}}, -2, 2, [](T x) { return stack({x[0], x[1] * 2}, 1); }},
      {"split", {{{6}}, {{4, 6}}, {{2, 1, 6}}}, -2, 2, [](T x) { return split(x[0], {1, 3, 2})[1] * 2; }},
      {"chunk", {{{6}}, {{4, 6}}, {{3, 48}}, {{1, 3}}}, -2, 2, [](T x) { auto [a, b, c] = chunk<3>(x[0]); return a * b + tanh(c); }},
      {"expand_dims", kMatrix, -2, 2, [](T x) { return expand_dims(x[0] * x[0], -2); }},
      {"squeeze", {{{1, 3}}, {{1, 17}}, {{1, 2, 5}}}, -2, 2, [](T x) { return square(squeeze(x[0], 0)); }},
      {"diagonal", kSquare, -2, 2, [](T x) { return diagonal(x[0] * x[0]); }},
      {"diagonal", {{{3, 5}}, {{5, 3}}, {{2, 3, 7}}, {{1, 1}}}, -2, 2, [](T x) { return diagonal(x[0], 1) * 2; }},
      {"trace", kSquare, -2, 2, [](T x) { return trace(x[0] * x[0]); }},
      {"trace", kFilled, -2, 2, [](T x) { return square(trace(x[0], -1)); }},
      {"tril", kMatrix, -2, 2, [](T x) { return tril(x[0] * x[0]); }},
      {"tril", kMatrix, -2, 2, [](T x) { return tril(x[0], -1); }},
      {"triu", kMatrix, -2, 2, [](T x) { return triu(x[0] * x[0], 1); }},
      {"tile", kMatrix, -2, 2, [](T x) { return tile(x[0], x[0].rank() == 2 ? std::vector{2, 3} : std::vector{2, 1, 3}) * 2; }},
      {"tile", {{{3}}, {{1}}, {{0}}, {{}}}, -2, 2, [](T x) { return tile(x[0] * x[0], {2, 3}); }},
      {"repeat", kMatrix, -2, 2, [](T x) { return repeat(x[0] * x[0], 3, -1); }},
      {"repeat", kMatrix, -2, 2, [](T x) { return repeat(x[0], 2, 0); }},
      {"roll", kMatrix, -2, 2, [](T x) { return roll(x[0], 1) * x[0]; }},
      {"roll", kMatrix, -2, 2, [](T x) { return roll(x[0], -4, 0) * x[0]; }},

      {"gather", kTables, -2, 2, [](T x) { return gather(x[0] * x[0], indices({7}, 4)) * 2; }},
      {"gather", {{{3, 5}}, {{2, 4, 3}}}, -2, 2, [](T x) { return gather(x[0] * x[0], indices({2, 3}, 4), 1); }},
      {"scatter_add", kTables, -2, 2, [](T x) { return square(gather(x[0] * x[0], indices({9}, 3))); }},
      {"scatter_add", kUpdates, -2, 2, [](T x) { return scatter_add(indices({9}, 5), x[1] * x[1], x[0]); }},
      {"pick_along", {{{3, 5}}, {{3, 17}}, {{3, 4}}}, -2, 2, [](T x) { return pick_along(x[0] * x[0], indices({3}, 4)); }},
      {"one_hot", kTables, -2, 2, [](T x) { return as_float(one_hot(cast(abs(x[0]), Dtype::i32), 3) + one_hot(cast(abs(x[0]), Dtype::i64), 3), x[0]); }, false},
      {"take_along", {{{3, 5}}, {{3, 17}}, {{3, 4}}}, -2, 2, [](T x) { return take_along(x[0] * x[0], indices({3, 6}, 4)); }},
      {"take_along", {{{4, 5}}, {{6, 5}}}, -2, 2, [](T x) { return take_along(x[0], indices({2, 5}, 4), 0); }},
      {"gather_nd", {{{5, 4}}, {{7, 4}}, {{4, 4, 3}}}, -2, 2, [](T x) { return gather_nd(x[0] * x[0], indices({6, 2}, 4)); }},
      {"gather_nd", kTables, -2, 2, [](T x) { return gather_nd(x[0], indices({3, 1}, 4)) * 2; }},
      {"scatter", kUpdates, -2, 2, [](T x) { return scatter(x[0] * x[0], indices({9}, 4), x[1] * x[1]); }},
      {"scatter", kUpdates, -2, 2, [](T x) { return scatter(x[0], indices({9}, 5), x[1], Scatter::add) * 2; }},
      {"scatter_along", {{{3, 5}, {3, 6}}, {{3, 17}, {3, 6}}}, -2, 2, [](T x) { return scatter_along(x[0], indices({3, 6}, 5), x[1] * x[1]); }},
      {"scatter_along", {{{4, 5}, {2, 5}}, {{6, 5}, {2, 5}}}, -2, 2, [](T x) { return scatter_along(x[0] * x[0], indices({2, 5}, 4), x[1], 0, Scatter::add); }},
      {"scatter_nd", {{{5, 4}, {6}}, {{7, 4}, {6}}, {{4, 4, 3}, {6, 3}}}, -2, 2, [](T x) { return scatter_nd(x[0], indices({6, 2}, 4), x[1] * x[1]); }},
      {"dynamic_slice", {{{5, 4}}, {{3, 17}}, {{3, 3}}}, -2, 2, [](T x) { return square(dynamic_slice(x[0], {number(1), number(9)}, {2, 3})); }},
      {"dynamic_update", {{{5, 4}, {2, 3}}, {{3, 17}, {1, 1}}, {{3, 3}, {3, 3}}}, -2, 2, [](T x) { return dynamic_update(x[0] * x[0], x[1], {number(-4), number(1)}); }},

      {"iota", kMatrix, -2, 2, [](T x) { return x[0] * iota(x[0].shape(), 0, x[0].dtype()) + iota(x[0].shape(), Flattened(), x[0].dtype()) * 0.01; }},
      {"arange", kFilled, -2, 2, [](T x) { return x[0] * arange(x[0].size(-1), x[0].dtype()); }},
      {"arange", kUnary, -2, 2, [](T x) { return expand_dims(x[0], -1) * arange(0.5, 2, 0.25, x[0].dtype()); }},
      {"linspace", kUnary, -2, 2, [](T x) { return expand_dims(x[0], -1) * linspace(-1, 2, 7, x[0].dtype()); }},
      {"eye", kSquare, -2, 2, [](T x) { return x[0] * eye(x[0].size(-1), x[0].dtype()); }},
      {"uniform", kUnary, -2, 2, [](T x) { return x[0] * uniform(constant(key(1)), x[0].shape(), -1, 1, x[0].dtype()); }},
      {"normal", kUnary, -2, 2, [](T x) { return x[0] * normal(fold_in(constant(key(1)), 3), x[0].shape(), x[0].dtype()); }},
      {"bernoulli", kUnary, -2, 2, [](T x) { return where(bernoulli(split_key<2>(constant(key(1)))[1], 0.5, x[0].shape()), x[0], 0); }},

      {"checkpoint", kPairsAlike, -2, 2, [](T x) { return checkpoint([](const Tensor& a, const Tensor& b) { return tanh(a * b) * exp(a); })(x[0], x[1]); }},
      {"custom_vjp", kPairsAlike, -2, 2, [](T x) {
         auto rule = [](const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& ct) { return std::tuple{ct * (1 - square(y)) * b, ct * (1 - square(y)) * a}; };
         return custom_vjp([](const Tensor& a, const Tensor& b) { return tanh(a * b); }, rule)(x[0], x[1]);
       }},
      {"custom_jvp", kPairsAlike, -2, 2, [](T x) {
         auto rule = [](const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& da, const Tensor& db) { return (1 - square(y)) * (da * b + a * db); };
         return custom_jvp([](const Tensor& a, const Tensor& b) { return tanh(a * b); }, rule)(x[0], x[1]);
       }},
      {"cond", kPairsAlike, -2, 2, [](T x) {
         auto one = [](const Tensor& a, const Tensor& b) { return tanh(a * b) * exp(a); };
         auto other = [](const Tensor& a, const Tensor& b) { return sin(a) + b * b; };
         return cond(sum(square(x[0])) >= 0, one, other, x[0], x[1]) * cond(sum(square(x[1])) < 0, one, other, x[0], x[1]);
       }},
      {"while_loop", kPairsAlike, -1, 1, [](T x) {
         auto goes_on = [](const std::pair<Tensor, Tensor>& s) { return s.second < 3; };
         auto step = [&](const std::pair<Tensor, Tensor>& s) { return std::pair{tanh(s.first * x[1] + x[0]), s.second + 1}; };
         return while_loop(goes_on, step, std::pair{x[0], full({}, 0, Dtype::i32)}, {.bound = 4}).first;
       }},
      {"scan", {{{2, 3}, {5, 2, 3}}, {{4}, {0, 4}}, {{4}, {1, 4}}, {{17}, {7, 17}}, {{1}, {3, 1}}}, -1, 1, [](T x) {
         auto [last, ys] = scan([&](const Tensor& h, const Tensor& xt) { Tensor n = tanh(h * xt + x[0]); return std::pair{n, n * xt}; }, x[0], x[1]);
         return sum(ys, 0) + last;
       }},
      {"scan", {{{3, 5}, {4, 3, 5}}, {{2, 17}, {3, 2, 17}}}, -1, 1, [](T x) {  // whose body sorts, accumulates and writes
         auto [last, ys] = scan([&](const Tensor& h, const Tensor& xt) {
           const Tensor n = cumsum(sort(xt, -1) + h, 0, true) * 0.3 + scatter(h, indices({2}, 2), slice_at(xt, 0, 0, 2));
           return std::pair{tanh(n), cumprod(n, -1)};
         }, x[0], x[1]);
         return sum(ys, 0) + last;
       }},
  };
  // clang-format on
}

}  // namespace tapeloop::testing
