// The list of ops under test: one line per op. tests/ops_test.cpp checks for each of them, at several shapes, what must
// hold of every op; forgetting an op fails there.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ad/tensor.h"

namespace tapeloop::testing {

using OpFunction = std::function<Tensor(const Tensors&)>;
using Shapes = std::vector<std::vector<std::int64_t>>;

struct OpCase {
  std::string op;               // the name of the Op it exercises
  std::vector<Shapes> samples;  // shapes of the operands
  double low, high;             // operands are uniform in this interval, away from kinks
  OpFunction f;
  bool smooth = true;           // has a derivative that finite differences can find
  std::function<double(const std::vector<double>&)> reference = nullptr;  // of elementwise ops, operand by operand
};

const std::vector<OpCase>& op_cases();

}  // namespace tapeloop::testing
