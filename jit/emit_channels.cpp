// Loops turned inside out (see channels.h): threads share the vectors of elements, and each takes a few of its own at a time
// through all steps. Several, because what a step computes waits for the step before.
#include <llvm/IR/IRBuilder.h>

#include <algorithm>
#include <utility>

#include "jit/loop_frame.h"
#include "jit/steps.h"

namespace tapeloop {

using llvm::Value;

namespace {

constexpr std::int64_t kLanesOfVector = 16;
constexpr std::int64_t kVectorsOfTile = 64, kStepsOfTile = 16;

bool is_whole(const Extent& e) {
  const Symbol* symbol = e.symbol();
  if (!symbol) return e.value() % kLanesOfVector == 0;
  return symbol->form == Extent::Form::mul && (is_whole(symbol->a) || is_whole(symbol->b));
}

// As many vectors at a time as hide that each waits for itself, and no more code than that takes.
std::int64_t most_at_once(const Channels& c, const Target& target, const Tape& body) {
  std::int64_t bytes = 4;
  for (Id id : body.outputs) bytes = std::max<std::int64_t>(bytes, size_of(body[id].type.dtype));
  const std::int64_t registers = std::max<std::int64_t>(1, kLanesOfVector * bytes / target.vector_bytes);
  return std::clamp<std::int64_t>(std::min<std::int64_t>(4 / registers, 256 / std::max(1, c.size)), 1, 4);
}

}  // namespace

void Emitter::emit_channels(LoopFrame& f, const Channels& c) {
  flat_ = c.flat;
  width_ = int(kLanesOfVector);
  const Shape space = c.flat ? Shape{extent_product(c.space)} : c.space;
  Value *lines = extent(extent_product(Shape(space.begin(), space.end() - 1))), *length = extent(space.back());
  const std::int64_t most = most_at_once(c, target_, *f.loop.body);

  // `count` vectors of each line, from `first` on.
  auto walk = [&](Value* first, Value* count, bool masked, std::int64_t at_once) {
    known_.clear();
    Value* vectors = b_.CreateMul(lines, count);
    // Groups of nearly equal size where it is known how many there are to be.
    if (const auto* number_of = llvm::dyn_cast<llvm::ConstantInt>(vectors)) {
      const std::int64_t groups = (number_of->getSExtValue() + at_once - 1) / at_once;
      if (groups > 0) at_once = (number_of->getSExtValue() + groups - 1) / groups;
    }
    const auto [begin, end] = share(vectors, at_once);
    auto group_at = [&](Value* n, Value* end_of_tile) {
      std::vector<Vectors> group;
      for (std::int64_t i = 0; i < at_once; ++i) {
        // Where vectors run out, the last is computed more than once.
        Value* vector = b_.CreateAdd(n, number(i));
        vector = smaller(vector, b_.CreateSub(end_of_tile, number(1)));
        Value* line = b_.CreateSDiv(vector, count);
        Value* column = b_.CreateSub(vector, b_.CreateMul(line, count));
        column = b_.CreateAdd(first, b_.CreateMul(column, number(width_)));
        Vectors v{Indices(space.size()), nullptr};
        v.at.back() = Index{column, 1, nullptr};
        for (std::size_t axis = space.size() - 1; axis-- > 0;) {
          Value* rest = axis > 0 ? b_.CreateSDiv(line, extent(space[axis])) : number(0);
          v.at[axis] = Index{b_.CreateSub(line, b_.CreateMul(rest, extent(space[axis]))), 0, nullptr};
          line = rest;
        }
        if (masked) v.mask = b_.CreateICmpSLT(positions(v.at.back()), splat(length));
        group.push_back(std::move(v));
      }
      return group;
    };
    Value* steps = extent(f.loop.length);
    Value* all_steps = larger(steps, number(1));
    // Where a step is long, what it reads and writes of each tensor lies far from what the next one does: then a page of
    // each is taken through some steps before the next page.
    Value* block = b_.CreateSelect(b_.CreateICmpSGT(vectors, number(kVectorsOfTile)), number(kStepsOfTile), all_steps);
    Value* in_tile = number(kVectorsOfTile / at_once * at_once);
    loop(begin, end, in_tile, [&](Value* tile) {
      Value* end_of_tile = smaller(b_.CreateAdd(tile, in_tile), end);
      loop(number(0), all_steps, block, [&](Value* from) {
        Value* to = smaller(b_.CreateAdd(from, block), steps);
        loop(tile, end_of_tile, number(at_once),
             [&](Value* n) { emit_steps(f, c, from, to, group_at(n, end_of_tile)); });
      });
    });
  };
  Value* whole = b_.CreateSDiv(length, number(kLanesOfVector));
  if (is_whole(space.back())) {
    walk(number(0), whole, false, most);
  } else if (target_.isa == Isa::avx512) {
    walk(number(0), ceil_div(length, number(kLanesOfVector)), true, most);
  } else {
    // Masks are dear: what is left of a line is computed lane by lane.
    walk(number(0), whole, false, most);
    Value* first = b_.CreateMul(whole, number(kLanesOfVector));
    width_ = 1;
    walk(first, b_.CreateSub(length, first), false, 4);
  }
  flat_ = false;
  known_.clear();
}

Indices Emitter::indices_at(const std::vector<int>& place, const Vectors& v) {
  const Index origin{number(0), 0, nullptr};
  if (flat_) return {std::any_of(place.begin(), place.end(), [](int axis) { return axis >= 0; }) ? v.at[0] : origin};
  Indices at;
  for (int axis : place) at.push_back(axis < 0 ? origin : v.at[std::size_t(axis)]);
  return at;
}

// The steps `from` … `to` of some vectors.
void Emitter::emit_steps(LoopFrame& f, const Channels& c, Value* from, Value* to, const std::vector<Vectors>& vectors) {
  const LoweredLoop& loop = f.loop;
  const Tape& tape = *loop.body;
  Frame inner = f.inner;
  for (std::size_t i = 0; i < loop.constants; ++i) inner.pointer[tape.inputs[i]] = f.operand[i];
  Value* begins = b_.CreateICmpEQ(from, number(0));
  std::vector<Value*> first;
  for (const Vectors& v : vectors)
    for (std::size_t i = 0; i < loop.states; ++i) {
      const Type& type = tape.input_type(loop.constants + i);
      const Index place = linear(type.shape, indices_at(c.states[i], v));
      Value* given = f.operand[loop.constants + i];
      if (!given) {
        Value* made = pull_source(*f.outer, f.record.in[loop.constants + i], {}, nullptr);
        Value* kept = load(f.kept[i], type.dtype, linear(c.space, v.at), v.mask);
        first.push_back(b_.CreateSelect(begins, made, kept));
      } else if (type.shape == c.space) {
        first.push_back(load(b_.CreateSelect(begins, given, f.last[i]), type.dtype, place, v.mask));
      } else {
        Value* kept = load(f.kept[i], type.dtype, linear(c.space, v.at), v.mask);
        first.push_back(b_.CreateSelect(begins, load(given, type.dtype, place, v.mask), kept));
      }
    }

  auto* before = b_.GetInsertBlock();
  auto* block = llvm::BasicBlock::Create(b_.getContext(), "steps", function_);
  auto* after = llvm::BasicBlock::Create(b_.getContext(), "last_step", function_);
  auto* enter = b_.CreateCondBr(b_.CreateICmpSLT(from, to), block, after);
  b_.SetInsertPoint(block);
  auto* step = b_.CreatePHI(b_.getInt64Ty(), 2);
  step->addIncoming(from, before);
  std::vector<llvm::PHINode*> carried;
  for (Value* value : first) {
    carried.push_back(b_.CreatePHI(value->getType(), 2));
    carried.back()->addIncoming(value, before);
  }
  known_.clear();
  Steps steps{c, block, enter, std::vector<Value*>(tape.size())};
  steps_ = &steps;
  Value* t = loop.reverse ? b_.CreateSub(b_.CreateSub(extent(loop.length), number(1)), step) : step;
  auto at_step = [&](Value* base, const Type& type) {
    return b_.CreateGEP(b_.getInt8Ty(), base, b_.CreateMul(t, bytes_of(type)));
  };
  for (std::size_t i = loop.first_x(); i < tape.inputs.size(); ++i)
    inner.pointer[tape.inputs[i]] = at_step(f.operand[i], tape.input_type(i));
  for (std::size_t i = loop.states; i < tape.outputs.size(); ++i)
    inner.slot[i] = at_step(f.result[i], tape.output_type(i));

  std::vector<Value*> next;
  struct Store {
    const Channels::Given* given;
    const Vectors* at;
    Value* value;
  };
  std::vector<Store> small;
  for (std::size_t n = 0; n < vectors.size(); ++n) {
    const Vectors& v = vectors[n];
    for (std::size_t i = 0; i < loop.states; ++i)
      steps.states[tape.inputs[loop.constants + i]] = carried[n * loop.states + i];
    for (std::size_t i = 0; i < loop.states; ++i)
      next.push_back(pull(inner, tape.outputs[i], indices_at(c.states[i], v), v.mask));
    for (const Channels::Given& y : c.given) {
      const Id id = y.write->value;
      const Indices at = indices_at(y.place, v);
      Value* value = pull(inner, id, at, v.mask);
      if (inner[id].type.shape == c.space)
        write(inner, *y.write, at, value, v.mask);
      else
        small.push_back({&y, &v, value});
    }
  }
  // Each element of what is smaller than the space is written by the vectors that have it at the beginning of the rest.
  for (const Store& s : small)
    store_at(inner.slot[s.given->output], inner[s.given->write->value].type, s.given->place, *s.at, s.value);
  steps_ = nullptr;
  auto* latch = b_.GetInsertBlock();
  Value* following = b_.CreateAdd(step, number(1), "", true, true);
  step->addIncoming(following, latch);
  for (std::size_t i = 0; i < next.size(); ++i) carried[i]->addIncoming(next[i], latch);
  b_.CreateCondBr(b_.CreateICmpSLT(following, to), block, after);

  b_.SetInsertPoint(after);
  known_.clear();
  std::vector<llvm::PHINode*> final_states;
  for (std::size_t i = 0; i < next.size(); ++i) {
    final_states.push_back(b_.CreatePHI(next[i]->getType(), 2));
    final_states.back()->addIncoming(first[i], before);
    final_states.back()->addIncoming(next[i], latch);
  }
  Value* is_last = b_.CreateICmpEQ(to, extent(loop.length));
  for (std::size_t n = 0; n < vectors.size(); ++n)
    for (std::size_t i = 0; i < loop.states; ++i) {
      const Type& type = tape.input_type(loop.constants + i);
      const Vectors& v = vectors[n];
      Value* value = final_states[n * loop.states + i];
      const bool shared = type.shape != c.space;
      store(shared ? f.kept[i] : f.last[i], type.dtype, linear(c.space, v.at), value, v.mask);
      if (shared) if_then(is_last, [&] { store_at(f.last[i], type, c.states[i], v, value); });
    }
}

// Stores a value that stands at `place` of the space: of elements that share it, the first stores it.
void Emitter::store_at(Value* pointer, const Type& type, const std::vector<int>& place, const Vectors& v,
                       Value* value) {
  const Indices at = indices_at(place, v);
  Value* is_first = b_.getTrue();
  bool in_vectors = false;
  for (std::size_t axis = 0; axis < v.at.size(); ++axis) {
    const bool has = flat_ ? at[0].step != 0 : std::find(place.begin(), place.end(), int(axis)) != place.end();
    if (!has) is_first = b_.CreateAnd(is_first, b_.CreateICmpEQ(v.at[axis].base, number(0)));
    in_vectors = has;
  }
  if_then(is_first, [&] {
    if (in_vectors) return store(pointer, type.dtype, linear(type.shape, at), value, v.mask);
    if (width_ > 1) value = b_.CreateExtractElement(value, std::uint64_t(0));
    const int width = std::exchange(width_, 1);
    store(pointer, type.dtype, linear(type.shape, at), value, nullptr);
    width_ = width;
  });
}

// Whether a value is the same in all steps, and the place where it is read known before them.
bool Emitter::is_before_steps(Id id, const Indices& at) const {
  if (!steps_ || !steps_->channels.constant[id]) return false;
  auto inside = [&](Value* value) {
    auto* instruction = value ? llvm::dyn_cast<llvm::Instruction>(value) : nullptr;
    return instruction && instruction->getParent() == steps_->block;
  };
  return std::none_of(at.begin(), at.end(), [&](const Index& i) { return inside(i.base) || inside(i.vector); });
}

}  // namespace tapeloop
