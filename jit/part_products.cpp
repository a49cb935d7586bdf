// Products of which a loop, or a part of its state, needs only a part in each step are taken apart, so that the other can leave it:
//
//   concat(x, h) · [W; U]  =  h · U, starting at x · W        split(z · [W; U]ᵀ)  =  z · Wᵀ, z · Uᵀ
//
// An element's chain of multiply-adds goes through the same numbers in the same order.
#include <algorithm>

#include "jit/depend.h"
#include "jit/hoist.h"
#include "jit/rebuild.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

using Flags = std::vector<bool>;

// How many parts of a product's left operand, a concatenation, can be there before the others: they need no state that the
// others are computed from, nor does what the product begins with. As many as possible; 0 if there are none.
std::size_t leading_parts(const Tape& body, const Dependences& on, const StateGraph& graph, Id id) {
  if (!on.is_product(body, id)) return 0;
  const Record &r = body[id], &left = body[r.in[0]];
  if (left.op != &concat_op || left.attrs.integer("axis") != 1) return 0;
  std::size_t count = 0;
  bool vary = false;
  Flags needed(graph.size(), false);
  const auto need = [&](Id value) {
    const Flags& read = graph.read_by(value);
    StateGraph::add(needed, read);
    for (std::size_t s = 0; s < read.size(); ++s)
      if (read[s]) StateGraph::add(needed, graph.before(s));
  };
  if (r.in.size() == 3) need(r.in[2]);
  for (std::size_t i = 0; i + 1 < left.in.size(); ++i) {
    need(left.in[i]);
    vary = vary || on.varies(left.in[i]);
    Flags others(graph.size(), false);
    for (std::size_t k = i + 1; k < left.in.size(); ++k) StateGraph::add(others, graph.read_by(left.in[k]));
    for (std::size_t s = 0; s < others.size(); ++s)
      if (vary && others[s] && !needed[s]) count = i + 1;
  }
  return count;
}

// Products that are split along their columns, some of which the next step needs and some it does not.
std::vector<bool> parted_by_readers(const LoweredLoop& loop, const Dependences& on) {
  const Tape& body = *loop.body;
  std::vector<bool> needed(body.size(), false), other(body.size(), false), parted(body.size(), false);
  for (std::size_t i = 0; i < loop.states; ++i) needed[body.outputs[i]] = true;
  for (Id id = Id(body.size()); id-- > 0;)
    for (Id operand : body[id].in)
      if (needed[id]) needed[operand] = true;
  for (Id id : body.outputs) other[id] = true;
  for (const Record& r : body.records)
    for (Id operand : r.in)
      if (r.op != &split_op || r.attrs.integer("axis") != 1) other[operand] = true;
  for (Id id = 0; id < body.size(); ++id) {
    if (body[id].op != &pick_op || body[body[id].in[0]].op != &split_op) continue;
    const Id product = body[body[id].in[0]].in[0];
    parted[product] = parted[product] || (on.is_product(body, product) && on.on_state[product] && needed[product] &&
                                          !needed[id] && !other[product]);
  }
  return parted;
}

// Rows or columns of a product's right operand.
Tensor part_of(const Tensor& right, const Record& product, bool rows, const Extent& start, const Extent& count) {
  return slice_at(right, rows == product.attrs.flag("transpose_b") ? 1 : 0, start, count, product.where);
}

TapePtr with_parts(const LoweredLoop& loop) {
  const Tape& body = *loop.body;
  const Dependences on(loop);
  const StateGraph graph(loop);
  const std::vector<bool> parted = parted_by_readers(loop, on);
  std::vector<Tensors> given(body.size());  // the operands of each record on the new tape
  return rebuild(loop.body, [&](Id id, const Tensors& in, Recorder&) -> Tensor {
    const Record& r = body[id];
    given[id] = in;
    if (r.op == &pick_op && body[r.in[0]].op == &split_op && parted[body[r.in[0]].in[0]]) {
      const Record &split = body[r.in[0]], &product = body[split.in[0]];
      const auto& sizes = split.attrs.get<Shape>("sizes");
      const auto part = std::size_t(r.attrs.integer("index"));
      Extent start = 0;
      for (std::size_t i = 0; i < part; ++i) start = start + sizes[i];
      Tensors operands = given[split.in[0]];
      operands[1] = part_of(operands[1], product, false, start, sizes[part]);
      if (operands.size() == 3) operands[2] = slice_at(operands[2], 1, start, sizes[part], product.where);
      return record(matmul_op, operands, product.attrs, product.where);
    }
    const std::size_t leading = leading_parts(body, on, graph, id);
    if (leading == 0) return {};
    const Tensors parts = given[r.in[0]];
    const auto joined = [&](std::size_t begin, std::size_t end) {
      const Tensors some(parts.begin() + std::ptrdiff_t(begin), parts.begin() + std::ptrdiff_t(end));
      return some.size() == 1 ? some[0] : concat(some, 1, r.where);
    };
    const Tensor first = joined(0, leading), rest = joined(leading, parts.size());
    Tensors operands = in;
    operands[0] = first;
    operands[1] = part_of(in[1], r, true, 0, first.size(1));
    const Tensor before = record(matmul_op, operands, r.attrs, r.where);
    return record(matmul_op, {rest, part_of(in[1], r, true, first.size(1), rest.size(1)), before}, r.attrs, r.where);
  });
}

}  // namespace

TapePtr part_products(const TapePtr& tape) {
  return rebuild(tape, [&](Id id, const Tensors& in, Recorder&) -> Tensor {
    const Record& r = (*tape)[id];
    if (!is_loop(r)) return {};
    LoweredLoop loop(r.attrs);
    loop.body = part_products(loop.body);
    loop.body = with_parts(loop);
    return record(loop_op, in, loop.attrs(), r.where);
  });
}

}  // namespace tapeloop
