// The list of ops under test: one line per op. tests/ops_test.cpp checks for each of them, at fifty and more samples of many
// shapes, what must hold of every op; tests/op_coverage_test.cpp fails when an op is forgotten.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "ad/tensor.h"

namespace tapeloop::testing {

using OpFunction = std::function<Tensor(const Tensors&)>;
using Shapes = std::vector<std::vector<std::int64_t>>;

struct OpCase {
  std::string op;               // the function it exercises
  std::vector<Shapes> samples;  // shapes of the operands
  double low, high;             // operands are uniform in this interval, away from kinks
  OpFunction f;
  bool smooth = true;  // has a derivative that finite differences can find
  std::function<double(const std::vector<double>&)> reference = nullptr;  // of elementwise ops, operand by operand
};

// Of one operand: scalar, sizes 0, 1, primes, whole vectors and more, with axes of 0 and 1.
inline const std::vector<Shapes> kUnary{{{}},     {{0}},    {{1}},    {{2}},       {{7}},       {{13}},
                                        {{16}},   {{33}},   {{257}},  {{3, 16}},   {{16, 3}},   {{1, 7}},
                                        {{7, 1}}, {{0, 4}}, {{4, 0}}, {{2, 3, 5}}, {{1, 2, 17}}};
// Of two: equal, and stretched each way.
inline const std::vector<Shapes> kBinary{{{}, {}},
                                         {{0}, {0}},
                                         {{1}, {1}},
                                         {{17}, {17}},
                                         {{131}, {131}},
                                         {{}, {7}},
                                         {{7}, {}},
                                         {{3, 5}, {5}},
                                         {{5}, {3, 5}},
                                         {{3, 1}, {1, 19}},
                                         {{1, 19}, {3, 1}},
                                         {{3, 16}, {3, 16}},
                                         {{2, 1, 3}, {4, 1}},
                                         {{0, 3}, {3}},
                                         {{3}, {0, 3}},
                                         {{1, 1}, {7, 5}},
                                         {{2, 3, 5}, {2, 3, 5}}};
inline const std::vector<Shapes> kTriple{
    {{7}, {7}, {7}},       {{}, {}, {}},      {{0}, {0}, {0}},       {{1}, {1}, {1}},     {{33}, {33}, {33}},
    {{3, 5}, {5}, {3, 1}}, {{5}, {3, 5}, {}}, {{}, {3, 1}, {1, 17}}, {{}, {}, {2, 3, 4}}, {{16, 3}, {16, 3}, {1}}};
// Of one operand with two axes or more.
inline const std::vector<Shapes> kMatrix{{{1, 1}},    {{3, 5}},    {{4, 0}},    {{0, 4}},  {{5, 18}},
                                         {{2, 3, 7}}, {{1, 17}},   {{17, 1}},   {{33, 2}}, {{2, 1, 3}},
                                         {{7, 64}},   {{2, 0, 3}}, {{3, 2, 16}}};
// The same without empty axes.
inline const std::vector<Shapes> kFilled{{{1, 1}},  {{3, 5}},  {{5, 18}},   {{2, 3, 7}}, {{1, 17}},
                                         {{17, 1}}, {{33, 2}}, {{2, 1, 3}}, {{7, 64}},   {{3, 2, 16}}};
// Square.
inline const std::vector<Shapes> kSquare{{{1, 1}}, {{3, 3}}, {{5, 5}}, {{17, 17}}, {{2, 4, 4}}, {{0, 3, 3}}, {{7, 7}}};

std::vector<OpCase> elementwise_cases();
std::vector<OpCase> structural_cases();
std::vector<OpCase> layer_cases();

// All of them.
const std::vector<OpCase>& op_cases();

}  // namespace tapeloop::testing
