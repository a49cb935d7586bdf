#include "jit/lower.h"

#include <algorithm>

#include "ops/matmul.h"
#include "ops/scan.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

constexpr std::int64_t kLanes = 16;

Type infer_pack(const Op&, std::span<const Type> in, const Attrs& attrs, const Where&) {
  const bool transpose = attrs.flag("transpose");
  const std::int64_t streams = attrs.integer("streams"), width = attrs.integer("width");
  const Extent k = in[0].shape[transpose ? 1 : 0], n = in[0].shape[transpose ? 0 : 1];
  const std::int64_t columns = n.pin() / streams, panel = width * kLanes;
  return {in[0].dtype, {(columns + panel - 1) / panel, k, streams, panel}, nullptr};
}

Type infer_packed_matmul(const Op&, std::span<const Type> in, const Attrs& attrs, const Where&) {
  return {in[0].dtype, {in[0].shape[attrs.flag("transpose_a") ? 1 : 0], attrs.integer("n")}, nullptr};
}

// Rebuilds a tape record by record; `rewrite` may record something else in the place of a record, or return an empty
// tensor to keep it. Bodies of loops are rebuilt first.
template <class Rewrite>
TapePtr rebuild(const TapePtr& tape, const Rewrite& rewrite) {
  auto recorder = Recorder::start();
  Tensors value(tape->size());
  for (Id id : tape->inputs) value[id] = recorder->input(tape->input_type(std::size_t((*tape)[id].attrs.integer("index"))));
  for (Id id = 0; id < tape->size(); ++id) {
    const Record& r = (*tape)[id];
    if (r.op == &input_op) continue;
    Tensors in;
    for (Id operand : r.in) in.push_back(value[operand]);
    value[id] = rewrite(id, in);
    if (!value[id].is_empty()) continue;
    std::vector<Id> ids;
    for (const Tensor& tensor : in) ids.push_back(tensor.id());
    value[id] = recorder->append(*r.op, std::move(ids), r.attrs, r.type, r.where);
  }
  Tensors outputs;
  for (Id id : tape->outputs) outputs.push_back(value[id]);
  return prune(recorder->finish(outputs));
}

// How many equal chunks along its last axis a value is taken apart into, if that is all that is done with it; else 1.
std::int64_t streams_of(const Tape& tape, Id id) {
  for (Id output : tape.outputs)
    if (output == id) return 1;
  std::int64_t streams = 0;
  for (const Record& r : tape.records) {
    if (std::find(r.in.begin(), r.in.end(), id) == r.in.end()) continue;
    if (r.op != &split_op || r.attrs.integer("axis") != 1) return 1;
    const Shape& sizes = r.attrs.get<Shape>("sizes");
    for (const Extent& size : sizes)
      if (!(size == sizes[0])) return 1;
    if (streams && streams != std::int64_t(sizes.size())) return 1;
    streams = std::int64_t(sizes.size());
  }
  return streams >= 1 && streams <= 6 ? streams : 1;
}

}  // namespace

constinit const Op pack_op = {.name = "pack", .kind = Kind::view, .infer = infer_pack};
constinit const Op packed_matmul_op = {.name = "packed_matmul", .kind = Kind::matmul, .start = 2, .infer = infer_packed_matmul};

TapePtr pack_matmuls(const TapePtr& tape) {
  return rebuild(tape, [&](Id id, const Tensors& in) -> Tensor {
    const Record& r = (*tape)[id];
    if (r.op == &scan_op) return record(scan_op, in, r.attrs.with("body", pack_matmuls(r.attrs.get<TapePtr>("body"))), r.where);
    if (r.op != &matmul_op || r.type.rank() != 2) return {};
    const std::int64_t n = r.type.shape[1].pin(), streams = streams_of(*tape, id);
    const std::int64_t vectors = (n / streams + kLanes - 1) / kLanes;
    const std::int64_t width = std::max<std::int64_t>(1, std::min<std::int64_t>(4 / streams, vectors));
    const Attrs layout{{"streams", streams}, {"width", width}};
    Tensors operands{in[0], record(pack_op, {in[1]}, layout.with("transpose", std::int64_t(r.attrs.flag("transpose_b"))), r.where)};
    if (in.size() == 3) operands.push_back(in[2]);
    return record(packed_matmul_op, operands,
                  layout.with("transpose_a", std::int64_t(r.attrs.flag("transpose_a"))).with("n", n), r.where);
  });
}

TapePtr hoist_invariants(const TapePtr& tape) {
  return rebuild(tape, [&](Id id, const Tensors& in) -> Tensor {
    const Record& r = (*tape)[id];
    if (r.op != &scan_op) return {};
    const TapePtr body = hoist_invariants(r.attrs.get<TapePtr>("body"));
    const auto constants = std::size_t(r.attrs.integer("constants"));

    // Invariant: computed from constants alone. Of these, what is worth a buffer leaves; cheap ones on the way go along.
    std::vector<bool> invariant(body->size(), false), leaves(body->size(), false);
    for (std::size_t i = 0; i < constants; ++i) invariant[body->inputs[i]] = true;
    for (Id b = 0; b < body->size(); ++b) {
      const Record& record = (*body)[b];
      if (record.op == &input_op) continue;
      invariant[b] = std::all_of(record.in.begin(), record.in.end(), [&](Id operand) { return bool(invariant[operand]); });
    }
    for (Id b = 0; b < body->size(); ++b) {
      const Record& record = (*body)[b];
      leaves[b] = invariant[b] && !record.op->cheap && record.op != &input_op && record.type.dtype != Dtype::tuple;
      if (record.op == &pick_op) leaves[b] = invariant[b] && !(*body)[record.in[0]].op->cheap;
    }
    // Only the last of a chain needs to be handed in.
    std::vector<bool> handed(body->size(), false);
    bool any = false;
    for (Id b = 0; b < body->size(); ++b)
      if (!invariant[b])
        for (Id operand : (*body)[b].in) handed[operand] = handed[operand] || leaves[operand];
    // A cheap invariant value over a dear one: hand in the dear one.
    for (Id b = Id(body->size()); b-- > 0;)
      if (invariant[b] && !leaves[b])
        for (Id operand : (*body)[b].in) handed[operand] = handed[operand] || leaves[operand];
    for (Id b : body->outputs) handed[b] = handed[b] || leaves[b];
    for (Id b = 0; b < body->size(); ++b) any = any || handed[b];
    if (!any) return record(scan_op, in, r.attrs.with("body", body), r.where);

    Tensors outside(body->size()), operands;
    for (std::size_t i = 0; i < constants; ++i) outside[body->inputs[i]] = in[i];
    std::vector<Id> handed_ids;
    for (Id b = 0; b < body->size(); ++b) {
      const Record& inner = (*body)[b];
      if (!invariant[b] || inner.op == &input_op) continue;
      Tensors operand_values;
      std::vector<Id> ids;
      for (Id operand : inner.in) ids.push_back(outside[operand].id());
      outside[b] = in[0].recorder()->append(*inner.op, std::move(ids), inner.attrs, inner.type, inner.where);
      if (handed[b]) handed_ids.push_back(b);
    }
    auto recorder = Recorder::start();
    Tensors value(body->size());
    for (std::size_t i = 0; i < constants; ++i) value[body->inputs[i]] = recorder->input(body->input_type(i));
    for (Id b : handed_ids) value[b] = recorder->input((*body)[b].type);
    for (std::size_t i = constants; i < body->inputs.size(); ++i) value[body->inputs[i]] = recorder->input(body->input_type(i));
    for (Id b = 0; b < body->size(); ++b) {
      const Record& inner = (*body)[b];
      if (inner.op == &input_op || !value[b].is_empty()) continue;
      std::vector<Id> ids;
      for (Id operand : inner.in) ids.push_back(value[operand].id());
      value[b] = recorder->append(*inner.op, std::move(ids), inner.attrs, inner.type, inner.where);
    }
    Tensors outputs;
    for (Id b : body->outputs) outputs.push_back(value[b]);
    operands.assign(in.begin(), in.begin() + std::ptrdiff_t(constants));
    for (Id b : handed_ids) operands.push_back(outside[b]);
    operands.insert(operands.end(), in.begin() + std::ptrdiff_t(constants), in.end());
    return record(scan_op, operands,
                  r.attrs.with("body", recorder->finish(outputs)).with("constants", std::int64_t(constants + handed_ids.size())), r.where);
  });
}

}  // namespace tapeloop
