// Which nests run row by row together. Where reductions couple the elements of a row and rows leave each other alone, as in
// normalisation and softmax, a run of nests takes a few rows from the first nest to the last: what one leaves to the next
// is still in the nearest cache or in a register, and no thread waits for another in between. So do products of a batch of
// matrices with what is computed of these: a matrix goes through all of them while it is near.
#include <algorithm>

#include "jit/passes.h"
#include "jit/planner.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

bool begins_with(const Shape& shape, const Shape& rows) {
  return shape.size() >= rows.size() && std::equal(rows.begin(), rows.end(), shape.begin());
}

bool reduces_from(const Record& r, std::size_t axis) {
  for (std::int64_t reduced : r.attrs.get<Ints>("axes"))
    if (std::size_t(reduced) < axis) return false;
  return true;
}

// The leading axes of a product of batches of matrices.
Shape batch_of(const Shape& product) { return Shape(product.begin(), product.end() - 2); }

// Of what a row has, as much as is still near when the next nest comes to it. Matrices of less than the other number are near in
// any case: to go from nest to nest with each of them would only cost.
constexpr std::int64_t kMostBytes = 256 << 10, kLeastBytes = 2 << 10;

}  // namespace

// The bytes that a nest walks in a row of the first `axes` axes: of a map those of a result, else those of the widest operand or
// result. -1 where the program does not know them.
std::int64_t Planner::bytes_of_row(const Nest& nest, std::size_t axes) const {
  std::int64_t most = 0;
  const auto look = [&](Dtype dtype, const Shape& shape) {
    Extent elements = 1;
    for (std::size_t axis = axes; axis < shape.size(); ++axis) elements = elements * shape[axis];
    const std::int64_t bytes = elements.is_number() ? elements.value() * size_of(dtype) : -1;
    most = most < 0 || bytes < 0 ? -1 : std::max(most, bytes);
  };
  look(at(nest.root).type.dtype, nest.space);
  if (nest.kind != NestKind::map)
    for (Id operand : at(nest.root).in) look(at(operand).type.dtype, at(operand).type.shape);
  return most;
}

// Whether the nest multiplies a batch of matrices, of which it pays to take one through all nests before the next.
bool Planner::is_batch_of_matrices(const Nest& nest) const {
  if (nest.kind != NestKind::matmul || at(nest.root).op != &matmul_op) return false;
  const Shape batch = batch_of(nest.space);
  const std::int64_t bytes = bytes_of_row(nest, batch.size());
  return !extent_product(batch).is_one() && bytes >= kLeastBytes && bytes <= kMostBytes;
}

// A reduction of the last axis can be taken in the nest that computes what it adds up, or that reads the same rows.
bool Planner::goes_along(const Record& r) const {
  if (r.op->kind != Kind::reduce || r.op == &argmax_op || !runs(Pass::group_rows)) return false;
  const int rank = at(r.in[0]).type.rank();
  return rank > 1 && r.attrs.get<Ints>("axes") == Ints{rank - 1};
}

void Planner::place_sum(Id id) {
  const Record& r = at(id);
  const Shape& space = at(r.in[0]).type.shape;
  std::vector<Dependency> found;
  dependencies(r.in[0], true, found);
  for (std::size_t i = 1; i < r.in.size(); ++i) {
    std::vector<Dependency> start;
    dependencies(r.in[i], false, start);
    found.insert(found.end(), start.begin(), start.end());
  }
  int nest = 0;
  const int count = int(plan_.nests.size());
  auto has_all = [&](const Nest& other) {
    return other.kind == NestKind::map && other.space == space && earliest(found, nest) <= nest;
  };
  while (nest < count && !has_all(plan_.nests[std::size_t(nest)])) ++nest;
  if (nest == count) new_nest(NestKind::map, id, space);
  plan_.nests[std::size_t(nest)].sums.push_back(id);
  plan_.nest_of[id] = nest;
  must_store_[id] = true;
}

bool Planner::has_rows(Id id, const Shape& rows) const { return begins_with(at(id).type.shape, rows); }

// What a nest reads from memory, and whether only in the row that it computes.
std::vector<Planner::RowRead> Planner::row_reads(int n, const Shape& rows) const {
  const Nest& nest = plan_.nests[std::size_t(n)];
  const auto axes = std::int64_t(rows.size());
  std::vector<RowRead> found;
  std::vector<std::pair<Id, bool>> work;
  look_ += 2;
  auto look = [&](Id id, bool aligned) {
    const int how = look_ + int(aligned);
    if (looked_[id] != how) work.emplace_back(id, aligned);
    looked_[id] = how;
  };
  for (const Write& w : nest.writes) look(w.value, true);
  for (Id sum : nest.sums) look(sum, true);
  if (nest.kind == NestKind::reduce) look(nest.root, true);
  while (!work.empty()) {
    auto [id, aligned] = work.back();
    work.pop_back();
    const Record& r = at(id);
    if (plan_.stored[id] && plan_.nest_of[id] != n) {
      while (plan_.alias_of[id].owner != id) {
        aligned = aligned && at(id).op == &reshape_op && has_rows(id, rows);
        id = at(id).in[0];
      }
      aligned = aligned && has_rows(id, rows) && (at(id).op->kind != Kind::view || at(id).op == &concat_op);
      if (at(id).op == &concat_op) aligned = aligned && at(id).attrs.integer("axis") >= axes;
      found.push_back({id, aligned});
      continue;
    }
    if (r.op->kind == Kind::elementwise || r.op->kind == Kind::reduce || r.op == &matmul_op) {
      for (Id operand : r.in) look(operand, aligned && has_rows(operand, rows));
    } else if (r.op == &pick_op && at(r.in[0]).op == &split_op) {
      look(at(r.in[0]).in[0], aligned && at(r.in[0]).attrs.integer("axis") >= axes);
    } else {
      bool keeps = aligned && !r.in.empty() && has_rows(id, rows) && has_rows(r.in[0], rows);
      if (r.op == &broadcast_op || r.op == &transpose_op) {
        const Ints& order = r.attrs.get<Ints>(r.op == &broadcast_op ? "axes" : "order");
        for (std::int64_t axis = 0; axis < axes; ++axis) keeps = keeps && order[std::size_t(axis)] == axis;
      } else if (r.op == &slice_op || r.op == &flip_op || r.op == &pad_op) {
        keeps = keeps && r.attrs.integer("axis") >= axes;
      } else if (r.op != &reshape_op) {
        keeps = false;
      }
      for (Id operand : r.in) look(operand, keeps);
    }
  }
  return found;
}

// The leading axes that rows could be counted by: all but the last, or those before the first that is reduced.
Shape Planner::rows_of(const Nest& nest) const {
  if (const RowGroup* group = plan_.group_of(int(&nest - plan_.nests.data())))
    return Shape(nest.space.begin(), nest.space.begin() + std::ptrdiff_t(group->axes));
  if (nest.kind == NestKind::map && !nest.sums.empty()) return Shape(nest.space.begin(), nest.space.end() - 1);
  if (is_batch_of_matrices(nest)) return batch_of(nest.space);
  Shape rows;
  if (nest.kind == NestKind::reduce) {
    const Shape& shape = at(at(nest.root).in[0]).type.shape;
    while (rows.size() < shape.size() && reduces_from(at(nest.root), rows.size() + 1))
      rows.push_back(shape[rows.size()]);
  }
  return rows;
}

// Whether a nest can follow nest `first` row by row, with all that lies in between.
bool Planner::fits(int n, const Shape& rows, int first) const {
  const Nest& nest = plan_.nests[std::size_t(n)];
  const bool couples =
      (nest.kind == NestKind::reduce || is_batch_of_matrices(nest)) && begins_with(rows_of(nest), rows);
  if (!couples && !(nest.kind == NestKind::map && begins_with(nest.space, rows))) return false;
  if (!nest.sums.empty() && nest.space.size() == rows.size()) return false;
  for (const RowRead& read : row_reads(n, rows))
    if (plan_.nest_of[read.owner] >= first && plan_.nest_of[read.owner] != n && !read.aligned) return false;
  return true;
}

bool Planner::reads_from(int n, int first, int last) const {
  for (const RowRead& read : row_reads(n, {}))
    if (plan_.nest_of[read.owner] >= first && plan_.nest_of[read.owner] <= last) return true;
  return false;
}

void Planner::group_rows() {
  if (!runs(Pass::group_rows)) return;
  const int count = int(plan_.nests.size());
  int begin = 0;  // of the nests that no group has
  for (int n = 0; n < count; ++n) {
    Shape rows = rows_of(plan_.nests[std::size_t(n)]);
    if (rows.empty() || !fits(n, rows, n)) continue;
    int first = n, last = n;
    auto all_fit = [&](int from, int to, const Shape& shape) {
      for (int m = from; m <= to; ++m)
        if (!fits(m, shape, from)) return false;
      return true;
    };
    int linked = n;  // the last that has something to do with the others
    while (last + 1 < count) {
      const int next = last + 1;
      const bool related = reads_from(next, first, last);
      // Of a row much wider than the matrices nothing would be near any more.
      if (is_batch_of_matrices(plan_.nests[std::size_t(n)]) &&
          bytes_of_row(plan_.nests[std::size_t(next)], rows.size()) > kMostBytes)
        break;
      if (!fits(next, rows, first)) {
        // Fewer axes may do for both, while what they leave to a row is near.
        const Nest& other = plan_.nests[std::size_t(next)];
        const Shape most = other.kind == NestKind::map ? other.space : rows_of(other);
        Shape fewer = rows;
        while (!fewer.empty() && !begins_with(most, fewer)) fewer.pop_back();
        const auto is_near = [&](const Nest& nest) {
          const std::int64_t bytes = bytes_of_row(nest, fewer.size());
          return bytes >= 0 && bytes <= kMostBytes;
        };
        if (!related || fewer.empty() || fewer.size() == rows.size() || !all_fit(first, next, fewer) ||
            !std::all_of(plan_.nests.begin() + first, plan_.nests.begin() + next + 1, is_near))
          break;
        rows = fewer;
      }
      last = next;
      if (related || !plan_.nests[std::size_t(next)].sums.empty()) linked = last;
    }
    last = linked;
    // What only prepares the rows of the first comes along.
    std::vector<std::pair<int, bool>> reads;
    auto add_reads = [&](int m) {
      for (const RowRead& read : row_reads(m, rows)) reads.emplace_back(plan_.nest_of[read.owner], read.aligned);
    };
    for (int m = first; m <= last; ++m) add_reads(m);
    while (first > begin && plan_.nests[std::size_t(first - 1)].kind == NestKind::map) {
      bool read = false, aligned = true;
      for (const auto& [nest, here] : reads)
        if (nest == first - 1) read = true, aligned = aligned && here;
      if (!read || !aligned || !fits(first - 1, rows, first - 1)) break;
      add_reads(--first);
    }
    plan_.groups.push_back({first, last, rows.size()});
    n = last;
    begin = last + 1;
  }
}

// What only the nests of its own group read, at their rows.
void Planner::find_passing() {
  plan_.passing.assign(t_.size(), false);
  if (plan_.groups.empty()) return;
  std::vector<bool> outside(t_.size(), false);
  auto read = [&](Id id, int nest) {
    std::vector<Dependency> found;
    dependencies(id, false, found);
    for (const Dependency& d : found) {
      const Id owner = plan_.alias_of[d.id].owner;
      const RowGroup* group = plan_.group_of(plan_.nest_of[owner]);
      outside[owner] = outside[owner] || !group || group != plan_.group_of(nest);
    }
  };
  for (Id id = 0; id < t_.size(); ++id)
    if (plan_.nest_of[id] >= 0)
      for (Id operand : at(id).in) read(operand, plan_.nest_of[id]);
  for (std::size_t n = 0; n < plan_.nests.size(); ++n) {
    const Nest& nest = plan_.nests[n];
    for (const Write& w : nest.writes) {
      if (plan_.nest_of[w.value] != int(n)) read(w.value, int(n));
      if (plan_.group_of(int(n)) != plan_.group_of(plan_.nest_of[w.target])) outside[w.target] = true;
    }
  }
  for (Id id : t_.outputs) outside[plan_.alias_of[id].owner] = true;
  for (Id id = 0; id < t_.size(); ++id) {
    const Id owner = plan_.alias_of[id].owner;
    if (owner == id) continue;
    const RowGroup* group = plan_.group_of(plan_.nest_of[owner]);
    const bool rows =
        group && at(id).op == &reshape_op && has_rows(id, rows_of(plan_.nests[std::size_t(plan_.nest_of[owner])]));
    outside[owner] = outside[owner] || !rows;
  }
  for (Id id = 0; id < t_.size(); ++id) {
    const Kind kind = at(id).op->kind;
    plan_.passing[id] =
        plan_.stored[id] && plan_.alias_of[id].owner == id && plan_.group_of(plan_.nest_of[id]) &&
        plan_.slot_of[id] < 0 && !outside[id] &&
        (kind == Kind::elementwise || kind == Kind::reduce || at(id).op == &matmul_op || at(id).op == &concat_op) &&
        has_rows(id, rows_of(plan_.nests[std::size_t(plan_.nest_of[id])]));
    if (plan_.passing[id] && at(id).op == &concat_op)
      plan_.passing[id] = at(id).attrs.integer("axis") >= int(plan_.group_of(plan_.nest_of[id])->axes);
  }
}

}  // namespace tapeloop
