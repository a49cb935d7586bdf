// Nests that run row by row (see jit/row_groups.cpp). One row goes through all nests of a group before the next one begins: more
// of them side by side would hide the latency of sums, but it is memory that rows wait for, and more rows are more places in
// memory to follow. What a row has one value of (its mean, its largest element) stays in a register until the row is done.
#include <llvm/IR/IRBuilder.h>

#include <algorithm>

#include "jit/emit.h"
#include "jit/tile.h"
#include "ops/reduce.h"

namespace tapeloop {

using llvm::Value;

namespace {

constexpr std::int64_t kElementsAhead = 512;  // at least, of what is asked for before it is read

bool all_are_one(const Shape& shape, std::size_t begin, std::size_t end) {
  return std::ranges::all_of(shape.begin() + std::ptrdiff_t(begin), shape.begin() + std::ptrdiff_t(end),
                             &Extent::is_one);
}

// What the axes of a group count.
Shape rows_of(const Plan& plan, const RowGroup& group) {
  const Shape& space = plan.nests[std::size_t(group.first)].space;
  return Shape(space.begin(), space.begin() + std::ptrdiff_t(group.axes));
}

}  // namespace

// A matrix for each row is much for one thread while another has none: a few rows go nest by nest, each shared by all threads.
void Emitter::emit_group(const RowGroup& group, Frame& frame, Value* apart) {
  const auto& nests = frame.plan->nests;
  const bool matrices = std::any_of(nests.begin() + group.first, nests.begin() + group.last + 1,
                                    [](const Nest& nest) { return nest.kind == NestKind::matmul; });
  const auto by_rows = [&] {
    emit_rows(group, frame, true);
    emit_barrier(apart);
  };
  if (!matrices || llvm::isa<llvm::ConstantInt>(threads_)) return by_rows();
  Value* rows = extent(extent_product(rows_of(*frame.plan, group)));
  // Of those that the busiest thread has, no more than a quarter above its share.
  Value* busiest = b_.CreateMul(ceil_div(rows, threads_), threads_);
  Value* even = b_.CreateICmpSLE(b_.CreateMul(busiest, number(4)), b_.CreateMul(rows, number(5)));
  const auto nest_by_nest = [&] {
    for (int n = group.first; n <= group.last; ++n) {
      const Nest& nest = nests[std::size_t(nest_ = n)];
      if (nest.sums.empty()) {
        emit_nest(frame, apart);
      } else {
        emit_rows({n, n, nest.space.size() - 1}, frame, false);
        emit_barrier(apart);
      }
    }
  };
  if_else(even, by_rows, nest_by_nest);
}

// `passes`: what is passing lies in the memory of the first rows.
void Emitter::emit_rows(const RowGroup& group, Frame& frame, bool passes) {
  const Shape rows = rows_of(*frame.plan, group);
  flat_ = false;
  // Threads that keep to rows of a batch, which the first axis counts, do so here, too.
  Value *count = extent(extent_product(rows)), *batch = extent(rows[0]), *of_each = number(1);
  for (std::size_t axis = 1; axis < rows.size(); ++axis) of_each = b_.CreateMul(of_each, extent(rows[axis]));
  auto [begin, end] = share(count, 1);
  if (rows.size() > 1) {
    const auto [first, last] = share(batch, 1);
    Value* by_batch = shares_rows(batch);
    begin = b_.CreateSelect(by_batch, b_.CreateMul(first, of_each), begin);
    end = b_.CreateSelect(by_batch, b_.CreateMul(last, of_each), end);
  }
  loop(begin, end, number(1), [&, begin](Value* row) {
    rows_ = {};
    rows_.place.assign(group.axes, number(0));
    if (passes) rows_.before = b_.CreateSub(row, begin);
    for (std::size_t axis = group.axes; axis-- > 0;) {
      if (rows[axis].is_one()) continue;
      const bool last = all_are_one(rows, 0, axis);
      rows_.place[axis] = last ? row : b_.CreateSRem(row, extent(rows[axis]));
      if (!last) row = b_.CreateSDiv(row, extent(rows[axis]));
    }
    for (nest_ = group.first; nest_ <= group.last; ++nest_) {
      const Nest& nest = frame.plan->nests[std::size_t(nest_)];
      width_ = 16;
      known_.clear();
      if (nest.kind == NestKind::reduce)
        emit_reduce(nest, frame, rows_.place);
      else if (nest.kind == NestKind::matmul)
        emit_matmul(nest, frame, rows_.place);
      else if (nest.sums.empty() && all_are_one(nest.space, group.axes, nest.space.size()))
        emit_row_values(nest, frame);
      else
        emit_row_walk(nest, frame);
    }
    rows_ = {};
  });
}

// The beginning of the row.
Indices Emitter::at_row(std::size_t rank) const {
  Indices at(rank, Index{b_.getInt64(0), 0, nullptr});
  for (std::size_t axis = 0; axis < rows_.place.size(); ++axis) at[axis].base = rows_.place[axis];
  return at;
}

// The value that the row has one of; null if it lies in memory.
Value* Emitter::value_of_row(Id id, const Indices& at) {
  const auto known = rows_.known.find(id);
  if (known == rows_.known.end()) return nullptr;
  for (std::size_t axis = 0; axis < rows_.place.size(); ++axis)
    if (at[axis].base != rows_.place[axis] || at[axis].step != 0 || at[axis].vector)
      throw InternalError("emit: a row reads what another row has one of", Where());
  return known->second;
}

// Where an element lies in memory. Of passing values there is memory for every row, but each thread keeps to that of its
// first, which stays in the cache.
Index Emitter::place_in(const Frame& frame, Id id, const Indices& at) {
  const Shape& shape = frame[id].type.shape;
  Index place = linear(shape, at);
  if (!rows_.before || !frame.plan->passing[frame.plan->alias_of[id].owner]) return place;
  Value* shift = rows_.before;
  for (std::size_t axis = rows_.place.size(); axis < shape.size(); ++axis)
    shift = b_.CreateMul(shift, extent(shape[axis]));
  if (place.vector)
    place.vector = b_.CreateSub(place.vector, splat(shift));
  else
    place.base = b_.CreateSub(place.base, shift);
  return place;
}

// A row reads from more places than the processor follows by itself, so it is told what comes.
void Emitter::ask_ahead(Frame& frame, Id id, const Index& place) {
  const Shape& shape = frame[id].type.shape;
  if (!rows_.before || width_ == 1 || place.vector || place.step != 1 || shape.size() <= rows_.place.size()) return;
  if (frame.plan->passing[frame.plan->alias_of[id].owner]) return;
  Value* row = number(1);
  for (std::size_t axis = rows_.place.size(); axis < shape.size(); ++axis) row = b_.CreateMul(row, extent(shape[axis]));
  Value* ahead = b_.CreateAdd(place.base, larger(row, number(kElementsAhead)));
  Value* address = b_.CreateGEP(element(frame[id].type.dtype), pointer_of(frame, id), ahead);
  ask_for(b_, address, Near::first);
}

void Emitter::emit_row_values(const Nest& nest, Frame& frame) {
  width_ = 1;
  const Indices at = at_row(nest.space.size());
  std::vector<Value*> values;
  for (const Write& w : nest.writes) values.push_back(pull(frame, w.value, at, nullptr));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Write& w = nest.writes[i];
    if (w.slot < 0 && w.target == w.value) rows_.known[w.value] = values[i];
    // In memory too: a reduction over several axes walks it, even where each has one place.
    write(frame, w, at, values[i], nullptr);
  }
  width_ = 16;
  known_.clear();
}

void Emitter::emit_row_walk(const Nest& nest, Frame& frame) {
  width_ = 16;
  const std::size_t rank = nest.space.size();
  const auto is_sum = [&](Id id) { return std::find(nest.sums.begin(), nest.sums.end(), id) != nest.sums.end(); };
  Indices at = at_row(rank);
  const std::function<void(std::size_t)> walk = [&](std::size_t axis) {
    if (axis + 1 < rank)
      return loop(number(0), extent(nest.space[axis]), number(1), [&](Value* i) {
        at[axis] = Index{i, 0, nullptr};
        walk(axis + 1);
      });
    std::vector<llvm::AllocaInst*> partial;
    for (Id sum : nest.sums) {
      const Dtype dtype = frame[sum].type.dtype;
      partial.push_back(variable(lanes(element(dtype))));
      b_.CreateStore(literal(dtype, neutral_of(frame[sum].op->fold, dtype)), partial.back());
    }
    vector_loop(number(0), extent(nest.space[axis]), [&](Value* j, Value* mask) {
      at[axis] = Index{j, 1, nullptr};
      std::vector<Value*> values;
      for (const Write& w : nest.writes) values.push_back(is_sum(w.value) ? nullptr : pull(frame, w.value, at, mask));
      for (std::size_t s = 0; s < nest.sums.size(); ++s) {
        const Record& r = frame[nest.sums[s]];
        Value* before = b_.CreateLoad(lanes(element(r.type.dtype)), partial[s]);
        Value* after = combine(r.op->fold, r.type.dtype, before, pull(frame, r.in[0], at, mask));
        b_.CreateStore(mask ? b_.CreateSelect(mask, after, before) : after, partial[s]);
      }
      for (std::size_t i = 0; i < values.size(); ++i)
        if (values[i]) write(frame, nest.writes[i], at, values[i], mask);
    });
    for (std::size_t s = 0; s < nest.sums.size(); ++s) finish_sum(nest, frame, nest.sums[s], partial[s], at);
  };
  walk(rows_.place.size());
}

// In memory, and in a register where the row has one.
void Emitter::finish_sum(const Nest& nest, Frame& frame, Id id, llvm::AllocaInst* partial, Indices at) {
  const Record& r = frame[id];
  const bool one = all_are_one(nest.space, rows_.place.size(), nest.space.size() - 1);
  Value* sum = add_up(r.op->fold, r.type.dtype, b_.CreateLoad(lanes(element(r.type.dtype)), partial));
  at.pop_back();
  width_ = 1;
  known_.clear();
  if (r.in.size() > 1) sum = combine(r.op->fold, r.type.dtype, pull(frame, r.in[1], at, nullptr), sum);
  if (one) rows_.known[id] = sum;
  for (const Write& w : nest.writes)
    if (w.value == id) write(frame, w, at, sum, nullptr);
  width_ = 16;
  known_.clear();
}

}  // namespace tapeloop
