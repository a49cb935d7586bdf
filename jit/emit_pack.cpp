// Packing the transpose of a matrix: as many rows as a vector has lanes are read as vectors, turned into columns in registers,
// and written. (What is packed as it lies is a map like any other.)
#include <llvm/IR/IRBuilder.h>

#include "jit/emit.h"
#include "jit/pack.h"

namespace tapeloop {

using llvm::Value;

namespace {

// Vectors as the rows of a square of n, and the same square by columns. In each of log2(n) rounds vector i takes every other
// of two vectors: of i/2 and (i + n)/2, low halves in even, high halves in odd places.
void transpose(llvm::IRBuilderBase& b, std::vector<Value*>& square) {
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

}  // namespace

bool Emitter::packs_transpose(const Nest& nest, const Frame& frame) const {
  const Record& r = frame[nest.root];
  return r.op == &pack_op && r.attrs.flag("transpose") && nest.space.size() == 4 && nest.writes.size() == 1 &&
         nest.writes[0].value == nest.root && nest.writes[0].target == nest.root;
}

// [panel][k][stream][column] ← row stream · columns + column of an operand, at k.
void Emitter::emit_transposed_pack(const Nest& nest, Frame& frame) {
  const Record& r = frame[nest.root];
  const Panels panels(r.attrs);
  const Dtype dtype = r.type.dtype;
  Value *out = pointer_of(frame, nest.root), *depth = extent(r.type.shape[1]);
  Value* whole = b_.CreateAnd(depth, number(-panels.lanes));
  width_ = int(panels.lanes);
  const auto [begin, end] = share(number(panels.count()), 1);
  loop(begin, end, number(1), [&](Value* panel) {
    Value* first_column = b_.CreateMul(panel, number(panels.panel_columns()));
    std::int64_t stream = 0;
    for (Id operand : r.in) {
      const std::int64_t streams = panels.streams_of(frame[operand].type.shape[0].value());
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
            square.push_back(
                pull(frame, operand, {Index{b_.CreateAdd(base, c), 0, nullptr}, Index{k, 1, nullptr}}, mask));
          }
          transpose(b_, square);
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

}  // namespace tapeloop
