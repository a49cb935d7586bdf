// Op: everything that is known about one operation, in one value.
//
// Ops are open, kinds are closed: the compiler schedules kinds, so a new op needs no change anywhere else. An elementwise
// op is written with `elementwise({...})`; a structural op fills in the fields below.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "ad/attrs.h"
#include "ad/lanes.h"
#include "ad/tensor.h"

namespace tapeloop {

struct Record;
struct Tape;

enum class Kind : std::uint8_t {
  input,        // an argument of the tape
  source,       // no operands: full, iota, extent, constant
  elementwise,  // one LaneProgram, all operands of one shape
  view,         // moves elements without computing: reshape, transpose, broadcast, slice, flip, pad, concat, split
  reduce,       // sum, prod, max, min, argmax over one set of axes
  prefix,       // every partial result along an axis: cumsum, linear_recurrence
  sort,         // argsort along an axis
  matmul,
  index,   // gather, scatter
  loop,    // scan, while_loop
  branch,  // cond
  call,    // a tape as one record: checkpoint, custom rules; the compiler puts the tape in its place
  pick,    // one result of a record with several
};

// Which operands want a cotangent, and which results may receive one.
struct Demand {
  std::vector<bool> wanted;
  std::vector<bool> live;
};

// What a reverse rule gives: the op's value (a rule may compute it in its own way, as scan does to keep residuals) and a
// function from the cotangents of its results (empty: none) to those of its operands (empty: zero).
struct Pullback {
  Tensor value;
  std::function<Tensors(const Tensors& cts)> pull;
  // Instead of `pull`, for a rule that goes on with sums: where the cotangents of an operand have been added up to `sums[i]`
  // already (empty: nothing yet), what it returns includes them. A loop starts its own additions there, so that they run
  // in the order in which its steps, written out, would add.
  std::function<Tensors(const Tensors& cts, const Tensors& sums)> pull_onto = nullptr;
};

struct Pushforward {
  Tensor value;
  Tensors tangents;  // one for each result; empty: zero
};

// What a batching rule gives: the op's value for all examples, and which of its results have the batch axis as their first
// (empty: all).
struct Batched {
  Tensor value;
  std::vector<bool> parts;
};

struct Op {
  std::string_view name;
  Kind kind = Kind::elementwise;
  bool cheap = false;  // arithmetic and views: may be computed again instead of kept
  // An op that is cheap for some operands only says for which, instead.
  bool (*cheap_for)(const Tape& tape, const Record& r) = nullptr;
  bool linear = false;  // linear in all its operands together: the tangent of the op is the op of the tangents
  LaneOp fold =
      LaneOp::add;  // reduce: how two elements become one; prefix: the operation whose neutral element it begins with
  int start = -1;   // index of the optional operand from which the op's sums start (matmul 2, sum 1)

  // Result type from operand types; throws Error with the user's line. Records and runs share it.
  Type (*infer)(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where) = nullptr;
  // The meaning: concrete operands to a concrete result (a tuple when there are several).
  Tensor (*run)(const Op& op, std::span<const Tensor> in, const Attrs& attrs, const Type& type) = nullptr;

  // Elementwise: the lane program, and how a change flows through it, in either of two spellings (see Elementwise).
  // (Prefix: one step, from the result before, x[0], and one element of each operand.)
  Lane (*lanes)(Lanes x) = nullptr;
  Tensors (*partials)(const Tensors& x, const Tensor& y) = nullptr;
  Tensors (*flow)(const Tensors& x, const Tensor& y, const Tensor& v) = nullptr;

  // Structural ops. `r` gives attributes and types; `in` are the operands on the new tape.
  Pullback (*vjp)(const Record& r, const Tensors& in, const Demand& demand) = nullptr;
  Pushforward (*jvp)(const Record& r, const Tensors& in, const Tensors& dots) = nullptr;
  // The op for n examples at once: the `batched` operands (at least one) have a new first axis of extent n, the others are
  // the same for all. Elementwise ops need no rule.
  Batched (*batch)(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) = nullptr;
  // Ops with several results: the record again with only the `live` ones, which are returned (the others stay empty).
  Tensors (*narrow)(const Record& r, const Tensors& in, const std::vector<bool>& live) = nullptr;
};

// Rules for `infer`. All check that shapes agree.
Type infer_same(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where);
Type infer_float(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where);       // floats only
Type infer_number(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where);      // no booleans
Type infer_comparison(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where);  // to boolean

// How an elementwise op is written. The Jacobian is diagonal, so one function serves both modes: `partials` gives ∂y/∂xᵢ
// (written with y where that spares keeping x; empty: zero), `flow` gives v·∂y/∂xᵢ where the product must not be taken
// naively (0·inf at the untaken side of a `where`). With neither, no gradient flows (comparisons, floor, sign).
struct Elementwise {
  std::string_view name;
  Lane (*lanes)(Lanes x);
  Tensors (*partials)(const Tensors& x, const Tensor& y) = nullptr;
  Tensors (*flow)(const Tensors& x, const Tensor& y, const Tensor& v) = nullptr;
  bool cheap = false;
  // Result dtype and dtype check; the default wants all operands of one dtype, which is the result's.
  Type (*infer)(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where) = infer_same;
};

// The meaning of every elementwise op: its lane program, run over the elements.
Tensor run_elementwise(const Op& op, std::span<const Tensor> in, const Attrs& attrs, const Type& type);

// An Op is a constant, so that it exists before anything that is recorded while the program starts.
constexpr Op elementwise(const Elementwise& spec) {
  Op op;
  op.name = spec.name;
  op.kind = Kind::elementwise;
  op.cheap = spec.cheap;
  op.infer = spec.infer;
  op.run = run_elementwise;
  op.lanes = spec.lanes;
  op.partials = spec.partials;
  op.flow = spec.flow;
  return op;
}

// The lane program of an elementwise op for these operand dtypes. Cached; thread-safe.
const LaneProgram& lane_program(const Op& op, std::span<const Type> in, const Attrs& attrs);

// Throws Error naming `op` when `x` is empty.
void check_value(std::string_view op, const Tensor& x, const Where& where);
// The same when its elements are no floating-point numbers.
void needs_float(std::string_view op, const Tensor& x, const Where& where);

// Records `op` on the tape of its operands, or runs it when none of them is recorded.
// Throws Error when shapes or dtypes are wrong, when an operand is empty, when a concrete tensor of several elements meets
// a recorded one without being an argument, and when a tensor has outlived the recording it belongs to.
Tensor record(const Op& op, const Tensors& operands, Attrs attrs, const Where& where);

// A tensor that is made from nothing (`op` has kind source), or from generated tensors.
Tensor generate(const Op& op, Attrs attrs, const Where& where);

// Several results of a record, one by one.
Tensor pick(const Tensor& tuple, int index);
Tensors picks(const Tensor& tuple);
Tensors joined(Tensors a, const Tensors& b);  // one list of both

}  // namespace tapeloop
