// What is measured: one cell, one task, one size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tapeloop::bench {

enum class Task {
  train,   // forward and backward, with the gradients of inputs, weights and the initial state
  infer,   // forward over a whole sequence
  stream,  // one step of a batch of one, its state kept
  compile  // from a C++ function to machine code
};
std::string to_string(Task task);

// The shape of a problem; inputs have as many features as the state, I = H.
struct Row {
  std::int64_t batch, steps, size;
};

struct Problem {
  Task task = Task::train;
  std::string cell;  // rnn, lstm, gru, mgu, peephole, lnlstm, sru
  Row row{};
  int threads = 1;

  // Of the matrix products alone, two a multiply-add: 2·G·H·(I + H)·B·T forward (of sru without H), twice that backward.
  double gflop() const;
  // train/lstm/B:16/T:64/H:128/threads:1
  std::string name() const;
};

const std::vector<std::string>& all_cells();
int gates(const std::string& cell);

// The sizes at which training is compared: small and large batches, short and long sequences.
const std::vector<Row>& training_rows();
// Batches of one, with the sizes of real-time models: 1000 steps in one call, or step by step.
std::vector<Row> inference_rows(std::int64_t steps);

}  // namespace tapeloop::bench
