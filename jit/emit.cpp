#include "jit/emit.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "jit/engine.h"
#include "jit/pack.h"
#include "jit/tile.h"
#include "ops/index.h"
#include "ops/reduce.h"
#include "ops/while_loop.h"

namespace tapeloop {

using llvm::Value;

Emitter::Emitter(llvm::IRBuilderBase& builder, llvm::Function* function, const Target& target, Threads threads)
    : b_(builder), function_(function), target_(target) {
  entry_ = llvm::BasicBlock::Create(b_.getContext(), "entry", function_);
  llvm::BasicBlock* first = llvm::BasicBlock::Create(b_.getContext(), "body", function_);
  llvm::BranchInst::Create(first, entry_);
  b_.SetInsertPoint(first);
  thread_ = threads == Threads::one ? number(0) : function_->getArg(3);
  threads_ = threads == Threads::one ? number(1) : function_->getArg(4);
  worker_ = thread_;
  workers_ = threads_;
}

// --- small pieces ------------------------------------------------------------------------------------------------------------

Value* Emitter::number(std::int64_t value) { return b_.getInt64(std::uint64_t(value)); }
Value* Emitter::smaller(Value* x, Value* y) { return b_.CreateSelect(b_.CreateICmpSLT(x, y), x, y); }
Value* Emitter::larger(Value* x, Value* y) { return b_.CreateSelect(b_.CreateICmpSGT(x, y), x, y); }
Value* Emitter::ceil_div(Value* x, Value* y) { return b_.CreateSDiv(b_.CreateAdd(x, b_.CreateSub(y, number(1))), y); }

// Loaded once, where the function begins; what depends on the size of a block is worked out where it is needed.
Value* Emitter::extent(const Extent& e) {
  if (e.is_number()) return number(e.value());
  if (Value* value = bound_extent(e)) return value;
  for (std::size_t i = 0; i < layout_.extents.size(); ++i)
    if (layout_.extents[i] == e) return extent_values_[i];
  llvm::IRBuilder<> b(entry_->getTerminator());
  Value* address = b.CreateConstGEP1_64(b.getInt64Ty(), function_->getArg(1), layout_.extents.size());
  layout_.extents.push_back(e.resolved());
  extent_values_.push_back(b.CreateLoad(b.getInt64Ty(), address));
  return extent_values_.back();
}

// Null when no extent that a loop has bound takes part.
Value* Emitter::bound_extent(const Extent& e) {
  const tapeloop::Symbol* symbol = e.symbol();
  if (!symbol) return nullptr;
  for (const auto& [name, value] : bound_)
    if (name == symbol) return value;
  if (!symbol->form || (!bound_extent(symbol->a) && !bound_extent(symbol->b))) return nullptr;
  Value *a = extent(symbol->a), *b = extent(symbol->b);
  switch (*symbol->form) {
    case Extent::Form::add:
      return b_.CreateAdd(a, b);
    case Extent::Form::sub:
      return b_.CreateSub(a, b);
    case Extent::Form::mul:
      return b_.CreateMul(a, b);
    case Extent::Form::div:
      return b_.CreateSDiv(a, b);
    case Extent::Form::mod:
      return b_.CreateSRem(a, b);
    case Extent::Form::min:
      return smaller(a, b);
    default:
      return larger(a, b);
  }
}

Value* Emitter::memory(const MemoryEntry& entry, int* index) {
  llvm::IRBuilder<> b(entry_->getTerminator());
  if (index) *index = int(layout_.memory.size());
  Value* address = b.CreateConstGEP1_64(b.getPtrTy(), function_->getArg(0), layout_.memory.size());
  layout_.memory.push_back(entry);
  return b.CreateLoad(b.getPtrTy(), address);
}

llvm::AllocaInst* Emitter::variable(llvm::Type* type) {
  return llvm::IRBuilder<>(entry_, entry_->begin()).CreateAlloca(type);
}

// A place in the arena, and its number in the memory table.
std::pair<Value*, int> Emitter::arena(const Type& type) {
  int index = 0;
  Value* place = memory({MemoryEntry::Kind::arena, 0, type, {}, now_, now_}, &index);
  return {place, index};
}

void Emitter::allocate(Frame& frame, Id id) {
  const auto [place, entry] = arena(frame[id].type);
  frame.pointer[id] = place;
  frame.entries[id] = {entry};
}

// What a record lies in lives on.
void Emitter::touch(const Frame& frame, Id id) {
  for (int entry : frame.entries[frame.plan->alias_of[id].owner]) layout_.memory[std::size_t(entry)].last = now_;
}

Value* Emitter::pointer_of(Frame& frame, Id id) {
  const Alias& alias = frame.plan->alias_of[id];
  if (!frame.pointer[alias.owner]) {
    const int slot = frame.plan->slot_of[alias.owner];
    if (slot >= 0)
      frame.pointer[alias.owner] = frame.slot[std::size_t(slot)];
    else
      allocate(frame, alias.owner);
  }
  touch(frame, id);
  if (alias.offset.is_number() && alias.offset.value() == 0) return frame.pointer[alias.owner];
  return b_.CreateGEP(element(frame[id].type.dtype), frame.pointer[alias.owner], extent(alias.offset));
}

void Emitter::loop(Value* begin, Value* end, Value* step, const Body& body) {
  auto number_of = [](Value* value) { return llvm::dyn_cast<llvm::ConstantInt>(value); };
  auto *first = number_of(begin), *last = number_of(end), *by = number_of(step);
  if (first && last && first->getSExtValue() >= last->getSExtValue()) return;
  if (first && last && by && first->getSExtValue() + by->getSExtValue() >= last->getSExtValue()) return body(begin);
  auto* before = b_.GetInsertBlock();
  auto* block = llvm::BasicBlock::Create(b_.getContext(), "loop", function_);
  auto* after = llvm::BasicBlock::Create(b_.getContext(), "done", function_);
  if (first && last)
    b_.CreateBr(block);  // so that what the body computes is known after the loop
  else
    b_.CreateCondBr(b_.CreateICmpSLT(begin, end), block, after);
  b_.SetInsertPoint(block);
  auto* i = b_.CreatePHI(b_.getInt64Ty(), 2);
  i->addIncoming(begin, before);
  known_.clear();
  body(i);
  Value* next = b_.CreateAdd(i, step, "", true, true);
  i->addIncoming(next, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpSLT(next, end), block, after);
  b_.SetInsertPoint(after);
  known_.clear();
}

void Emitter::if_then(Value* condition, const std::function<void()>& body) {
  if (auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition)) {
    if (known->isOne()) body();
    return;
  }
  auto* block = llvm::BasicBlock::Create(b_.getContext(), "then", function_);
  auto* after = llvm::BasicBlock::Create(b_.getContext(), "endif", function_);
  b_.CreateCondBr(condition, block, after);
  b_.SetInsertPoint(block);
  known_.clear();
  body();
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
  known_.clear();
}

// Whole vectors first, then what is left under a mask.
void Emitter::vector_loop(Value* begin, Value* end, const std::function<void(Value*, Value*)>& body) {
  if (width_ == 1) return loop(begin, end, number(1), [&](Value* i) { body(i, nullptr); });
  Value* whole = b_.CreateAdd(begin, b_.CreateAnd(b_.CreateSub(end, begin), number(-width_)));
  loop(begin, whole, number(width_), [&](Value* i) { body(i, nullptr); });
  auto* constant = llvm::dyn_cast<llvm::ConstantInt>(b_.CreateSub(end, whole));
  if (constant && constant->isZero()) return;
  if_then(b_.CreateICmpSLT(whole, end), [&] {
    Value* mask = b_.CreateICmpSLT(positions(Index{whole, 1, nullptr}), splat(end));
    body(whole, mask);
  });
}

// The lines of `shape` along `axis`, which threads share, one at a time; or, where the last axis is another one, as many
// side by side as a vector has lanes. `at` tells which, `body` gets the mask of a vector that is not full.
void Emitter::for_lines(const Shape& shape, std::size_t axis, bool in_vectors, Indices& at, const Body& body) {
  bool shared = false;
  std::function<void(std::size_t)> walk = [&](std::size_t a) {
    if (a == shape.size()) return body(nullptr);
    if (a == axis) return walk(a + 1);
    Value *begin = number(0), *end = extent(shape[a]);
    const bool last = in_vectors && a + 1 == shape.size();
    if (!shared) std::tie(begin, end) = share(end, last ? 16 : 1);
    shared = true;
    if (last)
      return vector_loop(begin, end, [&](Value* j, Value* mask) {
        at[a] = Index{j, 1, nullptr};
        body(mask);
      });
    loop(begin, end, number(1), [&](Value* i) {
      at[a] = Index{i, 0, nullptr};
      walk(a + 1);
    });
  };
  if (shape.size() > 1) return walk(0);
  if_then(b_.CreateICmpEQ(thread_, number(0)), [&] { walk(0); });
}

// This thread's part of 0 … count, in multiples of `grain`. Contiguous, and the same for every run.
std::pair<Value*, Value*> Emitter::share(Value* count, std::int64_t grain) {
  Value* pieces = ceil_div(count, number(grain));
  auto bound = [&](Value* worker) {
    Value* piece = b_.CreateSDiv(b_.CreateMul(pieces, worker), workers_);
    Value* position = b_.CreateMul(piece, number(grain));
    return smaller(position, count);
  };
  return {bound(worker_), bound(b_.CreateAdd(worker_, number(1)))};
}

// Whether each thread keeps to its own of so many rows, in every nest alike: then what it reads of them is in its cache.
// Fewer rows than fill tiles are better shared by columns.
Value* Emitter::shares_rows(Value* rows) {
  Value* enough = b_.CreateICmpSGE(rows, b_.CreateMul(threads_, number(8)));
  return by_parts_ ? b_.CreateOr(by_parts_, enough) : enough;
}

// This thread's rows; where threads do not keep to rows, its share in multiples of `grain`.
std::pair<Value*, Value*> Emitter::share_rows(Value* rows, std::int64_t grain) {
  const auto [begin, end] = share(rows, 1);
  const auto [first, last] = share(rows, grain);
  Value* by_rows = shares_rows(rows);
  return {b_.CreateSelect(by_rows, begin, first), b_.CreateSelect(by_rows, end, last)};
}

// The threads meet, unless all that they do keeps to their own rows (`apart`).
void Emitter::emit_barrier(Value* apart) {
  Value* several = b_.CreateICmpSGT(threads_, number(1));
  if_then(apart ? b_.CreateAnd(several, b_.CreateNot(apart)) : several, [&] {
    auto callee =
        function_->getParent()->getOrInsertFunction(kBarrierSymbol, b_.getVoidTy(), b_.getPtrTy(), b_.getInt64Ty());
    b_.CreateCall(callee, {function_->getArg(2), thread_});
  });
}

// --- nests ---------------------------------------------------------------------------------------------------------------------

ProgramLayout Emitter::emit(const Plan& plan) {
  Frame frame = frame_of(plan);
  for (std::size_t i = 0; i < plan.tape->inputs.size(); ++i)
    frame.pointer[plan.tape->inputs[i]] = memory({MemoryEntry::Kind::input, i, {}, {}, 0, 0});
  for (std::size_t i = 0; i < plan.tape->outputs.size(); ++i) {
    frame.slot[i] = memory({MemoryEntry::Kind::output, i, {}, {}, 0, 0});
    // What is written there begins before the result that shows a part of it.
    const Extent& before = plan.margins[i].before;
    if (!(before.is_number() && before.value() == 0))
      frame.slot[i] = b_.CreateGEP(b_.getInt8Ty(), frame.slot[i], b_.CreateNeg(extent(before)));
  }
  emit_nests(frame);
  b_.CreateRetVoid();
  return std::move(layout_);
}

// Between nests the threads meet, unless they keep to rows that go `apart`.
void Emitter::emit_nests(Frame& frame, Value* apart) {
  const int outer = nest_;
  for (std::size_t n = 0; n < frame.plan->nests.size(); ++n) {
    nest_ = int(n);
    ++now_;
    if (const RowGroup* group = frame.plan->group_of(nest_)) {
      emit_group(*group, frame, apart);
      n = std::size_t(group->last);
    } else {
      emit_nest(frame, apart);
    }
  }
  nest_ = outer;
}

void Emitter::emit_nest(Frame& frame, Value* apart) {
  const Nest& nest = frame.plan->nests[std::size_t(nest_)];
  width_ = 16;
  flat_ = false;
  known_.clear();
  switch (nest.kind) {
    case NestKind::map:
      emit_map(nest, frame);
      break;
    case NestKind::matmul:
      frame[nest.root].op == &packed_matmul_op ? emit_product(nest, frame) : emit_matmul(nest, frame);
      break;
    case NestKind::reduce:
      emit_reduce(nest, frame);
      break;
    case NestKind::argmax:
      emit_argmax(nest, frame);
      break;
    case NestKind::prefix:
      emit_prefix(nest, frame);
      break;
    case NestKind::sort:
      emit_sort(nest, frame);
      break;
    case NestKind::scatter:
      emit_scatter(nest, frame);
      break;
    case NestKind::loop:
      return frame[nest.root].op == &while_op ? emit_while(nest.root, frame) : emit_loop(nest.root, frame);
    case NestKind::branch:
      return emit_branch(nest.root, frame);
  }
  emit_barrier(apart);
}

void Emitter::emit_map(const Nest& nest, Frame& frame) {
  if (nest.writes.empty()) return;
  if (packs_turned(nest, frame)) return emit_turned_pack(nest, frame);
  if (const auto along = turned_axis(nest, frame)) return emit_turned(nest, frame, *along);
  bool flat = true;
  for (const Write& w : nest.writes) flat = flat && w.target == w.value && is_flat(frame, w.value);
  // All values first, then all stores: a value may be read where another one is written.
  auto body = [&](const Indices& at, Value* mask) {
    std::vector<Value*> values;
    for (const Write& w : nest.writes) values.push_back(pull(frame, w.value, at, mask));
    for (std::size_t i = 0; i < values.size(); ++i) write(frame, nest.writes[i], at, values[i], mask);
  };
  if (flat) {
    flat_ = true;
    const Extent count = extent_product(nest.space);
    if (count.is_one()) width_ = 1;
    auto [begin, end] = share(extent(count), 16);
    if (!nest.space.empty()) {
      Value* rows = extent(nest.space[0]);
      const auto [first, last] = share(rows, 1);
      Value *by_rows = shares_rows(rows), *row = number(1);
      for (std::size_t axis = 1; axis < nest.space.size(); ++axis) row = b_.CreateMul(row, extent(nest.space[axis]));
      begin = b_.CreateSelect(by_rows, b_.CreateMul(first, row), begin);
      end = b_.CreateSelect(by_rows, b_.CreateMul(last, row), end);
    }
    vector_loop(begin, end, [&](Value* i, Value* mask) { body({Index{i, width_ == 1 ? 0 : 1, nullptr}}, mask); });
    flat_ = false;
    return;
  }
  const std::size_t rank = nest.space.size();
  if (rank == 0) {
    width_ = 1;
    if_then(b_.CreateICmpEQ(thread_, number(0)), [&] { body({}, nullptr); });
    return;
  }
  // Such as the columns of a narrow panel.
  if (rank > 1 && nest.space.back().is_number()) width_ = lanes_for(width_, nest.space.back().value());
  Indices at(rank);
  std::function<void(std::size_t)> walk = [&](std::size_t axis) {
    Value *begin = number(0), *end = extent(nest.space[axis]);
    if (axis == 0) std::tie(begin, end) = share_rows(end, rank == 1 ? 16 : 1);
    if (axis + 1 < rank) {
      loop(begin, end, number(1), [&](Value* i) {
        at[axis] = Index{i, 0, nullptr};
        walk(axis + 1);
      });
    } else {
      vector_loop(begin, end, [&](Value* i, Value* mask) {
        at[axis] = Index{i, 1, nullptr};
        body(at, mask);
      });
    }
  };
  walk(0);
}

}  // namespace tapeloop
