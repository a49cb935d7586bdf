// Products with a packed right operand: which tiles there are, and the elementwise code that follows on them. A tile that
// is not yet the result lies in a scratch tile, from which the epilogue of the nest reads it row by row.
#include "jit/product.h"

#include <llvm/IR/IRBuilder.h>

#include <array>

namespace tapeloop {

using llvm::Value;
using namespace stride;

namespace {

constexpr std::int64_t kBytesOfRows = 256 * 1024;  // of the left operand, so that they stay in the cache

}  // namespace

Value* Emitter::Product::offset(llvm::IRBuilderBase& b, Value* row, Value* pitch, Value* panel) const {
  return b.CreateAdd(b.CreateMul(row, pitch),
                     b.CreateMul(panel, b.getInt64(std::uint64_t(panels.panel_columns() * size_of(dtype)))));
}

Value* Emitter::Product::to_next_panel(llvm::IRBuilderBase& b, const Term& term, Value* panel) const {
  Value* next = b.CreateAdd(panel, b.getInt64(1));
  next = b.CreateSelect(b.CreateICmpSLT(next, panel_end), next, panel_begin);
  return b.CreateMul(b.CreateSub(next, panel), term.panel_bytes);
}

Value* Emitter::Product::line_ahead(llvm::IRBuilderBase& b, const Term& term, Value* tile, int side_by_side) const {
  const std::int64_t bytes = vector_bytes();
  Value* lines = b.getInt64(std::uint64_t((side_by_side * bytes + kBytesOfLine - 1) / kBytesOfLine));
  Value* line = b.CreateMul(b.CreateURem(tile, lines), b.getInt64(kBytesOfLine));
  Value* k = b.CreateURem(b.CreateUDiv(tile, lines), b.getInt64(kUnrolled));
  return b.CreateAdd(line, b.CreateMul(k, term.get(b, b_depth)));
}

Value* Emitter::Product::Term::get(llvm::IRBuilderBase& builder, Stride which) const {
  return builder.CreateLoad(builder.getInt64Ty(), builder.CreateConstGEP1_64(builder.getInt64Ty(), table, which));
}

void Emitter::Product::Term::set(llvm::IRBuilderBase& builder, Stride which, Value* value) const {
  builder.CreateStore(value, builder.CreateConstGEP1_64(builder.getInt64Ty(), table, which));
}

// What does not change from tile to tile.
void Emitter::begin_product(Product& p, Frame& frame) {
  const std::int64_t size = size_of(p.dtype), bytes = p.vector_bytes();
  width_ = int(p.panels.lanes);
  llvm::Type* vector = lanes(element(p.dtype));
  // Of the last panel a tile may have fewer vectors and more rows.
  int room = 0;
  for (int vectors = int(p.panels.streams); vectors <= p.vectors; vectors += int(p.panels.streams))
    room = std::max(room, vectors * rows_of_tile(target_, p.dtype, vectors));
  p.scratch = variable(llvm::ArrayType::get(vector, std::uint64_t(room)));
  p.vector_pitch = number(p.panels.streams > 1 ? p.panels.columns * size : bytes);
  for (Id id : p.nest.terms) {
    const Record& r = frame[id];
    const Shape &a = frame[r.in[0]].type.shape, &b = frame[r.in[1]].type.shape;
    const bool transpose = r.attrs.flag("transpose_a"), stepped = r.attrs.flag("steps");
    const std::size_t rank = a.size();
    Value* pitch = b_.CreateMul(extent(a[rank - 1]), number(size));
    Value* sums = extent(a[transpose ? rank - 2 : rank - 1]);
    const bool as_it_lies = r.attrs.flag("as_it_lies");
    const std::int64_t row_of_panel = p.panels.vectors() * bytes;
    Value* panel_depth = number(as_it_lies ? p.panels.columns * size : row_of_panel);
    Value* panel_bytes =
        as_it_lies ? number(row_of_panel) : static_cast<Value*>(b_.CreateMul(extent(b[b.size() - 3]), panel_depth));
    Product::Term term{r,
                       variable(llvm::ArrayType::get(b_.getInt64Ty(), strides)),
                       pointer_of(frame, r.in[0]),
                       pointer_of(frame, r.in[1]),
                       panel_bytes,
                       stepped || transpose ? 0 : size,
                       stepped || as_it_lies ? 0 : row_of_panel};
    std::array<Value*, strides> s{};
    for (int i = 1; i < kMostRows; ++i)
      s[std::size_t(a_row + i - 1)] = b_.CreateMul(transpose ? number(size) : pitch, number(i));
    s[a_depth] = transpose ? pitch : number(size);
    s[b_depth] = panel_depth;
    s[a_step] = s[b_step] = number(0);
    s[steps] = number(1);
    s[depth] = sums;
    if (stepped) {
      Value *n = extent(a[0]), *a_bytes = b_.CreateMul(sums, pitch),
            *b_bytes = as_it_lies ? b_.CreateMul(extent(b[1]), panel_depth)
                                  : b_.CreateMul(term.panel_bytes, number(p.panels.count()));
      if (r.attrs.flag("reverse")) {
        Value* before_last = b_.CreateSub(n, number(1));
        term.a = b_.CreateGEP(b_.getInt8Ty(), term.a, b_.CreateMul(before_last, a_bytes));
        term.b = b_.CreateGEP(b_.getInt8Ty(), term.b, b_.CreateMul(before_last, b_bytes));
        a_bytes = b_.CreateNeg(a_bytes);
        b_bytes = b_.CreateNeg(b_bytes);
      }
      // Steps of one row each are one long sum.
      Value* single = b_.CreateICmpEQ(sums, number(1));
      s[a_depth] = b_.CreateSelect(single, a_bytes, s[a_depth]);
      s[b_depth] = b_.CreateSelect(single, b_bytes, s[b_depth]);
      s[depth] = b_.CreateSelect(single, n, sums);
      s[steps] = b_.CreateSelect(single, number(1), n);
      s[a_step] = a_bytes;
      s[b_step] = b_bytes;
    }
    s[in_row] = s[out_row] = number(p.vectors * bytes);
    s[in_vector] = s[out_vector] = number(bytes);
    for (unsigned i = 0; i < strides; ++i) term.set(b_, Stride(i), s[i]);
    p.terms.push_back(term);
  }
  auto* zeros = variable(vector);
  b_.CreateStore(llvm::Constant::getNullValue(vector), zeros);
  p.zeros = zeros;

  const Record& first = frame[p.nest.terms[0]];
  if (first.in.size() == 3 && first.attrs.get<Ints>("starts")[0] == 0 &&
      frame[first.in[2]].type.shape == first.type.shape && frame.plan->stored[first.in[2]] &&
      frame.plan->nest_of[first.in[2]] != nest_) {
    p.start = pointer_of(frame, first.in[2]);
    p.start_pitch = b_.CreateMul(extent(first.type.shape[1]), number(size));
  }
  if (p.nest.writes.size() == 1) {
    const Write& w = p.nest.writes[0];
    const bool whole = w.value == p.nest.terms.back() && w.target == w.value && w.stream < 0 && w.offset.is_number() &&
                       w.offset.value() == 0;
    if (whole) {
      p.out = w.slot >= 0 ? frame.slot[std::size_t(w.slot)] : pointer_of(frame, w.target);
      p.out_pitch = b_.CreateMul(extent(p.last.type.shape[1]), number(size));
    }
  }
}

void Emitter::emit_product(const Nest& nest, Frame& frame) {
  const Record& last = frame[nest.terms.back()];
  const Panels panels(last.attrs);
  Product p{nest, last, panels, last.type.dtype, int(panels.vectors()), {}};
  if (is_small(p, frame)) return emit_small_product(p, frame);
  begin_product(p, frame);
  const std::int64_t whole = panels.whole(), count = panels.count();

  // Threads take rows, so that each finds in its cache what it has computed of them before; where there are few rows, or the
  // rows are those of a transposed operand, they take panels, so that each reads its part of the right operand only.
  const Record& r = p.terms[0].record;
  const Shape& a = frame[r.in[0]].type.shape;
  Value* rows = extent(nest.space[0]);
  Value* by_rows = b_.getInt1(true);
  if (count > 1) by_rows = r.attrs.flag("transpose_a") ? b_.getInt1(false) : shares_rows(rows);
  const auto [first_row, last_row] = share_rows(rows, rows_of_tile(target_, p.dtype, p.vectors));
  const auto [first_panel, last_panel] = share(number(count), 1);
  Value* row_begin = b_.CreateSelect(by_rows, first_row, number(0));
  Value* row_end = b_.CreateSelect(by_rows, last_row, rows);
  Value* panel_begin = p.panel_begin = b_.CreateSelect(by_rows, number(0), first_panel);
  Value* panel_end = p.panel_end = b_.CreateSelect(by_rows, number(count), last_panel);
  // The panels that exist as a whole, and what is left in the last.
  const auto for_panels = [&](const PanelBody& body) {
    if (whole > 0) {
      Value* last_whole = smaller(panel_end, number(whole));
      loop(panel_begin, last_whole, number(1), [&](Value* panel) { body(panel, panels.panel_columns()); });
    }
    if (count > whole)
      if_then(b_.CreateAnd(b_.CreateICmpEQ(panel_end, number(count)), b_.CreateICmpSLT(panel_begin, panel_end)),
              [&] { body(number(whole), panels.columns - whole * panels.panel_columns()); });
  };
  if (p.out && (r.in.size() < 3 || p.start)) return emit_long_product(p, row_begin, row_end, for_panels);
  // As many rows at a time as stay in the cache while all panels pass.
  Value* row_bytes =
      b_.CreateMul(extent(a[a.size() - (r.attrs.flag("transpose_a") ? 2 : 1)]), number(size_of(p.dtype)));
  Value* fits = b_.CreateSDiv(number(kBytesOfRows), larger(row_bytes, number(1)));
  fits = larger(smaller(fits, number(480)), number(48));
  loop(row_begin, row_end, fits, [&](Value* begin) {
    Value* end = smaller(b_.CreateAdd(begin, fits), row_end);
    for_panels([&](Value* panel, std::int64_t valid) { emit_panel(p, frame, panel, valid, begin, end); });
  });
}

// Rows in tiles of nearly equal height: one of a row or two would wait for its own sums.
void Emitter::for_tiles(const Product& p, int vectors, Value* row_begin, Value* row_end, const TileBody& body) {
  const int most = rows_of_tile(target_, p.dtype, vectors);
  Value* rows = b_.CreateSub(row_end, row_begin);
  Value* tiles = ceil_div(rows, number(most));
  Value *height = b_.CreateSDiv(rows, larger(tiles, number(1))),
        *taller = b_.CreateSub(rows, b_.CreateMul(height, tiles));
  loop(number(0), tiles, number(1), [&](Value* i) {
    Value* above = smaller(i, taller);
    Value* row = b_.CreateAdd(row_begin, b_.CreateAdd(b_.CreateMul(i, height), above));
    body(row, b_.CreateAdd(height, b_.CreateZExt(b_.CreateICmpSLT(i, taller), b_.getInt64Ty())), i);
  });
}

// Some rows of one panel, of which `valid` columns of each stream exist.
void Emitter::emit_panel(Product& p, Frame& frame, Value* panel, std::int64_t valid, Value* row_begin, Value* row_end) {
  const std::int64_t used = p.panels.used(valid);
  const int vectors = int(p.panels.streams * used);
  Value *scratch_row = number(vectors * p.vector_bytes()), *scratch_vector = number(p.vector_bytes());
  auto at = [&](Value* base, Value* bytes) { return b_.CreateGEP(b_.getInt8Ty(), base, bytes); };
  const bool full = valid % p.panels.lanes == 0;
  const bool starts = p.terms[0].record.in.size() > 2;
  const bool direct_start = p.start && full;

  for (std::size_t n = 0; n < p.terms.size(); ++n) {
    const Product::Term& term = p.terms[n];
    term.set(b_, out_row, scratch_row);
    term.set(b_, out_vector, scratch_vector);
    const bool zero = n == 0 && !starts;
    term.set(b_, in_row, zero ? number(0) : n == 0 && direct_start ? p.start_pitch : scratch_row);
    term.set(b_, in_vector, zero ? number(0) : n == 0 && direct_start ? p.vector_pitch : scratch_vector);
  }
  for_tiles(p, vectors, row_begin, row_end, [&](Value* row, Value* count, Value* tile) {
    if (starts && !direct_start)
      loop(number(0), count, number(1), [&](Value* i) {
        Value* place = at(p.scratch, b_.CreateMul(i, scratch_row));
        for (Value* start : start_row(p, p.nest.terms[0], frame, b_.CreateAdd(row, i), panel, valid)) {
          b_.CreateAlignedStore(start, place, llvm::Align(p.alignment()));
          place = at(place, scratch_vector);
        }
      });
    for (std::size_t n = 0; n < p.terms.size(); ++n) {
      const Product::Term& term = p.terms[n];
      Value* in = n == 0 && !starts        ? p.zeros
                  : n == 0 && direct_start ? at(p.start, p.offset(b_, row, p.start_pitch, panel))
                                           : p.scratch;
      Value* a = at(term.a, b_.CreateMul(row, term.get(b_, a_row)));
      Value* b = at(term.b, b_.CreateMul(panel, term.panel_bytes));
      Value* ahead = b_.CreateAdd(p.to_next_panel(b_, term, panel), p.line_ahead(b_, term, tile, vectors));
      // The scratch tile has room for all lanes of the last vector: no mask is needed.
      llvm::Function* code =
          tile_function(p.dtype, {.vectors = vectors,
                                  .used = int(used),
                                  .columns = lanes_for(p.panels.lanes, p.panels.columns_in(valid, used - 1)),
                                  .a_depth = term.known_a_depth,
                                  .b_depth = term.known_b_depth});
      b_.CreateCall(code, {term.table, count, a, b, in, p.scratch, ahead, number(0)});
    }
    loop(number(0), count, number(1), [&](Value* i) {
      Value* sums = at(p.scratch, b_.CreateMul(i, scratch_row));
      auto sum = [&](std::int64_t v) {
        Value* place = at(sums, b_.CreateMul(number(v), scratch_vector));
        return b_.CreateAlignedLoad(lanes(element(p.dtype)), place, llvm::Align(p.alignment()));
      };
      finish_row(p, frame, b_.CreateAdd(row, i), sum, panel, valid);
    });
  });
}

// The sums of one vector of a row of a product become at hand.
void Emitter::bring_tile(const Product& p, Id term, const Sums& sums, std::int64_t v, std::int64_t used) {
  tiles_.push_back({term, {}});
  for (std::int64_t s = 0; s < p.panels.streams; ++s) tiles_.back().sums.push_back(sums(s * used + v));
}

const Emitter::Tile* Emitter::tile_of(Id product) const {
  for (const Tile& tile : tiles_)
    if (tile.product == product) return &tile;
  return nullptr;
}

// Where the sums of a row of a product start, vector by vector.
std::vector<Value*> Emitter::start_row(Product& p, Id term, Frame& frame, Value* row, Value* panel, std::int64_t valid,
                                       const Earlier& earlier) {
  std::vector<Value*> sums;
  const Record& r = frame[term];
  const Ints& streams = r.attrs.get<Ints>("starts");
  const std::int64_t used = p.panels.used(valid);
  Value* first_column = b_.CreateMul(panel, number(p.panels.panel_columns()));
  for (std::int64_t s = 0; s < p.panels.streams; ++s) {
    // The start that covers this stream, if any.
    std::size_t which = streams.size();
    std::int64_t inside = 0;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      const std::int64_t count = p.panels.streams_of(frame[r.in[2 + i]].type.shape[1].value());
      if (s < streams[i] || s >= streams[i] + count) continue;
      which = i;
      inside = s - streams[i];
    }
    for (std::int64_t v = 0; v < used; ++v) {
      const std::int64_t columns = p.panels.columns_in(valid, v);
      width_ = lanes_for(p.panels.lanes, columns);
      Value* value = llvm::Constant::getNullValue(lanes(element(p.dtype)));
      if (which < streams.size()) {
        const Index column{b_.CreateAdd(first_column, number(inside * p.panels.columns + p.panels.lanes * v)), 1,
                           nullptr};
        for (const auto& [product, of] : earlier) bring_tile(p, product, of, v, used);
        value = pull(frame, r.in[2 + which], {Index{row, 0, nullptr}, column}, mask_of(b_, width_, columns));
        tiles_.clear();
      }
      sums.push_back(value);
    }
  }
  width_ = int(p.panels.lanes);
  return sums;
}

// Everything that this nest computes of one row of a tile, then its stores.
void Emitter::finish_row(Product& p, Frame& frame, Value* row, const Sums& sum, Value* panel, std::int64_t valid,
                         const Earlier& earlier) {
  const std::int64_t used = p.panels.used(valid);
  Value* first_column = b_.CreateMul(panel, number(p.panels.panel_columns()));
  for (std::int64_t v = 0; v < used; ++v) {
    known_.clear();
    const std::int64_t columns = p.panels.columns_in(valid, v);
    width_ = lanes_for(p.panels.lanes, columns);
    bring_tile(p, p.nest.terms.back(), sum, v, used);
    for (const auto& [product, of] : earlier) bring_tile(p, product, of, v, used);
    Value* mask = mask_of(b_, width_, columns);
    const Index column{b_.CreateAdd(first_column, number(p.panels.lanes * v)), 1, nullptr};
    // A value of steps and rows stands at the step and the row that this row of the product is.
    auto place_of = [&](Id id) -> Indices {
      const Shape& shape = frame[id].type.shape;
      if (shape.size() == 2) return {Index{row, 0, nullptr}, column};
      Value* rows = extent(shape[1]);
      return {Index{b_.CreateSDiv(row, rows), 0, nullptr}, Index{b_.CreateSRem(row, rows), 0, nullptr}, column};
    };
    struct Store {
      const Write* write;
      Indices at;
      Value* value;
    };
    std::vector<Store> stores;
    for (const Write& w : p.nest.writes) {
      const Tile* tile = tile_of(w.value);
      if (!tile) {
        const Indices at = place_of(w.value);
        stores.push_back({&w, at, pull(frame, w.value, at, mask)});
        continue;
      }
      for (std::int64_t s = 0; s < p.panels.streams; ++s) {
        Indices place = place_of(w.value);
        if (s) place[1].base = b_.CreateAdd(place[1].base, number(s * p.panels.columns));
        stores.push_back({&w, place, tile->sums[std::size_t(s)]});
      }
    }
    for (const Store& s : stores) write(frame, *s.write, s.at, s.value, mask);
    tiles_.clear();
  }
  width_ = int(p.panels.lanes);
  known_.clear();
}

}  // namespace tapeloop
