// Products with leading axes, whose operands are read where they lie: a matrix for each row of a batch, such as the memory of
// an associative cell or the scores of attention. (Those of two matrices have a packed right operand, see emit_product.cpp.)
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include <algorithm>

#include "jit/emit.h"
#include "jit/tile.h"
#include "ops/matmul.h"

namespace tapeloop {

using llvm::Value;

// Results are computed in tiles of some rows and some vectors of columns, an element one chain of multiply-adds. Where the
// sums run along the memory of the right operand, squares of it are turned in registers.
struct Emitter::Batched {
  Frame& frame;
  Id root;
  bool swapped;  // a column is computed as a row: the operands change places
  bool turned;   // sums run along the memory of the right operand
  Indices at;    // of the result: its leading axes
  Value *rows, *columns, *depth;
  // With strides from row to row (from column to column), and from one factor of a sum to the next.
  struct Side {
    Value *pointer, *along, *deep;
  } left, right;

  const Record& record() const { return frame[root]; }
  Dtype dtype() const { return record().type.dtype; }
};

namespace {
constexpr int kSumsOfRow = 8;  // vectors side by side of a single row, whose sums wait for themselves
}

// Within one row, where that is given, else for the whole batch, which threads share.
void Emitter::emit_matmul(const Nest& nest, Frame& frame, const Place& row) {
  const Record& r = frame[nest.root];
  const Shape &a = frame[r.in[0]].type.shape, &shape = r.type.shape;
  const bool ta = r.attrs.flag("transpose_a"), tb = r.attrs.flag("transpose_b");
  const std::size_t rank = shape.size();
  const Dtype dtype = r.type.dtype;
  Value *m = extent(shape[rank - 2]), *n = extent(shape[rank - 1]), *depth = extent(a[ta ? rank - 2 : rank - 1]);
  const bool swapped = shape[rank - 1].is_one() && !shape[rank - 2].is_one();
  const auto strides = [&](bool along_memory, Value* count) {
    return along_memory ? std::pair{number(1), count} : std::pair{depth, number(1)};
  };
  width_ = lanes_of_panels(target_, dtype);
  Batched p{frame, nest.root, swapped, swapped ? !ta : tb, Indices(rank), m, n, depth, {}, {}};
  if (swapped) std::swap(p.rows, p.columns);
  const auto emit_one = [&] {
    const auto [a_along, a_deep] = strides(ta, m);
    const auto [b_along, b_deep] = strides(!tb, n);
    p.at[rank - 2] = p.at[rank - 1] = Index{number(0), 0, nullptr};
    const auto matrix = [&](Id id) {
      return b_.CreateGEP(element(dtype), pointer_of(frame, id), place_in(frame, id, p.at).base);
    };
    p.left = {matrix(r.in[0]), a_along, a_deep};
    p.right = {matrix(r.in[1]), b_along, b_deep};
    if (swapped) std::swap(p.left, p.right);
    emit_batched(p);
  };
  const std::function<void(std::size_t)> walk = [&](std::size_t axis) {
    if (axis + 2 == rank) return emit_one();
    Value *begin = number(0), *end = extent(shape[axis]);
    if (axis == 0) std::tie(begin, end) = share(end, 1);
    loop(begin, end, number(1), [&](Value* i) {
      p.at[axis] = Index{i, 0, nullptr};
      walk(axis + 1);
    });
  };
  for (std::size_t axis = 0; axis < row.size(); ++axis) p.at[axis] = Index{row[axis], 0, nullptr};
  walk(row.size());
}

// One product: columns by vectors, and under them all rows, so that what is read of the right operand stays near.
void Emitter::emit_batched(const Batched& p) {
  const auto* row_count = llvm::dyn_cast<llvm::ConstantInt>(p.rows);
  const auto* column_count = llvm::dyn_cast<llvm::ConstantInt>(p.columns);
  const bool one_row = row_count && row_count->isOne();
  std::int64_t vectors = p.turned ? 1 : one_row ? kSumsOfRow : 4;
  if (column_count) vectors = std::clamp<std::int64_t>(column_count->getSExtValue() / width_, 1, vectors);
  const auto for_rows = [&](Value* column, std::int64_t across, Value* mask) {
    const std::int64_t most = one_row ? 1 : rows_of_tile(target_, p.dtype(), int(across));
    Value* whole = b_.CreateMul(b_.CreateSDiv(p.rows, number(most)), number(most));
    loop(number(0), whole, number(most), [&](Value* row) { emit_batched_tile(p, row, most, column, across, mask); });
    loop(whole, p.rows, number(1), [&](Value* row) { emit_batched_tile(p, row, 1, column, across, mask); });
  };
  const std::int64_t side = vectors * width_;
  Value* whole = vectors > 1 ? b_.CreateMul(b_.CreateSDiv(p.columns, number(side)), number(side)) : number(0);
  loop(number(0), whole, number(side), [&](Value* column) { for_rows(column, vectors, nullptr); });
  vector_loop(whole, p.columns, [&](Value* column, Value* mask) { for_rows(column, 1, mask); });
}

void Emitter::emit_batched_tile(const Batched& p, Value* row, std::int64_t rows, Value* column, std::int64_t vectors,
                                Value* mask) {
  const std::size_t rank = p.at.size();
  llvm::Type *scalar = element(p.dtype()), *vector = lanes(scalar);
  const auto place = [&](std::int64_t i, std::int64_t v) {
    Indices at = p.at;
    at[rank - (p.swapped ? 1 : 2)] = Index{b_.CreateAdd(row, number(i)), 0, nullptr};
    at[rank - (p.swapped ? 2 : 1)] = Index{b_.CreateAdd(column, number(v * width_)), 1, nullptr};
    return at;
  };
  std::vector<llvm::AllocaInst*> sums;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t v = 0; v < vectors; ++v) {
      sums.push_back(variable(vector));
      Value* start =
          p.record().in.size() == 3 ? pull(p.frame, p.record().in[2], place(i, v), mask) : literal(p.dtype(), 0);
      b_.CreateStore(start, sums.back());
    }
  // All sums go on by the products of row factors at k and column vectors.
  const auto add = [&](Value* k, const std::vector<Value*>& right) {
    for (std::int64_t i = 0; i < rows; ++i) {
      Value* offset =
          b_.CreateAdd(b_.CreateMul(b_.CreateAdd(row, number(i)), p.left.along), b_.CreateMul(k, p.left.deep));
      Value* x = load(p.left.pointer, p.dtype(), Index{offset, 0, nullptr}, nullptr);
      for (std::int64_t v = 0; v < vectors; ++v) {
        auto* sum = sums[std::size_t(i * vectors + v)];
        Value* next =
            b_.CreateIntrinsic(llvm::Intrinsic::fma, {vector}, {x, right[std::size_t(v)], b_.CreateLoad(vector, sum)});
        b_.CreateStore(next, sum);
      }
    }
  };
  const auto right_at = [&](Value* c, Value* k) {
    return b_.CreateAdd(b_.CreateMul(c, p.right.along), b_.CreateMul(k, p.right.deep));
  };
  Value* squares = p.turned ? b_.CreateAnd(p.depth, number(-width_)) : number(0);
  loop(number(0), squares, number(width_), [&](Value* k) {
    std::vector<Value*> square;
    for (int i = 0; i < width_; ++i) {
      Value* c = b_.CreateAdd(column, number(i));
      if (mask) c = smaller(c, b_.CreateSub(p.columns, number(1)));
      square.push_back(load(p.right.pointer, p.dtype(), Index{right_at(c, k), 1, nullptr}, nullptr));
    }
    turn(b_, square);
    for (int i = 0; i < width_; ++i) add(b_.CreateAdd(k, number(i)), {square[std::size_t(i)]});
  });
  loop(squares, p.depth, number(1), [&](Value* k) {
    std::vector<Value*> right;
    for (std::int64_t v = 0; v < vectors; ++v) {
      Value* c = b_.CreateAdd(column, number(v * width_));
      Index index{right_at(c, k), 1, nullptr};
      if (p.turned)
        index = {nullptr, 0, b_.CreateAdd(b_.CreateMul(positions({c, 1, nullptr}), splat(p.right.along)), splat(k))};
      right.push_back(load(p.right.pointer, p.dtype(), index, mask));
    }
    add(k, right);
  });
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t v = 0; v < vectors; ++v)
      store(pointer_of(p.frame, p.root), p.dtype(), place_in(p.frame, p.root, place(i, v)),
            b_.CreateLoad(vector, sums[std::size_t(i * vectors + v)]), mask);
}

}  // namespace tapeloop
