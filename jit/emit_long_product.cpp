// Products that are all that a nest computes: a long sum goes chunk by chunk and is kept in the result in between. As many
// rows as stay in the cache meet all panels in one chunk before the next begins, whose part of the left operand is asked for
// meanwhile: down the columns of a transposed operand no hardware would foresee it. For narrow tiles that part is copied
// together instead.
#include <llvm/IR/IRBuilder.h>

#include "jit/product.h"

namespace tapeloop {

using llvm::Value;
using namespace stride;

namespace {

struct Chunk {
  std::int64_t depth, elements, fewest_rows, most_rows;  // elements of the left operand
};
// In f32 a chunk of the left operand takes a seventh to a fifth of a usual second cache, one of a panel another fifth.
constexpr Chunk kInSecondCache{768, 36 << 10, 72, 480};
// Narrow tiles read so much for each multiply-add that a panel had better come from the first cache: it takes half of that.
constexpr Chunk kInFirstCache{128, 16 << 10, 1, 480};

// The fewest columns of a result for which a chunk of a transposed left operand is copied.
constexpr std::int64_t kColumnsWorthACopy = 128;

}  // namespace

// On the stack of each thread, 70 KB in f32; all products of a program use it one after another.
Value* Emitter::room_for_copy(std::int64_t bytes) {
  llvm::AllocaInst*& room = rooms_[bytes];
  if (!room) {
    room = variable(llvm::ArrayType::get(b_.getInt8Ty(), std::uint64_t(bytes)));
    room->setAlignment(llvm::Align(kBytesOfLine));
  }
  return room;
}

// `lines` lines of `length` elements each.
void Emitter::copy_lines(Dtype dtype, Value* from, Value* from_pitch, Value* to, Value* to_pitch, Value* lines,
                         Value* length) {
  loop(number(0), lines, number(1), [&](Value* i) {
    Value* source = b_.CreateGEP(b_.getInt8Ty(), from, b_.CreateMul(i, from_pitch));
    Value* target = b_.CreateGEP(b_.getInt8Ty(), to, b_.CreateMul(i, to_pitch));
    vector_loop(number(0), length, [&](Value* j, Value* mask) {
      const Index place{j, 1, nullptr};
      store(target, dtype, place, load(source, dtype, place, mask), mask);
    });
  });
}

void Emitter::emit_long_product(const Product& p, Value* row_begin, Value* row_end, const PanelLoop& for_panels) {
  auto at = [&](Value* base, Value* bytes) { return b_.CreateGEP(b_.getInt8Ty(), base, bytes); };
  auto at_least_one = [&](Value* x) { return larger(x, number(1)); };
  // What each of as few parts of nearly equal size has at most, none of them larger than `most`.
  auto equal_part = [&](Value* all, Value* most) { return ceil_div(all, at_least_one(ceil_div(all, most))); };
  const bool starts = p.start != nullptr, narrow = has_few_registers(target_);
  const Chunk chunk = narrow ? kInFirstCache : kInSecondCache;
  const std::int64_t size = size_of(p.dtype);
  Value *rows = b_.CreateSub(row_end, row_begin), *tile_rows = number(rows_of_tile(target_, p.dtype, p.vectors));
  for (std::size_t n = 0; n < p.terms.size(); ++n) {
    const Product::Term& term = p.terms[n];
    auto get = [&](Stride which) { return term.get(b_, which); };
    auto set = [&](Stride which, Value* value) { term.set(b_, which, value); };
    Value *step_count = get(steps), *sums = get(depth), *row_bytes = get(a_row);
    Value *a_bytes = get(a_depth), *b_bytes = get(b_depth), *a_step_bytes = get(a_step), *b_step_bytes = get(b_step);
    // Chunks of nearly equal depth.
    Value* depth_at_once = at_least_one(equal_part(sums, number(chunk.depth)));
    Value* steps_at_once = at_least_one(b_.CreateSDiv(number(chunk.depth), at_least_one(sums)));
    // Parts of nearly as many rows each, in whole tiles.
    Value* depth_of_chunk = b_.CreateMul(depth_at_once, smaller(step_count, steps_at_once));
    Value* fits = b_.CreateSDiv(number(chunk.elements), at_least_one(depth_of_chunk));
    fits = larger(smaller(fits, number(chunk.most_rows)), number(chunk.fewest_rows));
    Value* rows_at_once = at_least_one(b_.CreateMul(ceil_div(equal_part(rows, fits), tile_rows), tile_rows));
    // The rows of one k of a transposed operand are a line or two, far from those of the next k: where tiles are narrow, each
    // of many would fetch them again. A chunk is copied together once.
    const bool copies =
        narrow && term.record.attrs.flag("transpose_a") && p.panels.streams * p.panels.columns >= kColumnsWorthACopy;
    Value* copy = nullptr;
    if (copies) copy = room_for_copy((chunk.elements + kMostRows * chunk.depth) * size);
    Value* copy_pitch = b_.CreateMul(rows_at_once, number(size));
    set(out_row, p.out_pitch);
    set(out_vector, p.vector_pitch);
    loop(row_begin, row_end, rows_at_once, [&](Value* begin) {
      Value* end = smaller(b_.CreateAdd(begin, rows_at_once), row_end);
      // A sum of nothing is one chunk of depth zero, which writes the start.
      loop(number(0), at_least_one(step_count), steps_at_once, [&](Value* s) {
        set(steps, smaller(b_.CreateSub(step_count, s), steps_at_once));
        loop(number(0), at_least_one(sums), depth_at_once, [&](Value* k) {
          set(depth, smaller(b_.CreateSub(sums, k), depth_at_once));
          Value* begins = n == 0 ? b_.CreateICmpEQ(b_.CreateOr(s, k), number(0)) : static_cast<Value*>(b_.getFalse());
          set(in_row, b_.CreateSelect(begins, starts ? p.start_pitch : number(0), p.out_pitch));
          set(in_vector, b_.CreateSelect(begins, starts ? p.vector_pitch : number(0), p.vector_pitch));
          Value* a = at(term.a, b_.CreateAdd(b_.CreateMul(s, a_step_bytes), b_.CreateMul(k, a_bytes)));
          Value* b = at(term.b, b_.CreateAdd(b_.CreateMul(s, b_step_bytes), b_.CreateMul(k, b_bytes)));
          if (copies) {
            Value *before = b_.CreateMul(begin, number(size)), *step_bytes = b_.CreateMul(get(depth), copy_pitch);
            // None for a thread that has no panels.
            Value* has_panels = b_.CreateICmpSLT(p.panel_begin, p.panel_end);
            loop(number(0), b_.CreateSelect(has_panels, get(steps), number(0)), number(1), [&](Value* step) {
              copy_lines(p.dtype, at(at(a, before), b_.CreateMul(step, a_step_bytes)), a_bytes,
                         at(copy, b_.CreateMul(step, step_bytes)), copy_pitch, get(depth), b_.CreateSub(end, begin));
            });
            set(a_depth, copy_pitch);
            set(a_step, step_bytes);
            a = at(copy, b_.CreateNeg(before));
          }
          // In bytes, to the next chunk: further in the sum, or among the steps; after the last, to the first of the next rows.
          Value* is_last_depth = b_.CreateICmpSGE(b_.CreateAdd(k, depth_at_once), sums);
          Value* is_last = b_.CreateAnd(is_last_depth, b_.CreateICmpSGE(b_.CreateAdd(s, steps_at_once), step_count));
          auto to_next_chunk = [&](Value* depth_bytes, Value* step_bytes, Value* to_next_rows) {
            Value* here = b_.CreateMul(k, depth_bytes);
            Value* first = b_.CreateSub(to_next_rows, b_.CreateAdd(here, b_.CreateMul(s, step_bytes)));
            Value* later = b_.CreateSub(b_.CreateMul(steps_at_once, step_bytes), here);
            Value* deeper = b_.CreateMul(depth_at_once, depth_bytes);
            return b_.CreateSelect(is_last, first, b_.CreateSelect(is_last_depth, later, deeper));
          };
          Value* a_ahead =
              copies ? number(0) : to_next_chunk(a_bytes, a_step_bytes, b_.CreateMul(rows_at_once, row_bytes));
          Value* b_ahead = to_next_chunk(b_bytes, b_step_bytes, number(0));
          for_panels([&](Value* panel, std::int64_t valid) {
            const std::int64_t used = p.panels.used(valid);
            const int vectors = int(p.panels.streams * used);
            llvm::Function* code = tile_function(p.dtype, {.vectors = vectors,
                                                           .used = int(used),
                                                           .columns = int(p.panels.columns_in(valid, used - 1)),
                                                           .a_depth = term.known_a_depth,
                                                           .b_depth = term.known_b_depth});
            Value* right = at(b, b_.CreateMul(panel, term.panel_bytes));
            // Every panel asks for another k of what comes of the left operand.
            Value* k_of_line = b_.CreateURem(panel, number(kUnrolled));
            Value* is_last_panel = b_.CreateICmpSGE(b_.CreateAdd(panel, number(1)), p.panel_end);
            Value* ahead =
                b_.CreateAdd(p.to_next_panel(b_, term, panel), b_.CreateSelect(is_last_panel, b_ahead, number(0)));
            for_tiles(p, vectors, begin, end, [&](Value* row, Value* count, Value* tile) {
              Value* out = at(p.out, p.offset(b_, row, p.out_pitch, panel));
              Value* start = starts ? at(p.start, p.offset(b_, row, p.start_pitch, panel)) : p.zeros;
              Value* in = b_.CreateSelect(begins, start, out);
              // Where the next tile starts, most likely.
              loop(count, b_.CreateMul(count, number(2)), number(1), [&](Value* i) {
                Value* next = at(in, b_.CreateMul(i, get(in_row)));
                // Vectors that are neighbours may share a line.
                const int each = p.panels.streams > 1 ? 1 : std::max(1, int(kBytesOfLine / p.vector_bytes()));
                for (int v = 0; v < vectors; v += each)
                  ask_for(b_, at(next, b_.CreateMul(get(in_vector), number(v))), Near::second);
              });
              b_.CreateCall(code, {term.table, count, at(a, b_.CreateMul(row, row_bytes)), right, in, out,
                                   b_.CreateAdd(ahead, p.line_ahead(b_, term, tile, vectors)),
                                   b_.CreateAdd(a_ahead, b_.CreateMul(k_of_line, get(a_depth)))});
            });
          });
        });
      });
    });
    set(steps, step_count);
    set(depth, sums);
    set(a_depth, a_bytes);
    set(a_step, a_step_bytes);
  }
}

}  // namespace tapeloop
