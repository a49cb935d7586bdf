// Running LanePrograms: instruction by instruction, each on a block of elements that stays in the first-level cache.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "ad/lanes.h"
#include "ad/lanes_instr.h"

namespace tapeloop {
namespace {

constexpr int kBlock = 256;  // elements

struct alignas(64) CacheLine {
  std::byte bytes[64];
};
constexpr int kLinesPerSlot = kBlock * sizeof(double) / sizeof(CacheLine);

constexpr int kNone = -1;

// What a run needs besides its operands. Each thread keeps it, so that a run allocates nothing once the thread has seen
// a program as long. The first four are indexed by instruction.
struct Scratch {
  std::vector<int> last_use;         // the last instruction that reads this one; kNone: the result does without it
  std::vector<std::uint64_t> cells;  // the elements of uniform values
  std::vector<LaneValue> values;
  std::vector<int> slot;    // of a step
  std::vector<int> inputs;  // the operands that are arrays
  std::vector<int> steps;   // the instructions to run on each block
  std::vector<int> free_slots;
  std::vector<CacheLine> slots;

  void* place(int id) { return &slots[std::size_t(slot[id]) * kLinesPerSlot]; }
};

std::span<const std::uint16_t> arguments(const LaneInstr& instr) {
  return std::span(instr.arg).first(std::size_t(arity(instr.op)));
}

LaneBlock block_of(const LaneProgram& program, int id, const std::vector<LaneValue>& values, void* out,
                   std::int64_t count) {
  LaneBlock block{program.code[id], {}, {}, out, count};
  int a = 0;
  for (int arg : arguments(block.instr)) {
    block.dtypes[a] = program.code[arg].dtype;
    block.operands[a] = values[arg];
    ++a;
  }
  return block;
}

// What the result depends on, and until when.
void find_last_uses(const LaneProgram& program, Scratch& s) {
  s.last_use.assign(program.code.size(), kNone);
  s.last_use[program.result] = program.result;
  for (int id = program.result; id >= 0; --id) {
    if (s.last_use[id] == kNone) continue;
    for (int arg : arguments(program.code[id]))
      if (s.last_use[arg] == kNone) s.last_use[arg] = id;
  }
}

// Computes once what is the same for every element; all the other instructions become steps.
void find_steps(const LaneProgram& program, std::span<const LaneOperand> operands, RunInstr run_instr, Scratch& s) {
  s.values.assign(program.code.size(), {});
  s.cells.assign(program.code.size(), 0);
  s.inputs.clear();
  s.steps.clear();
  for (int id = 0; id <= program.result; ++id) {
    if (s.last_use[id] == kNone) continue;
    const LaneInstr& instr = program.code[id];
    if (instr.op == LaneOp::input) {
      const LaneOperand& operand = operands[instr.arg[0]];
      s.values[id] = {operand.data, operand.step == 0};
      if (operand.step != 0) s.inputs.push_back(id);
    } else if (std::ranges::all_of(arguments(instr), [&](int arg) { return s.values[arg].uniform; })) {
      s.values[id] = {&s.cells[id], true};
      if (instr.op == LaneOp::literal)
        s.cells[id] = instr.bits;
      else
        run_instr(block_of(program, id, s.values, &s.cells[id], 1));
    } else {
      s.steps.push_back(id);
    }
  }
}

// Gives every step a place for its block. It is never that of one of its operands: the compiler need not think about
// arrays that coincide. (Where `out` coincides with an operand, ad/lanes.h says how.)
void find_slots(const LaneProgram& program, Scratch& s) {
  s.slot.assign(program.code.size(), kNone);
  s.free_slots.clear();
  int count = 0;
  for (int id : s.steps) {
    if (id == program.result) break;  // it is the last one, and its place is `out`
    if (s.free_slots.empty()) s.free_slots.push_back(count++);
    s.slot[id] = s.free_slots.back();
    s.free_slots.pop_back();
    for (int arg : arguments(program.code[id])) {
      if (s.last_use[arg] != id || s.slot[arg] == kNone) continue;
      s.free_slots.push_back(s.slot[arg]);
      s.last_use[arg] = kNone;  // once, even if the instruction reads it twice
    }
  }
  if (s.slots.size() < std::size_t(count) * kLinesPerSlot) s.slots.resize(std::size_t(count) * kLinesPerSlot);
  for (int id : s.steps)
    if (s.slot[id] != kNone) s.values[id] = {s.place(id), false};
}

// For programs whose result is not computed element by element: copies an array, or repeats one element.
void copy(const LaneValue& value, int size, std::byte* out, std::int64_t count) {
  if (!value.uniform) {
    std::memmove(out, value.data, std::size_t(count * size));
    return;
  }
  std::memcpy(out, value.data, std::size_t(size));
  for (std::int64_t done = 1; done < count; done *= 2)
    std::memcpy(out + done * size, out, std::size_t(std::min(done, count - done) * size));
}

}  // namespace

void run_lanes(const LaneProgram& program, std::span<const LaneOperand> operands, void* out, std::int64_t count) {
  if (count <= 0) return;
  thread_local Scratch s;
  const RunInstr run_instr = chosen_run_instr();
  find_last_uses(program, s);
  find_steps(program, operands, run_instr, s);
  find_slots(program, s);

  std::byte* const result = static_cast<std::byte*>(out);
  const int result_size = size_of(program.dtype());
  if (s.steps.empty()) return copy(s.values[program.result], result_size, result, count);

  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t n = std::min<std::int64_t>(kBlock, count - first);
    for (int id : s.steps)
      run_instr(block_of(program, id, s.values, id == program.result ? result + first * result_size : s.place(id), n));
    for (int id : s.inputs)
      s.values[id].data = static_cast<const std::byte*>(s.values[id].data) + kBlock * size_of(program.code[id].dtype);
  }
}

}  // namespace tapeloop
