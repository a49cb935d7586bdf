// What is said to mistakes in the use of derivatives and compiled programs (see mistakes.h).
#include <doctest/doctest.h>

#include "ad/check.h"
#include "jit/jit.h"
#include "mistakes.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/scan.h"

using namespace tapeloop;
using tapeloop::testing::check_mistakes;
using tapeloop::testing::Mistake;

namespace {

constexpr Dtype f64 = Dtype::f64, i32 = Dtype::i32;

Tensor x(const Shape& shape, Dtype dtype = Dtype::f32) { return ones(shape, dtype).materialized(); }

struct Model {
  Tensor w, b;
};

// A tensor that a recording leaves behind.
Tensor outlived() {
  Tensor kept;
  (void)grad([&](const Tensor& t) { return sum(kept = t * 2); })(x({2}));
  return kept;
}

Options with(void (*change)(Options&)) {
  Options o = options();
  change(o);
  return o;
}

}  // namespace

TEST_CASE("mistakes: derivatives") {
  const Mistake mistakes[] = {
      {"grad: a loss that is no scalar",
       [] {
         auto loss = [](const Tensor& t) {
           return t * t;  // <-
         };
         (void)grad(loss)(x({3}));
       }},
      {"grad: an integer loss",
       [] {
         auto loss = [](const Tensor& t) {
           return sum(cast(t, i32));  // <-
         };
         (void)grad(loss)(x({3}));
       }},
      {"grad: with respect to integers",
       [] {
         auto loss = [](const Tensor& t) {
           return sum(cast(t, Dtype::f32));  // <-
         };
         (void)grad(loss)(x({3}, i32));
       }},
      {"grad: an integer in a model",
       [] {
         auto loss = [](const Model& m, const Tensor& t) {
           return sum(m.w * t);  // <-
         };
         (void)grad(loss)(Model{x({3}), x({3}, i32)}, x({3}));
       }},
      {"grad: the argument is empty",
       [] {
         auto loss = [](const Tensor& t) {
           return sum(t * t);  // <-
         };
         (void)grad(loss)(Tensor());
       }},
      {"grad: the loss is empty",
       [] {
         (void)grad([](const Tensor&) { return Tensor(); })(x({3}));  // <-
       }},
      {"grad: weights that are captured",
       [] {
         const Tensor w = x({3});
         auto loss = [&](const Tensor& t) {
           return sum(t * w);  // <-
         };
         (void)grad(loss)(x({3}));
       }},
      {"grad: a captured result",
       [] {
         const Tensor w = x({3});
         (void)grad([&](const Tensor& t) { return std::pair{sum(t), w}; })(x({3}));  // <-
       }},
      {"a tensor that outlived its recording",
       [] {
         const Tensor old = outlived();
         (void)(old + 1);  // <-
       }},
      {"outlived, in another recording",
       [] {
         const Tensor old = outlived();
         auto loss = [&](const Tensor& t) {
           return sum(t * old);  // <-
         };
         (void)grad(loss)(x({2}));
       }},
      {"outlived, in a loop",
       [] {
         const Tensor old = outlived();
         auto step = [&](const Tensor& h, const Tensor& t) {
           const Tensor next = h + t * old;  // <-
           return std::pair{next, next};
         };
         (void)scan(step, x({2}), x({4, 2}));
       }},
      {"outlived, as a number",
       [] {
         const Tensor old = outlived();
         (void)sum(old).item<float>();  // <-
       }},
      {"outlived, as an argument",
       [] {
         const Tensor old = outlived();
         (void)grad([](const Tensor& t) { return sum(t * t); })(old);  // <-
       }},
      {"jvp: a tangent of another shape",
       [] {
         auto f = [](const Tensor& t) { return t * t; };
         (void)jvp(f)(std::tuple{x({3})}, std::tuple{x({2})});  // <-
       }},
      {"jvp: a tangent of another dtype",
       [] {
         auto f = [](const Tensor& t) { return t * t; };
         (void)jvp(f)(std::tuple{x({3})}, std::tuple{x({3}, f64)});  // <-
       }},
      {"jvp: a tangent is missing",
       [] {
         auto f = [](const Model& m) { return m.w * m.b; };
         (void)jvp(f)(std::tuple{Model{x({3}), x({3})}}, std::tuple{Model{x({3}), Tensor()}});  // <-
       }},
      {"vjp: a cotangent of another shape",
       [] {
         auto [y, pull] = vjp([](const Tensor& t) { return t * t; })(x({3}));  // <-
         (void)pull(x({2}));
       }},
      {"vjp: a cotangent is missing",
       [] {
         auto [y, pull] = vjp([](const Tensor& t) { return t * t; })(x({3}));  // <-
         (void)pull(Tensor());
       }},
      {"hvp: a direction of another shape",
       [] {
         auto f = [](const Tensor& t) { return sum(t * t * t); };
         (void)hvp(f)(x({2}), x({3}));  // <-
       }},
      {"check_gradients: captured by a recording",
       [] {
         auto loss = [](const Tensor& t) {
           check_gradients([&](const Tensor& u) { return sum(u * t); }, x({2}));  // <-
           return sum(t);
         };
         (void)grad(loss)(x({2}));
       }},
      {"check_gradients: a wrong derivative",
       [] {
         auto wrong = [](const Tensor& t) { return sum(t * stop_gradient(t)); };  // <-
         check_gradients(wrong, x({2}));
       }},
      {"check_gradients: a wrong derivative, with options",
       [] {
         auto wrong = [](const Tensor& t) { return sum(t * stop_gradient(t)); };
         check_gradients(CheckOptions{.seed = 2}, wrong, x({2}));  // <-
       }},
      {"check_gradients: the loss is infinite",
       [] {
         check_gradients([](const Tensor& t) { return sum(1 / (t - 1)); }, x({2}));  // <-
       }},
  };
  check_mistakes("derivatives", mistakes);
}

TEST_CASE("mistakes: compiled programs and options") {
  const Mistake mistakes[] = {
      {"jit: weights that are captured",
       [] {
         const Tensor w = x({3});
         auto f = jit([&](const Tensor& t) {
           return t * w;  // <-
         });
         (void)f(x({3}));
       }},
      {"jit: a number is read",
       [] {
         auto f = jit([](const Tensor& t) {
           return t.item<float>() > 0 ? t : -t;  // <-
         });
         (void)f(x({}));
       }},
      {"jit: a wrong shape",
       [] {
         auto f = jit([](const Tensor& a, const Tensor& b) {
           return matmul(a, b);  // <-
         });
         (void)f(x({2, 3}), x({4, 5}));
       }},
      {"jit: an outlived argument",
       [] {
         auto f = jit([](const Tensor& t) {
           return t * 2;  // <-
         });
         (void)f(outlived());
       }},
      {"jit: an empty tensor is used",
       [] {
         auto f = jit([](const Model& m) {
           return m.w * m.b;  // <-
         });
         (void)f(Model{x({2}), Tensor()});
       }},
      {"jit: a captured number has changed",
       [] {
         const ScopedOptions check(with([](Options& o) { o.check = true; }));
         float scale = 1;
         auto f = jit([&](const Tensor& t) { return t * scale; });  // <-
         (void)f(x({2}));
         scale = 2;
         (void)f(x({2}));
       }},
      {"check: the first NaN",
       [] {
         const ScopedOptions check(with([](Options& o) {
           o.check = true;
           o.jit = false;
         }));
         auto f = jit([](const Tensor& t) {
           return log(t - 2);  // <-
         });
         (void)f(x({2}));
       }},
      {"check: the first NaN in a loop",
       [] {
         const ScopedOptions check(with([](Options& o) {
           o.check = true;
           o.jit = false;
         }));
         auto f = jit([](const Tensor& h, const Tensor& ts) {
           auto step = [](const Tensor& s, const Tensor& t) {
             const Tensor next = sqrt(s - t);  // <-
             return std::pair{next, next};
           };
           return scan(step, h, ts).first;
         });
         (void)f(x({2}), x({4, 2}));
       }},
      {"options: no such instruction set",
       [] {
         const ScopedOptions o(with([](Options& p) { p.isa = "avx1024"; }));  // <-
         (void)jit([](const Tensor& t) { return t + 1; })(x({2}));
       }},
      {"options: a negative number of threads",
       [] {
         const ScopedOptions o(with([](Options& p) { p.threads = -2; }));  // <-
         (void)jit([](const Tensor& t) { return t + 1; })(x({2}));
       }},
      {"options: a folder that is not there",
       [] {
         const ScopedOptions o(with([](Options& p) { p.dump = "/nowhere/at/all"; }));  // <-
         (void)jit([](const Tensor& t) { return t + 1; })(x({2}));
       }},
  };
  check_mistakes("programs", mistakes);
}
