// What is computed of sequences before a loop is computed in the steps that read it, and what only looks at constants is looked
// at there: the numbers stay what they were.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "cases.h"
#include "cells.h"
#include "compiled.h"
#include "jit/jit.h"

using namespace tapeloop;
using namespace tapeloop::testing;

TEST_CASE("sinking: a value of a whole sequence is computed in the step that reads it, whatever was broadcast to it") {
  for (const bool reverse : {false, true})
    for (const auto& [steps, rows, columns] : {std::tuple{6, 3, 5}, {4, 4, 4}, {1, 2, 20}, {9, 20, 1}}) {
      const auto f = [backwards = reverse](const Tensor& h, const Tensor& xs, const Tensor& row, const Tensor& column,
                                           const Tensor& matrix, const Tensor& number) {
        const Tensor seen = (xs * row + column * 2 - matrix) * number + 0.25;
        const auto step = [](const Tensor& s, const Tensor& x) { return std::pair{tanh(0.5 * s + x), s - x}; };
        return scan(step, h, seen, {.reverse = backwards});
      };
      check_with_and_without("sink_values", f, noise(1, {rows, columns}), noise(2, {steps, rows, columns}),
                             noise(3, {columns}), noise(4, {rows, 1}), noise(5, {rows, columns}), noise(6, {}));
    }
}

TEST_CASE("sinking: what varies in time stays of time, and what others read is computed once") {
  for (const int steps : {1, 5}) {
    const auto f = [](const Tensor& h, const Tensor& xs, const Tensor& rates) {
      const Tensor scaled = xs * rates, shifted = xs + 1;
      const auto step = [](const Tensor& s, const std::pair<Tensor, Tensor>& x) {
        return std::pair{tanh(s * x.second + x.first), s * 3};
      };
      const auto [last, ys] = scan(step, h, std::pair{scaled, shifted});
      return std::tuple{last, ys, sum(shifted)};
    };
    check_with_and_without("sink_values", f, noise(1, {3, 4}), noise(2, {steps, 3, 4}), noise(3, {steps, 1, 1}));
    const auto gradient = [&](const Tensor& h, const Tensor& xs, const Tensor& rates) {
      return grad<0, 1, 2>([&](const Tensor& a, const Tensor& b, const Tensor& c) {
        const auto [last, ys, total] = f(a, b, c);
        return sum(last) + sum(ys * ys) + total;
      })(h, xs, rates);
    };
    check_with_and_without("sink_values", gradient, noise(1, {3, 4}), noise(2, {steps, 3, 4}), noise(3, {steps, 1, 1}));
  }
}

TEST_CASE("sinking: views of constants are taken in the loop that reads them") {
  const auto f = [](const Tensor& h, const Tensor& xs, const Tensor& w) {
    const Tensor turned = transpose(slice(w, 1, 1, 6)), row = broadcast_to(slice(at(w, 0, 2), 0, 0, 5), {3, 5});
    const auto step = [&](const Tensor& s, const Tensor& x) {
      return std::pair{tanh(matmul(s, turned) + row * x), s * row};
    };
    return scan(step, h, xs);
  };
  check_with_and_without("sink_views", f, noise(1, {3, 5}), noise(2, {4, 3, 1}), noise(3, {5, 6}));
}
