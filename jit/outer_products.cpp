#include "jit/hoist.h"
#include "jit/loop.h"
#include "jit/rebuild.h"
#include "ops/math.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

// start + x·y, rounded once, as a product rounds each of its terms; a product without a start begins at zero.
constexpr Op term_op = elementwise({
    .name = "term",
    .lanes = [](Lanes x) { return x.size() == 3 ? lane::fma(x[0], x[1], x[2]) : lane::fma(x[0], x[1], 0.0); },
    .cheap = true,
});

// What starts at an argument may be a sum over the steps of a loop, of which hoist_after makes one product with a term for each
// step: the gradient of a weight, where the batch is a single row.
bool may_be_sum(const Tape& tape, const Record& r) {
  return r.in.size() == 3 && r.type.rank() == 2 && tape[r.in[2]].op == &input_op;
}

}  // namespace

TapePtr outer_products(const TapePtr& tape) {
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder&) -> Tensor {
    const Record& r = (*tape)[id];
    if (is_loop(r))
      return record(loop_op, in, r.attrs.with("body", outer_products(r.attrs.get<TapePtr>("body"))), r.where);
    if (r.op != &matmul_op || !is_outer_product(*tape, r) || may_be_sum(*tape, r)) return {};
    // The column as [..., M, 1] and the row as [..., 1, N], whichever way they lie.
    Shape column = r.type.shape, row = column;
    column.back() = 1;
    row[row.size() - 2] = 1;
    Tensors operands{broadcast_to(reshape(in[0], column, r.where), r.type.shape, r.where),
                     broadcast_to(reshape(in[1], row, r.where), r.type.shape, r.where)};
    if (in.size() == 3) operands.push_back(in[2]);
    return record(term_op, operands, {}, r.where);
  });
}

}  // namespace tapeloop
