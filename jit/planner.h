// How a plan is made (see plan.h): which values are read from memory and what becomes of them (plan.cpp), and which nest
// computes each record (place.cpp).
#pragma once

#include <vector>

#include "ad/op.h"
#include "ad/tape.h"
#include "jit/plan.h"

namespace tapeloop {

struct Panels;

class Planner {
 public:
  Planner(const TapePtr& tape, std::size_t constants, std::size_t states) : t_(*tape), constants_(constants) {
    plan_.tape = tape;
    plan_.states.resize(states);
    const std::size_t n = t_.size();
    plan_.nest_of.assign(n, -1);
    plan_.stored.assign(n, false);
    plan_.slot_of.assign(n, -1);
    plan_.bodies.resize(n);
    for (Id id = 0; id < n; ++id) plan_.alias_of.push_back({id});
    must_store_.assign(n, false);
    uses_.assign(n, 0);
    folded_.assign(n, false);
    rows_apart_.assign(n, false);
    walked_.assign(n, 0);
    looked_.assign(n, 0);
  }

  PlanPtr make();
  void allow_margins() { plan_.margins.resize(t_.outputs.size()); }

 private:
  const Tape& t_;
  const std::size_t constants_;
  Plan plan_;
  std::vector<bool> must_store_;
  std::vector<int> uses_;
  std::vector<bool> folded_;  // elementwise, computed inside the one reduction that reads it
  std::vector<Id> packed_by_parts_;
  std::vector<bool> rows_apart_;
  mutable std::vector<int> walked_;  // by dependencies(): the walk that saw a record last
  mutable int walk_ = 0;
  mutable std::vector<int> looked_;  // by row_reads(): how the walk saw a record last
  mutable int look_ = 0;

  const Record& at(Id id) const { return t_[id]; }
  bool is_source(Id id) const { return at(id).op->kind == Kind::source; }
  bool is_elementwise(Id id) const { return at(id).op->kind == Kind::elementwise; }
  bool is_view(Id id) const;
  bool is_stream(Id id) const;
  bool is_part(Id id) const;
  bool is_turned(const Record& r) const;
  std::vector<bool> read_by_packing() const;
  void count_uses();
  void fold(Id id, const Record& reduction);
  void find_rows_apart();
  void store_below(Id id);

  struct Dependency {
    Id id;
    bool aligned;  // read at the very place that is being computed
  };

  // place.cpp
  void dependencies(Id id, bool aligned, std::vector<Dependency>& found) const;
  int earliest(const std::vector<Dependency>& found, int joining = -1) const;
  bool accepts(const Nest& nest, const Shape& space) const;
  int find_nest(Id id, const Shape& space) const;
  bool is_waiting(Id id) const;
  bool may_wait(Id id) const;
  void put(Id id, int nest);
  void place_elementwise(Id id);
  int new_nest(NestKind kind, Id root, const Shape& space);
  void place(Id id);
  void place_matmul(Id id);
  bool continues_product(Id id, const Panels& panels);
  bool joins_product(Id id, const Panels& panels);
  void place_pack(Id id);
  void place_concat(Id id);
  int writer_of(Id id);
  bool is_state_in_place(Id id) const;
  void place_outputs();
  bool place_in_history(std::size_t output);

  bool is_packed_by_parts(Id id) const;
  bool is_in_registers(Id id, Id operand) const;
  void decide_storage();
  bool may_stay(std::size_t i) const;
  bool shows(Id id, Id source) const;

  // row_groups.cpp
  struct RowRead {
    Id owner;      // whose memory is read
    bool aligned;  // in the row that is being computed
  };
  std::int64_t bytes_of_row(const Nest& nest, std::size_t axes) const;
  bool is_batch_of_matrices(const Nest& nest) const;
  bool goes_along(const Record& reduction) const;
  void place_sum(Id id);
  bool has_rows(Id id, const Shape& rows) const;
  std::vector<RowRead> row_reads(int nest, const Shape& rows) const;
  Shape rows_of(const Nest& nest) const;
  bool fits(int nest, const Shape& rows, int first) const;
  bool reads_from(int nest, int first, int last) const;
  void group_rows();
  void find_passing();
};

}  // namespace tapeloop
