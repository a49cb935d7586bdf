#include "jit/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "jit/loop.h"
#include "jit/pack.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
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
  }

  PlanPtr make() {
    find_rows_apart();
    count_uses();
    for (Id id = 0; id < t_.size(); ++id) place(id);
    place_outputs();
    decide_storage();
    for (std::size_t i = 0; i < plan_.states.size(); ++i)
      plan_.states[i].in_place = plan_.states[i].y < 0 && may_stay(i);
    return std::make_shared<const Plan>(std::move(plan_));
  }

 private:
  const Tape& t_;
  const std::size_t constants_;
  Plan plan_;
  std::vector<bool> must_store_;
  std::vector<int> uses_;
  std::vector<bool> folded_;  // elementwise, computed inside the one reduction that reads it
  std::vector<Id> packed_by_parts_;
  std::vector<bool> rows_apart_;

  const Record& at(Id id) const { return t_[id]; }
  bool is_source(Id id) const { return at(id).op->kind == Kind::source; }
  bool is_elementwise(Id id) const { return at(id).op->kind == Kind::elementwise; }

  // Views that are index arithmetic of their reader.
  bool is_view(Id id) const {
    const Record& r = at(id);
    if (r.op == &pick_op) return at(r.in[0]).op == &split_op;
    if (r.op == &concat_op || r.op == &pack_op) return false;
    if (r.op == &reshape_op) return is_axis_reshape(at(r.in[0]).type, r.type) || rows_apart_[id];
    return r.op->kind == Kind::view;
  }

  // A chunk of a product, which is at hand in registers where the product is.
  bool is_stream(Id id) const {
    if (at(id).op != &pick_op || at(at(id).in[0]).op != &split_op) return false;
    const Record& product = at(at(at(id).in[0]).in[0]);
    return product.op == &packed_matmul_op && Panels(product.attrs).streams > 1;
  }

  // Part of another value's memory, where it has to be in memory at all.
  bool is_part(Id id) const {
    const Record& r = at(id);
    if (r.op == &reshape_op) return !is_view(id) || must_store_[id];
    return r.op == &slice_op && must_store_[id] && r.attrs.integer("axis") == 0 && r.attrs.integer("step") == 1 &&
           !is_source(r.in[0]);
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
        case Kind::loop:
        case Kind::branch:
          for (Id operand : r.in) need(operand);
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
      // A reduction over several last axes walks them as one, so it reads memory, unless all of it is one flat walk.
      if (r.op->kind == Kind::reduce && r.op != &argmax_op) fold(r.in[0], r);
    }
    for (Id id = Id(t_.size()); id-- > 0;)
      if (is_part(id)) need(at(id).in[0]);
  }

  // An elementwise value with no other reader is computed inside the reduction.
  void fold(Id id, const Record& reduction) {
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

  // The rows of a product as steps and rows again, which the elementwise code that follows reads in its registers.
  void find_rows_apart() {
    std::vector<bool> other_reader(t_.size(), false);
    for (Id id : t_.outputs) other_reader[id] = true;
    for (Id id = 0; id < t_.size(); ++id)
      for (Id operand : at(id).in)
        if (!is_elementwise(id)) other_reader[operand] = true;
    for (Id id = 0; id < t_.size(); ++id) {
      const Record& r = at(id);
      if (r.op != &reshape_op || r.type.rank() != 3 || other_reader[id] || at(r.in[0]).op != &packed_matmul_op)
        continue;
      rows_apart_[id] = at(r.in[0]).type.shape[1] == r.type.shape[2] && Panels(at(r.in[0]).attrs).streams == 1;
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
        // A part shows other places of the memory that its nest writes, so that must be whole before it is read.
        found.push_back({d.id, d.aligned && !(r.op->kind == Kind::view && is_part(d.id))});
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
    if (nest.kind == NestKind::matmul && space.size() == 3 && nest.space.size() == 2)
      return space[0] * space[1] == nest.space[0] && space[2] == nest.space[1];
    // A product with leading axes writes itself and nothing else.
    const bool walks = nest.kind == NestKind::map || (nest.kind == NestKind::matmul && at(nest.root).op == &packed_matmul_op);
    return walks && nest.space == space;
  }

  std::vector<Dependency> dependencies_of(Id id) const {
    std::vector<Dependency> found;
    if (is_elementwise(id)) {
      for (Id operand : at(id).in) dependencies(operand, true, found);
    } else {
      dependencies(id, true, found);
    }
    return found;
  }

  // The first nest that has all it needs: there its operands are at hand, and what follows need not wait for later products.
  // What needs no nest is computed as late as it can be.
  int find_nest(Id id, const Shape& space) const {
    const std::vector<Dependency> found = dependencies_of(id);
    const int count = int(plan_.nests.size());
    for (int i = 0; i < count; ++i) {
      const int n = found.empty() ? count - 1 - i : i;
      if (accepts(plan_.nests[std::size_t(n)], space) && earliest(found, n) <= n) return n;
    }
    return -1;
  }

  // Elementwise, computed from inputs alone, and no reader has been placed yet: it goes where its first reader goes.
  bool is_waiting(Id id) const {
    return is_elementwise(id) && plan_.nest_of[id] < 0 && !folded_[id] && !is_source(id);
  }

  void put(Id id, int nest) {
    plan_.nest_of[id] = nest;
    for (Id operand : at(id).in)
      if (is_waiting(operand)) put(operand, nest);
  }

  void place_elementwise(Id id) {
    int nest = find_nest(id, at(id).type.shape);
    if (nest < 0) nest = new_nest(NestKind::map, id, at(id).type.shape);
    put(id, nest);
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
    switch (r.op->kind) {
      case Kind::elementwise:
        if (!folded_[id] && !dependencies_of(id).empty()) place_elementwise(id);
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
        plan_.nest_of[id] = new_nest(r.op == &argmax_op ? NestKind::argmax : NestKind::reduce, id, r.type.shape);
        must_store_[id] = true;
        break;
      case Kind::prefix:
      case Kind::sort:
        plan_.nest_of[id] = new_nest(r.op->kind == Kind::sort ? NestKind::sort : NestKind::prefix, id, r.type.shape);
        must_store_[id] = true;
        break;
      case Kind::index:
        plan_.nest_of[id] = new_nest(r.op == &gather_op ? NestKind::map : NestKind::scatter, id, r.type.shape);
        must_store_[id] = true;
        break;
      case Kind::loop:
      case Kind::branch: {
        const bool is_loop = r.op->kind == Kind::loop;
        for (const auto& [name, value] : r.attrs.entries())
          if (const auto* body = std::get_if<TapePtr>(&value))
            plan_.bodies[id].push_back(is_loop && name == "body" ? make_plan(*body, std::size_t(r.attrs.integer("constants")),
                                                                             std::size_t(r.attrs.integer("states")))
                                                                 : make_plan(*body));
        plan_.nest_of[id] = new_nest(is_loop ? NestKind::loop : NestKind::branch, id, {});
        break;
      }
      default:
        throw InternalError(fmt::format("plan: no nest for {}", r.op->name), r.where);
    }
  }

  void place_matmul(Id id) {
    const Record& r = at(id);
    if (r.op != &packed_matmul_op) {
      plan_.nest_of[id] = new_nest(NestKind::matmul, id, r.type.shape);
      plan_.nests.back().terms = {id};
      must_store_[id] = true;
      return;
    }
    const Panels panels(r.attrs);
    const Shape space{r.type.shape[0], Extent(panels.columns)};
    if (continues_product(id, panels)) return;
    plan_.nest_of[id] = new_nest(NestKind::matmul, id, space);
    plan_.nests.back().terms = {id};
  }

  // A product that starts at another, which nobody else reads, goes on in its registers.
  bool continues_product(Id id, const Panels& panels) {
    const Record& r = at(id);
    if (r.in.size() != 3) return false;
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

  // A packed operand is written by the nests that compute what it is made of, where they are elementwise; else by a copy.
  void place_pack(Id id) {
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
    if (nest >= 0 && (is_elementwise(id) || is_view(id)) && plan_.nests[std::size_t(nest)].kind == NestKind::map)
      return nest;
    return new_nest(NestKind::map, id, at(id).type.shape);
  }

  void place_outputs() {
    const std::size_t states = plan_.states.size();
    for (std::size_t i = 0; i < t_.outputs.size(); ++i) {
      const Id id = t_.outputs[i];
      const Record& r = at(id);
      if (is_waiting(id)) place_elementwise(id);
      if (i < states) {
        const auto y = std::find(t_.outputs.begin() + std::ptrdiff_t(states), t_.outputs.end(), id);
        if (y != t_.outputs.end() && r.op != &input_op) {
          plan_.states[i].y = int(y - t_.outputs.begin());
          continue;
        }
      }
      // The first output of a computed value is the value's own memory; further ones are copies.
      const bool computed = plan_.nest_of[id] >= 0 && !is_part(id) && r.op->kind != Kind::loop;
      const bool state = r.op == &pick_op && at(r.in[0]).op->kind == Kind::loop &&
                         r.attrs.integer("index") < at(r.in[0]).attrs.integer("states");
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

  bool is_packed_by_parts(Id id) const {
    return std::find(packed_by_parts_.begin(), packed_by_parts_.end(), id) != packed_by_parts_.end();
  }

  // What a record reads without going through memory: the product it starts at, the parts of a packed operand.
  bool is_in_registers(Id id, Id operand) const {
    if (is_packed_by_parts(id)) return true;
    const Record& r = at(id);
    return r.op == &packed_matmul_op && plan_.nest_of[operand] == plan_.nest_of[id] && operand == r.in.back();
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
      if (is_part(id)) continue;
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
  bool may_stay(std::size_t i) const {
    const Id state = t_.inputs[constants_ + i], next = t_.outputs[i];
    const int writer = plan_.nest_of[next];
    if (writer < 0 || plan_.slot_of[next] != int(i)) return false;
    const Nest& nest = plan_.nests[std::size_t(writer)];
    const bool of_product = nest.kind == NestKind::matmul && nest.terms.back() == next;
    if (!of_product && !(is_elementwise(next) && (nest.kind == NestKind::map || nest.kind == NestKind::matmul)))
      return false;
    for (Id id = 0; id < t_.size(); ++id) {
      const Record& r = at(id);
      // A loop reads its operands under other names.
      for (std::size_t k = 0; k < r.in.size(); ++k) {
        if (!shows(r.in[k], state)) continue;
        const int reader = plan_.nest_of[id];
        if (reader < 0 && r.op->kind == Kind::view) continue;  // looked at where it is read
        if (reader < 0 || reader > writer) return false;
        if (reader < writer) continue;
        const bool own_place =
            r.in[k] == state && (is_elementwise(id) || (of_product && id == nest.terms[0] && k >= 2));
        if (!own_place) return false;
      }
    }
    for (const Nest& other : plan_.nests)
      for (const Write& write : other.writes)
        if (shows(write.value, state)) return false;
    return true;
  }

  // Whether `id` is `source`, or looks at it through views.
  bool shows(Id id, Id source) const {
    std::vector<Id> work{id};
    while (!work.empty()) {
      const Id x = work.back();
      work.pop_back();
      if (x == source) return true;
      if (at(x).op->kind == Kind::view || at(x).op == &pick_op)
        work.insert(work.end(), at(x).in.begin(), at(x).in.end());
    }
    return false;
  }
};

}  // namespace

PlanPtr make_plan(const TapePtr& tape, std::size_t constants, std::size_t states) {
  return Planner(tape, constants, states).make();
}

std::string to_string(const Plan& plan) {
  static constexpr std::string_view kNames[] = {"map",    "matmul", "reduce",  "argmax",
                                                "prefix", "sort",   "scatter", "loop", "branch"};
  std::string text;
  for (std::size_t n = 0; n < plan.nests.size(); ++n) {
    const Nest& nest = plan.nests[n];
    text += fmt::format("nest {}: {} {} for %{}\n", n, kNames[int(nest.kind)], to_string(nest.space), nest.root);
    for (const PlanPtr& body : plan.bodies[nest.root])
      if (nest.kind == NestKind::loop || nest.kind == NestKind::branch) text += "  {\n" + to_string(*body) + "  }\n";
    for (const Write& w : nest.writes)
      text += fmt::format("  writes %{} to %{} slot {} axis {} + {}\n", w.value, w.target, w.slot, w.axis,
                          w.offset.value());
  }
  return text;
}

}  // namespace tapeloop
