// Cells over time: truncation, padding, and each derivative against differences; and what else models are made of.
#include <doctest/doctest.h>

#include <climits>
#include <cmath>

#include "ad/check.h"
#include "cases.h"
#include "cells.h"
#include "jit/jit.h"
#include "models/dense.h"
#include "models/dropout.h"
#include "models/embedding.h"
#include "models/loss.h"

using namespace tapeloop;
using namespace tapeloop::testing;

TEST_CASE("models: every cell passes check_gradients, also reversed, padded and truncated at no step") {
  for_each_cell([](const std::string& name, const auto& cell) {
    INFO(name);
    const auto state = state_of(cell, 2);
    const Tensor xs = noise(60, {4, 2, 3}), w = weights_for(4), lengths = Tensor::of(std::vector<int>{4, 2}, {2});
    CHECK_NOTHROW(check_gradients(weighted(), cell, state, xs, w));
    CHECK_NOTHROW(check_gradients(weighted({.reverse = true}), cell, state, xs, w));
    CHECK_NOTHROW(check_gradients(weighted({.truncate = 4}), cell, state, xs, w));
    for (bool reverse : {false, true}) {
      auto padded = [reverse](const auto& c, const auto& s, const Tensor& x, const Tensor& weights, const Tensor& n) {
        return weighted({.reverse = reverse, .lengths = n})(c, s, x, weights);
      };
      CHECK_NOTHROW(check_gradients(padded, cell, state, xs, w, lengths));
    }
    tapeloop::testing::cases += 5;
  });
}

TEST_CASE("models: truncation is the program cut by hand, keeps the values and changes the gradient") {
  for_each_cell([](const std::string& name, const auto& cell) {
    const auto state = state_of(cell, 2);
    for (int steps : {4, 6, 7, 9}) {
      for (bool reverse : {false, true}) {
        constexpr int k = 2;
        INFO(name << ", " << steps << " steps, reverse " << reverse);
        const Tensor xs = noise(60, {steps, 2, 3}), w = weights_for(steps);
        auto by_hand = [&](const auto& c, const auto& s, const Tensor& x, const Tensor& weights) {
          auto now = s;
          Tensor total;
          for (int step = 0; step < steps; ++step) {
            if (step > 0 && step % k == 0) for_each_tensor(now, [](Tensor& t) { t = stop_gradient(t); });
            const int t = reverse ? steps - 1 - step : step;
            auto [next, output] = detail::state_and_output<std::remove_cvref_t<decltype(now)>>(c(now, at(x, 0, t)));
            now = next;
            const Tensor term = sum(output * at(weights, 0, t));
            total = total.is_empty() ? term : total + term;
          }
          for (const Tensor& t : leaves_of(now)) total = total + sum(square(t));
          return total;
        };
        const UnrollOptions options{.truncate = k, .reverse = reverse}, whole{.reverse = reverse};
        const auto a = unroll(cell, state, xs, options), b = unroll(cell, state, xs, whole);
        CHECK(same(leaves_of(std::pair{a.last, a.outputs}), leaves_of(std::pair{b.last, b.outputs})));
        const auto cut = leaves_of(grad<0, 1, 2>(weighted(options))(cell, state, xs, w));
        CHECK(distance(cut, leaves_of(grad<0, 1, 2>(by_hand)(cell, state, xs, w))) <= 1e-14);
        CHECK(distance(cut, leaves_of(grad<0, 1, 2>(weighted(whole))(cell, state, xs, w))) > 1e-6);
        // What belongs to one step alone is exact, xs and the initial state: but for sums of three terms, which a state that its
        // own step reads adds up in another order (expand() keeps that order: see law_test.cpp).
        if (name != "peephole" && name.substr(0, 7) != "stacked")
          CHECK(same(leaves_of(grad<1>(weighted(options))(cell, state, xs, w)),
                     leaves_of(grad<1>(by_hand)(cell, state, xs, w))));
        tapeloop::testing::cases += 3;
      }
    }
  });
}

TEST_CASE("models: with lengths every row is as if it were alone, and padding does not exist") {
  const std::vector<int> lengths{5, 1, 3, 0};
  const Tensor n = Tensor::of(lengths, {4});
  for_each_cell([&](const std::string& name, const auto& cell) {
    for (bool reverse : {false, true})
      for (int truncate : {0, 2}) {
        INFO(name << ", reverse " << reverse << ", truncate " << truncate);
        const auto state = state_of(cell, 4);
        // The padding holds NaN: whatever touches it shows.
        std::vector<double> values = noise(61, {5, 4, 3}).to_vector<double>();
        for (std::size_t t = 0; t < 5; ++t)
          for (std::size_t row = 0; row < 4; ++row)
            if (int(t) >= lengths[row])
              for (std::size_t d = 0; d < 3; ++d) values[(t * 4 + row) * 3 + d] = NAN;
        const Tensor xs = Tensor::of(values, {5, 4, 3}), w = weights_for(5);
        const UnrollOptions options{.truncate = truncate, .reverse = reverse, .lengths = n};
        const auto padded = unroll(cell, state, xs, options);
        auto f = [&](const auto& c, const auto& s, const Tensor& x, const Tensor& weights, const Tensor& len) {
          return weighted({.truncate = truncate, .reverse = reverse, .lengths = len})(c, s, x, weights);
        };
        const auto grads = grad<0, 1, 2>(f)(cell, state, xs, w, n);
        for (const Tensor& g : leaves_of(grads))
          for (double v : g.template to_vector<double>()) REQUIRE(std::isfinite(v));
        for (std::size_t row = 0; row < 4; ++row) {
          const int r = int(row), length = lengths[row];
          auto only = [&](const Tensor& t, int axis) { return slice(t, axis, r, r + 1); };
          const Tensor outputs = only(padded.outputs, 1), d_xs = only(std::get<2>(grads), 1);
          for (const Tensor& rest : {slice(outputs, 0, length), slice(d_xs, 0, length)})
            for (double v : rest.template to_vector<double>()) REQUIRE(v == 0);
          const auto start = detail::mapped(state, [&](const Tensor& t) { return only(t, 0); });
          const auto last = detail::mapped(padded.last, [&](const Tensor& t) { return only(t, 0); });
          if (length == 0) {
            CHECK(same(leaves_of(last), leaves_of(start)));
          } else {
            const auto alone = unroll(cell, start, slice(only(xs, 1), 0, 0, length), {.reverse = reverse});
            CHECK(distance(leaves_of(last), leaves_of(alone.last)) <= 1e-14);
            CHECK(distance({slice(outputs, 0, 0, length)}, {alone.outputs}) <= 1e-14);
          }
          ++tapeloop::testing::cases;
        }
      }
  });
}

TEST_CASE("models: a stack is its cells one after another, and both directions are two unrolls") {
  const Lstm lower = Lstm::init(key(1), 3, 4, {.dtype = f64});
  const Gru upper = Gru::init(key(2), 4, 2, {.dtype = f64});
  const auto both = stacked(lower, upper);
  CHECK(names_of(both) == std::vector<std::string>{"cells.0.w", "cells.0.u", "cells.0.b", "cells.1.w", "cells.1.u",
                                                   "cells.1.b", "cells.1.un_bias"});
  const Tensor xs = noise(60, {6, 2, 3});
  const auto [last, outputs] = unroll(both, both.initial(2), xs);
  const auto first = unroll(lower, lower.initial(2), xs);
  const auto second = unroll(upper, upper.initial(2), first.outputs);
  CHECK(same(leaves_of(last), leaves_of(std::tuple{first.last, second.last})));
  CHECK(same({outputs}, {second.outputs}));

  const auto two = unroll_both(lower, lower, std::pair{lower.initial(2), lower.initial(2)}, xs);
  const auto back = unroll(lower, lower.initial(2), flip(xs, 0));
  CHECK(same(leaves_of(two.last), leaves_of(std::pair{first.last, back.last})));
  CHECK(same({two.outputs}, {concat({first.outputs, flip(back.outputs, 0)}, -1)}));
}

TEST_CASE("models: an error in a cell names its line and the loop's") {
  const Rnn cell = Rnn::init(key(1), 3, 4);
  CHECK_THROWS_WITH_AS(unroll(cell, cell.initial(2), zeros({5, 2, 7}).materialized()),
                       doctest::Contains("rnn: the input is f32[2, 7]"), Error);
  CHECK_THROWS_WITH_AS(unroll(cell, cell.initial(2), zeros({5, 2, 7}).materialized()),
                       doctest::Contains("models_test.cpp:"), Error);
  CHECK_THROWS_WITH_AS(unroll(cell, zeros({2, 4}, f64), zeros({5, 2, 3})), doctest::Contains("called from unroll"),
                       Error);
  CHECK_THROWS_WITH_AS(unroll(cell, cell.initial(2), zeros({5, 2, 3}), {.truncate = -1}),
                       doctest::Contains("truncate is -1"), Error);
  CHECK_THROWS_WITH_AS(unroll(cell, cell.initial(2), zeros({5, 2, 3}), {.lengths = zeros({2})}),
                       doctest::Contains("lengths are f32[2], not i32[B]"), Error);
  auto grows = [](const Tensor& h, const Tensor&) { return concat({h, h}, 0); };
  CHECK_THROWS_WITH_AS(unroll(grows, zeros({2, 4}), zeros({5, 2, 3})),
                       doctest::Contains("tensor 0 of the state is f32[2, 4] before a step and f32[4, 4] after it"),
                       Error);
}

TEST_CASE("models: check_gradients finds a wrong derivative and names the tensor, the index and both numbers") {
  struct Model {
    Rnn cell;
    Dense out;
  };
  const Model m{Rnn::init(key(1), 3, 4), Dense::init(key(2), 4, 2)};
  const Tensor xs = normal(key(3), {4, 2, 3});
  auto right = [](const Model& model, const Tensor& x) {
    auto [last, hs] = unroll(model.cell, model.cell.initial(2), x);
    return std::pair{mean(square(model.out(hs))), last};
  };
  CHECK_NOTHROW(check_gradients(right, m, xs));
  auto wrong = [](const Model& model, const Tensor& x) {
    Model cut = model;
    cut.cell.u = stop_gradient(cut.cell.u);  // its derivative is claimed to be zero
    auto [last, hs] = unroll(cut.cell, cut.cell.initial(2), x);
    return mean(square(cut.out(hs)));
  };
  CHECK_THROWS_WITH_AS(
      check_gradients(wrong, m, xs),
      doctest::Contains("check_gradients: argument 0.cell.u at [0, 0]: reverse mode gives 0, the difference quotient"),
      Error);
  CHECK_NOTHROW(check_gradients(CheckOptions{.tolerance = 1e9}, wrong, m, xs));
  auto not_scalar = [](const Tensor& x) { return square(x); };
  CHECK_THROWS_WITH_AS(check_gradients(not_scalar, xs), doctest::Contains("not one floating-point number"), Error);
}

TEST_CASE("models: cross entropy is that of its definition, without overflow, and its gradient is softmax − one_hot") {
  const Tensor logits = noise(1, {3, 2, 5}), targets = Tensor::of(std::vector<int>{0, 4, 2, 2, 1, 3}, {3, 2});
  const auto x = logits.to_vector<double>();
  double expected = 0;
  for (std::size_t row = 0; row < 6; ++row) {
    double total = 0;
    for (std::size_t v = 0; v < 5; ++v) total += std::exp(x[row * 5 + v]);
    expected += (std::log(total) - x[row * 5 + std::size_t(targets.data<int>()[row])]) / 6;
  }
  CHECK(cross_entropy(logits, targets).item<double>() == doctest::Approx(expected).epsilon(1e-14));
  check_gradients([](const Tensor& l, const Tensor& t) { return cross_entropy(l, t); }, logits, targets);
  const Tensor large = Tensor::of(std::vector<float>{1e4F, -1e4F}, {1, 2}),
               second = Tensor::of(std::vector<int>{1}, {1});
  CHECK(cross_entropy(large, second).item<float>() == 2e4F);
  const Tensor g = grad([](const Tensor& l, const Tensor& t) { return cross_entropy(l, t); })(large, second);
  CHECK(g.to_vector<float>() == std::vector<float>{1, -1});
  CHECK_THROWS_WITH_AS(cross_entropy(logits, logits),
                       doctest::Contains("cross_entropy: logits f64[3, 2, 5] and targets f64[3, 2, 5] do not fit"),
                       Error);
  CHECK(mse(full({2}, 3, f64).materialized(), full({2}, 1, f64).materialized()).item<double>() == 4);
  CHECK_THROWS_WITH_AS(mse(zeros({2}), zeros({3})), doctest::Contains("mse: types differ"), Error);
}

TEST_CASE(
    "models: a target that is no class makes the loss NaN, interpreted and compiled, and one from the end does not") {
  const Tensor logits = noise(1, {2, 5});
  const auto loss = [](const Tensor& l, const Tensor& t) { return cross_entropy(l, t); };
  const auto both_are = [&](const Tensor& targets, bool is_nan) {
    CHECK(std::isnan(loss(logits, targets).item<double>()) == is_nan);
    CHECK(std::isnan(jit(loss)(logits, targets).item<double>()) == is_nan);
  };
  for (int wrong : {5, -6, INT_MAX, INT_MIN}) both_are(Tensor::of(std::vector<int>{2, wrong}, {2}), true);
  both_are(Tensor::of(std::vector<std::int64_t>{2, std::int64_t{1} << 32}, {2}), true);
  both_are(Tensor::of(std::vector<std::uint32_t>{2, 5}, {2}), true);
  both_are(Tensor::of(std::vector<int>{4, -5}, {2}), false);
  both_are(Tensor::of(std::vector<std::uint32_t>{4, 0}, {2}), false);
}

TEST_CASE("models: dropout keeps the mean, and its ends are right") {
  const Tensor x = ones({100, 100}).materialized();
  const auto values = dropout(x, 0.25, key(1)).to_vector<float>();
  double total = 0;
  for (float v : values) {
    REQUIRE((v == 0 || v == 1 / 0.75F));
    total += double(v);
  }
  CHECK(total / double(values.size()) == doctest::Approx(1).epsilon(0.02));
  CHECK(same_bits(dropout(x, 0, key(1)), x));
  CHECK(same_bits(dropout(x, 1, key(1)).materialized(), zeros({100, 100}).materialized()));
  CHECK_THROWS_WITH_AS(dropout(x, 1.5, key(1)), doctest::Contains("from 0 to 1"), Error);
  CHECK_THROWS_AS(dropout(x, NAN, key(1)), Error);
}

TEST_CASE("models: an orthogonal matrix is one, wide, tall and in blocks") {
  for (auto [rows, columns] : std::vector<std::pair<int, int>>{{5, 5}, {3, 7}, {7, 3}, {1, 1}}) {
    const Tensors blocks = chunk(orthogonal(key(1), rows, columns, 2, f64), 2);
    for (const Tensor& q : blocks) {
      const bool wide = rows <= columns;
      const Tensor product = matmul(q, q, {.transpose_a = !wide, .transpose_b = wide});
      const auto p = product.to_vector<double>();
      const auto n = std::size_t(std::min(rows, columns));
      for (std::size_t i = 0; i < p.size(); ++i) CHECK(std::abs(p[i] - (i / n == i % n ? 1 : 0)) <= 1e-15 * 8);
    }
    CHECK(!same_bits(blocks[0].materialized(), blocks[1].materialized()));
    ++tapeloop::testing::cases;
  }
}

TEST_CASE("models: Glorot's bound is that of one gate, however many lie side by side") {
  const double bound = std::sqrt(6.0 / (30 + 50));
  for (const Dtype dtype : {Dtype::f32, f64})
    for (const std::int64_t gates : {1, 4}) {
      const Tensor w = glorot_uniform(key(1), 30, 50, gates, dtype);
      CHECK(values_of(w.shape()) == std::vector<std::int64_t>{30, 50 * gates});
      const auto values = cast(w, f64).to_vector<double>();
      const double most = *std::max_element(values.begin(), values.end()),
                   least = *std::min_element(values.begin(), values.end());
      CHECK(most < bound * (1 + 1e-7));
      CHECK(most > 0.99 * bound);
      CHECK(least >= -bound * (1 + 1e-7));
      CHECK(least < -0.99 * bound);
    }
  // And a cell's input weights are such.
  const auto of_cell = Lstm::init(key(1), 30, 50).w.to_vector<float>();
  CHECK(*std::max_element(of_cell.begin(), of_cell.end()) == doctest::Approx(bound).epsilon(0.01));
}

TEST_CASE("models: the forget gate opens at first, or does not") {
  const auto b = Lstm::init(key(1), 3, 2).b.to_vector<float>();
  CHECK(b == std::vector<float>{0, 0, 1, 1, 0, 0, 0, 0});
  CHECK(Lstm::init(key(1), 3, 2, {.forget_bias = 0}).b.to_vector<float>() == std::vector<float>(8, 0));
}

TEST_CASE("models: a dense layer takes any leading axes, an embedding gives its rows") {
  const Dense dense = Dense::init(key(1), 3, 2, f64);
  const Tensor x = noise(2, {4, 5, 3});
  CHECK(same_bits(reshape(dense(x), {20, 2}).materialized(), dense(reshape(x, {20, 3})).materialized()));
  CHECK(values_of(dense(noise(3, {3})).shape()) == std::vector<std::int64_t>{2});
  const Embedding embedding = Embedding::init(key(1), 6, 2, f64);
  const Tensor rows = embedding(Tensor::of(std::vector<int>{5, 0}, {1, 2}));
  CHECK(same_bits(at(at(rows, 0, 0), 0, 0).materialized(), at(embedding.table, 0, 5).materialized()));
}
