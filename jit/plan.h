// What is computed in which loop nest, and what needs memory: decided here, without a line of code being emitted.
//
// A *nest* walks one iteration space and writes one or more values. Values that only one nest needs stay in registers;
// views are index arithmetic of whoever reads them. Nests run in order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ad/tape.h"

namespace tapeloop {

enum class NestKind : std::uint8_t { map, matmul, reduce, argmax, prefix, sort, scatter, loop, branch };

// One value written by a nest: into its own buffer, or into a place in the buffer of a concat, of a packed operand or of a
// result slot.
struct Write {
  Id value;
  Id target;      // the record whose buffer is written
  int slot = -1;  // or: output number `slot` of the tape
  int axis = 0;   // of the target, at which the value begins at `offset`
  Extent offset = 0;
  int stream = -1;  // of the panels of a packed target
};

struct Nest {
  NestKind kind = NestKind::map;
  Shape space;  // of a map: the loops; of a matmul: [rows, columns of one stream]
  Id root = 0;  // the first record it was made for
  // Of a matmul nest: products of which each starts at the one before, or, of a single row, at what this nest computes.
  std::vector<Id> terms;
  std::vector<Id> sums;  // of a map: reductions over its last axis that are taken on the way
  std::vector<Write> writes;
};

// Nests that run row by row: some rows go from the first nest to the last, then the next rows. Rows are what the first
// `axes` axes of all these nests count, and no row of theirs reads what they compute of another.
struct RowGroup {
  int first = 0, last = 0;
  std::size_t axes = 0;
};

struct Alias {
  Id owner;
  Extent offset = 0;  // in elements
};

// A state of a loop has two places, of which a step reads one and writes the other, unless it can do with less.
struct StatePlace {
  bool in_place = false;  // it is overwritten where it is read
  int y = -1;             // the output over time that keeps the state after every step anyway
};

// Where a result of a program is a part of something larger that is computed in its memory: that has `before` bytes in front
// of it, and `whole` bytes in all; 0 for a result that is whole itself.
struct Margin {
  Extent before = 0, whole = 0;
};

struct Plan;
using PlanPtr = std::shared_ptr<const Plan>;

struct Plan {
  TapePtr tape;
  std::vector<Nest> nests;
  std::vector<int> nest_of;     // for each record: the nest that computes it, -1 for none
  std::vector<bool> stored;     // has memory of its own (inputs too)
  std::vector<Alias> alias_of;  // whose memory a record is in: its own, or a part of another's (reshape, slice)
  std::vector<int> slot_of;     // the output whose memory the record is computed in, -1 for none
  std::vector<std::vector<PlanPtr>> bodies;  // for each record: the plans of its tapes, in the order of its attributes
  std::vector<StatePlace> states;            // of a body: where each state lies
  std::vector<Margin> margins;               // of each output; empty unless it is the plan of a program
  std::vector<RowGroup> groups;              // in the order of their nests
  std::vector<bool> passing;  // only its own group reads it: there is memory for the rows in flight, or none at all

  const RowGroup* group_of(int nest) const;  // null for none
};

// The plan of a tape; `states` says how many of its outputs are the state of a loop whose body it is, whose inputs begin
// with `constants`.
PlanPtr make_plan(const TapePtr& tape, std::size_t constants = 0, std::size_t states = 0);
// The plan of a program, whose results have as much memory around them as it asks for.
PlanPtr make_program_plan(const TapePtr& tape);

std::string_view name_of(NestKind kind);
std::string to_string(const Plan& plan);

}  // namespace tapeloop
