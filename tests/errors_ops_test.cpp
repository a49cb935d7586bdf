// What is said to mistakes in the use of tensors and ops (see mistakes.h).
#include <cmath>

#include <doctest/doctest.h>

#include "ad/grad.h"
#include "jit/jit.h"
#include "mistakes.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/source.h"

using namespace tapeloop;
using tapeloop::testing::check_mistakes;
using tapeloop::testing::Mistake;

namespace {

constexpr Dtype f64 = Dtype::f64, i32 = Dtype::i32;

Tensor x(const Shape& shape, Dtype dtype = Dtype::f32) { return ones(shape, dtype).materialized(); }
Tensor flags(const Shape& shape) { return x(shape) != 0; }
const std::vector<float> three{1, 2, 3};
const std::int64_t huge = std::int64_t(1) << 40;

}  // namespace

// clang-format off: one mistake a line
TEST_CASE("mistakes: tensors") {
  const Mistake mistakes[] = {
      {"of: too few values", [] { (void)Tensor::of(three, {2, 2}); }},  // <-
      {"of: negative size", [] { (void)Tensor::of(three, {-1, 3}); }},  // <-
      {"zeros: negative size", [] { (void)zeros({2, -3}); }},  // <-
      {"zeros: more than memory holds", [] { (void)zeros({huge, huge}); }},  // <-
      {"item: several elements", [] { (void)x({2, 3}).item<float>(); }},  // <-
      {"item: empty", [] { (void)Tensor().item<float>(); }},  // <-
      {"item: recorded", [] { (void)grad([](const Tensor& t) { return t.item<float>() > 0 ? t : -t; })(x({})); }},  // <-
      {"data: recorded", [] { (void)grad([](const Tensor& t) { return t * t.data<float>()[0]; })(x({})); }},  // <-
      {"data: another dtype", [] { (void)x({2}).data<double>(); }},  // <-
      {"to_vector: another dtype", [] { (void)x({2}, i32).to_vector<float>(); }},  // <-
      {"rank: empty", [] { (void)Tensor().rank(); }},  // <-
      {"size: no such axis", [] { (void)x({2, 3}).size(2); }},  // <-
      {"size: of a scalar", [] { (void)x({}).size(0); }},  // <-
      {"constant: empty", [] { (void)constant(Tensor()); }},  // <-
      {"constant: recorded", [] { (void)grad([](const Tensor& t) { return sum(constant(t)); })(x({2})); }},  // <-
      {"cast: empty", [] { (void)cast(Tensor(), f64); }},  // <-
      {"full: boolean from tensor arithmetic", [] { (void)(flags({2}) + 1); }},  // <-
      {"full: too large", [] { (void)full({2}, 3e9, i32); }},  // <-
      {"full: negative", [] { (void)full({2}, -1, Dtype::u32); }},  // <-
      {"full: no number", [] { (void)full({2}, std::nan(""), i32); }},  // <-
  };
  check_mistakes("tensors", mistakes);
}

TEST_CASE("mistakes: elementwise") {
  const Mistake mistakes[] = {
      {"add: shapes", [] { (void)(x({2, 3}) + x({2, 4})); }},  // <-
      {"add: dtypes", [] { (void)(x({2}) + x({2}, f64)); }},  // <-
      {"add: empty operand", [] { (void)(x({2}) + Tensor()); }},  // <-
      {"add: a fraction to integers", [] { (void)(x({2}, i32) + 0.5); }},  // <-
      {"add: a number that i32 does not hold", [] { (void)(x({2}, i32) + 3e9); }},  // <-
      {"sub: a negative number from u32", [] { (void)(x({2}, Dtype::u32) - -1); }},  // <-
      {"mul: booleans", [] { (void)(flags({2}) * flags({2})); }},  // <-
      {"div: integers", [] { (void)(x({2}, i32) / x({2}, i32)); }},  // <-
      {"pow: dtypes", [] { (void)pow(x({2}, i32), 2.5); }},  // <-
      {"exp: integers", [] { (void)exp(x({2}, i32)); }},  // <-
      {"tanh: empty", [] { (void)tanh(Tensor()); }},  // <-
      {"less: booleans", [] { (void)(flags({2}) < flags({2})); }},  // <-
      {"equal: dtypes", [] { (void)(x({2}) == x({2}, i32)); }},  // <-
      {"logical_and: numbers", [] { (void)logical_and(x({2}), flags({2})); }},  // <-
      {"logical_not: numbers", [] { (void)logical_not(x({2})); }},  // <-
      {"where: a condition of numbers", [] { (void)where(x({2}), x({2}), x({2})); }},  // <-
      {"where: branches of two dtypes", [] { (void)where(flags({2}), x({2}), x({2}, f64)); }},  // <-
      {"where: shapes", [] { (void)where(flags({3}), x({2}), x({2})); }},  // <-
      {"maximum: shapes", [] { (void)maximum(x({2, 2}), x({3})); }},  // <-
      {"is_nan: integers", [] { (void)is_nan(x({2}, i32)); }},  // <-
  };
  check_mistakes("elementwise", mistakes);
}

TEST_CASE("mistakes: shapes") {
  const Mistake mistakes[] = {
      {"reshape: another count", [] { (void)reshape(x({2, 3}), {4, 2}); }},  // <-
      {"reshape: -1 that does not come out", [] { (void)reshape(x({2, 3}), {4, -1}); }},  // <-
      {"reshape: -1 twice", [] { (void)reshape(x({2, 3}), {-1, -1}); }},  // <-
      {"reshape: negative size", [] { (void)reshape(x({2, 3}), {-2, -3}); }},  // <-
      {"reshape: empty", [] { (void)reshape(Tensor(), {2}); }},  // <-
      {"transpose: of a vector", [] { (void)transpose(x({3})); }},  // <-
      {"transpose: an axis twice", [] { (void)transpose(x({2, 3}), std::vector{0, 0}); }},  // <-
      {"transpose: too few axes", [] { (void)transpose(x({2, 3, 4}), std::vector{1, 0}); }},  // <-
      {"transpose: empty", [] { (void)transpose(Tensor()); }},  // <-
      {"broadcast_to: does not stretch", [] { (void)broadcast_to(x({2, 3}), {4, 3}); }},  // <-
      {"broadcast_to: fewer axes", [] { (void)broadcast_to(x({2, 3}), {3}); }},  // <-
      {"broadcast_to: negative size", [] { (void)broadcast_to(x({1}), {-2}); }},  // <-
      {"slice: no such axis", [] { (void)slice(x({2, 3}), 2, 0, 1); }},  // <-
      {"slice: step 0", [] { (void)slice(x({5}), 0, 0, 4, 0); }},  // <-
      {"slice: negative step", [] { (void)slice(x({5}), 0, 4, 0, -1); }},  // <-
      {"slice_at: beyond the end", [] { (void)slice_at(x({5}), 0, 3, 4); }},  // <-
      {"slice: empty", [] { (void)slice(Tensor(), 0, 1); }},  // <-
      {"at: no such index", [] { (void)at(x({5}), 0, 5); }},  // <-
      {"at: before the first", [] { (void)at(x({5}), 0, -6); }},  // <-
      {"flip: no such axis", [] { (void)flip(x({5}), 1); }},  // <-
      {"pad: negative count", [] { (void)pad(x({5}), 0, -1, 2); }},  // <-
      {"pad: negative interior", [] { (void)pad(x({5}), 0, 1, 2, 0, -1); }},  // <-
      {"concat: nothing", [] { (void)concat({}); }},  // <-
      {"concat: other extents", [] { (void)concat({x({2, 3}), x({2, 4})}, 0); }},  // <-
      {"concat: dtypes", [] { (void)concat({x({2}), x({2}, f64)}); }},  // <-
      {"concat: ranks", [] { (void)concat({x({2, 3}), x({3})}); }},  // <-
      {"concat: one is empty", [] { (void)concat({x({2}), Tensor()}); }},  // <-
      {"stack: nothing", [] { (void)stack({}); }},  // <-
      {"stack: shapes", [] { (void)stack({x({2}), x({3})}); }},  // <-
      {"stack: no such axis", [] { (void)stack({x({2}), x({2})}, 2); }},  // <-
      {"split: sizes do not add up", [] { (void)split(x({2, 5}), {2, 2}); }},  // <-
      {"split: one size that is not the axis", [] { (void)split(x({2, 5}), {3}); }},  // <-
      {"split: a negative size", [] { (void)split(x({5}), {7, -2}); }},  // <-
      {"split: no sizes", [] { (void)split(x({5}), {}); }},  // <-
      {"chunk: not divisible", [] { (void)chunk<4>(x({2, 6})); }},  // <-
      {"chunk: zero parts", [] { (void)chunk(x({2, 6}), 0); }},  // <-
      {"chunk: of a scalar", [] { (void)chunk<2>(x({})); }},  // <-
      {"squeeze: extent is not 1", [] { (void)squeeze(x({2, 3}), 0); }},  // <-
      {"expand_dims: no such place", [] { (void)expand_dims(x({2, 3}), 4); }},  // <-
  };
  check_mistakes("shapes", mistakes);
}

TEST_CASE("mistakes: reductions, products and indices") {
  const Mistake mistakes[] = {
      {"sum: no such axis", [] { (void)sum(x({2, 3}), 2); }},  // <-
      {"sum: an axis twice", [] { (void)sum(x({2, 3}), {0, -2}); }},  // <-
      {"sum: booleans", [] { (void)sum(flags({2})); }},  // <-
      {"sum: empty", [] { (void)sum(Tensor()); }},  // <-
      {"mean: integers", [] { (void)mean(x({2}, i32)); }},  // <-
      {"mean: no such axis", [] { (void)mean(x({2}), 1); }},  // <-
      {"max: booleans", [] { (void)max(flags({2})); }},  // <-
      {"argmax: empty axis", [] { (void)argmax(x({2, 0})); }},  // <-
      {"argmax: of a scalar", [] { (void)argmax(x({})); }},  // <-
      {"softmax: integers", [] { (void)softmax(x({2}, i32)); }},  // <-
      {"softmax: no such axis", [] { (void)softmax(x({2}), 1); }},  // <-
      {"logsumexp: integers", [] { (void)logsumexp(x({2}, i32)); }},  // <-
      {"log_softmax: of a scalar", [] { (void)log_softmax(x({})); }},  // <-
      {"matmul: inner sizes", [] { (void)matmul(x({32, 128}), x({64, 512})); }},  // <-
      {"matmul: inner sizes, transposed", [] { (void)matmul(x({2, 3}), x({4, 5}), {.transpose_a = true}); }},  // <-
      {"matmul: leading axes", [] { (void)matmul(x({2, 3, 4}), x({5, 4, 6})); }},  // <-
      {"matmul: a scalar", [] { (void)matmul(x({2, 3}), x({})); }},  // <-
      {"matmul: integers", [] { (void)matmul(x({2, 3}, i32), x({3, 2}, i32)); }},  // <-
      {"matmul: dtypes", [] { (void)matmul(x({2, 3}), x({3, 2}, f64)); }},  // <-
      {"matmul: empty", [] { (void)matmul(x({2, 3}), Tensor()); }},  // <-
      {"matmul: start of another shape", [] { (void)matmul(x({2, 3}), x({3, 4}), x({5})); }},  // <-
      {"matmul: start of another dtype", [] { (void)matmul(x({2, 3}), x({3, 4}), x({4}, f64)); }},  // <-
      {"gather: indices that are no integers", [] { (void)gather(x({5, 2}), x({3})); }},  // <-
      {"gather: from a scalar", [] { (void)gather(x({}), x({3}, i32)); }},  // <-
      {"gather: no such axis", [] { (void)gather(x({5, 2}), x({3}, i32), 2); }},  // <-
      {"gather: empty", [] { (void)gather(Tensor(), x({3}, i32)); }},  // <-
      {"scatter_add: updates do not fit", [] { (void)scatter_add(x({3}, i32), x({3, 4}), {5, 2}); }},  // <-
      {"scatter_add: indices that are no integers", [] { (void)scatter_add(x({3}), x({3, 2}), {5, 2}); }},  // <-
      {"scatter_add: into a scalar", [] { (void)scatter_add(x({3}, i32), x({3}), Shape{}); }},  // <-
      {"scatter_add: negative size", [] { (void)scatter_add(x({3}, i32), x({3}), Shape{-5}); }},  // <-
      {"scatter_add: start of another dtype", [] { (void)scatter_add(x({3}, i32), x({3, 2}), x({5, 2}, f64)); }},  // <-
      {"scatter_add: booleans", [] { (void)scatter_add(x({3}, i32), flags({3}), {5}); }},  // <-
      {"pick_along: one index too many", [] { (void)pick_along(x({4, 5}), x({5}, i32)); }},  // <-
      {"pick_along: indices that are no integers", [] { (void)pick_along(x({4, 5}), x({4})); }},  // <-
      {"one_hot: indices that are no integers", [] { (void)one_hot(x({4}), 3); }},  // <-
      {"one_hot: negative size", [] { (void)one_hot(x({4}, i32), -3); }},  // <-
      {"arange: booleans", [] { (void)arange(3, Dtype::boolean); }},  // <-
      {"arange: negative", [] { (void)arange(-3); }},  // <-
      {"iota: no such axis", [] { (void)iota({2, 3}, 2); }},  // <-
      {"eye: negative", [] { (void)eye(-1); }},  // <-
  };
  check_mistakes("reductions", mistakes);
}

TEST_CASE("mistakes: random numbers") {
  const Mistake mistakes[] = {
      {"uniform: a seed is no key", [] { (void)uniform(x({}, i32), {3}); }},  // <-
      {"normal: several keys", [] { (void)normal(split_key(key(1), 3), {3}); }},  // <-
      {"normal: no key", [] { (void)normal(Tensor(), {3}); }},  // <-
      {"normal: integers", [] { (void)normal(key(1), {3}, i32); }},  // <-
      {"uniform: negative size", [] { (void)uniform(key(1), {-3}); }},  // <-
      {"uniform: an empty range", [] { (void)uniform(key(1), {3}, 2, 1); }},  // <-
      {"split_key: negative", [] { (void)split_key(key(1), -1); }},  // <-
      {"split_key: no key", [] { (void)split_key<2>(x({2})); }},  // <-
      {"fold_in: a fraction", [] { (void)fold_in(key(1), 0.5); }},  // <-
      {"fold_in: negative", [] { (void)fold_in(key(1), -1); }},  // <-
      {"fold_in: a vector", [] { (void)fold_in(key(1), x({2}, i32)); }},  // <-
      {"fold_in: no key", [] { (void)fold_in(x({2}), 1); }},  // <-
      {"bernoulli: integer probabilities", [] { (void)bernoulli(key(1), x({3}, i32), {3}); }},  // <-
      {"bernoulli: probabilities do not fit", [] { (void)bernoulli(key(1), x({4}), {3}); }},  // <-
      {"bernoulli: no probability", [] { (void)bernoulli(key(1), Tensor(), {3}); }},  // <-
      {"bernoulli: not a probability", [] { (void)bernoulli(key(1), 1.5, {3}); }},  // <-
  };
  check_mistakes("random", mistakes);
}
// clang-format on
