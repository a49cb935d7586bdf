// What one vector of lanes computes: values are pulled from where they are needed back to memory, views turning into index
// arithmetic on the way.
#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include <algorithm>

#include "ad/arithmetic.h"
#include "jit/emit.h"
#include "jit/emit_lanes.h"
#include "jit/pack.h"
#include "jit/steps.h"
#include "jit/tile.h"
#include "ops/index.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"

namespace tapeloop {

using llvm::Value;

namespace {

constexpr std::int64_t kRowsAhead = 32;  // of an operand that is packed, asked for before they are read

std::string key_of(Id id, const Indices& at, Value* mask, int width) {
  std::string key(reinterpret_cast<const char*>(&id), sizeof id);
  auto add = [&](const void* p) { key.append(reinterpret_cast<const char*>(&p), sizeof p); };
  for (const Index& index : at) {
    add(index.base);
    add(index.vector);
    key += char(index.step);
  }
  add(mask);
  key += char(width);
  return key;
}

}  // namespace

Value* Emitter::pull(Frame& frame, Id id, const Indices& at, Value* mask) {
  const std::string key = key_of(id, at, mask, width_);
  auto it = known_.find(key);
  if (it != known_.end()) return it->second;
  const llvm::IRBuilderBase::InsertPointGuard here(b_);
  if (is_before_steps(id, at)) b_.SetInsertPoint(steps_->before);
  Value* value = pull_record(frame, id, at, mask);
  known_[key] = value;
  return value;
}

Value* Emitter::pull_record(Frame& frame, Id id, const Indices& at, Value* mask) {
  const Record& r = frame[id];
  const Plan& plan = *frame.plan;
  if (steps_ && steps_->states[id]) return steps_->states[id];
  const bool here = steps_ ? plan.nest_of[id] >= 0 : plan.nest_of[id] == nest_;
  if (const Tile* tile = tile_of(id)) return tile->sums[0];
  if (Value* value = value_of_row(id, at)) return splat(value);
  if (plan.stored[id] && !here) {
    touch(frame, id);
    const Index place = place_in(frame, id, at);
    ask_ahead(frame, id, place);
    return load(pointer_of(frame, id), r.type.dtype, place, mask);
  }
  switch (r.op->kind) {
    case Kind::elementwise: {
      std::vector<Value*> operands;
      std::vector<Type> types;
      for (Id operand : r.in) {
        operands.push_back(pull(frame, operand, at, mask));
        types.push_back(frame[operand].type);
      }
      return emit_lanes(b_, lane_program(*r.op, types, r.attrs), operands, width_, target_);
    }
    case Kind::source:
      return pull_source(frame, id, at, mask);
    case Kind::view:
    case Kind::pick:
      return pull_view(frame, id, at, mask);
    case Kind::index:
      return pull_gather(frame, id, at, mask);
    default:
      throw InternalError(
          fmt::format("emit: %{} ({}) is not at hand\n{}\n{}", id, r.op->name, to_string(*plan.tape), to_string(plan)),
          r.where);
  }
}

Value* Emitter::pull_source(Frame& frame, Id id, const Indices& at, Value* mask) {
  const Record& r = frame[id];
  if (r.op == &full_op) return literal(r.type.dtype, r.attrs.get<double>("value"));
  if (r.op == &extent_op) {
    Value* n = extent(r.attrs.extent("extent"));
    return splat(is_float(r.type.dtype) ? b_.CreateSIToFP(n, element(r.type.dtype))
                                        : b_.CreateTrunc(n, element(r.type.dtype)));
  }
  if (r.op == &iota_op) {
    const int axis = r.attrs.integer("axis");
    Value* p = positions(axis < 0 ? linear(r.type.shape, at) : at[std::size_t(axis)]);
    return is_float(r.type.dtype) ? b_.CreateSIToFP(p, lanes(element(r.type.dtype)))
                                  : b_.CreateTrunc(p, lanes(element(r.type.dtype)));
  }
  if (r.op == &constant_op) {
    MemoryEntry entry{MemoryEntry::Kind::constant, 0, r.type, r.attrs.get<Tensor>("value"), 0, 0};
    return load(memory(entry), r.type.dtype, linear(r.type.shape, at), mask);
  }
  throw InternalError(fmt::format("emit: no code for the source {}", r.op->name), r.where);
}

Value* Emitter::pull_view(Frame& frame, Id id, const Indices& at, Value* mask) {
  const Record& r = frame[id];
  if (r.op == &pick_op) {
    // A chunk: of accumulators in registers, or of memory.
    const Record& split = frame[r.in[0]];
    const Id source = split.in[0];
    const int part = r.attrs.integer("index");
    const Tile* tile = tile_of(source);
    if (tile && tile->sums.size() == split.attrs.get<Shape>("sizes").size()) return tile->sums[std::size_t(part)];
    const auto axis = std::size_t(split.attrs.integer("axis"));
    Value* offset = number(0);
    for (int i = 0; i < part; ++i)
      offset = b_.CreateAdd(offset, extent(split.attrs.get<Shape>("sizes")[std::size_t(i)]));
    Indices inner = at;
    if (inner[axis].base) inner[axis].base = b_.CreateAdd(inner[axis].base, offset);
    if (inner[axis].vector) inner[axis].vector = b_.CreateAdd(inner[axis].vector, splat(offset));
    return pull(frame, source, inner, mask);
  }
  const Id source = r.in[0];
  const Shape& shape = frame[source].type.shape;
  Indices inner;
  if (flat_) {
    // Only what does not depend on the place survives flattening: a stretched single element, or a mere reshape.
    return r.op == &broadcast_op ? pull(frame, source, {Index{number(0), 0, nullptr}}, mask)
                                 : pull(frame, source, at, mask);
  }
  if (r.op == &reshape_op && r.type.rank() == 3 && shape.size() == 2 && !at[0].vector && !at[1].vector &&
      at[0].step == 0 && at[1].step == 0 && shape[1] == r.type.shape[2] && !r.type.shape[1].is_one()) {
    // Steps and rows are the rows of one matrix.
    Value* row = b_.CreateAdd(b_.CreateMul(at[0].base, extent(r.type.shape[1])), at[1].base);
    return pull(frame, source, {Index{row, 0, nullptr}, at[2]}, mask);
  }
  if (r.op == &reshape_op) {
    // Axes of extent 1 come and go; the others keep their order.
    std::vector<Index> proper;
    for (std::size_t i = 0; i < at.size(); ++i)
      if (!r.type.shape[i].is_one()) proper.push_back(at[i]);
    std::size_t next = 0;
    for (const Extent& e : shape) inner.push_back(e.is_one() ? Index{number(0), 0, nullptr} : proper[next++]);
    return pull(frame, source, inner, mask);
  }
  if (r.op == &transpose_op) {
    const Ints& order = r.attrs.get<Ints>("order");
    inner.resize(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) inner[std::size_t(order[i])] = at[i];
    return pull(frame, source, inner, mask);
  }
  if (r.op == &broadcast_op) {
    const Ints& axes = r.attrs.get<Ints>("axes");
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const bool stretched = shape[i].is_one();
      inner.push_back(stretched ? Index{number(0), 0, nullptr} : at[std::size_t(axes[i])]);
    }
    return pull(frame, source, inner, mask);
  }
  inner = at;
  auto shift = [&](Index& index, Value* by) {
    if (index.base) index.base = b_.CreateAdd(index.base, by);
    if (index.vector) index.vector = b_.CreateAdd(index.vector, splat(by));
  };
  if (r.op == &slice_op) {
    Index& index = inner[std::size_t(r.attrs.integer("axis"))];
    const int step = r.attrs.integer("step");
    if (step != 1) {
      if (index.vector) index.vector = b_.CreateMul(index.vector, splat(number(step)));
      if (index.base) index.base = b_.CreateMul(index.base, number(step));
      index.step *= step;
    }
    shift(index, extent(r.attrs.extent("start")));
    return pull(frame, source, inner, mask);
  }
  if (r.op == &flip_op) {
    const auto axis = std::size_t(r.attrs.integer("axis"));
    Index& index = inner[axis];
    Value* last = b_.CreateSub(extent(shape[axis]), number(1));
    if (index.base) index.base = b_.CreateSub(last, index.base);
    if (index.vector) index.vector = b_.CreateSub(splat(last), index.vector);
    index.step = -index.step;
    return pull(frame, source, inner, mask);
  }
  if (r.op == &pad_op) {
    const auto axis = std::size_t(r.attrs.integer("axis"));
    const std::int64_t stride = r.attrs.integer("interior") + 1;
    Value* n = extent(shape[axis]);
    Value* place = b_.CreateSub(positions(at[axis]), splat(extent(r.attrs.extent("before"))));
    Value* quotient = stride == 1 ? place : b_.CreateSDiv(place, splat(number(stride)));
    Value* inside = b_.CreateAnd(b_.CreateICmpSGE(place, splat(number(0))), b_.CreateICmpSLT(quotient, splat(n)));
    if (stride != 1)
      inside = b_.CreateAnd(inside, b_.CreateICmpEQ(b_.CreateMul(quotient, splat(number(stride))), place));
    // Lanes outside read element 0 of the padding instead of memory that may not be there.
    Index& index = inner[axis];
    if (at[axis].step == 1 && !at[axis].vector && stride == 1 && width_ > 1) {
      index.base = b_.CreateSub(at[axis].base, extent(r.attrs.extent("before")));
      Value* both = mask ? b_.CreateAnd(mask, inside) : inside;
      return b_.CreateSelect(inside, pull(frame, source, inner, both),
                             literal(r.type.dtype, r.attrs.get<double>("value")));
    }
    Value* safe = b_.CreateSelect(inside, quotient, splat(number(0)));
    if (at[axis].step == 0 && !at[axis].vector && width_ > 1)
      index = Index{b_.CreateExtractElement(safe, std::uint64_t(0)), 0, nullptr};
    else
      index = width_ == 1 ? Index{safe, 0, nullptr} : Index{nullptr, 0, safe};
    return b_.CreateSelect(inside, pull(frame, source, inner, mask),
                           literal(r.type.dtype, r.attrs.get<double>("value")));
  }
  if (r.op == &pack_op) {
    return pull_pack(frame, id, at, mask);
  }
  throw InternalError(fmt::format("emit: no code for the view {}", r.op->name), r.where);
}

// A panel takes a few lines of each row of an operand, which no hardware foresees: some rows ahead are asked for.
void Emitter::ask_rows_ahead(Frame& frame, Id id, Indices at) {
  Index& row = at[at.size() - 2];
  if (width_ == 1 || !frame.plan->stored[id] || row.step != 0 || row.vector || at.back().vector) return;
  row.base = b_.CreateAdd(row.base, number(kRowsAhead));
  const Record& r = frame[id];
  ask_for(b_, b_.CreateGEP(element(r.type.dtype), pointer_of(frame, id), linear(r.type.shape, at).base), Near::first);
}

// [steps…, panel, k, stream, column] ← [steps…, k, stream · columns + panel · width + column] of the operand that the stream
// belongs to; zero beyond the last column.
Value* Emitter::pull_pack(Frame& frame, Id id, const Indices& at, Value* mask) {
  const Record& r = frame[id];
  const Panels panels(r.attrs);
  const bool transpose = r.attrs.flag("transpose");
  const std::size_t lead = at.size() - 4;
  const Index &k = at[lead + 1], &stream = at[lead + 2], &lane = at[lead + 3];
  Value* column = b_.CreateAdd(b_.CreateMul(at[lead].base, number(panels.panel_columns())), lane.base);
  Value* inside = b_.CreateICmpSLT(positions(Index{column, lane.step, nullptr}), splat(number(panels.columns)));
  Value* both = mask ? b_.CreateAnd(mask, inside) : inside;
  Value* result = literal(r.type.dtype, 0);
  std::int64_t first = 0;
  for (Id operand : r.in) {
    const Shape& shape = frame[operand].type.shape;
    const std::int64_t streams = panels.streams_of(shape[shape.size() - (transpose ? 2 : 1)].value());
    Value* offset = b_.CreateMul(b_.CreateSub(stream.base, number(first)), number(panels.columns));
    const Index position{b_.CreateAdd(offset, column), lane.step, nullptr};
    Indices place(at.begin(), at.begin() + std::ptrdiff_t(lead));
    place.push_back(transpose ? position : k);
    place.push_back(transpose ? k : position);
    ask_rows_ahead(frame, operand, place);
    Value* here = both;
    if (r.in.size() > 1)
      here = b_.CreateAnd(both, splat(b_.CreateAnd(b_.CreateICmpSGE(stream.base, number(first)),
                                                   b_.CreateICmpSLT(stream.base, number(first + streams)))));
    result = b_.CreateSelect(here, pull(frame, operand, place, here), result);
    first += streams;
  }
  return result;
}

// table[indices]: what a row that does not exist reads as is an attribute; negative indices count from the end.
Value* Emitter::pull_gather(Frame& frame, Id id, const Indices& at, Value* mask) {
  const Record& r = frame[id];
  const Record &table = frame[r.in[0]], &indices = frame[r.in[1]];
  const std::size_t rank = indices.type.shape.size();
  const Indices which(at.begin(), at.begin() + std::ptrdiff_t(rank));
  touch(frame, r.in[0]);
  touch(frame, r.in[1]);
  Value* row = load(pointer_of(frame, r.in[1]), indices.type.dtype, linear(indices.type.shape, which), mask);
  row = indices.type.dtype == Dtype::u32 ? b_.CreateZExt(row, lanes(b_.getInt64Ty()))
                                         : b_.CreateSExt(row, lanes(b_.getInt64Ty()));
  Value* n = extent(table.type.shape[0]);
  row = b_.CreateSelect(b_.CreateICmpSLT(row, splat(number(0))), b_.CreateAdd(row, splat(n)), row);
  Value* inside = b_.CreateAnd(b_.CreateICmpSGE(row, splat(number(0))), b_.CreateICmpSLT(row, splat(n)));
  Value* safe = b_.CreateSelect(inside, row, splat(number(0)));
  bool uniform = width_ > 1;
  for (const Index& index : which) uniform = uniform && index.step == 0 && !index.vector;
  Indices place{uniform       ? Index{b_.CreateExtractElement(safe, std::uint64_t(0)), 0, nullptr}
                : width_ == 1 ? Index{safe, 0, nullptr}
                              : Index{nullptr, 0, safe}};
  place.insert(place.end(), at.begin() + std::ptrdiff_t(rank), at.end());
  Value* both = mask ? b_.CreateAnd(mask, inside) : inside;
  Value* value =
      load(pointer_of(frame, r.in[0]), table.type.dtype, linear(table.type.shape, place), width_ == 1 ? nullptr : both);
  return b_.CreateSelect(inside, value,
                         literal(r.type.dtype, is_float(r.type.dtype) ? r.attrs.get<double>("outside") : 0));
}

// Whether a value can be computed by walking all its elements with one index.
bool Emitter::is_flat(const Frame& frame, Id id) const {
  std::vector<Id> work{id};
  std::vector<bool> seen(frame.plan->nest_of.size(), false);  // a value may be read many times over
  while (!work.empty()) {
    const Id x = work.back();
    work.pop_back();
    if (seen[x]) continue;
    seen[x] = true;
    const Record& r = frame[x];
    if (frame.plan->stored[x] && frame.plan->nest_of[x] != nest_) continue;
    if (r.op == &full_op || r.op == &extent_op || r.op == &constant_op) continue;
    if (r.op == &iota_op && r.attrs.integer("axis") < 0) continue;
    if (r.op == &broadcast_op) {
      const Id source = r.in[0];
      if (frame.plan->stored[source] && frame.plan->nest_of[source] != nest_ &&
          std::ranges::all_of(frame[source].type.shape, &Extent::is_one))
        continue;
      return false;
    }
    if (r.op == &reshape_op) {
      work.push_back(r.in[0]);
      continue;
    }
    if (r.op->kind != Kind::elementwise) return false;
    work.insert(work.end(), r.in.begin(), r.in.end());
  }
  return true;
}

}  // namespace tapeloop
