// Which nest computes each record.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "jit/loop.h"
#include "jit/pack.h"
#include "jit/passes.h"
#include "jit/planner.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace tapeloop {

// The records that have to be computed before (or together with) what reads `id` at its own place.
void Planner::dependencies(Id id, bool aligned, std::vector<Dependency>& found) const {
  std::vector<Dependency> work{{id, aligned}};
  ++walk_;
  while (!work.empty()) {
    const Dependency d = work.back();
    work.pop_back();
    const Record& r = at(d.id);
    // What waits may read many of the same values, and some of them may have been placed since.
    if (is_waiting(d.id) && std::exchange(walked_[d.id], walk_) == walk_) continue;
    if (plan_.nest_of[d.id] >= 0) {
      // A part shows other places of the memory that its nest writes, so that must be whole before it is read; and so must a
      // concatenation, which has the shape of one of its parts when the others are empty, and what is turned.
      const bool whole = r.op->kind == Kind::view && (is_part(d.id) || r.op == &concat_op || is_turned(r));
      found.push_back({d.id, d.aligned && !whole});
    } else if (r.op == &input_op || r.op->kind == Kind::source) {
      continue;
    } else if (r.op == &pick_op) {
      const Record& tuple = at(r.in[0]);
      if (tuple.op == &split_op) {
        // A chunk of a product is at hand in the nest of the product.
        work.push_back({tuple.in[0], d.aligned && is_stream(d.id)});
      } else {
        work.push_back({r.in[0], false});
      }
    } else if (r.op->kind == Kind::view) {
      for (Id operand : r.in) work.push_back({operand, d.aligned && rows_apart_[d.id]});
    } else {
      for (Id operand : r.in) work.push_back({operand, d.aligned});
    }
  }
}

// The first nest that may compute something with these dependencies.
int Planner::earliest(const std::vector<Dependency>& found, int joining) const {
  int first = 0;
  for (const Dependency& d : found) {
    const int nest = plan_.nest_of[d.id];
    const bool together = d.aligned && nest == joining;
    first = std::max(first, together ? nest : nest + 1);
  }
  return first;
}

bool Planner::accepts(const Nest& nest, const Shape& space) const {
  if (nest.kind == NestKind::matmul && !runs(Pass::epilogues)) return false;
  if (nest.kind == NestKind::matmul && space.size() == 3 && nest.space.size() == 2)
    return space[0] * space[1] == nest.space[0] && space[2] == nest.space[1];
  // A product with leading axes writes itself and nothing else.
  const bool walks =
      nest.kind == NestKind::map || (nest.kind == NestKind::matmul && at(nest.root).op == &packed_matmul_op);
  return walks && nest.space == space;
}

// The first nest that has all it needs: there its operands are at hand, and what follows need not wait for later products.
// What needs no nest is computed as late as it can be.
int Planner::find_nest(Id id, const Shape& space) const {
  std::vector<Dependency> found;
  if (is_elementwise(id)) {
    for (Id operand : at(id).in) dependencies(operand, true, found);
  } else {
    dependencies(id, true, found);
  }
  const int count = int(plan_.nests.size());
  for (int i = 0; i < count; ++i) {
    const int n = found.empty() ? count - 1 - i : i;
    if (accepts(plan_.nests[std::size_t(n)], space) && earliest(found, n) <= n) return n;
  }
  return -1;
}

// Elementwise, computed from inputs alone, and no reader has been placed yet: it goes where its first reader goes.
bool Planner::is_waiting(Id id) const {
  return is_elementwise(id) && plan_.nest_of[id] < 0 && !folded_[id] && !is_source(id);
}

bool Planner::may_wait(Id id) const {
  std::vector<Dependency> found;
  for (Id operand : at(id).in)
    if (!is_waiting(operand)) dependencies(operand, true, found);
  return found.empty();
}

void Planner::put(Id id, int nest) {
  std::vector<Id> work{id};
  while (!work.empty()) {
    const Id x = work.back();
    work.pop_back();
    plan_.nest_of[x] = nest;
    for (Id operand : at(x).in)
      if (is_waiting(operand)) work.push_back(operand);
  }
}

void Planner::place_elementwise(Id id) {
  int nest = find_nest(id, at(id).type.shape);
  if (nest < 0) nest = new_nest(NestKind::map, id, at(id).type.shape);
  put(id, nest);
}

int Planner::new_nest(NestKind kind, Id root, const Shape& space) {
  Nest nest;
  nest.kind = kind;
  nest.root = root;
  nest.space = space;
  plan_.nests.push_back(std::move(nest));
  return int(plan_.nests.size()) - 1;
}

void Planner::place(Id id) {
  const Record& r = at(id);
  if (!is_elementwise(id) || folded_[id])
    for (Id operand : r.in)
      if (is_waiting(operand)) place_elementwise(operand);
  if (r.op == &input_op || r.op == &split_op) return;
  if (is_source(id)) {
    // Made where it is read, unless its reader wants memory.
    if (must_store_[id]) plan_.nest_of[id] = new_nest(NestKind::map, id, r.type.shape);
    return;
  }
  if (r.op == &pick_op && !is_view(id)) {
    plan_.nest_of[id] = plan_.nest_of[r.in[0]];
    return;
  }
  // A nest of its own, which writes to memory.
  auto alone = [&](NestKind kind) {
    plan_.nest_of[id] = new_nest(kind, id, r.type.shape);
    must_store_[id] = true;
  };
  switch (r.op->kind) {
    case Kind::elementwise:
      if (!folded_[id] && !may_wait(id)) place_elementwise(id);
      break;
    case Kind::view:
    case Kind::pick:
      if (r.op == &concat_op) {
        place_concat(id);
      } else if (r.op == &pack_op) {
        place_pack(id);
      } else if (is_part(id)) {
        plan_.nest_of[id] = plan_.nest_of[r.in[0]];
      } else if (must_store_[id] && is_stream(id)) {
        plan_.nest_of[id] = plan_.nest_of[at(r.in[0]).in[0]];
      } else if (must_store_[id]) {
        // A view that has to be in memory is a copy.
        plan_.nest_of[id] = new_nest(NestKind::map, id, r.type.shape);
      }
      break;
    case Kind::matmul:
      place_matmul(id);
      break;
    case Kind::reduce:
      if (goes_along(r))
        place_sum(id);
      else
        alone(r.op == &argmax_op ? NestKind::argmax : NestKind::reduce);
      break;
    case Kind::prefix:
      alone(NestKind::prefix);
      break;
    case Kind::sort:
      alone(NestKind::sort);
      break;
    case Kind::index:
      alone(r.op == &gather_op ? NestKind::map : NestKind::scatter);
      break;
    case Kind::loop:
    case Kind::branch: {
      const bool is_loop = r.op->kind == Kind::loop;
      for (const auto& [name, value] : r.attrs.entries())
        if (const auto* body = std::get_if<TapePtr>(&value))
          plan_.bodies[id].push_back(
              is_loop && name == "body"
                  ? make_plan(*body, std::size_t(r.attrs.integer("constants")), std::size_t(r.attrs.integer("states")))
                  : make_plan(*body));
      plan_.nest_of[id] = new_nest(is_loop ? NestKind::loop : NestKind::branch, id, {});
      break;
    }
    default:
      throw InternalError(fmt::format("plan: no nest for {}", r.op->name), r.where);
  }
}

void Planner::place_matmul(Id id) {
  const Record& r = at(id);
  if (r.op != &packed_matmul_op) {
    plan_.nest_of[id] = new_nest(NestKind::matmul, id, r.type.shape);
    plan_.nests.back().terms = {id};
    must_store_[id] = true;
    return;
  }
  const Panels panels(r.attrs);
  const Shape space{r.type.shape[0], Extent(panels.columns)};
  if (continues_product(id, panels) || joins_product(id, panels)) return;
  plan_.nest_of[id] = new_nest(NestKind::matmul, id, space);
  plan_.nests.back().terms = {id};
}

// A product that starts at another, which nobody else reads, goes on in its registers.
bool Planner::continues_product(Id id, const Panels& panels) {
  const Record& r = at(id);
  if (r.in.size() != 3 || !runs(Pass::chain_products)) return false;
  const Id before = r.in[2];
  const Record& first = at(before);
  if (first.op != &packed_matmul_op || uses_[before] != 1 || must_store_[before]) return false;
  const Panels other(first.attrs);
  if (other.streams != panels.streams || other.width != panels.width || other.columns != panels.columns) return false;
  std::vector<Dependency> found;
  dependencies(r.in[0], false, found);
  dependencies(r.in[1], false, found);
  const int nest = plan_.nest_of[before];
  if (earliest(found) > nest) return false;
  plan_.nests[std::size_t(nest)].terms.push_back(id);
  plan_.nest_of[id] = nest;
  return true;
}

// Of a single row, a product that starts at elementwise code on another of the same layout is computed beside it: what it
// starts at never leaves the registers.
bool Planner::joins_product(Id id, const Panels& panels) {
  const Record& r = at(id);
  if (r.in.size() < 3 || !runs(Pass::chain_products) || !runs(Pass::small_products)) return false;
  auto is_small = [&](const Record& product) {
    const Shape& a = at(product.in[0]).type.shape;
    return product.op == &packed_matmul_op && !product.attrs.flag("transpose_a") && !product.attrs.flag("steps") &&
           a[0].is_one() && a[1].is_number();
  };
  std::vector<Dependency> starts, rest;
  for (std::size_t k = 2; k < r.in.size(); ++k) dependencies(r.in[k], true, starts);
  dependencies(r.in[0], false, rest);
  dependencies(r.in[1], false, rest);
  int n = -1;
  for (const Dependency& d : starts) n = std::max(n, plan_.nest_of[d.id]);
  if (n < 0 || earliest(starts, n) > n || earliest(rest) > n) return false;
  Nest& nest = plan_.nests[std::size_t(n)];
  const Record& first = at(nest.root);
  if (nest.kind != NestKind::matmul || !is_small(r) || !is_small(first) || first.type.dtype != r.type.dtype)
    return false;
  const Panels other(first.attrs);
  if (other.streams != panels.streams || other.width != panels.width || other.columns != panels.columns) return false;
  nest.terms.push_back(id);
  plan_.nest_of[id] = n;
  return true;
}

// A packed operand is written by the nests that compute what it is made of, where they are elementwise; else by a copy.
void Planner::place_pack(Id id) {
  const Record& r = at(id);
  const Panels panels(r.attrs);
  std::vector<Id> streams;
  if (!r.attrs.flag("transpose") && at(r.in[0]).type.rank() == 2)
    for (Id operand : r.in) {
      const bool joined = at(operand).op == &concat_op && at(operand).attrs.integer("axis") == 1;
      const std::vector<Id> parts = joined ? at(operand).in : std::vector<Id>{operand};
      streams.insert(streams.end(), parts.begin(), parts.end());
    }
  auto fits = [&](Id part) {
    const int nest = plan_.nest_of[part];
    return nest >= 0 && is_elementwise(part) && at(part).type.shape[1] == Extent(panels.columns) &&
           accepts(plan_.nests[std::size_t(nest)], at(part).type.shape);
  };
  must_store_[id] = true;
  if (std::int64_t(streams.size()) != panels.streams || !std::all_of(streams.begin(), streams.end(), fits)) {
    plan_.nest_of[id] = new_nest(NestKind::map, id, r.type.shape);
    return;
  }
  for (std::size_t s = 0; s < streams.size(); ++s) {
    const int nest = plan_.nest_of[streams[s]];
    Write write{streams[s], id};
    write.stream = int(s);
    plan_.nests[std::size_t(nest)].writes.push_back(write);
    plan_.nest_of[id] = std::max(plan_.nest_of[id], nest);
  }
  packed_by_parts_.push_back(id);
}

// Every part is written to its place by the nest that computes it, or by a copy.
void Planner::place_concat(Id id) {
  const Record& r = at(id);
  const int axis = r.attrs.integer("axis");
  Extent offset = 0;
  int last = 0;
  for (Id part : r.in) {
    const int nest = writer_of(part);
    Write write{part, id, -1, axis, offset};
    plan_.nests[std::size_t(nest)].writes.push_back(write);
    last = std::max(last, nest);
    offset = offset + at(part).type.shape[std::size_t(axis)];
  }
  plan_.nest_of[id] = last;
  must_store_[id] = true;
}

// A nest in which `id` is at hand at its own place.
int Planner::writer_of(Id id) {
  int nest = plan_.nest_of[id];
  if (nest >= 0 && is_elementwise(id) && accepts(plan_.nests[std::size_t(nest)], at(id).type.shape)) return nest;
  nest = at(id).op == &input_op || is_source(id) ? -1 : find_nest(id, at(id).type.shape);
  if (nest >= 0 && (is_elementwise(id) || is_view(id)) && plan_.nests[std::size_t(nest)].kind == NestKind::map)
    return nest;
  return new_nest(NestKind::map, id, at(id).type.shape);
}

// Whether a result of a loop is a state that has one place from the first step to the last.
bool Planner::is_state_in_place(Id id) const {
  const Record& loop = at(at(id).in[0]);
  return is_loop(loop) && plan_.bodies[at(id).in[0]][0]->states[std::size_t(at(id).attrs.integer("index"))].in_place;
}

// A result that shows some steps of what a loop keeps of all is computed where the caller finds it, and the other steps
// (the initial state, before the first) beside it.
bool Planner::place_in_history(std::size_t output) {
  const Record& r = at(t_.outputs[output]);
  if (plan_.margins.empty() || r.op != &slice_op || r.attrs.integer("axis") != 0 || r.attrs.integer("step") != 1)
    return false;
  const Id whole = r.in[0];
  const bool over_time = at(whole).op == &pick_op && is_loop(at(at(whole).in[0])) &&
                         at(whole).attrs.integer("index") >= at(at(whole).in[0]).attrs.integer("states");
  if (!over_time || plan_.slot_of[whole] >= 0) return false;
  Extent step = size_of(r.type.dtype);
  for (std::size_t axis = 1; axis < r.type.shape.size(); ++axis) step = step * r.type.shape[axis];
  plan_.margins[output] = {step * r.attrs.extent("start"), step * at(whole).type.shape[0]};
  plan_.slot_of[whole] = int(output);
  return true;
}

void Planner::place_outputs() {
  const std::size_t states = plan_.states.size();
  for (std::size_t i = 0; i < t_.outputs.size(); ++i) {
    const Id id = t_.outputs[i];
    const Record& r = at(id);
    if (is_waiting(id)) place_elementwise(id);
    if (place_in_history(i)) continue;
    if (i < states) {
      const auto y = std::find(t_.outputs.begin() + std::ptrdiff_t(states), t_.outputs.end(), id);
      if (y != t_.outputs.end() && r.op != &input_op) {
        plan_.states[i].y = int(y - t_.outputs.begin());
        continue;
      }
    }
    // The first output of a computed value is the value's own memory; further ones are copies.
    const bool computed = plan_.nest_of[id] >= 0 && !is_part(id) && r.op->kind != Kind::loop;
    // The last state of a loop may lie in either of two places, unless it is overwritten in one.
    const bool state = r.op == &pick_op && at(r.in[0]).op->kind == Kind::loop &&
                       r.attrs.integer("index") < at(r.in[0]).attrs.integer("states") && !is_state_in_place(id);
    // A value that is only looked at in another shape is computed in the output's memory, too.
    Id owner = id;
    while (at(owner).op == &reshape_op && is_part(owner)) owner = at(owner).in[0];
    const bool of_loop = at(owner).op->kind == Kind::pick && at(at(owner).in[0]).op->kind == Kind::loop;
    if (owner != id && plan_.nest_of[owner] >= 0 && !is_part(owner) && !of_loop && plan_.slot_of[owner] < 0 &&
        at(owner).op->kind == Kind::matmul) {
      plan_.slot_of[owner] = int(i);
      must_store_[owner] = true;
      continue;
    }
    if (computed && !state && plan_.slot_of[id] < 0) {
      plan_.slot_of[id] = int(i);
      must_store_[id] = true;
      continue;
    }
    int nest = -1;
    if (computed && is_elementwise(id) && accepts(plan_.nests[std::size_t(plan_.nest_of[id])], r.type.shape))
      nest = plan_.nest_of[id];
    if (nest < 0) {
      nest = new_nest(NestKind::map, id, r.type.shape);
      if (computed || !is_view(id)) {
        if (r.op != &input_op && !is_source(id)) must_store_[id] = true;
      }
    }
    plan_.nests[std::size_t(nest)].writes.push_back({id, id, int(i), 0, 0});
  }
}

}  // namespace tapeloop
