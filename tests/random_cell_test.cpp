// Cells nobody thought of: compiled, the loss and its gradient with respect to weights, initial states and inputs are the
// interpreter's, and one program serves other numbers of steps and rows.
//
// TAPELOOP_RANDOM_CELLS=N tries N of them.
#include "random_cell.h"

#include "ad/grad.h"
#include "jit/jit.h"
#include "ops/elementwise.h"
#include "soak.h"

using namespace tapeloop;
using tapeloop::testing::RandomCell;

namespace {

struct Size {
  std::int64_t steps, rows;
};

// What a program is compiled for, and what it is then called with.
std::vector<Size> sizes_of(const RandomCell& cell) {
  static constexpr std::int64_t steps[] = {1, 2, 3, 6, 9, 21}, rows[] = {1, 2, 3, 6, 7, 16, 20};
  return {{steps[cell.seed % 6], rows[cell.seed / 6 % 7]}, {steps[cell.seed / 3 % 6], rows[cell.seed / 5 % 7]}};
}

// Bit for bit but for the sign of a zero: with a number for the steps, a truncated loop has fewer parts to add up than with a symbol.
bool equal(const Tensors& a, const Tensors& b) {
  bool all = a.size() == b.size();
  for (std::size_t i = 0; all && i < a.size(); ++i) all = same_bits(a[i] + 0, b[i] + 0);
  return all;
}

// The law that a cell breaks; empty when there is none.
std::string broken_law(const RandomCell& cell) {
  Options chosen = tapeloop::testing::quickly(options(), cell.seed % 3 != 0);
  if (cell.seed % 4 == 0 && chosen.isa.empty()) chosen.isa = cell.seed % 8 ? "avx2" : "sse2";
  chosen.threads = 1 + int(cell.seed % 2);
  chosen.all_threads = true;
  const ScopedOptions scope(chosen);
  const auto loss = value_and_grad([&](const Tensors& arguments) { return cell(arguments); });
  const auto compiled = jit(loss);
  for (const auto& [steps, rows] : sizes_of(cell)) {
    const Tensors x = cell.arguments(steps, rows);
    if (!equal(leaves_of(compiled(x)), leaves_of(loss(x))))
      return "other values for " + std::to_string(steps) + " steps of " + std::to_string(rows) + " rows";
  }
  return "";
}

std::string described(const RandomCell& cell) {
  const Tensors x = cell.arguments(sizes_of(cell)[0].steps, sizes_of(cell)[0].rows);
  return to_string(
      *trace([&](const Tensors& arguments) { return cell(arguments); }, Recorder::Captures::recorded, x).tape);
}

}  // namespace

TEST_CASE("random cells: compiled, their gradients are the interpreter's for every length and batch" *
          doctest::test_suite("long")) {
  for (const unsigned half : {0, 1})
    tapeloop::testing::soak<RandomCell>(half, "TAPELOOP_RANDOM_CELLS", tapeloop::testing::kInstrumented ? 6 : 30,
                                        broken_law, described);
}
