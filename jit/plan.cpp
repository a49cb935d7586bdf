#include "jit/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "jit/lower.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

// Only inserts or removes axes of extent 1.
bool is_axis_reshape(const Type& from, const Type& to) {
  auto without_ones = [](const Shape& shape) {
    Shape result;
    for (const Extent& extent : shape)
      if (!(extent.is_number() && extent.value() == 1)) result.push_back(extent);
    return result;
  };
  return without_ones(from.shape) == without_ones(to.shape);
}

class Planner {
 public:
  explicit Planner(const TapePtr& tape) : t_(*tape) {
    plan_.tape = tape;
    const std::size_t n = t_.size();
    plan_.nest_of.assign(n, -1);
    plan_.stored.assign(n, false);
    plan_.slot_of.assign(n, -1);
    plan_.bodies.resize(n);
    for (Id id = 0; id < n; ++id) plan_.alias_of.push_back(id);
    must_store_.assign(n, false);
    uses_.assign(n, 0);
    folded_.assign(n, false);
  }

  PlanPtr make() {
    count_uses();
    for (Id id = 0; id < t_.size(); ++id) place(id);
    place_outputs();
    decide_storage();
    mark_in_place();
    return std::make_shared<const Plan>(std::move(plan_));
  }

 private:
  const Tape& t_;
  Plan plan_;
  std::vector<bool> must_store_;
  std::vector<int> uses_;
  std::vector<bool> folded_;  // elementwise, computed inside the one reduction that reads it

  const Record& at(Id id) const { return t_[id]; }
  bool is_source(Id id) const { return at(id).op->kind == Kind::source; }
  bool is_elementwise(Id id) const { return at(id).op->kind == Kind::elementwise; }

  // Views that are index arithmetic of their reader.
  bool is_view(Id id) const {
    const Record& r = at(id);
    if (r.op == &pick_op) return at(r.in[0]).op == &split_op;
    if (r.op == &concat_op || r.op == &pack_op) return false;
    if (r.op == &reshape_op) return is_axis_reshape(at(r.in[0]).type, r.type);
    return r.op->kind == Kind::view;
  }

  void count_uses() {
    for (const Record& r : t_.records)
      for (Id operand : r.in) ++uses_[operand];
    for (Id id : t_.outputs) uses_[id] += 2;
    // What an op reads from memory.
    auto need = [&](Id id) { must_store_[id] = true; };
    for (Id id = 0; id < t_.size(); ++id) {
      const Record& r = at(id);
      switch (r.op->kind) {
        case Kind::loop: for (Id operand : r.in) need(operand); break;
        case Kind::matmul: need(r.in[0]), need(r.in[1]); break;
        case Kind::index: for (Id operand : r.in) need(operand); break;
        case Kind::reduce: if (r.op == &argmax_op) need(r.in[0]); break;
        default: break;
      }
      if (r.op == &reshape_op && !is_view(id)) need(r.in[0]);
      // A reduction over several last axes walks them as one, so it reads memory, unless all of it is one flat walk.
      if (r.op->kind == Kind::reduce && r.op != &argmax_op) fold(r.in[0], r);
    }
  }

  // An elementwise value with no other reader is computed inside the reduction.
  void fold(Id id, const Record& reduction) {
    const int rank = at(id).type.rank();
    const auto& axes = reduction.attrs.get<Ints>("axes");
    int trailing = 0;
    while (trailing < int(axes.size()) && axes[axes.size() - 1 - std::size_t(trailing)] == rank - 1 - trailing) ++trailing;
    const bool flat = trailing == rank;
    if (trailing > 1 && !flat) {
      must_store_[id] = true;
      return;
    }
    std::vector<Id> work{id};
    while (!work.empty()) {
      const Id x = work.back();
      work.pop_back();
      if (is_source(x)) continue;
      if (is_elementwise(x) && uses_[x] == 1 && !must_store_[x]) {
        folded_[x] = true;
        for (Id operand : at(x).in) work.push_back(operand);
      } else if (flat && trailing > 1 && !is_source(x)) {
        must_store_[x] = true;
      } else if (is_view(x)) {
        store_below(x);
      } else {
        must_store_[x] = true;
      }
    }
  }

  // What a view shows must be in memory.
  void store_below(Id id) {
    while (is_view(id)) {
      if (at(id).op == &pick_op) id = at(id).in[0];
      id = at(id).in[0];
    }
    if (!is_source(id)) must_store_[id] = true;
  }

  struct Dependency {
    Id id;
    bool aligned;  // read at the very place that is being computed
  };

  // The records that have to be computed before (or together with) what reads `id` at its own place.
  void dependencies(Id id, bool aligned, std::vector<Dependency>& found) const {
    std::vector<Dependency> work{{id, aligned}};
    while (!work.empty()) {
      const Dependency d = work.back();
      work.pop_back();
      const Record& r = at(d.id);
      if (plan_.nest_of[d.id] >= 0) {
        found.push_back(d);
      } else if (r.op == &input_op || r.op->kind == Kind::source) {
        continue;
      } else if (r.op == &pick_op) {
        const Record& tuple = at(r.in[0]);
        if (tuple.op == &split_op) {
          // A chunk of a product is at hand in the nest of the product.
          const Id x = tuple.in[0];
          const bool chunk = at(x).op == &packed_matmul_op && at(x).attrs.integer("streams") > 1;
          work.push_back({x, d.aligned && chunk});
        } else {
          work.push_back({r.in[0], false});
        }
      } else if (r.op->kind == Kind::view) {
        for (Id operand : r.in) work.push_back({operand, false});
      } else {
        for (Id operand : r.in) work.push_back({operand, d.aligned});
      }
    }
  }

  // The first nest that may compute something with these dependencies.
  int earliest(const std::vector<Dependency>& found, int joining = -1) const {
    int first = 0;
    for (const Dependency& d : found) {
      const int nest = plan_.nest_of[d.id];
      const bool together = d.aligned && nest == joining;
      first = std::max(first, together ? nest : nest + 1);
    }
    return first;
  }

  bool accepts(const Nest& nest, const Shape& space) const {
    return (nest.kind == NestKind::map || nest.kind == NestKind::matmul) && nest.space == space;
  }

  int find_nest(Id id, const Shape& space, bool alone = false) {
    std::vector<Dependency> found;
    if (is_elementwise(id) || alone) {
      for (Id operand : at(id).in) dependencies(operand, is_elementwise(id), found);
    } else {
      dependencies(id, true, found);
    }
    if (!alone)
      for (int n = int(plan_.nests.size()); n-- > 0;)
        if (accepts(plan_.nests[std::size_t(n)], space) && earliest(found, n) <= n) return n;
    return -1;
  }

  int new_nest(NestKind kind, Id root, const Shape& space) {
    Nest nest;
    nest.kind = kind;
    nest.root = root;
    nest.space = space;
    plan_.nests.push_back(std::move(nest));
    return int(plan_.nests.size()) - 1;
  }

  void place(Id id) {
    const Record& r = at(id);
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
    switch (r.op->kind) {
      case Kind::elementwise: {
        if (folded_[id]) return;
        int nest = find_nest(id, r.type.shape);
        if (nest < 0) nest = new_nest(NestKind::map, id, r.type.shape);
        plan_.nest_of[id] = nest;
        break;
      }
      case Kind::view:
      case Kind::pick:
        if (r.op == &concat_op) {
          place_concat(id);
        } else if (r.op == &reshape_op && !is_view(id)) {
          plan_.nest_of[id] = plan_.nest_of[r.in[0]];  // shares its memory
        } else if (must_store_[id] || r.op == &pack_op) {
          // A view that has to be in memory is a copy.
          plan_.nest_of[id] = new_nest(NestKind::map, id, r.type.shape);
          must_store_[id] = true;
        }
        break;
      case Kind::matmul: place_matmul(id); break;
      case Kind::reduce:
        plan_.nest_of[id] = new_nest(r.op == &argmax_op ? NestKind::argmax : NestKind::reduce, id, r.type.shape);
        must_store_[id] = true;
        break;
      case Kind::index:
        plan_.nest_of[id] = new_nest(r.op == &gather_op ? NestKind::map : NestKind::scatter, id, r.type.shape);
        must_store_[id] = true;
        break;
      case Kind::loop:
        plan_.bodies[id] = make_plan(r.attrs.get<TapePtr>("body"));
        plan_.nest_of[id] = new_nest(NestKind::loop, id, {});
        break;
      default: throw InternalError(fmt::format("plan: no nest for {}", r.op->name), r.where);
    }
  }

  // Products with the same left operand, the same number of columns and room in the registers become one kernel.
  void place_matmul(Id id) {
    const Record& r = at(id);
    if (r.op != &packed_matmul_op) {
      plan_.nest_of[id] = new_nest(NestKind::matmul, id, r.type.shape);
      plan_.nests.back().matmuls = {id};
      must_store_[id] = true;
      return;
    }
    const std::int64_t streams = r.attrs.integer("streams");
    const Shape space{r.type.shape[0], Extent(r.attrs.integer("n") / streams)};
    std::vector<Dependency> found;
    for (Id operand : r.in) dependencies(operand, false, found);
    for (int n = int(plan_.nests.size()); n-- > earliest(found);) {
      Nest& nest = plan_.nests[std::size_t(n)];
      if (nest.kind != NestKind::matmul || nest.space != space || at(nest.root).op != &packed_matmul_op) continue;
      const Record& first = at(nest.root);
      std::int64_t vectors = streams * r.attrs.integer("width");
      for (Id other : nest.matmuls) vectors += at(other).attrs.integer("streams") * at(other).attrs.integer("width");
      if (first.in[0] == r.in[0] && first.attrs.flag("transpose_a") == r.attrs.flag("transpose_a") &&
          first.attrs.integer("width") == r.attrs.integer("width") && vectors <= 8) {
        nest.matmuls.push_back(id);
        plan_.nest_of[id] = n;
        return;
      }
    }
    plan_.nest_of[id] = new_nest(NestKind::matmul, id, space);
    plan_.nests.back().matmuls = {id};
  }

  // Every part is written to its place by the nest that computes it, or by a copy.
  void place_concat(Id id) {
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
  int writer_of(Id id) {
    int nest = plan_.nest_of[id];
    if (nest >= 0 && is_elementwise(id) && accepts(plan_.nests[std::size_t(nest)], at(id).type.shape)) return nest;
    nest = at(id).op == &input_op || is_source(id) ? -1 : find_nest(id, at(id).type.shape);
    if (nest >= 0 && (is_elementwise(id) || is_view(id)) && plan_.nests[std::size_t(nest)].kind == NestKind::map) return nest;
    return new_nest(NestKind::map, id, at(id).type.shape);
  }

  void place_outputs() {
    for (std::size_t i = 0; i < t_.outputs.size(); ++i) {
      const Id id = t_.outputs[i];
      const Record& r = at(id);
      // The first output of a computed value is the value's own memory; further ones are copies.
      const bool computed = plan_.nest_of[id] >= 0 && !(r.op == &reshape_op && !is_view(id)) && r.op->kind != Kind::loop;
      const bool state = r.op == &pick_op && at(r.in[0]).op->kind == Kind::loop &&
                         r.attrs.integer("index") < at(r.in[0]).attrs.integer("states");
      if (computed && !state && plan_.slot_of[id] < 0) {
        plan_.slot_of[id] = int(i);
        must_store_[id] = true;
        continue;
      }
      int nest = -1;
      if (computed && is_elementwise(id) && accepts(plan_.nests[std::size_t(plan_.nest_of[id])], r.type.shape)) nest = plan_.nest_of[id];
      if (nest < 0) {
        nest = new_nest(NestKind::map, id, r.type.shape);
        if (computed || !is_view(id)) {
          if (r.op != &input_op && !is_source(id)) must_store_[id] = true;
        }
      }
      plan_.nests[std::size_t(nest)].writes.push_back({id, id, int(i), 0, 0});
    }
  }

  // A value has memory when another nest reads it.
  void decide_storage() {
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
      if (nest < 0 || r.op == &pick_op) continue;
      if (r.op == &reshape_op && !is_view(id)) continue;
      for (Id operand : r.in) {
        if (folded_[operand]) {
          std::vector<Dependency> found;
          dependencies(operand, false, found);
          for (const Dependency& d : found) must_store_[d.id] = true;
        } else if (is_elementwise(id)) {
          read_by(nest, operand);
        } else {
          std::vector<Dependency> found;
          dependencies(operand, false, found);
          if (r.op != &concat_op)
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
      if (r.op == &reshape_op && !is_view(id)) {
        plan_.stored[id] = true;
        plan_.alias_of[id] = plan_.alias_of[r.in[0]];
        continue;
      }
      if (plan_.nest_of[id] < 0 || r.type.dtype == Dtype::tuple) continue;
      const bool of_loop = r.op == &pick_op && !is_view(id);
      plan_.stored[id] = must_store_[id] || of_loop;
      if (plan_.stored[id] && r.op != &concat_op && r.op->kind != Kind::loop && !of_loop) {
        Nest& nest = plan_.nests[std::size_t(plan_.nest_of[id])];
        nest.writes.insert(nest.writes.begin(), Write{id, id, -1, 0, 0});
      }
    }
  }

  // A state that only its own successor reads, at the place where it is written, needs no second buffer.
  void mark_in_place() {
    plan_.in_place.assign(t_.inputs.size(), false);
    for (std::size_t i = 0; i < t_.inputs.size() && i < t_.outputs.size(); ++i) plan_.in_place[i] = false;
  }
};

}  // namespace

PlanPtr make_plan(const TapePtr& tape) { return Planner(tape).make(); }

std::string to_string(const Plan& plan) {
  static constexpr std::string_view kNames[] = {"map", "matmul", "reduce", "argmax", "scatter", "loop"};
  std::string text;
  for (std::size_t n = 0; n < plan.nests.size(); ++n) {
    const Nest& nest = plan.nests[n];
    text += fmt::format("nest {}: {} {} for %{}\n", n, kNames[int(nest.kind)], to_string(nest.space), nest.root);
    if (nest.kind == NestKind::loop) text += "  {\n" + to_string(*plan.bodies[nest.root]) + "  }\n";
    for (const Write& w : nest.writes) text += fmt::format("  writes %{} to %{} slot {} axis {} + {}\n", w.value, w.target, w.slot, w.axis, w.offset.value());
  }
  return text;
}

}  // namespace tapeloop
