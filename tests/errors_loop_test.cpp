// What is said to mistakes in the use of loops and branches (see mistakes.h).
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "mistakes.h"
#include "ops/cond.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/while_loop.h"

using namespace tapeloop;
using tapeloop::testing::check_mistakes;
using tapeloop::testing::Mistake;

namespace {

constexpr Dtype f64 = Dtype::f64, i32 = Dtype::i32;

Tensor x(const Shape& shape, Dtype dtype = Dtype::f32) { return ones(shape, dtype).materialized(); }

struct Model {
  Tensor w, b;
};

}  // namespace

TEST_CASE("mistakes: loops") {
  const Mistake mistakes[] = {
      {"scan: the state grows",
       [] {
         auto step = [](const Tensor& h, const Tensor& t) { return std::pair{concat({h, t}, 0), t}; };
         (void)scan(step, x({2}), x({4, 2}));  // <-
       }},
      {"scan: the state changes its dtype",
       [] {
         auto step = [](const Tensor& h, const Tensor& t) { return std::pair{cast(h + t, f64), t}; };
         (void)scan(step, x({2}), x({4, 2}));  // <-
       }},
      {"scan: a tensor of the state vanishes",
       [] {
         auto step = [](const Model& m, const Tensor& t) { return std::pair{Model{m.w, Tensor()}, t}; };
         (void)scan(step, Model{x({2}), x({2})}, x({4, 2}));  // <-
       }},
      {"scan: the state becomes longer",
       [] {
         auto step = [](std::vector<Tensor> hs, const Tensor& t) {
           hs.push_back(t);
           return std::pair{hs, t};
         };
         (void)scan(step, std::vector{x({2})}, x({4, 2}));  // <-
       }},
      {"scan: a tensor moves within the state",
       [] {
         auto step = [](const Model& m, const Tensor& t) { return std::pair{Model{Tensor(), m.w}, t}; };
         (void)scan(step, Model{x({2}), Tensor()}, x({4, 2}));  // <-
       }},
      {"scan: xs of different lengths",
       [] {
         auto step = [](const Tensor& h, const Model& m) { return std::pair{h + m.w * m.b, h}; };
         (void)scan(step, x({2}), Model{x({4, 2}), x({5, 2})});  // <-
       }},
      {"scan: xs that are scalars",
       [] {
         auto step = [](const Tensor& h, const Tensor& t) { return std::pair{h + t, h}; };
         (void)scan(step, x({}), x({}));  // <-
       }},
      {"scan: without xs and without a length",
       [] {
         auto step = [](const Tensor& h, const std::vector<Tensor>&) { return std::pair{h * 2, h}; };
         (void)scan(step, x({}), std::vector<Tensor>{});  // <-
       }},
      {"scan: a length that is not that of xs",
       [] {
         auto step = [](const Tensor& h, const Tensor& t) { return std::pair{h + t, h}; };
         (void)scan(step, x({}), x({4}), {.length = 5});  // <-
       }},
      {"scan: a negative length",
       [] {
         auto step = [](const Tensor& h, const std::vector<Tensor>&) { return std::pair{h * 2, h}; };
         (void)scan(step, x({}), std::vector<Tensor>{}, {.length = -3});  // <-
       }},
      {"scan: a wrong shape in the body",
       [] {
         auto step = [](const Tensor& h, const Tensor& t) {
           const Tensor next = h + matmul(t, x({3, 2}));  // <-
           return std::pair{next, next};
         };
         (void)scan(step, x({2}), x({4, 2}));
       }},
      {"scan: a number is read in the body",
       [] {
         auto step = [](const Tensor& h, const Tensor& t) {
           return std::pair{t.item<float>() > 0 ? h + t : h, t};  // <-
         };
         (void)scan(step, x({}), x({4}));
       }},
      {"scan: an empty state",
       [] {
         auto step = [](const Tensor& h, const Tensor& t) {
           const Tensor next = h + t;  // <-
           return std::pair{next, next};
         };
         (void)scan(step, Tensor(), x({4, 2}));
       }},
  };
  check_mistakes("loops", mistakes);
}

TEST_CASE("mistakes: branches") {
  const Mistake mistakes[] = {
      {"cond: a predicate of numbers",
       [] {
         auto same = [](const Tensor& t) { return t; };
         (void)cond(x({}), same, same, x({2}));  // <-
       }},
      {"cond: a predicate for each element",
       [] {
         auto same = [](const Tensor& t) { return t; };
         (void)cond(x({2}) > 0, same, same, x({2}));  // <-
       }},
      {"cond: an empty predicate",
       [] {
         auto same = [](const Tensor& t) { return t; };
         (void)cond(Tensor(), same, same, x({2}));  // <-
       }},
      {"cond: results of different shapes",
       [] {
         auto same = [](const Tensor& t) { return t; };
         auto total = [](const Tensor& t) { return sum(t); };
         (void)cond(sum(x({2})) > 0, same, total, x({2}));  // <-
       }},
      {"cond: results of different dtypes",
       [] {
         auto same = [](const Tensor& t) { return t; };
         auto whole = [](const Tensor& t) { return cast(t, i32); };
         (void)cond(sum(x({2})) > 0, same, whole, x({2}));  // <-
       }},
      {"cond: results of different structure",
       [] {
         auto one = [](const Tensor& t) { return std::vector{t}; };
         auto two = [](const Tensor& t) { return std::vector{t, t}; };
         (void)cond(sum(x({2})) > 0, one, two, x({2}));  // <-
       }},
      {"while_loop: a condition of numbers",
       [] {
         auto condition = [](const Tensor& t) { return sum(t); };
         (void)while_loop(condition, [](const Tensor& t) { return t * 2; }, x({2}));  // <-
       }},
      {"while_loop: a condition for each element",
       [] {
         auto condition = [](const Tensor& t) { return t < 9; };
         (void)while_loop(condition, [](const Tensor& t) { return t * 2; }, x({2}));  // <-
       }},
      {"while_loop: an empty condition",
       [] {
         auto condition = [](const Tensor&) { return Tensor(); };
         (void)while_loop(condition, [](const Tensor& t) { return t * 2; }, x({2}));  // <-
       }},
      {"while_loop: the state grows",
       [] {
         auto condition = [](const Tensor& t) { return sum(t) < 9; };
         (void)while_loop(condition, [](const Tensor& t) { return concat({t, t}, 0); }, x({2}));  // <-
       }},
      {"while_loop: a tensor of the state vanishes",
       [] {
         auto condition = [](const Model& m) { return sum(m.w) < 9; };
         auto step = [](const Model& m) { return Model{m.w * 2, Tensor()}; };
         (void)while_loop(condition, step, Model{x({2}), x({2})});  // <-
       }},
      {"while_loop: no state",
       [] {
         auto condition = [](const std::vector<Tensor>&) { return sum(x({2})) < 9; };
         (void)while_loop(condition, [](const std::vector<Tensor>& s) { return s; }, std::vector<Tensor>{});  // <-
       }},
      {"while_loop: a negative bound",
       [] {
         auto condition = [](const Tensor& t) { return sum(t) < 9; };
         (void)while_loop(condition, [](const Tensor& t) { return t * 2; }, x({2}), {.bound = -1});  // <-
       }},
      {"while_loop: a gradient without a bound",
       [] {
         auto loss = [](const Tensor& t) {
           auto condition = [](const Tensor& s) { return sum(s) < 9; };
           return sum(while_loop(condition, [](const Tensor& s) { return s * 2; }, t));  // <-
         };
         (void)grad(loss)(x({2}));
       }},
  };
  check_mistakes("branches", mistakes);
}
