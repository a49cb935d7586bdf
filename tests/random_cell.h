// Random cells: what somebody might invent, a step over time made of a seed, with weights of its own.
#pragma once

#include "random_program.h"

namespace tapeloop::testing {

struct RandomCell {
  std::vector<RandomStep> steps;
  std::int64_t inputs = 1, hidden = 1;
  int states = 1, layers = 1;  // states of each layer
  bool memory = false;         // each layer has a matrix for each row, too
  std::int64_t truncate = 0, checkpoint = 0;
  bool reverse = false, deep = false;  // deep: a second cell of the same equations reads what the first puts out
  Dtype dtype = Dtype::f32;
  unsigned seed = 0;

  explicit RandomCell(unsigned seed);

  int states_of_layer() const { return states + int(memory); }

  // Weights, initial states and a sequence of so many steps and rows: the arguments of the loss.
  Tensors arguments(std::int64_t length, std::int64_t rows) const;
  // A scalar that depends on every state and every output.
  Tensor operator()(const Tensors& arguments) const;
};

}  // namespace tapeloop::testing
