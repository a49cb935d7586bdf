#include "jit/emit.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "jit/engine.h"
#include "jit/lower.h"
#include "ops/index.h"
#include "ops/reduce.h"
#include "ops/scan.h"

namespace tapeloop {

using llvm::Value;

Emitter::Emitter(llvm::IRBuilderBase& builder, llvm::Function* function, const Target& target)
    : b_(builder), function_(function), target_(target) {
  entry_ = llvm::BasicBlock::Create(b_.getContext(), "entry", function_);
  llvm::BasicBlock* first = llvm::BasicBlock::Create(b_.getContext(), "body", function_);
  llvm::BranchInst::Create(first, entry_);
  b_.SetInsertPoint(first);
  thread_ = function_->getArg(3);
  threads_ = function_->getArg(4);
}

// --- small pieces ------------------------------------------------------------------------------------------------------------

Value* Emitter::number(std::int64_t value) { return b_.getInt64(std::uint64_t(value)); }

// Loaded once, where the function begins.
Value* Emitter::extent(const Extent& e) {
  if (e.is_number()) return number(e.value());
  for (std::size_t i = 0; i < layout_.extents.size(); ++i)
    if (layout_.extents[i] == e) return extent_values_[i];
  llvm::IRBuilder<> b(entry_->getTerminator());
  Value* address = b.CreateConstGEP1_64(b.getInt64Ty(), function_->getArg(1), layout_.extents.size());
  layout_.extents.push_back(e.resolved());
  extent_values_.push_back(b.CreateLoad(b.getInt64Ty(), address));
  return extent_values_.back();
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

void Emitter::allocate(Frame& frame, Id id) {
  MemoryEntry entry{MemoryEntry::Kind::arena, 0, frame[id].type, {}, now_, now_};
  frame.pointer[id] = memory(entry, &frame.entry[id]);
}

void Emitter::touch(const Frame& frame, Id id) {
  const int entry = frame.entry[frame.plan->alias_of[id]];
  if (entry < 0) return;
  layout_.memory[std::size_t(entry)].last = now_;
  auto twin = twins_.find(entry);
  if (twin != twins_.end()) layout_.memory[std::size_t(twin->second)].last = now_;
}

Value* Emitter::pointer_of(Frame& frame, Id id) {
  const Id owner = frame.plan->alias_of[id];
  if (!frame.pointer[owner]) {
    const int slot = frame.plan->slot_of[owner];
    if (slot >= 0)
      frame.pointer[owner] = frame.slot[std::size_t(slot)];
    else
      allocate(frame, owner);
  }
  touch(frame, id);
  return frame.pointer[owner];
}

void Emitter::loop(Value* begin, Value* end, Value* step, const Body& body) {
  auto* before = b_.GetInsertBlock();
  auto* block = llvm::BasicBlock::Create(b_.getContext(), "loop", function_);
  auto* after = llvm::BasicBlock::Create(b_.getContext(), "done", function_);
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

// This thread's part of 0 … count, in multiples of `grain`. Contiguous, and the same for every run.
std::pair<Value*, Value*> Emitter::share(Value* count, std::int64_t grain) {
  Value* pieces = b_.CreateSDiv(b_.CreateAdd(count, number(grain - 1)), number(grain));
  auto bound = [&](Value* thread) {
    Value* piece = b_.CreateSDiv(b_.CreateMul(pieces, thread), threads_);
    Value* position = b_.CreateMul(piece, number(grain));
    return b_.CreateSelect(b_.CreateICmpSLT(position, count), position, count);
  };
  return {bound(thread_), bound(b_.CreateAdd(thread_, number(1)))};
}

void Emitter::emit_barrier() {
  if_then(b_.CreateICmpSGT(threads_, number(1)), [&] {
    auto callee = function_->getParent()->getOrInsertFunction(kBarrierSymbol, b_.getVoidTy(), b_.getPtrTy(), b_.getInt64Ty());
    b_.CreateCall(callee, {function_->getArg(2), thread_});
  });
}

// --- nests ---------------------------------------------------------------------------------------------------------------------

ProgramLayout Emitter::emit(const Plan& plan) {
  Frame frame{&plan, std::vector<Value*>(plan.tape->size()), {}, std::vector<int>(plan.tape->size(), -1)};
  for (std::size_t i = 0; i < plan.tape->inputs.size(); ++i)
    frame.pointer[plan.tape->inputs[i]] = memory({MemoryEntry::Kind::input, i, {}, {}, 0, 0});
  for (std::size_t i = 0; i < plan.tape->outputs.size(); ++i)
    frame.slot.push_back(memory({MemoryEntry::Kind::output, i, {}, {}, 0, 0}));
  emit_nests(frame);
  b_.CreateRetVoid();
  return std::move(layout_);
}

void Emitter::emit_nests(Frame& frame) {
  const int outer = nest_;
  for (std::size_t n = 0; n < frame.plan->nests.size(); ++n) {
    const Nest& nest = frame.plan->nests[n];
    nest_ = int(n);
    ++now_;
    width_ = 16;
    flat_ = false;
    known_.clear();
    switch (nest.kind) {
      case NestKind::map: emit_map(nest, frame); break;
      case NestKind::matmul: emit_matmul(nest, frame); break;
      case NestKind::reduce: emit_reduce(nest, frame); break;
      case NestKind::argmax: emit_argmax(nest, frame); break;
      case NestKind::scatter: emit_scatter(nest, frame); break;
      case NestKind::loop: emit_loop(nest.root, frame); break;
    }
    if (nest.kind != NestKind::loop) emit_barrier();
  }
  nest_ = outer;
}

void Emitter::emit_map(const Nest& nest, Frame& frame) {
  if (nest.writes.empty()) return;
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
    if (count.is_number() && count.value() == 1) width_ = 1;
    auto [begin, end] = share(extent(count), 16);
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
  Indices at(rank);
  std::function<void(std::size_t)> walk = [&](std::size_t axis) {
    Value *begin = number(0), *end = extent(nest.space[axis]);
    if (axis == 0) std::tie(begin, end) = share(end, rank == 1 ? 16 : 1);
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

// --- loops over time -------------------------------------------------------------------------------------------------------------

void Emitter::emit_loop(Id id, Frame& frame) {
  const Record& r = frame[id];
  const Plan& body = *frame.plan->bodies[id];
  const Tape& tape = *body.tape;
  const auto constants = std::size_t(r.attrs.integer("constants")), states = std::size_t(r.attrs.integer("states"));
  const bool reverse = r.attrs.flag("reverse");
  Value* length = extent(r.attrs.extent("length"));
  const int begin_time = now_;

  // Every tensor of the state has two places: the step reads one and writes the other.
  Frame inner{&body, std::vector<Value*>(tape.size()), std::vector<Value*>(tape.outputs.size()), std::vector<int>(tape.size(), -1)};
  std::vector<int> entries;
  std::vector<llvm::AllocaInst*> current(states), next(states);
  for (std::size_t i = 0; i < states; ++i) {
    const Type& type = tape.output_type(i);
    Value* places[2];
    for (Value*& place : places) {
      int index = 0;
      place = memory({MemoryEntry::Kind::arena, 0, type, {}, now_, now_}, &index);
      entries.push_back(index);
    }
    const Id init = r.in[constants + i];
    Value* from = pointer_of(frame, init);
    auto [begin, end] = share(extent(extent_product(type.shape)), 16);
    width_ = 16;
    vector_loop(begin, end, [&](Value* k, Value* mask) {
      const Index at{k, 1, nullptr};
      store(places[0], type.dtype, at, load(from, type.dtype, at, mask), mask);
    });
    current[i] = variable(b_.getPtrTy());
    next[i] = variable(b_.getPtrTy());
    b_.CreateStore(places[0], current[i]);
    b_.CreateStore(places[1], next[i]);
  }
  std::vector<Value*> operand(r.in.size());
  for (std::size_t i = 0; i < r.in.size(); ++i) operand[i] = pointer_of(frame, r.in[i]);
  // Results over time are written where their reader expects them.
  std::vector<Value*> results(tape.outputs.size());
  std::vector<Id> part(tape.outputs.size(), Id(-1));
  for (Id p = 0; p < frame.plan->tape->size(); ++p)
    if (frame[p].op == &pick_op && frame[p].in[0] == id) part[std::size_t(frame[p].attrs.integer("index"))] = p;
  for (std::size_t i = states; i < results.size(); ++i) {
    if (part[i] != Id(-1)) {
      results[i] = pointer_of(frame, part[i]);
    } else {
      Type type = tape.output_type(i);
      type.shape.insert(type.shape.begin(), r.attrs.extent("length"));
      int index = 0;
      results[i] = memory({MemoryEntry::Kind::arena, 0, type, {}, now_, now_}, &index);
      entries.push_back(index);
    }
  }
  emit_barrier();

  auto step_of = [&](Value* base, const Type& type, Value* t) {
    Value* bytes = b_.CreateMul(extent(extent_product(type.shape)), number(size_of(type.dtype)));
    return b_.CreateGEP(b_.getInt8Ty(), base, b_.CreateMul(t, bytes));
  };
  const std::size_t first_entry = layout_.memory.size();
  loop(number(0), length, number(1), [&](Value* step) {
    Value* t = reverse ? b_.CreateSub(b_.CreateSub(length, number(1)), step) : step;
    for (std::size_t i = 0; i < tape.inputs.size(); ++i) {
      Value*& pointer = inner.pointer[tape.inputs[i]];
      if (i < constants)
        pointer = operand[i];
      else if (i < constants + states)
        pointer = b_.CreateLoad(b_.getPtrTy(), current[i - constants]);
      else
        pointer = step_of(operand[i], tape.input_type(i), t);
    }
    for (std::size_t i = 0; i < tape.outputs.size(); ++i)
      inner.slot[i] = i < states ? b_.CreateLoad(b_.getPtrTy(), next[i]) : step_of(results[i], tape.output_type(i), t);
    emit_nests(inner);
    for (std::size_t i = 0; i < states; ++i) {
      Value* read = b_.CreateLoad(b_.getPtrTy(), current[i]);
      b_.CreateStore(b_.CreateLoad(b_.getPtrTy(), next[i]), current[i]);
      b_.CreateStore(read, next[i]);
    }
  });
  // What the body uses lives as long as the loop, and what it reads of its surroundings too.
  ++now_;
  for (std::size_t e = first_entry; e < layout_.memory.size(); ++e) {
    layout_.memory[e].first = begin_time;
    layout_.memory[e].last = now_;
  }
  for (int e : entries) layout_.memory[std::size_t(e)].last = now_;
  for (Id in : r.in) touch(frame, in);
  for (std::size_t i = 0; i < states; ++i) {
    if (part[i] == Id(-1)) continue;
    frame.pointer[part[i]] = b_.CreateLoad(b_.getPtrTy(), current[i]);
    // Its memory is one of the two places; which one is known only when the loop ends.
    frame.entry[part[i]] = entries[2 * i];
    twins_[entries[2 * i]] = entries[2 * i + 1];
  }
}

}  // namespace tapeloop
