// Matrices that are turned: packing the transpose of one, and transposes in memory. As many rows as a vector has lanes are read
// as vectors, turned into columns in registers, and written. (What is read as it lies is a map like any other.)
#include <llvm/IR/IRBuilder.h>

#include <algorithm>

#include "jit/emit.h"
#include "jit/pack.h"
#include "jit/tile.h"
#include "ops/shape.h"

namespace tapeloop {

using llvm::Value;

// In each of log2(n) rounds vector i takes every other of two vectors: of i/2 and (i + n)/2, low halves in even, high halves
// in odd places.
void turn(llvm::IRBuilderBase& b, std::vector<Value*>& square) {
  const int n = int(square.size());
  std::vector<int> low, high;
  for (int i = 0; i < n / 2; ++i) {
    low.insert(low.end(), {i, i + n});
    high.insert(high.end(), {i + n / 2, i + n / 2 + n});
  }
  for (int round = 1; round < n; round *= 2) {
    std::vector<Value*> next;
    for (std::size_t i = 0; i < square.size() / 2; ++i) {
      Value *x = square[i], *y = square[i + square.size() / 2];
      next.push_back(b.CreateShuffleVector(x, y, low));
      next.push_back(b.CreateShuffleVector(x, y, high));
    }
    square = std::move(next);
  }
}

// The axis along which a value's elements are side by side in memory, or in that of its first operand.
std::size_t Emitter::axis_in_memory(const Frame& frame, Id id) const {
  const Record& r = frame[id];
  const bool is_there = frame.plan->stored[id] && frame.plan->nest_of[id] != nest_;
  if (!is_there && r.op == &pick_op) return axis_in_memory(frame, frame[r.in[0]].in[0]);
  if (!is_there && (r.op == &slice_op || (r.op->kind == Kind::elementwise && !r.in.empty())))
    return axis_in_memory(frame, r.in[0]);
  if (!is_there && r.op == &transpose_op) {
    const Ints& order = r.attrs.get<Ints>("order");
    return std::size_t(std::ranges::find(order, std::int64_t(axis_in_memory(frame, r.in[0]))) - order.begin());
  }
  return r.type.shape.size() - 1;
}

bool Emitter::packs_turned(const Nest& nest, const Frame& frame) const {
  const Record& r = frame[nest.root];
  if (r.op != &pack_op || nest.space.size() != 4 || nest.writes.size() != 1 || nest.writes[0].value != nest.root ||
      nest.writes[0].target != nest.root)
    return false;
  const std::size_t depth = r.attrs.flag("transpose") ? 1 : 0;
  return std::ranges::all_of(r.in, [&](Id operand) { return axis_in_memory(frame, operand) == depth; });
}

// [panel][k][stream][column] ← k and column stream · columns + column of an operand, in which k runs along memory.
void Emitter::emit_turned_pack(const Nest& nest, Frame& frame) {
  const Record& r = frame[nest.root];
  const Panels panels(r.attrs);
  const Dtype dtype = r.type.dtype;
  const bool transpose = r.attrs.flag("transpose");
  Value *out = pointer_of(frame, nest.root), *depth = extent(r.type.shape[1]);
  Value* whole = b_.CreateAnd(depth, number(-panels.lanes));
  width_ = int(panels.lanes);
  const auto [begin, end] = share(number(panels.count()), 1);
  loop(begin, end, number(1), [&](Value* panel) {
    Value* first_column = b_.CreateMul(panel, number(panels.panel_columns()));
    std::int64_t stream = 0;
    for (Id operand : r.in) {
      const std::int64_t streams = panels.streams_of(frame[operand].type.shape[transpose ? 0 : 1].value());
      // `vector` counts the vectors of this operand in a row of the panel.
      loop(number(0), number(streams * panels.width), number(1), [&](Value* vector) {
        Value* offset = b_.CreateMul(b_.CreateURem(vector, number(panels.width)), number(panels.lanes));
        Value* column = b_.CreateAdd(first_column, offset);
        Value* base = b_.CreateMul(b_.CreateUDiv(vector, number(panels.width)), number(panels.columns));
        const auto block = [&](Value* k, Value* mask) {
          known_.clear();
          std::vector<Value*> square;
          for (int i = 0; i < panels.lanes; ++i) {
            // What lies beyond the last column is undefined, but it must not be read from beyond the operand.
            Value* c = b_.CreateAdd(column, number(i));
            c = smaller(c, number(panels.columns - 1));
            Indices place{Index{b_.CreateAdd(base, c), 0, nullptr}, Index{k, 1, nullptr}};
            if (!transpose) std::swap(place[0], place[1]);
            square.push_back(pull(frame, operand, place, mask));
          }
          turn(b_, square);
          Value* line = b_.CreateAdd(b_.CreateMul(panel, depth), k);
          for (std::int64_t i = 0; i < panels.lanes; ++i) {
            Value* row = b_.CreateMul(b_.CreateAdd(line, number(i)), number(panels.vectors()));
            Value* place = b_.CreateAdd(row, b_.CreateAdd(number(stream * panels.width), vector));
            const auto put = [&] {
              store(out, dtype, Index{b_.CreateMul(place, number(panels.lanes)), 1, nullptr}, square[std::size_t(i)],
                    nullptr);
            };
            if (mask)
              if_then(b_.CreateICmpSLT(b_.CreateAdd(k, number(i)), depth), put);
            else
              put();
          }
        };
        loop(number(0), whole, number(panels.lanes), [&](Value* k) { block(k, nullptr); });
        if_then(b_.CreateICmpSLT(whole, depth),
                [&] { block(whole, b_.CreateICmpSLT(positions(Index{whole, 1, nullptr}), splat(depth))); });
      });
      stream += streams;
    }
  });
}

// The axis other than the last along which all that a nest writes is side by side where it is read, if there are vectors of it.
std::optional<std::size_t> Emitter::turned_axis(const Nest& nest, const Frame& frame) const {
  std::optional<std::size_t> along;
  for (const Write& w : nest.writes) {
    const Type& type = frame[w.value].type;
    if (type.rank() < 2 || type.dtype == Dtype::boolean || w.stream >= 0 || type.shape != nest.space) return {};
    const std::size_t axis = axis_in_memory(frame, w.value);
    const auto is_short = [&](const Extent& extent) {
      return extent.is_number() && extent.value() < target_.vector_bytes / size_of(type.dtype);
    };
    if (axis + 1 == type.shape.size() || (along && *along != axis) || is_short(type.shape[axis]) ||
        is_short(type.shape.back()))
      return {};
    along = axis;
  }
  return along;
}

// Squares are read along one axis and written along the last.
void Emitter::emit_turned(const Nest& nest, Frame& frame, std::size_t along) {
  const std::size_t last = nest.space.size() - 1;
  // The lanes of one register: a square of wider vectors would not fit into all of them.
  width_ = target_.vector_bytes / size_of(frame[nest.writes[0].value].type.dtype);
  Indices at(nest.space.size());
  Value *side = number(width_), *columns = extent(nest.space[last]);
  // The square from row `row` of those up to `rows` and column `column`; `whole`: all of it exists.
  const auto square_at = [&](Value* row, Value* rows, Value* column, bool whole) {
    known_.clear();
    const auto exist = [&](Value* first, Value* end) {
      return whole ? nullptr : b_.CreateICmpSLT(positions(Index{first, 1, nullptr}), splat(end));
    };
    Value *read = exist(row, rows), *written = exist(column, columns);
    std::vector<std::vector<Value*>> squares;
    for (const Write& w : nest.writes) {
      squares.emplace_back();
      at[along] = Index{row, 1, nullptr};
      for (int i = 0; i < width_; ++i) {
        Value* c = b_.CreateAdd(column, number(i));
        at[last] = Index{whole ? c : smaller(c, b_.CreateSub(columns, number(1))), 0, nullptr};
        squares.back().push_back(pull(frame, w.value, at, read));
      }
      turn(b_, squares.back());
    }
    at[last] = Index{column, 1, nullptr};
    for (int i = 0; i < width_; ++i) {
      Value* r = b_.CreateAdd(row, number(i));
      at[along] = Index{r, 0, nullptr};
      const auto put = [&] {
        for (std::size_t n = 0; n < squares.size(); ++n)
          write(frame, nest.writes[n], at, squares[n][std::size_t(i)], written);
      };
      whole ? put() : if_then(b_.CreateICmpSLT(r, rows), put);
    }
  };
  const auto bounds = [&](std::size_t axis) {
    Value* n = extent(nest.space[axis]);
    return axis == 0 ? share_rows(n, axis == along ? width_ : 1) : std::pair<Value*, Value*>(number(0), n);
  };
  const std::function<void(std::size_t)> walk = [&](std::size_t axis) {
    if (axis == along) return walk(axis + 1);
    const auto [begin, end] = bounds(axis < last ? axis : along);
    if (axis < last)
      return loop(begin, end, number(1), [&](Value* i) {
        at[axis] = Index{i, 0, nullptr};
        walk(axis + 1);
      });
    loop(begin, end, side, [&, rows = end](Value* row) {
      Value* fits = b_.CreateICmpSLE(b_.CreateAdd(row, side), rows);
      Value* whole = b_.CreateSelect(fits, b_.CreateAnd(columns, number(-width_)), number(0));
      loop(number(0), whole, side, [&](Value* column) { square_at(row, rows, column, true); });
      loop(whole, columns, side, [&](Value* column) { square_at(row, rows, column, false); });
    });
  };
  walk(0);
}

}  // namespace tapeloop
