// Loops over time: every thread runs the whole loop and takes its share of each nest of the body.
#include <llvm/IR/IRBuilder.h>

#include <tuple>
#include <utility>

#include "jit/channels.h"
#include "jit/loop_frame.h"
#include "jit/passes.h"
#include "jit/rows.h"

namespace tapeloop {

using llvm::Value;

Value* Emitter::bytes_of(const Type& type) {
  return b_.CreateMul(extent(extent_product(type.shape)), number(size_of(type.dtype)));
}

// Each thread its share; the caller sees to it that they meet before anyone reads.
void Emitter::copy(Value* from, Value* to, const Type& type) {
  auto [begin, end] = share(extent(extent_product(type.shape)), 16);
  width_ = 16;
  vector_loop(begin, end, [&](Value* k, Value* mask) {
    const Index at{k, 1, nullptr};
    store(to, type.dtype, at, load(from, type.dtype, at, mask), mask);
  });
}

void Emitter::fill(Value* place, const Type& type, Value* value) {
  auto [begin, end] = share(extent(extent_product(type.shape)), 16);
  vector_loop(begin, end, [&](Value* k, Value* mask) { store(place, type.dtype, Index{k, 1, nullptr}, value, mask); });
}

void Emitter::emit_loop(Id id, Frame& frame) {
  const Record& r = frame[id];
  const Plan& body = *frame.plan->bodies[id][0];
  const Tape& tape = *body.tape;
  LoopFrame f{LoweredLoop(r.attrs), r, frame_of(body), {}, {}, {}, {}, {}, {}};
  f.outer = &frame;
  const LoweredLoop& loop = f.loop;
  const int begin_time = now_;
  for (Id in : r.in) f.operand.push_back(frame.plan->stored[in] ? pointer_of(frame, in) : nullptr);
  // A state's first value: copied, or made where it lies.
  auto begin_state = [&](std::size_t i, Value* place) {
    const Type& type = tape.input_type(loop.constants + i);
    width_ = 16;
    if (Value* from = f.operand[loop.constants + i]) return copy(from, place, type);
    fill(place, type, pull_source(frame, r.in[loop.constants + i], {}, nullptr));
  };
  const std::size_t first_entry = layout_.memory.size();

  // Results over time are written where their reader expects them.
  const std::vector<Id> part = parts_of(frame, id, tape.outputs.size());
  f.result.resize(tape.outputs.size());
  std::vector<std::vector<int>> y_entries(tape.outputs.size());
  for (std::size_t i = loop.states; i < f.result.size(); ++i) {
    if (part[i] != Id(-1)) {
      f.result[i] = pointer_of(frame, part[i]);
      y_entries[i] = frame.entries[frame.plan->alias_of[part[i]].owner];
    } else {
      const auto [place, entry] = arena(loop.result(i));
      f.result[i] = place;
      y_entries[i] = {entry};
    }
  }
  // A history begins with the initial state, so that the steps' own places come after it, unless time runs backwards.
  std::vector<Value*> initial(loop.states);
  std::vector<std::vector<int>> state_entries(loop.states);
  for (std::size_t i = loop.states; i < f.result.size(); ++i) {
    const int state = loop.history[i - loop.states];
    if (state < 0) continue;
    const Type& type = tape.input_type(loop.constants + std::size_t(state));
    Value* step = bytes_of(type);
    Value* first =
        loop.reverse ? b_.CreateGEP(b_.getInt8Ty(), f.result[i], b_.CreateMul(step, extent(loop.length))) : f.result[i];
    begin_state(std::size_t(state), first);
    if (!loop.reverse) f.result[i] = b_.CreateGEP(b_.getInt8Ty(), f.result[i], step);
    initial[std::size_t(state)] = first;
    // Where it stays when there are no steps. (The state after a step may lie in another result that is the same.)
    state_entries[std::size_t(state)] = y_entries[i];
  }
  // A state with one place for all steps may have it in the result that it becomes.
  auto place_in_result = [&](std::size_t i) -> Value* {
    const int slot = part[i] != Id(-1) && body.states[i].in_place ? frame.plan->slot_of[part[i]] : -1;
    return slot >= 0 ? frame.slot[std::size_t(slot)] : nullptr;
  };
  if (const auto channels = find_channels(loop, body)) {
    std::vector<std::vector<int>> entries(loop.states);
    for (std::size_t i = 0; i < loop.states; ++i) {
      const Type type = tape.output_type(i);
      f.last.push_back(place_in_result(i));
      if (!f.last[i]) {
        int entry = 0;
        std::tie(f.last[i], entry) = arena(type);
        entries[i].push_back(entry);
      }
      f.kept.push_back(type.shape == channels->space ? f.last[i] : arena({type.dtype, channels->space, nullptr}).first);
    }
    emit_channels(f, *channels);
    emit_barrier();
    end_loop(id, frame, part, first_entry, begin_time);
    for (std::size_t i = 0; i < loop.states; ++i) {
      if (part[i] == Id(-1)) continue;
      frame.pointer[part[i]] = f.last[i];
      frame.entries[part[i]] = entries[i];
    }
    return;
  }
  for (std::size_t i = 0; i < loop.states; ++i) {
    const Type& type = tape.input_type(loop.constants + i);
    const StatePlace& place = body.states[i];
    // A state that lies in its history is never overwritten there.
    Value *first = place.y >= 0 ? initial[i] : nullptr, *second = nullptr;
    if (!first) {
      first = place_in_result(i);
      if (!first) {
        int entry = 0;
        std::tie(first, entry) = arena(type);
        state_entries[i].push_back(entry);
      }
      begin_state(i, first);
    }
    if (place.y >= 0) {
      state_entries[i].insert(state_entries[i].end(), y_entries[std::size_t(place.y)].begin(),
                              y_entries[std::size_t(place.y)].end());
    } else if (place.in_place) {
      second = first;
    } else {
      int entry = 0;
      std::tie(second, entry) = arena(type);
      state_entries[i].push_back(entry);
    }
    f.current.push_back(variable(b_.getPtrTy()));
    f.next.push_back(variable(b_.getPtrTy()));
    b_.CreateStore(first, f.current[i]);
    b_.CreateStore(second ? second : first, f.next[i]);
  }
  emit_barrier();

  emit_turns(f);
  end_loop(id, frame, part, first_entry, begin_time);
  for (std::size_t i = 0; i < loop.states; ++i) {
    if (part[i] == Id(-1)) continue;
    frame.pointer[part[i]] = b_.CreateLoad(b_.getPtrTy(), f.current[i]);
    // Which of its places it is in is known only when the loop ends.
    frame.entries[part[i]] = state_entries[i];
  }
}

// What a loop uses lives as long as the loop, and what it reads of its surroundings too.
void Emitter::end_loop(Id id, Frame& frame, const std::vector<Id>& part, std::size_t first_entry, int begin_time) {
  ++now_;
  for (std::size_t e = first_entry; e < layout_.memory.size(); ++e) {
    layout_.memory[e].first = begin_time;
    layout_.memory[e].last = now_;
  }
  for (Id in : frame[id].in) touch(frame, in);
  for (Id p : part)
    if (p != Id(-1)) touch(frame, p);
}

// The turns of the loop, of one step each or of a block of them.
void Emitter::emit_turns(LoopFrame& f) {
  const LoweredLoop& loop = f.loop;
  const Tape& tape = *loop.body;
  const Plan& body = *f.inner.plan;
  Value* length = extent(loop.length);
  const bool blocked = loop.is_blocked();
  // Blocks are of nearly equal length: a last one of a step or two would pass over all weights for little.
  Value* turns = blocked ? ceil_div(length, larger(extent(loop.most), number(1))) : length;
  const auto begin_of = [&](Value* turn) { return blocked ? b_.CreateSDiv(b_.CreateMul(turn, length), turns) : turn; };
  Value* apart = nullptr;
  if (runs(Pass::rows_apart) && keeps_rows_apart(body, loop.constants, loop.states))
    apart = shares_rows(extent(body.nests[0].space[0]));
  if (blocked && !loop.block.symbol())
    throw InternalError("emit: the block of a loop has a fixed length", f.record.where);
  if (blocked) layout_.blocks.emplace_back(loop.block.resolved(), loop.most);
  const Body take_turn = [&](Value* turn) {
    Value *begin = begin_of(turn), *steps = number(1);
    if (blocked) {
      steps = b_.CreateSub(begin_of(b_.CreateAdd(turn, number(1))), begin);
      bound_.emplace_back(loop.block.symbol(), steps);
    }
    Value* t = loop.reverse ? b_.CreateSub(b_.CreateSub(length, begin), steps) : begin;
    // The memory of one step's part begins at t steps.
    auto at_step = [&](Value* base, Type type) {
      if (blocked) type.shape.erase(type.shape.begin());
      return b_.CreateGEP(b_.getInt8Ty(), base, b_.CreateMul(t, bytes_of(type)));
    };
    for (std::size_t i = 0; i < tape.inputs.size(); ++i) {
      Value*& pointer = f.inner.pointer[tape.inputs[i]];
      if (i < loop.constants)
        pointer = f.operand[i];
      else if (i < loop.first_x())
        pointer = b_.CreateLoad(b_.getPtrTy(), f.current[i - loop.constants]);
      else
        pointer = at_step(f.operand[i], tape.input_type(i));
    }
    for (std::size_t i = loop.states; i < tape.outputs.size(); ++i)
      f.inner.slot[i] = at_step(f.result[i], tape.output_type(i));
    for (std::size_t i = 0; i < loop.states; ++i)
      f.inner.slot[i] =
          body.states[i].y >= 0 ? f.inner.slot[std::size_t(body.states[i].y)] : b_.CreateLoad(b_.getPtrTy(), f.next[i]);
    Value* outer_step = std::exchange(step_, turn);
    emit_nests(f.inner, apart);
    step_ = outer_step;
    for (std::size_t i = 0; i < loop.states; ++i) {
      if (body.states[i].in_place) continue;
      Value* read = f.inner.pointer[tape.inputs[loop.constants + i]];
      b_.CreateStore(f.inner.slot[i], f.current[i]);
      if (body.states[i].y < 0) b_.CreateStore(read, f.next[i]);
    }
    if (blocked) bound_.pop_back();
  };
  const auto take_turns = [&] { this->loop(number(0), turns, number(1), take_turn); };
  if (!apart) return take_turns();
  in_parts(f, apart, take_turns);
  emit_barrier();
}

// All the turns with some of the thread's rows, then with the next: as many as the cache holds the states of, from one step to
// the next. Every part is a worker that takes its share of each nest, as a thread does.
void Emitter::in_parts(LoopFrame& f, Value* apart, const std::function<void()>& turns) {
  const LoweredLoop& loop = f.loop;
  const Plan& body = *f.inner.plan;
  const auto states =
      runs(Pass::rows_in_parts) ? states_by_rows(body, loop.constants, loop.states, target_.cache_bytes) : std::nullopt;
  if (!states) return turns();
  Value* rows = b_.CreateSDiv(extent(body.nests[0].space[0]), threads_);
  Value* fit = ceil_div(b_.CreateMul(rows, number(states->bytes)), number(target_.cache_bytes / 2));
  Value* parts = larger(smaller(fit, b_.CreateSDiv(rows, number(states->fewest))), number(1));
  // A thread alone need not ask whether its rows are enough to keep to.
  if (!llvm::isa<llvm::ConstantInt>(threads_)) parts = b_.CreateSelect(apart, parts, number(1));
  std::vector<std::pair<llvm::AllocaInst*, Value*>> first;
  for (const auto& places : {f.current, f.next})
    for (llvm::AllocaInst* place : places) first.emplace_back(place, b_.CreateLoad(b_.getPtrTy(), place));
  by_parts_ = b_.CreateICmpSGT(parts, number(1));
  workers_ = b_.CreateMul(threads_, parts);
  this->loop(number(0), parts, number(1), [&](Value* part) {
    worker_ = b_.CreateAdd(b_.CreateMul(thread_, parts), part);
    for (const auto& [place, pointer] : first) b_.CreateStore(pointer, place);
    turns();
  });
  by_parts_ = nullptr;
  worker_ = thread_;
  workers_ = threads_;
}

}  // namespace tapeloop
