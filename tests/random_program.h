// Random programs: a list of steps that a seed makes, which can be run on tensors, and from which steps can be taken away.
#pragma once

#include <string>
#include <vector>

#include "ad/tensor.h"

namespace tapeloop::testing {

// One op. What it reads is given by numbers that are taken modulo what there is, so that every list of steps is a program.
struct RandomStep {
  unsigned code = 0, a = 0, b = 0, c = 0;
  std::vector<RandomStep> body, other;  // of a loop or a branch
};

struct RandomProgram {
  std::vector<RandomStep> steps;
  Shape shape;         // of the first input, [rows, columns] or [steps, rows, columns]
  bool smooth = true;  // has derivatives that differences can find
  unsigned seed = 0;

  explicit RandomProgram(unsigned seed);

  // Inputs: of `shape`, of its last extent, and integers of its first. Gives a scalar.
  Tensor operator()(const Tensor& x, const Tensor& row, const Tensor& integers) const;
};

// How many steps there are, those of bodies too.
std::size_t count_steps(const std::vector<RandomStep>& steps);
// Takes away step number i and what is in it.
void erase_step(std::vector<RandomStep>& steps, std::size_t i);

}  // namespace tapeloop::testing
