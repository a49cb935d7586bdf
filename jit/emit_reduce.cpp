// Reductions, in the order that ops/reduce.h fixes.
#include <llvm/IR/IRBuilder.h>

#include "jit/emit.h"
#include "ops/index.h"
#include "ops/reduce.h"
#include "ops/scatter.h"

namespace tapeloop {

using llvm::Value;

// Within one row, where that is given, else for all that is kept, which threads share.
void Emitter::emit_reduce(const Nest& nest, Frame& frame, const Place& row) {
  const Record& r = frame[nest.root];
  const Id x = r.in[0];
  const Shape& shape = frame[x].type.shape;
  const Dtype dtype = r.type.dtype;
  const LaneOp op = r.op->fold;
  const std::size_t rank = shape.size();
  std::vector<bool> reduced(rank, false);
  for (std::int64_t axis : r.attrs.get<Ints>("axes")) reduced[std::size_t(axis)] = true;
  std::size_t trailing = rank;
  while (trailing > 0 && reduced[trailing - 1]) --trailing;  // axes from here on are reduced together

  Indices at(rank);
  for (std::size_t i = 0; i < row.size(); ++i) at[i] = Index{row[i], 0, nullptr};
  auto total = [&] { return variable(lanes(element(dtype))); };
  auto add = [&](llvm::AllocaInst* sum, Value* value, Value* mask) {
    Value* before = b_.CreateLoad(lanes(element(dtype)), sum);
    Value* after = combine(op, dtype, before, value);
    b_.CreateStore(mask ? b_.CreateSelect(mask, after, before) : after, sum);
  };
  auto place_of_result = [&] {
    Indices place;
    for (std::size_t i = 0; i < rank; ++i)
      if (!reduced[i]) place.push_back(at[i]);
    return place;
  };
  const bool starts = r.in.size() > 1;
  auto write_all = [&](Value* value, Value* mask) {
    for (const Write& w : nest.writes) write(frame, w, place_of_result(), value, mask);
  };

  if (trailing == rank) {
    // No last axis: a chain in row-major order for each of the elements that are kept, sixteen of which go side by side.
    std::function<void(std::size_t, bool)> walk = [&](std::size_t axis, bool first) {
      if (axis + 1 == rank) {
        Value *begin = number(0), *end = extent(shape[axis]);
        if (first) std::tie(begin, end) = share(end, 16);
        return vector_loop(begin, end, [&](Value* j, Value* mask) {
          at[axis] = Index{j, 1, nullptr};
          auto* sum = total();
          b_.CreateStore(starts ? pull(frame, r.in[1], place_of_result(), mask) : literal(dtype, neutral_of(op, dtype)),
                         sum);
          std::function<void(std::size_t)> inner = [&](std::size_t a) {
            if (a == rank) return add(sum, pull(frame, x, at, mask), nullptr);
            if (!reduced[a]) return inner(a + 1);
            loop(number(0), extent(shape[a]), number(1), [&](Value* i) {
              at[a] = Index{i, 0, nullptr};
              inner(a + 1);
            });
          };
          inner(0);
          write_all(b_.CreateLoad(lanes(element(dtype)), sum), mask);
        });
      }
      if (reduced[axis]) return walk(axis + 1, first);
      Value *begin = number(0), *end = extent(shape[axis]);
      if (first) std::tie(begin, end) = share(end, 1);
      loop(begin, end, number(1), [&](Value* i) {
        at[axis] = Index{i, 0, nullptr};
        walk(axis + 1, false);
      });
    };
    return walk(row.size(), row.empty());
  }

  // The last axes as one: sixteen interleaved sums, then a tree.
  Value* run = number(1);
  for (std::size_t a = trailing; a < rank; ++a) run = b_.CreateMul(run, extent(shape[a]));
  const bool whole = trailing == 0, several = rank - trailing > 1 && !whole;
  auto reduce_one = [&] {
    auto* sum = total();
    b_.CreateStore(literal(dtype, neutral_of(op, dtype)), sum);
    std::function<void(std::size_t)> inner = [&](std::size_t a) {
      if (a < trailing) {
        if (!reduced[a]) return inner(a + 1);
        return loop(number(0), extent(shape[a]), number(1), [&](Value* i) {
          at[a] = Index{i, 0, nullptr};
          inner(a + 1);
        });
      }
      vector_loop(number(0), run, [&](Value* j, Value* mask) {
        Value* value = nullptr;
        if (whole && rank > 1) {
          flat_ = true;
          value = pull(frame, x, {Index{j, 1, nullptr}}, mask);
          flat_ = false;
        } else if (several) {
          Indices first(at);
          for (std::size_t k = trailing; k < rank; ++k) first[k] = Index{number(0), 0, nullptr};
          Index place = place_in(frame, x, first);
          place.base = b_.CreateAdd(place.base, j);
          place.step = 1;
          value = load(pointer_of(frame, x), dtype, place, mask);
        } else {
          at[rank - 1] = Index{j, 1, nullptr};
          value = pull(frame, x, at, mask);
        }
        add(sum, value, mask);
      });
    };
    inner(row.size());
    Value* result = add_up(op, dtype, b_.CreateLoad(lanes(element(dtype)), sum));
    width_ = 1;
    known_.clear();
    if (starts) result = combine(op, dtype, pull(frame, r.in[1], place_of_result(), nullptr), result);
    write_all(result, nullptr);
    width_ = 16;
    known_.clear();
  };
  bool shared = !row.empty();
  std::function<void(std::size_t)> walk = [&](std::size_t axis) {
    if (axis == trailing) return reduce_one();
    if (reduced[axis]) return walk(axis + 1);
    Value *begin = number(0), *end = extent(shape[axis]);
    if (!shared) std::tie(begin, end) = share(end, 1);
    shared = true;
    loop(begin, end, number(1), [&](Value* i) {
      at[axis] = Index{i, 0, nullptr};
      walk(axis + 1);
    });
  };
  bool keeps = false;
  for (std::size_t a = 0; a < trailing; ++a) keeps = keeps || !reduced[a];
  if (keeps) return walk(row.size());
  if_then(b_.CreateICmpEQ(thread_, number(0)), [&] { walk(0); });
}

// Sixteen partial sums as one, by the tree.
Value* Emitter::add_up(LaneOp op, Dtype dtype, Value* partial) {
  for (int w = 8; w > 1; w /= 2) {
    std::vector<int> low, high;
    for (int i = 0; i < w; ++i) {
      low.push_back(i);
      high.push_back(i + w);
    }
    partial = combine(op, dtype, b_.CreateShuffleVector(partial, low), b_.CreateShuffleVector(partial, high));
  }
  return combine(op, dtype, b_.CreateExtractElement(partial, std::uint64_t(0)),
                 b_.CreateExtractElement(partial, std::uint64_t(1)));
}

// The first largest element; a NaN counts as largest.
void Emitter::emit_argmax(const Nest& nest, Frame& frame) {
  const Record& r = frame[nest.root];
  const Shape& shape = frame[r.in[0]].type.shape;
  const Dtype dtype = frame[r.in[0]].type.dtype;
  const auto axis = std::size_t(r.attrs.integer("axis"));
  width_ = 1;
  Indices at(shape.size());
  for_lines(shape, axis, false, at, [&](Value*) {
    auto* best = variable(element(dtype));
    auto* where = variable(b_.getInt32Ty());
    Value* pointer = pointer_of(frame, r.in[0]);
    at[axis] = Index{number(0), 0, nullptr};
    auto value_here = [&] {
      return b_.CreateLoad(element(dtype), b_.CreateGEP(element(dtype), pointer, linear(shape, at).base));
    };
    b_.CreateStore(value_here(), best);
    b_.CreateStore(b_.getInt32(0), where);
    loop(number(1), extent(shape[axis]), number(1), [&](Value* i) {
      at[axis] = Index{i, 0, nullptr};
      Value *v = value_here(), *old = b_.CreateLoad(element(dtype), best), *better = nullptr;
      if (is_float(dtype))
        better =
            b_.CreateOr(b_.CreateFCmpOGT(v, old), b_.CreateAnd(b_.CreateFCmpUNO(v, v), b_.CreateFCmpORD(old, old)));
      else
        better = is_signed(dtype) ? b_.CreateICmpSGT(v, old) : b_.CreateICmpUGT(v, old);
      b_.CreateStore(b_.CreateSelect(better, v, old), best);
      b_.CreateStore(b_.CreateSelect(better, b_.CreateTrunc(i, b_.getInt32Ty()), b_.CreateLoad(b_.getInt32Ty(), where)),
                     where);
    });
    Indices place;
    for (std::size_t i = 0; i < shape.size(); ++i)
      if (i != axis) place.push_back(at[i]);
    for (const Write& w : nest.writes) write(frame, w, place, b_.CreateLoad(b_.getInt32Ty(), where), nullptr);
  });
}

// result = start; result[indices[i]] += updates[i] (or = updates[i]), in the order of i. One thread, so that the order holds.
void Emitter::emit_scatter(const Nest& nest, Frame& frame) {
  const Record& r = frame[nest.root];
  const Record &indices = frame[r.in[0]], &updates = frame[r.in[1]];
  const Dtype dtype = r.type.dtype;
  Value *index_pointer = pointer_of(frame, r.in[0]), *update_pointer = pointer_of(frame, r.in[1]);
  Value* start = r.in.size() > 2 ? pointer_of(frame, r.in[2]) : nullptr;
  Value* out = pointer_of(frame, nest.root);
  Value* row_size = number(1);
  for (std::size_t i = 1; i < r.type.shape.size(); ++i) row_size = b_.CreateMul(row_size, extent(r.type.shape[i]));
  Value* rows = extent(r.type.shape[0]);
  if_then(b_.CreateICmpEQ(thread_, number(0)), [&] {
    vector_loop(number(0), b_.CreateMul(rows, row_size), [&](Value* i, Value* mask) {
      const Index at{i, 1, nullptr};
      store(out, dtype, at, start ? load(start, dtype, at, mask) : literal(dtype, 0), mask);
    });
    loop(number(0), extent(extent_product(indices.type.shape)), number(1), [&](Value* i) {
      Value* row = b_.CreateLoad(b_.getInt32Ty(), b_.CreateGEP(b_.getInt32Ty(), index_pointer, i));
      row =
          indices.type.dtype == Dtype::u32 ? b_.CreateZExt(row, b_.getInt64Ty()) : b_.CreateSExt(row, b_.getInt64Ty());
      row = b_.CreateSelect(b_.CreateICmpSLT(row, number(0)), b_.CreateAdd(row, rows), row);
      Value* inside = b_.CreateAnd(b_.CreateICmpSGE(row, number(0)), b_.CreateICmpSLT(row, rows));
      if_then(inside, [&] {
        Value *to = b_.CreateMul(row, row_size), *from = b_.CreateMul(i, row_size);
        vector_loop(number(0), row_size, [&](Value* j, Value* mask) {
          const Index place{b_.CreateAdd(to, j), 1, nullptr}, source{b_.CreateAdd(from, j), 1, nullptr};
          Value* update = load(update_pointer, updates.type.dtype, source, mask);
          if (r.op != &scatter_set_op) update = combine(LaneOp::add, dtype, load(out, dtype, place, mask), update);
          store(out, dtype, place, update, mask);
        });
      });
    });
  });
}

}  // namespace tapeloop
