#include "jit/block.h"

#include <algorithm>

#include "jit/hoist.h"
#include "jit/loop.h"
#include "jit/passes.h"
#include "jit/rebuild.h"
#include "jit/target.h"

namespace tapeloop {
namespace {

// What a block should hold of values that cross its border: most of the second cache, of a large one as much as of 1 MB.
std::int64_t bytes_of_block() { return std::min<std::int64_t>(host_target().cache_bytes, 1 << 20) / 4 * 3; }

// The fewest steps that are worth a block.
constexpr std::int64_t kFewestSteps = 8;

// How many steps a block may have: the blocks of a loop are of nearly equal length (see Emitter::emit_turns). Of a loop that will
// run in parts, one after the other, the largest counts. 0 when nothing leaves any part.
Extent most_steps(const LoweredLoop& loop) {
  Extent most_bytes = 1;
  bool any = false;
  for (const LoweredLoop& part : runs(Pass::part_loops) ? loops_parted(loop) : std::vector{loop}) {
    Extent bytes = 0;
    for (const Type& type : values_that_may_leave(part)) {
      bytes = bytes + extent_product(type.shape) * Extent(size_of(type.dtype));
      any = true;
    }
    most_bytes = max(bytes, most_bytes);
  }
  return any ? min(loop.length, max(Extent(kFewestSteps), Extent(bytes_of_block()) / most_bytes)) : Extent(0);
}

Tensor blocked(const Record& r, const Tensors& in) {
  LoweredLoop inner(r.attrs);
  inner.body = block_time(inner.body);
  LoweredLoop outer = inner;
  const bool short_loop = inner.length.is_number() && inner.length.value() <= 2 * kFewestSteps;
  if (inner.is_blocked() || short_loop) return record(loop_op, in, inner.attrs(), r.where);

  outer.most = most_steps(inner);
  // A symbol that is 0 or 1 now could become a number, and the code right for no other length.
  if (outer.most.value() <= 1) return record(loop_op, in, inner.attrs(), r.where);
  outer.block = Extent::symbol(outer.most.value());
  inner.length = outer.block;
  inner.history.assign(inner.history.size(), -1);
  auto recorder = Recorder::start();
  Tensors operands;
  for (std::size_t i = 0; i < in.size(); ++i) {
    Type type = outer.body->input_type(i);
    if (i >= outer.first_x()) type.shape.insert(type.shape.begin(), outer.block);
    operands.push_back(recorder->input(type));
  }
  outer.body = recorder->finish(picks(record(loop_op, operands, inner.attrs(), r.where)));
  return record(loop_op, in, outer.attrs(), r.where);
}

}  // namespace

TapePtr block_time(const TapePtr& tape) {
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder&) {
    const Record& r = (*tape)[id];
    return is_loop(r) ? blocked(r, in) : Tensor();
  });
}

}  // namespace tapeloop
