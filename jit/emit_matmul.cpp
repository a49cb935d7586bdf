// Matrix products: a tile of accumulators in registers, the elementwise code that follows computed on it before anything
// is stored.
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include "jit/emit.h"
#include "jit/lower.h"
#include "ops/matmul.h"

namespace tapeloop {

using llvm::Value;

namespace {

Value* fma(llvm::IRBuilderBase& b, Value* x, Value* y, Value* z) { return b.CreateIntrinsic(llvm::Intrinsic::fma, {x->getType()}, {x, y, z}); }

}  // namespace

void Emitter::emit_matmul(const Nest& nest, Frame& frame) {
  if (frame[nest.root].op == &packed_matmul_op) return emit_packed(nest, frame);
  // Products with leading axes: one vector of columns at a time.
  const Record& r = frame[nest.root];
  const Shape &a = frame[r.in[0]].type.shape, &b = frame[r.in[1]].type.shape;
  const bool ta = r.attrs.flag("transpose_a"), tb = r.attrs.flag("transpose_b");
  const std::size_t rank = r.type.shape.size();
  const Dtype dtype = r.type.dtype;
  Value* a_pointer = pointer_of(frame, r.in[0]);
  Value* b_pointer = pointer_of(frame, r.in[1]);
  Indices at(rank);
  std::function<void(std::size_t)> walk = [&](std::size_t axis) {
    Value *begin = number(0), *end = extent(r.type.shape[axis]);
    if (axis == 0) std::tie(begin, end) = share(end, 1);
    if (axis + 1 < rank)
      return loop(begin, end, number(1), [&](Value* i) {
        at[axis] = Index{i, 0, nullptr};
        walk(axis + 1);
      });
    vector_loop(begin, end, [&](Value* j, Value* mask) {
      at[axis] = Index{j, 1, nullptr};
      auto* sum = variable(lanes(element(dtype)));
      b_.CreateStore(r.in.size() == 3 ? pull(frame, r.in[2], at, mask) : literal(dtype, 0), sum);
      loop(number(0), extent(a[ta ? rank - 2 : rank - 1]), number(1), [&](Value* k) {
        Indices place_a(at), place_b(at);
        const Index inner{k, 0, nullptr};
        place_a[rank - 2] = ta ? inner : at[rank - 2];
        place_a[rank - 1] = ta ? at[rank - 2] : inner;
        place_b[rank - 2] = tb ? at[rank - 1] : inner;
        place_b[rank - 1] = tb ? inner : at[rank - 1];
        Value* x = load(a_pointer, dtype, linear(a, place_a), nullptr);
        Value* y = load(b_pointer, dtype, linear(b, place_b), mask);
        b_.CreateStore(fma(b_, x, y, b_.CreateLoad(lanes(element(dtype)), sum)), sum);
      });
      store(pointer_of(frame, nest.root), dtype, linear(r.type.shape, at), b_.CreateLoad(lanes(element(dtype)), sum), mask);
    });
  };
  walk(0);
}

void Emitter::emit_packed(const Nest& nest, Frame& frame) {
  const Record& first = frame[nest.root];
  const std::int64_t panel_columns = first.attrs.integer("width") * 16, columns = nest.space[1].value();
  const std::int64_t whole = columns / panel_columns, panels = (columns + panel_columns - 1) / panel_columns;
  int vectors = 0;
  for (Id id : nest.matmuls) vectors += frame[id].attrs.integer("streams") * frame[id].attrs.integer("width");
  // Accumulators fill the registers but for a few that hold operands.
  const int per_vector = 16 * size_of(first.type.dtype) / target_.vector_bytes;
  const int budget = target_.vector_registers >= 32 ? 24 : 12;
  const int rows = std::clamp(budget / (vectors * per_vector), 1, 6);

  Value* m = extent(nest.space[0]);
  // Threads take panels; where there is one panel only, rows.
  Value *row_begin = number(0), *row_end = m, *panel_begin = number(0), *panel_end = number(panels);
  if (panels > 1)
    std::tie(panel_begin, panel_end) = share(number(panels), 1);
  else
    std::tie(row_begin, row_end) = share(m, rows);

  auto all_rows = [&](Value* panel, std::int64_t valid) {
    Value* blocks_end = b_.CreateAdd(row_begin, b_.CreateMul(b_.CreateSDiv(b_.CreateSub(row_end, row_begin), number(rows)), number(rows)));
    if (rows > 1) loop(row_begin, blocks_end, number(rows), [&](Value* row) { emit_tile(nest, frame, row, rows, panel, valid); });
    loop(rows > 1 ? blocks_end : row_begin, row_end, number(1), [&](Value* row) { emit_tile(nest, frame, row, 1, panel, valid); });
  };
  if (whole > 0) {
    Value* end = b_.CreateSelect(b_.CreateICmpSLT(panel_end, number(whole)), panel_end, number(whole));
    loop(panel_begin, end, number(1), [&](Value* panel) { all_rows(panel, panel_columns); });
  }
  if (panels > whole)
    if_then(b_.CreateICmpEQ(panel_end, number(panels)), [&] { 
      if_then(b_.CreateICmpSLT(panel_begin, panel_end), [&] { all_rows(number(whole), columns - whole * panel_columns); });
    });
}

// `rows` rows of one panel, of which `valid` columns of each stream exist.
void Emitter::emit_tile(const Nest& nest, Frame& frame, Value* row, int rows, Value* panel, std::int64_t valid) {
  const Record& first = frame[nest.root];
  const Dtype dtype = first.type.dtype;
  const int width = first.attrs.integer("width");
  const std::int64_t columns = nest.space[1].value();
  llvm::Type* vector = lanes(element(dtype));
  auto mask_of = [&](int v) -> Value* {
    const std::int64_t left = valid - 16 * v;
    if (left >= 16) return nullptr;
    std::vector<llvm::Constant*> bits;
    for (std::int64_t i = 0; i < 16; ++i) bits.push_back(b_.getInt1(i < left));
    return llvm::ConstantVector::get(bits);
  };
  std::vector<Value*> row_of, first_column;
  for (int i = 0; i < rows; ++i) row_of.push_back(b_.CreateAdd(row, number(i)));
  for (int v = 0; v < width; ++v) first_column.push_back(b_.CreateAdd(b_.CreateMul(panel, number(width * 16)), number(16 * v)));

  struct Sum {
    Id id;
    int stream, v;
    std::vector<llvm::AllocaInst*> rows;
  };
  std::vector<Sum> sums;
  for (Id id : nest.matmuls) {
    const Record& r = frame[id];
    for (int s = 0; s < r.attrs.integer("streams"); ++s)
      for (int v = 0; v < width; ++v) {
        Sum sum{id, s, v, {}};
        for (int i = 0; i < rows; ++i) {
          auto* place = variable(vector);
          Value* start = literal(dtype, 0);
          if (r.in.size() == 3) {
            const Indices at{Index{row_of[std::size_t(i)], 0, nullptr},
                             Index{b_.CreateAdd(first_column[std::size_t(v)], number(s * columns)), 1, nullptr}};
            start = pull(frame, r.in[2], at, mask_of(v));
          }
          b_.CreateStore(start, place);
          sum.rows.push_back(place);
        }
        sums.push_back(std::move(sum));
      }
  }

  const bool transpose = first.attrs.flag("transpose_a");
  const Shape& a = frame[first.in[0]].type.shape;
  Value *depth = extent(a[transpose ? 0 : 1]), *pitch = extent(a[1]);
  Value* a_pointer = pointer_of(frame, first.in[0]);
  std::vector<Value*> panels;
  for (Id id : nest.matmuls) {
    const std::int64_t row_of_panel = frame[id].attrs.integer("streams") * width * 16;
    panels.push_back(b_.CreateGEP(element(dtype), pointer_of(frame, frame[id].in[1]), b_.CreateMul(b_.CreateMul(panel, depth), number(row_of_panel))));
  }
  loop(number(0), depth, number(1), [&](Value* k) {
    std::vector<Value*> x;
    for (int i = 0; i < rows; ++i) {
      Value* place = transpose ? b_.CreateAdd(b_.CreateMul(k, pitch), row_of[std::size_t(i)])
                               : b_.CreateAdd(b_.CreateMul(row_of[std::size_t(i)], pitch), k);
      x.push_back(splat(b_.CreateLoad(element(dtype), b_.CreateGEP(element(dtype), a_pointer, place))));
    }
    std::size_t product = 0;
    int position = 0;
    for (const Sum& sum : sums) {
      if (sum.id != nest.matmuls[product]) {
        ++product;
        position = 0;
      }
      const std::int64_t row_of_panel = frame[sum.id].attrs.integer("streams") * width * 16;
      Value* place = b_.CreateAdd(b_.CreateMul(k, number(row_of_panel)), number(16 * position++));
      Value* y = b_.CreateAlignedLoad(vector, b_.CreateGEP(element(dtype), panels[product], place), llvm::Align(64));
      for (int i = 0; i < rows; ++i) {
        auto* total = sum.rows[std::size_t(i)];
        b_.CreateStore(fma(b_, x[std::size_t(i)], y, b_.CreateLoad(vector, total)), total);
      }
    }
  });

  // Everything of a row that this nest computes, then its stores.
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < width; ++v) {
      known_.clear();
      tile_.nest = &nest;
      tile_.vector = v;
      tile_.sums.clear();
      for (const Sum& sum : sums)
        if (sum.v == v) tile_.sums[{sum.id, sum.stream, v}] = b_.CreateLoad(vector, sum.rows[std::size_t(i)]);
      const Indices at{Index{row_of[std::size_t(i)], 0, nullptr}, Index{first_column[std::size_t(v)], 1, nullptr}};
      struct Store {
        const Write* write;
        Indices at;
        Value* value;
      };
      std::vector<Store> stores;
      for (const Write& w : nest.writes) {
        const Record& r = frame[w.value];
        if (r.op == &packed_matmul_op) {
          for (int s = 0; s < r.attrs.integer("streams"); ++s) {
            Indices place = at;
            if (s) place[1].base = b_.CreateAdd(place[1].base, number(s * columns));
            stores.push_back({&w, place, tile_.sums.at({w.value, s, v})});
          }
        } else {
          stores.push_back({&w, at, pull(frame, w.value, at, mask_of(v))});
        }
      }
      for (const Store& s : stores) write(frame, *s.write, s.at, s.value, mask_of(v));
      tile_.nest = nullptr;
    }
  }
  known_.clear();
}

}  // namespace tapeloop
