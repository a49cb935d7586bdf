#include "jit/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "ad/arithmetic.h"
#include "jit/loop.h"
#include "jit/pack.h"
#include "jit/passes.h"
#include "jit/planner.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"

namespace tapeloop {
namespace {

// Only inserts or removes axes of extent 1.
bool is_axis_reshape(const Type& from, const Type& to) {
  auto without_ones = [](const Shape& shape) {
    Shape result;
    for (const Extent& extent : shape)
      if (!extent.is_one()) result.push_back(extent);
    return result;
  };
  return without_ones(from.shape) == without_ones(to.shape);
}

}  // namespace

PlanPtr Planner::make() {
  find_rows_apart();
  count_uses();
  for (Id id = 0; id < t_.size(); ++id) place(id);
  place_outputs();
  decide_storage();
  group_rows();
  find_passing();
  if (runs(Pass::states_in_place))
    for (std::size_t i = 0; i < plan_.states.size(); ++i)
      plan_.states[i].in_place = plan_.states[i].y < 0 && may_stay(i);
  return std::make_shared<const Plan>(std::move(plan_));
}

// Views that are index arithmetic of their reader.
bool Planner::is_view(Id id) const {
  const Record& r = at(id);
  if (r.op == &pick_op) return at(r.in[0]).op == &split_op;
  if (r.op == &concat_op || r.op == &pack_op) return false;
  if (r.op == &reshape_op) return is_axis_reshape(at(r.in[0]).type, r.type) || rows_apart_[id];
  return r.op->kind == Kind::view;
}

// A chunk of a product, which is at hand in registers where the product is.
bool Planner::is_stream(Id id) const {
  if (at(id).op != &pick_op || at(at(id).in[0]).op != &split_op) return false;
  const Record& product = at(at(at(id).in[0]).in[0]);
  return product.op == &packed_matmul_op && Panels(product.attrs).streams > 1;
}

// Part of another value's memory, where it has to be in memory at all.
bool Planner::is_part(Id id) const {
  const Record& r = at(id);
  if (r.op == &reshape_op) return !is_view(id) || must_store_[id];
  return r.op == &slice_op && must_store_[id] && r.attrs.integer("axis") == 0 && r.attrs.integer("step") == 1 &&
         !is_source(r.in[0]);
}

// A transpose that moves the last axis: read where it stands, neighbours would be far from one another.
bool Planner::is_turned(const Record& r) const {
  if (r.op != &transpose_op || r.type.rank() < 2) return false;
  const Ints& order = r.attrs.get<Ints>("order");
  return order.back() + 1 != std::int64_t(order.size()) && !r.type.shape.back().is_one() &&
         !at(r.in[0]).type.shape.back().is_one();
}

// Whose readers all pack it, which turns what is turned.
std::vector<bool> Planner::read_by_packing() const {
  std::vector<bool> only(t_.size(), true);
  for (Id id : t_.outputs) only[id] = false;
  for (Id id = Id(t_.size()); id-- > 0;) {
    const bool packs = at(id).op == &pack_op || ((is_view(id) || at(id).op == &split_op) && only[id]);
    for (Id operand : at(id).in) only[operand] = only[operand] && packs;
  }
  return only;
}

void Planner::count_uses() {
  for (const Record& r : t_.records)
    for (Id operand : r.in) ++uses_[operand];
  for (Id id : t_.outputs) {
    uses_[id] += 2;
    if (is_stream(id)) must_store_[id] = true;  // by the product, not with all its other streams and then copied
  }
  const std::vector<bool> packed = read_by_packing();
  // What an op reads from memory.
  auto need = [&](Id id) { must_store_[id] = true; };
  for (Id id = 0; id < t_.size(); ++id) {
    const Record& r = at(id);
    switch (r.op->kind) {
      case Kind::loop:
      case Kind::branch:
        // A constant that a state begins with is written where the state lies.
        for (std::size_t k = 0; k < r.in.size(); ++k)
          if (!(is_loop(r) && at(r.in[k]).op == &full_op && LoweredLoop(r.attrs).is_state(k))) need(r.in[k]);
        break;
      case Kind::matmul:
        need(r.in[0]), need(r.in[1]);
        break;
      case Kind::index:
      case Kind::prefix:
      case Kind::sort:
        for (Id operand : r.in) need(operand);
        break;
      case Kind::reduce:
        if (r.op == &argmax_op) need(r.in[0]);
        break;
      default:
        break;
    }
    if (r.op == &reshape_op && !is_view(id)) need(r.in[0]);
    if (is_turned(r) && !packed[id]) need(id);
    // A reduction over several last axes walks them as one, so it reads memory, unless all of it is one flat walk.
    if (r.op->kind == Kind::reduce && r.op != &argmax_op) fold(r.in[0], r);
  }
  for (Id id = Id(t_.size()); id-- > 0;)
    if (is_part(id)) need(at(id).in[0]);
}

// An elementwise value with no other reader is computed inside the reduction.
void Planner::fold(Id id, const Record& reduction) {
  const bool along = goes_along(reduction);  // then it finds in registers what its nest computes
  const int rank = at(id).type.rank();
  const auto& axes = reduction.attrs.get<Ints>("axes");
  int trailing = 0;
  while (trailing < int(axes.size()) && axes[axes.size() - 1 - std::size_t(trailing)] == rank - 1 - trailing)
    ++trailing;
  const bool flat = trailing == rank;
  if (trailing > 1 && !flat) {
    must_store_[id] = true;
    return;
  }
  std::vector<Id> work{id};
  while (!work.empty()) {
    const Id x = work.back();
    work.pop_back();
    if (is_source(x)) {
      // What counts along one of several axes cannot tell where it is on a walk with one index.
      if (flat && trailing > 1 && at(x).op == &iota_op && at(x).attrs.integer("axis") >= 0) must_store_[x] = true;
      continue;
    }
    if (is_elementwise(x) && uses_[x] == 1 && !must_store_[x] && runs(Pass::fold_reductions)) {
      folded_[x] = true;
      for (Id operand : at(x).in) work.push_back(operand);
    } else if (flat && trailing > 1 && !is_source(x)) {
      must_store_[x] = true;
    } else if (is_view(x)) {
      store_below(x);
    } else if (!along || !is_elementwise(x)) {
      must_store_[x] = true;
    }
  }
}

// The rows of a product as steps and rows again, which the elementwise code that follows reads in its registers.
void Planner::find_rows_apart() {
  std::vector<bool> other_reader(t_.size(), false);
  for (Id id : t_.outputs) other_reader[id] = true;
  for (Id id = 0; id < t_.size(); ++id)
    for (Id operand : at(id).in)
      if (!is_elementwise(id)) other_reader[operand] = true;
  for (Id id = 0; id < t_.size(); ++id) {
    const Record& r = at(id);
    if (r.op != &reshape_op || r.type.rank() != 3 || other_reader[id] || at(r.in[0]).op != &packed_matmul_op) continue;
    rows_apart_[id] = at(r.in[0]).type.shape[1] == r.type.shape[2] && Panels(at(r.in[0]).attrs).streams == 1;
  }
}

// What a view shows must be in memory.
void Planner::store_below(Id id) {
  while (is_view(id)) {
    if (at(id).op == &pick_op) id = at(id).in[0];
    id = at(id).in[0];
  }
  if (!is_source(id)) must_store_[id] = true;
}

bool Planner::is_packed_by_parts(Id id) const {
  return std::find(packed_by_parts_.begin(), packed_by_parts_.end(), id) != packed_by_parts_.end();
}

// What a record reads without going through memory: the product it starts at, the parts of a packed operand.
bool Planner::is_in_registers(Id id, Id operand) const {
  if (is_packed_by_parts(id)) return true;
  const Record& r = at(id);
  return r.op == &packed_matmul_op && plan_.nest_of[operand] == plan_.nest_of[id] &&
         std::find(r.in.begin() + 2, r.in.end(), operand) != r.in.end();
}

// A value has memory when another nest reads it.
void Planner::decide_storage() {
  for (Id id = 0; id < t_.size(); ++id)
    if (at(id).op == &input_op) plan_.stored[id] = true;
  auto read_by = [&](int nest, Id operand) {
    std::vector<Dependency> found;
    dependencies(operand, true, found);
    for (const Dependency& d : found)
      if (plan_.nest_of[d.id] != nest || !d.aligned) must_store_[d.id] = true;
  };
  for (Id id = 0; id < t_.size(); ++id) {
    const Record& r = at(id);
    const int nest = plan_.nest_of[id];
    if (nest < 0 || (r.op == &pick_op && !is_view(id))) continue;
    if (is_part(id)) continue;
    const bool along = r.op->kind == Kind::reduce && plan_.nests[std::size_t(nest)].kind == NestKind::map;
    for (Id operand : r.in) {
      if (along && operand == r.in[0]) {
        read_by(nest, operand);
      } else if (folded_[operand]) {
        std::vector<Dependency> found;
        dependencies(operand, false, found);
        for (const Dependency& d : found) must_store_[d.id] = true;
      } else if (is_elementwise(id)) {
        read_by(nest, operand);
      } else {
        std::vector<Dependency> found;
        dependencies(operand, false, found);
        if (r.op != &concat_op && !is_in_registers(id, operand) && !(is_stream(id) && plan_.nest_of[id] == nest))
          for (const Dependency& d : found) must_store_[d.id] = true;
      }
    }
  }
  for (std::size_t n = 0; n < plan_.nests.size(); ++n)
    for (const Write& write : plan_.nests[n].writes) {
      if (plan_.nest_of[write.value] == int(n) && is_elementwise(write.value)) continue;
      std::vector<Dependency> found;
      dependencies(write.value, true, found);
      for (const Dependency& d : found)
        if (plan_.nest_of[d.id] != int(n) || !d.aligned || !is_elementwise(d.id)) must_store_[d.id] = true;
    }
  for (Id id = 0; id < t_.size(); ++id) {
    const Record& r = at(id);
    if (is_part(id)) {
      plan_.stored[id] = true;
      plan_.alias_of[id] = plan_.alias_of[r.in[0]];
      if (r.op == &slice_op) {
        Extent row = 1;
        for (std::size_t axis = 1; axis < r.type.shape.size(); ++axis) row = row * r.type.shape[axis];
        plan_.alias_of[id].offset = plan_.alias_of[id].offset + r.attrs.extent("start") * row;
      }
      continue;
    }
    if (plan_.nest_of[id] < 0 || r.type.dtype == Dtype::tuple) continue;
    const bool of_loop = r.op == &pick_op && !is_view(id);
    plan_.stored[id] = must_store_[id] || of_loop;
    if (plan_.stored[id] && r.op != &concat_op && r.op->kind != Kind::loop && !of_loop && !is_packed_by_parts(id)) {
      Nest& nest = plan_.nests[std::size_t(plan_.nest_of[id])];
      nest.writes.insert(nest.writes.begin(), Write{id, id, -1, 0, 0});
    }
  }
}

// Whether state i may be overwritten: what reads it comes before what writes it, or reads the very place it writes.
bool Planner::may_stay(std::size_t i) const {
  const Id state = t_.inputs[constants_ + i], next = t_.outputs[i];
  const int writer = plan_.nest_of[next];
  if (writer < 0 || plan_.slot_of[next] != int(i)) return false;
  const Nest& nest = plan_.nests[std::size_t(writer)];
  const bool of_product = nest.kind == NestKind::matmul && nest.terms.back() == next;
  if (!of_product && !(is_elementwise(next) && (nest.kind == NestKind::map || nest.kind == NestKind::matmul)))
    return false;
  // In the rows of a group what comes before the writer sees of later rows what the state was.
  if (const RowGroup* group = plan_.group_of(writer))
    for (int n = group->first; n < writer; ++n)
      for (const RowRead& read : row_reads(n, rows_of(nest)))
        if (read.owner == state && !read.aligned) return false;
  for (Id id = 0; id < t_.size(); ++id) {
    const Record& r = at(id);
    // A loop reads its operands under other names.
    for (std::size_t k = 0; k < r.in.size(); ++k) {
      if (!shows(r.in[k], state)) continue;
      const int reader = plan_.nest_of[id];
      if (reader < 0 && r.op->kind == Kind::view) continue;  // looked at where it is read
      if (reader < 0 || reader > writer) return false;
      if (reader < writer) continue;
      const bool own_place = r.in[k] == state && (is_elementwise(id) || (of_product && id == nest.terms[0] && k >= 2));
      if (!own_place) return false;
    }
  }
  for (const Nest& other : plan_.nests)
    for (const Write& write : other.writes)
      if (shows(write.value, state)) return false;
  return true;
}

// Whether `id` is `source`, or looks at it through views.
bool Planner::shows(Id id, Id source) const {
  std::vector<Id> work{id};
  while (!work.empty()) {
    const Id x = work.back();
    work.pop_back();
    if (x == source) return true;
    if (at(x).op->kind == Kind::view || at(x).op == &pick_op) work.insert(work.end(), at(x).in.begin(), at(x).in.end());
  }
  return false;
}

PlanPtr make_plan(const TapePtr& tape, std::size_t constants, std::size_t states) {
  return Planner(tape, constants, states).make();
}

PlanPtr make_program_plan(const TapePtr& tape) {
  Planner planner(tape, 0, 0);
  planner.allow_margins();
  return planner.make();
}

const RowGroup* Plan::group_of(int nest) const {
  const auto group = std::lower_bound(groups.begin(), groups.end(), nest,
                                      [](const RowGroup& g, int number) { return g.last < number; });
  return group != groups.end() && group->first <= nest ? &*group : nullptr;
}

std::string_view name_of(NestKind kind) {
  static constexpr std::string_view kNames[] = {"map",  "matmul",  "reduce", "argmax", "prefix",
                                                "sort", "scatter", "loop",   "branch"};
  return kNames[std::size_t(kind)];
}

std::string to_string(const Plan& plan) {
  std::string text;
  for (std::size_t n = 0; n < plan.nests.size(); ++n) {
    const Nest& nest = plan.nests[n];
    text += fmt::format("nest {}: {} {} for %{}", n, name_of(nest.kind), to_string(nest.space), nest.root);
    for (Id sum : nest.sums) text += fmt::format(", sums %{}", sum);
    if (const RowGroup* group = plan.group_of(int(n)))
      text += fmt::format(", by rows with nests {} to {}", group->first, group->last);
    text += '\n';
    for (const PlanPtr& body : plan.bodies[nest.root])
      if (nest.kind == NestKind::loop || nest.kind == NestKind::branch) text += "  {\n" + to_string(*body) + "  }\n";
    for (const Write& w : nest.writes)
      text += fmt::format("  writes %{} to %{} slot {} axis {} + {}{}\n", w.value, w.target, w.slot, w.axis,
                          w.offset.value(), w.slot < 0 && plan.passing[w.target] ? ", passing" : "");
  }
  return text;
}

}  // namespace tapeloop
