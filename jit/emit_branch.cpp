// Branches, and loops whose length their state decides. Every thread takes the same way: what decides is in memory before
// any of them reads it, and none writes anything in its place before all have.
#include <llvm/IR/IRBuilder.h>

#include "jit/emit.h"
#include "ops/while_loop.h"

namespace tapeloop {

using llvm::Value;

Emitter::Frame Emitter::frame_of(const Plan& plan) const {
  return {&plan, std::vector<Value*>(plan.tape->size()), std::vector<Value*>(plan.tape->outputs.size()),
          std::vector<std::vector<int>>(plan.tape->size())};
}

// The pick record of each of the `count` results of a record, -1 for those that nobody reads.
std::vector<Id> Emitter::parts_of(const Frame& frame, Id id, std::size_t count) const {
  std::vector<Id> part(count, Id(-1));
  for (Id p = 0; p < frame.plan->tape->size(); ++p)
    if (frame[p].op == &pick_op && frame[p].in[0] == id) part[std::size_t(frame[p].attrs.integer("index"))] = p;
  return part;
}

void Emitter::if_else(Value* condition, const std::function<void()>& body, const std::function<void()>& otherwise) {
  auto* then = llvm::BasicBlock::Create(b_.getContext(), "then", function_);
  auto* other = llvm::BasicBlock::Create(b_.getContext(), "else", function_);
  auto* after = llvm::BasicBlock::Create(b_.getContext(), "endif", function_);
  b_.CreateCondBr(condition, then, other);
  for (auto [block, run] : {std::pair{then, &body}, std::pair{other, &otherwise}}) {
    b_.SetInsertPoint(block);
    known_.clear();
    (*run)();
    b_.CreateBr(after);
  }
  b_.SetInsertPoint(after);
  known_.clear();
}

// Both sides write their results to the same places.
void Emitter::emit_branch(Id id, Frame& frame) {
  const Record& r = frame[id];
  std::vector<Value*> operand, result;
  std::vector<int> entries;
  for (Id in : r.in) operand.push_back(pointer_of(frame, in));
  const std::size_t outputs = frame.plan->bodies[id][0]->tape->outputs.size();
  const std::vector<Id> part = parts_of(frame, id, outputs);
  for (std::size_t i = 0; i < outputs; ++i) {
    if (part[i] != Id(-1)) {
      result.push_back(pointer_of(frame, part[i]));
    } else {
      const auto [place, entry] = arena((*r.type.parts)[i]);
      result.push_back(place);
      entries.push_back(entry);
    }
  }
  auto side = [&](const Plan& body) {
    Frame inner = frame_of(body);
    for (std::size_t i = 0; i < body.tape->inputs.size(); ++i) inner.pointer[body.tape->inputs[i]] = operand[1 + i];
    inner.slot = result;
    emit_nests(inner);
  };
  width_ = 1;
  Value* holds = load(operand[0], Dtype::boolean, {number(0), 0, nullptr}, nullptr);
  if_else(holds, [&] { side(*frame.plan->bodies[id][0]); }, [&] { side(*frame.plan->bodies[id][1]); });
  // A thread may still be reading the predicate while another is in the middle of the branch.
  ++now_;
  for (Id in : r.in) touch(frame, in);
  for (Id p : part)
    if (p != Id(-1)) touch(frame, p);
  for (int e : entries) layout_.memory[std::size_t(e)].last = now_;
}

void Emitter::emit_while(Id id, Frame& frame) {
  const Record& r = frame[id];
  const While loop(r.attrs);
  const Plan &test = *frame.plan->bodies[id][0], &body = *frame.plan->bodies[id][1];
  const int begin_time = now_;
  std::vector<std::vector<int>> state_entries(loop.states);
  std::vector<Value*> operand;
  std::vector<llvm::AllocaInst*> current, next;  // of each state: where a step reads it, and writes it
  for (Id in : r.in) operand.push_back(pointer_of(frame, in));
  const std::size_t first_entry = layout_.memory.size();
  for (std::size_t i = 0; i < loop.states; ++i) {
    const Type& type = body.tape->input_type(loop.constants + i);
    auto [first, entry] = arena(type);
    state_entries[i].push_back(entry);
    copy(operand[loop.constants + i], first, type);
    Value* second = first;
    if (!body.states[i].in_place) {
      std::tie(second, entry) = arena(type);
      state_entries[i].push_back(entry);
    }
    current.push_back(variable(b_.getPtrTy()));
    next.push_back(variable(b_.getPtrTy()));
    b_.CreateStore(first, current[i]);
    b_.CreateStore(second, next[i]);
  }
  Value* flag = arena({Dtype::boolean, {}, nullptr}).first;
  emit_barrier();

  auto enter = [&](const Plan& plan) {
    Frame inner = frame_of(plan);
    for (std::size_t i = 0; i < plan.tape->inputs.size(); ++i)
      inner.pointer[plan.tape->inputs[i]] =
          i < loop.constants ? operand[i] : b_.CreateLoad(b_.getPtrTy(), current[i - loop.constants]);
    return inner;
  };
  auto* step = variable(b_.getInt64Ty());
  b_.CreateStore(number(0), step);
  auto block = [&](const char* name) { return llvm::BasicBlock::Create(b_.getContext(), name, function_); };
  auto *question = block("while"), *turn = block("turn"), *done = block("done");
  auto* head = loop.bound > 0 ? block("bound") : question;
  b_.CreateBr(head);
  if (loop.bound > 0) {
    b_.SetInsertPoint(head);
    b_.CreateCondBr(b_.CreateICmpSLT(b_.CreateLoad(b_.getInt64Ty(), step), number(loop.bound)), question, done);
  }
  b_.SetInsertPoint(question);
  Frame inner = enter(test);
  inner.slot[0] = flag;
  emit_nests(inner);
  width_ = 1;
  b_.CreateCondBr(load(flag, Dtype::boolean, {number(0), 0, nullptr}, nullptr), turn, done);
  b_.SetInsertPoint(turn);
  known_.clear();
  inner = enter(body);
  for (std::size_t i = 0; i < loop.states; ++i) inner.slot[i] = b_.CreateLoad(b_.getPtrTy(), next[i]);
  emit_nests(inner);
  for (std::size_t i = 0; i < loop.states; ++i) {
    if (body.states[i].in_place) continue;
    b_.CreateStore(inner.slot[i], current[i]);
    b_.CreateStore(inner.pointer[body.tape->inputs[loop.constants + i]], next[i]);
  }
  b_.CreateStore(b_.CreateAdd(b_.CreateLoad(b_.getInt64Ty(), step), number(1)), step);
  b_.CreateBr(head);
  b_.SetInsertPoint(done);
  known_.clear();
  emit_barrier();

  const std::vector<Id> part = parts_of(frame, id, loop.states);
  end_loop(id, frame, part, first_entry, begin_time);
  for (std::size_t i = 0; i < loop.states; ++i) {
    if (part[i] == Id(-1)) continue;
    frame.pointer[part[i]] = b_.CreateLoad(b_.getPtrTy(), current[i]);
    // Which of its places it is in is known only when the loop ends.
    frame.entries[part[i]] = state_entries[i];
  }
}

}  // namespace tapeloop
