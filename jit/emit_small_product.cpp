// Products of so few rows that one tile holds them all, with extents that are numbers: what a program for one time step of
// one stream is made of. Calls and tables of strides would take longer than the sums, so these are taken in place, several
// panels side by side (a sum waits for the one before it, other sums need not), and what follows goes on in registers.
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include "jit/passes.h"
#include "jit/product.h"

namespace tapeloop {

using llvm::Value;

namespace {
// About what stays from one step to the next, in the nearest cache and in the one behind it.
constexpr std::int64_t kBytesNearby = 32 << 10, kBytesOfCache = 512 << 10;
}  // namespace

bool Emitter::is_small(const Product& p, const Frame& frame) const {
  const Extent& rows = p.nest.space[0];
  if (!runs(Pass::small_products)) return false;
  if (!rows.is_number() || rows.value() < 1 || rows.value() > rows_of_tile(target_, p.dtype, p.vectors)) return false;
  for (Id id : p.nest.terms) {
    const Record& r = frame[id];
    const Shape& a = frame[r.in[0]].type.shape;
    if (r.attrs.flag("transpose_a") || r.attrs.flag("steps") || !a[1].is_number()) return false;
  }
  return true;
}

void Emitter::emit_small_product(Product& p, Frame& frame) {
  const std::int64_t room = rows_of_tile(target_, p.dtype, p.vectors) / p.nest.space[0].value();
  std::int64_t bytes = 0;
  for (Id id : p.nest.terms) bytes += tapeloop::bytes_of(frame[frame[id].in[1]].type);
  // In a loop, an operand that the cache does not hold is walked to and fro: what was read last is still there. For the
  // nearest cache that takes groups of which it holds one.
  const bool turns = step_ && runs(Pass::to_and_fro);
  const bool by_two = turns && bytes > kBytesNearby && 2 * bytes <= kBytesNearby * p.panels.count();
  const bool to_and_fro = by_two || (turns && bytes > kBytesOfCache);
  const std::int64_t most = std::clamp<std::int64_t>(room, 1, by_two ? 2 : 4);
  // Several threads take a group each, where a group is worth a meeting; a thread alone has as many sums side by side as fit.
  const std::int64_t fewer = std::clamp<std::int64_t>(p.panels.alike() / 4, 1, most);
  auto emit = [&](std::int64_t panels) { emit_small_groups(p, frame, panels, to_and_fro); };
  if (llvm::isa<llvm::Constant>(threads_) || bytes <= kBytesNearby || fewer == most) return emit(most);
  if_else(b_.CreateICmpEQ(threads_, number(1)), [&] { emit(most); }, [&] { emit(fewer); });
}

// In groups of nearly equal size, of up to `most` panels. The last panel goes along with others where it has as many vectors
// as they: alone it would wait for its own sums.
void Emitter::emit_small_groups(Product& p, Frame& frame, std::int64_t most, bool to_and_fro) {
  const Panels& panels = p.panels;
  const std::int64_t full = panels.panel_columns(), whole = panels.whole(), left = panels.columns - whole * full;
  const std::int64_t count = panels.alike();
  const bool joins = count > whole;
  const std::int64_t groups = (count + most - 1) / most, size = groups > 0 ? (count + groups - 1) / groups : 1;
  const std::int64_t equal = whole / size, rest = count - equal * size;
  const auto mine = share(number(equal + (rest > 0) + (left > 0 && !joins)), 1);
  Value *const begin = mine.first, *const end = mine.second;
  Value* end_of_equal = smaller(end, number(equal));
  loop(begin, end_of_equal, number(1), [&](Value* group) {
    if (to_and_fro) {
      Value* back = b_.CreateSub(b_.CreateAdd(begin, end_of_equal), b_.CreateAdd(group, number(1)));
      group = b_.CreateSelect(b_.CreateTrunc(step_, b_.getInt1Ty()), back, group);
    }
    emit_small_panels(p, frame, b_.CreateMul(group, number(size)), size, full);
  });
  auto last = [&](std::int64_t group, std::int64_t first, std::int64_t length, std::int64_t valid) {
    if_then(b_.CreateAnd(b_.CreateICmpSGT(end, number(group)), b_.CreateICmpSLE(begin, number(group))),
            [&] { emit_small_panels(p, frame, number(first), length, valid); });
  };
  if (rest > 0) last(equal, equal * size, rest, joins ? left : full);
  if (left > 0 && !joins) last(equal + (rest > 0), whole, 1, left);
}

// All rows of some panels from `panel` on, the last with `valid` columns of every stream, and no vector less than the others.
void Emitter::emit_small_panels(Product& p, Frame& frame, Value* panel, std::int64_t panels, std::int64_t valid) {
  const std::int64_t rows = p.nest.space[0].value(), size = size_of(p.dtype), vector_bytes = p.vector_bytes();
  const std::int64_t vectors = p.panels.streams * p.panels.used(valid);
  auto at = [&](Value* base, std::int64_t bytes) {
    return b_.CreateConstGEP1_64(b_.getInt8Ty(), base, std::uint64_t(bytes));
  };
  auto panel_at = [&](std::int64_t i) { return b_.CreateAdd(panel, number(i)); };

  auto valid_of = [&](std::int64_t i) { return i + 1 < panels ? p.panels.panel_columns() : valid; };
  auto lanes_of = [&](std::int64_t i, std::int64_t v) {
    return lanes_for(p.panels.lanes, p.panels.columns_in(valid_of(i), v % p.panels.used(valid)));
  };
  auto vector_at = [&](std::int64_t i, std::int64_t v) {
    return llvm::FixedVectorType::get(element(p.dtype), unsigned(lanes_of(i, v)));
  };
  std::vector<Value*> sums;                               // [row][panel][vector]
  std::vector<std::pair<Id, std::vector<Value*>>> whole;  // of products that are complete while others are computed
  auto earlier = [&](std::int64_t row, std::int64_t i) {
    Earlier list;
    for (const auto& [id, all] : whole)
      list.emplace_back(
          id, [&all, first = (row * panels + i) * vectors](std::int64_t v) { return all[std::size_t(first + v)]; });
    return list;
  };
  for (std::size_t n = 0; n < p.nest.terms.size(); ++n) {
    const Id id = p.nest.terms[n];
    const Record& r = frame[id];
    const bool goes_on = n > 0 && r.in.size() == 3 && r.in[2] == p.nest.terms[n - 1];
    if (!goes_on) {
      if (n > 0) whole.emplace_back(p.nest.terms[n - 1], std::move(sums));
      sums.clear();
    }
    for (std::int64_t row = 0; row < rows && !goes_on; ++row)
      for (std::int64_t i = 0; i < panels; ++i) {
        std::vector<Value*> start;
        for (std::int64_t v = 0; v < vectors; ++v) start.push_back(llvm::Constant::getNullValue(vector_at(i, v)));
        if (r.in.size() > 2) start = start_row(p, id, frame, number(row), panel_at(i), valid_of(i), earlier(row, i));
        sums.insert(sums.end(), start.begin(), start.end());
      }
    const std::int64_t depth = frame[r.in[0]].type.shape[1].value(), step = p.panels.vectors() * vector_bytes;
    Value* left = pointer_of(frame, r.in[0]);
    Value* right = pointer_of(frame, r.in[1]);
    right = b_.CreateGEP(b_.getInt8Ty(), right, b_.CreateMul(panel, number(depth * step)));
    std::int64_t at_once = 4;
    while (depth % at_once != 0) at_once /= 2;
    // What goes from turn to turn: sums, and places. Were these computed from `k`, they would be two registers in every
    // multiply-add, which then counts twice where instructions are taken in.
    std::vector<std::pair<llvm::PHINode*, Value*>> carried;
    auto* before = b_.GetInsertBlock();
    loop(number(0), number(depth), number(at_once), [&](Value*) {
      auto carry = [&](Value*& x) {
        auto* phi = b_.CreatePHI(x->getType(), 2);
        phi->addIncoming(x, before);
        x = phi;
        return phi;
      };
      const bool looped = depth > at_once;
      Value *left_k = left, *right_k = right;
      if (looped) {
        for (Value*& sum : sums) carried.emplace_back(carry(sum), nullptr);
        auto *left_phi = carry(left_k), *right_phi = carry(right_k);
        carried.emplace_back(left_phi, at(left_k, at_once * size));
        carried.emplace_back(right_phi, at(right_k, at_once * step));
      }
      for (std::int64_t u = 0; u < at_once; ++u) {
        // Of each row, in as many lanes as are asked for.
        std::vector<Value*> x, whole_x(std::size_t(rows), nullptr);
        for (std::int64_t row = 0; row < rows; ++row)
          x.push_back(b_.CreateLoad(element(p.dtype), at(left_k, (row * depth + u) * size)));
        auto x_in = [&](std::int64_t row, int lanes) {
          Value*& all = whole_x[std::size_t(row)];
          if (!all && lanes == p.panels.lanes) all = spread(b_, x[std::size_t(row)], lanes, nullptr);
          return lanes == p.panels.lanes ? all : spread(b_, x[std::size_t(row)], lanes, all);
        };
        for (std::int64_t i = 0; i < panels; ++i)
          for (std::int64_t v = 0; v < vectors; ++v) {
            llvm::Type* vector = vector_at(i, v);
            Value* y = b_.CreateAlignedLoad(vector, at(right_k, i * depth * step + u * step + v * vector_bytes),
                                            llvm::Align(p.alignment()));
            for (std::int64_t row = 0; row < rows; ++row) {
              Value*& sum = sums[std::size_t((row * panels + i) * vectors + v)];
              sum = b_.CreateIntrinsic(llvm::Intrinsic::fma, {vector}, {x_in(row, lanes_of(i, v)), y, sum});
            }
          }
      }
      for (std::size_t i = 0; i < carried.size(); ++i)
        carried[i].first->addIncoming(i < sums.size() ? sums[i] : carried[i].second, b_.GetInsertBlock());
    });
  }

  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 0; i < panels; ++i) {
      auto sum = [&](std::int64_t v) { return sums[std::size_t((row * panels + i) * vectors + v)]; };
      finish_row(p, frame, number(row), sum, panel_at(i), valid_of(i), earlier(row, i));
    }
}

}  // namespace tapeloop
