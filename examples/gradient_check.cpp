// A test suite for cells of one's own: what the checker says of a right cell, of a subtly wrong one, and of a kink.
//
//   gradient_check            runs the suite; says what failed, and exits with 1 when the suite did not find what it should
#include <cstdio>

#include "jit/jit.h"
#include "models/check_cell.h"
#include "ops/call.h"
#include "ops/matmul.h"
#include "ops/random.h"

using namespace tapeloop;

namespace {

// An Elman cell with "hard" memory: h' = h + tanh(x·w + h·u), whose tanh comes with a derivative written by hand. Many a
// library's cell has such a derivative, for speed; here is why it is checked.
struct HandWritten {
  Tensor w, u;
  bool forgets = false;  // the mistake: y for y²

  Tensor operator()(const Tensor& h, const Tensor& x) const {
    auto rule = [wrong = forgets](const Tensor&, const Tensor& y, const Tensor& ct) {
      return wrong ? ct * (1 - abs(y)) : ct * (1 - square(y));
    };
    return 0.5 * h + custom_vjp([](const Tensor& z) { return tanh(z); }, rule)(matmul(x, w) + matmul(h, u));
  }
  Tensor initial(const Extent& batch) const { return zeros({batch, u.size(0)}, u.dtype()); }
};

bool expect(bool as_expected, const char* what) {
  if (!as_expected) std::printf("NOT AS EXPECTED: %s\n", what);
  return as_expected;
}

}  // namespace

int main() {
  auto compile = [](auto f) { return jit(f); };
  const Tensor xs = normal(key(1), {5, 2, 3});
  HandWritten cell{normal(key(2), {3, 4}).materialized(), normal(key(3), {4, 4}).materialized()};

  std::puts("The right cell:");
  const CellReport right = check_cell(compile, cell, cell.initial(2), xs);
  std::printf("%s\n\n", to_string(right).c_str());
  bool ok = expect(right.passed(), "the right cell passes");

  // Forward and reverse mode, the compiler, checkpoints: all agree, since all use the wrong rule. Only numbers that know
  // nothing of it can tell.
  std::puts("The same with y in the place of y² in its derivative:");
  cell.forgets = true;
  const CellReport wrong = check_cell(compile, cell, cell.initial(2), xs);
  std::printf("%s\n\n", to_string(wrong).c_str());
  ok = expect(!wrong.passed(), "the wrong cell fails") && ok;

  std::puts("A loss with a kink exactly where it is looked at:");
  const Tensor x = Tensor::of(std::vector<double>{0, 1, -2}, {3});
  const CheckReport kink = gradient_report({}, [](const Tensor& t) { return sum(relu(t) + square(t)); }, x);
  std::printf("%s\n\n", to_string(kink).c_str());
  ok = expect(kink.passed(), "a kink is no failure") && ok;

  std::puts("In one line, for a test of one's own (it throws):");
  try {
    check_gradients([](const Tensor& t) { return sum(t * stop_gradient(t)); }, x);
    ok = expect(false, "the wrong loss is found");
  } catch (const Error& error) {
    std::printf("%s\n", error.what());
  }
  return ok ? 0 : 1;
}
