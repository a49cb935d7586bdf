// Rewriting the loops of a tape.
#pragma once

#include "ad/arithmetic.h"
#include "jit/loop.h"
#include "jit/rebuild.h"

namespace tapeloop {

// The results of a loop that has been rewritten, in the order of the original's; `tuple` is any record of them.
struct Rewritten {
  Tensor tuple;
  Tensors parts;
};

inline Rewritten as_it_is(const LoweredLoop& loop, const Tensors& in, const Where& where) {
  const Tensor tuple = record(loop_op, in, loop.attrs(), where);
  return {tuple, picks(tuple)};
}

// Applies `rewrite(loop, operands, where)` to every loop over single steps, of a tape and of the bodies of its loops.
template <class Rewrite>
TapePtr rewrite_loops(const TapePtr& tape, const Rewrite& rewrite) {
  std::vector<Tensors> parts(tape->size());
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder&) -> Tensor {
    const Record& r = (*tape)[id];
    if (r.op == &pick_op && !parts[r.in[0]].empty()) return parts[r.in[0]][std::size_t(r.attrs.integer("index"))];
    if (!is_loop(r)) return {};
    LoweredLoop loop(r.attrs);
    loop.body = rewrite_loops(loop.body, rewrite);
    if (loop.is_blocked()) return record(loop_op, in, loop.attrs(), r.where);
    Rewritten result = rewrite(loop, in, r.where);
    parts[id] = std::move(result.parts);
    return result.tuple;
  });
}

}  // namespace tapeloop
