// Products of concatenations in loops are taken apart (jit/part_products.cpp): what of them needs no state leaves, forward and
// backward, and the bits are those of the whole product.
#include <doctest/doctest.h>

#include "ad/grad.h"
#include "cases.h"
#include "cells.h"
#include "compiled.h"
#include "jit/hoist.h"
#include "jit/jit.h"
#include "models/cell.h"

using namespace tapeloop;
using namespace tapeloop::testing;

namespace {

// What a product is made of, besides x and h: a constant c, and x or h once more.
enum class Parts { xh, hx, xch, cxh, xhx, xhh };

struct Cell {
  Tensor w, c;  // [columns of the parts, 2H] or its transpose, [B, C]
  Parts parts;
  bool transposed, starts;

  std::pair<Tensor, Tensor> operator()(const Tensor& h, const Tensor& x) const {
    const Tensor joined = concat(parts == Parts::xh    ? Tensors{x, h}
                                 : parts == Parts::hx  ? Tensors{h, x}
                                 : parts == Parts::xch ? Tensors{x, c, h}
                                 : parts == Parts::cxh ? Tensors{c, x, h}
                                 : parts == Parts::xhx ? Tensors{x, h, x}
                                                       : Tensors{x, h, h},
                                 1);
    const Tensor z = starts ? matmul(joined, w, concat({x, x}, 1), {.transpose_b = transposed})
                            : matmul(joined, w, {.transpose_b = transposed});
    const auto [f, g] = chunk<2>(z);
    return {sigmoid(f) * h + tanh(g), joined * 2};
  }
};

// Depth of the products that are in the innermost loops of a tape.
void depths_in_loops(const Tape& tape, bool in_loop, std::vector<std::int64_t>& found) {
  for (const Record& r : tape.records) {
    if (is_loop(r)) depths_in_loops(*r.attrs.get<TapePtr>("body"), true, found);
    if (!in_loop || r.op != &matmul_op || r.attrs.flag("transpose_a")) continue;
    found.push_back(tape[r.in[0]].type.shape[1].value());
  }
}

template <class F, class... Args>
std::vector<std::int64_t> depths_after_hoisting(const F& f, const Args&... args) {
  TapePtr t = lower_scans(prune(trace(f, Recorder::Captures::recorded, args...).tape));
  t = hoist_after(hoist_before(part_products(sink_views(t))));
  std::vector<std::int64_t> found;
  depths_in_loops(*t, false, found);
  return found;
}

auto run_cell(Parts parts, bool transposed, bool starts) {
  return [=](const Tensor& w, const Tensor& c, const Tensor& h, const Tensor& xs) {
    const auto [last, ys] = scan(Cell{w, c, parts, transposed, starts}, h, xs);
    return std::pair{last, ys};
  };
}

}  // namespace

TEST_CASE("parted products: a cell of concatenations has the interpreter's bits, and so have its gradients") {
  constexpr int kInputs = 6, kHidden = 3, kConstant = 4;
  for (const Parts parts : {Parts::xh, Parts::hx, Parts::xch, Parts::cxh, Parts::xhx, Parts::xhh})
    for (const auto& [transposed, starts] : {std::pair{false, false}, {true, false}, {false, true}, {true, true}})
      for (const int batch : {1, 5}) {
        if (kInstrumented && (int(parts) + batch + transposed) % 3 != 0) continue;
        CAPTURE(int(parts));
        CAPTURE(transposed);
        CAPTURE(starts);
        CAPTURE(batch);
        const int inputs = starts ? kHidden : kInputs;  // two of x are where the sums start
        const int depth = kHidden + inputs +
                          (parts == Parts::xhx   ? inputs
                           : parts == Parts::xhh ? kHidden
                                                 : 0) +
                          (parts == Parts::xch || parts == Parts::cxh ? kConstant : 0);
        const Tensor w = noise(1, transposed ? Shape{2 * kHidden, depth} : Shape{depth, 2 * kHidden});
        const Tensor c = noise(2, {batch, kConstant}), h = noise(3, {batch, kHidden}),
                     xs = noise(4, {5, batch, inputs});
        const auto f = run_cell(parts, transposed, starts);
        const auto gradient = [&](const Tensor& a, const Tensor& b, const Tensor& s, const Tensor& x) {
          return grad<0, 1, 2, 3>([&](const Tensor& a2, const Tensor& b2, const Tensor& s2, const Tensor& x2) {
            const auto [last, ys] = f(a2, b2, s2, x2);
            return sum(last * last) + sum(ys * ys);
          })(a, b, s, x);
        };
        check_with_and_without("part_products", f, w, c, h, xs);
        check_with_and_without("part_products", gradient, w, c, h, xs);
      }
}

TEST_CASE("parted products: only what depends on the state stays in the loop") {
  const Tensor c = noise(2, {2, 4}), h = noise(3, {2, 3}), xs = noise(4, {5, 2, 6});
  const auto depths = [&](Parts parts, int depth) {
    return depths_after_hoisting(run_cell(parts, false, false), noise(1, {depth, 6}), c, h, xs);
  };
  CHECK(depths(Parts::xh, 9) == std::vector<std::int64_t>{3});
  CHECK(depths(Parts::hx, 9) == std::vector<std::int64_t>{9});  // the sums begin with the state
  CHECK(depths(Parts::xch, 13) == std::vector<std::int64_t>{3});
  CHECK(depths(Parts::cxh, 13) == std::vector<std::int64_t>{3});
  CHECK(depths(Parts::xhx, 15) == std::vector<std::int64_t>{9});
  CHECK(depths(Parts::xhh, 12) == std::vector<std::int64_t>{6});
  // Backward the gradient of x leaves, and that of the state, of depth 2H, stays.
  const auto gradient = [&](const Tensor& w, const Tensor& s, const Tensor& x) {
    return grad<0, 1, 2>([&](const Tensor& a, const Tensor& b, const Tensor& d) {
      const auto [last, ys] = run_cell(Parts::hx, false, false)(a, c, b, d);
      return sum(last);
    })(w, s, x);
  };
  const auto found = depths_after_hoisting(gradient, noise(1, {9, 6}), h, xs);
  CHECK(found == std::vector<std::int64_t>{9, 6});
}
