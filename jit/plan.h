// What is computed in which loop nest, and what needs memory: decided here, without a line of code being emitted.
//
// A *nest* walks one iteration space and writes one or more values. Values that only one nest needs stay in registers;
// views are index arithmetic of whoever reads them. Nests run in order.
#pragma once

#include <vector>

#include "ad/tape.h"

namespace tapeloop {

enum class NestKind : std::uint8_t { map, matmul, reduce, argmax, scatter, loop };

// One value written by a nest: into its own buffer, or into a place in the buffer of a concat or of a result slot.
struct Write {
  Id value;
  Id target;            // the record whose buffer is written
  int slot = -1;        // or: output number `slot` of the tape
  int axis = 0;         // of the target, at which the value begins at `offset`
  Extent offset = 0;
};

struct Nest {
  NestKind kind = NestKind::map;
  Shape space;               // of a map: the loops; of a matmul: [rows, columns of one stream]
  Id root = 0;               // the first record it was made for
  std::vector<Id> matmuls;   // of a matmul nest: products that share their left operand
  std::vector<Write> writes;
};

struct Plan;
using PlanPtr = std::shared_ptr<const Plan>;

struct Plan {
  TapePtr tape;
  std::vector<Nest> nests;
  std::vector<int> nest_of;        // for each record: the nest that computes it, -1 for none
  std::vector<bool> stored;        // has memory of its own (inputs too)
  std::vector<Id> alias_of;        // a reshape of a stored value shares its memory; itself otherwise
  std::vector<int> slot_of;        // the output whose memory the record is computed in, -1 for none
  std::vector<PlanPtr> bodies;     // for each record: the plan of a loop's body
  std::vector<bool> in_place;      // of a body: state i may be overwritten while it is read
};

PlanPtr make_plan(const TapePtr& tape);

std::string to_string(const Plan& plan);

}  // namespace tapeloop
