#include "jit/chunks.h"

#include <algorithm>

#include "jit/loop.h"
#include "jit/pack.h"
#include "jit/rebuild.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

// Into how many equal parts along its last axis a split takes a matrix; 0 for anything else.
std::int64_t equal_parts(const Record& r) {
  if (r.op != &split_op || r.attrs.integer("axis") != 1) return 0;
  const Shape& sizes = r.attrs.get<Shape>("sizes");
  const bool equal = std::all_of(sizes.begin(), sizes.end(), [&](const Extent& e) { return e == sizes[0]; });
  return equal && std::int64_t(sizes.size()) <= kMostStreams ? std::int64_t(sizes.size()) : 0;
}

bool is_row(const Record& r) {
  const Shape& shape = r.type.shape;
  return shape.size() == 2 && shape[0].is_one();
}

bool is_product(const Record& r) {
  return r.op == &matmul_op && is_row(r) && !r.attrs.flag("transpose_a") && !r.attrs.flag("transpose_b");
}

// Chunks of columns that are no whole vectors make an operand larger. That pays only as long as it stays in the cache, with
// another as large.
constexpr std::int64_t kBytesOfBoth = 48 << 10;
bool stays_small(Dtype dtype, std::int64_t bytes, std::int64_t columns) {
  const std::int64_t lanes = Panels::lanes_of(dtype), whole = (columns + lanes - 1) / lanes * lanes;
  return whole == columns || 2 * bytes / std::max<std::int64_t>(columns, 1) * whole <= kBytesOfBoth;
}

class Sinker {
 public:
  explicit Sinker(const TapePtr& tape)
      : t_(*tape), follows_(t_.size(), false), chunks_(t_.size(), 0), value_(t_.size()), parts_(t_.size()) {
    std::vector<std::int64_t> bytes(t_.size(),
                                    0);  // of the right operands of the products that elementwise code follows
    std::vector<std::int64_t> taken(t_.size(), -1);  // what all readers take, 0 when they do not agree
    for (Id id = 0; id < t_.size(); ++id) {
      const Record& r = t_[id];
      for (Id operand : r.in) {
        const std::int64_t n = equal_parts(r);
        taken[operand] = taken[operand] == -1 || taken[operand] == n ? n : 0;
        if (r.op->kind != Kind::elementwise || !is_row(r)) continue;
        follows_[id] = follows_[id] || follows_[operand] || is_product(t_[operand]);
        bytes[id] = std::max(bytes[id], bytes[operand]);
      }
      if (is_product(r)) bytes[id] = std::max(bytes[id], bytes_of(t_[r.in[1]].type));
    }
    for (Id id : t_.outputs) taken[id] = 0;
    for (Id id = Id(t_.size()); id-- > 0;) {
      const Record& r = t_[id];
      const bool goes_on = is_product(r) && r.in.size() == 3 && follows_[r.in[2]];
      const Shape& shape = r.type.shape;
      if (taken[id] >= 2 && (follows_[id] || goes_on) &&
          stays_small(r.type.dtype, bytes[id], shape[1].value() / taken[id]))
        chunks_[id] = taken[id];
      if (chunks_[id] == 0) continue;
      for (std::size_t k = is_product(r) ? 1 : 0; k < r.in.size(); ++k)
        if (follows_[r.in[k]] && chunks_[r.in[k]] == 0) chunks_[r.in[k]] = chunks_[id];
    }
  }

  TapePtr run() {
    const auto recorder = Recorder::start();
    for (Id id : t_.inputs) value_[id] = recorder->input(t_[id].type);
    for (Id id = 0; id < t_.size(); ++id) {
      const Record& r = t_[id];
      if (r.op == &input_op) continue;
      if (r.op == &pick_op && !parts_[r.in[0]].empty()) {
        value_[id] = parts_[r.in[0]][std::size_t(r.attrs.integer("index"))];
        continue;
      }
      Tensors in;
      for (Id operand : r.in) in.push_back(value_[operand]);
      if (is_loop(r))
        value_[id] = record(loop_op, in, r.attrs.with("body", sink_chunks(r.attrs.get<TapePtr>("body"))), r.where);
      else
        value_[id] = append(*recorder, r, in);
      if (chunks_[id]) parts_[id] = take_apart(id, chunks_[id]);
      if (equal_parts(r) && chunks_[r.in[0]] == equal_parts(r)) parts_[id] = parts_[r.in[0]];
    }
    Tensors outputs;
    for (Id id : t_.outputs) outputs.push_back(value_[id]);
    return prune(recorder->finish(outputs));
  }

 private:
  Tensors parts_of(Id id, std::int64_t n) const {
    if (chunks_[id] == n) return parts_[id];
    return split(value_[id], Shape(std::size_t(n), Extent(t_[id].type.shape[1].pin() / n)), 1, t_[id].where);
  }
  // The parts of a value, each computed from the parts of what it is computed from.
  Tensors take_apart(Id id, std::int64_t n) const {
    const Record& r = t_[id];
    const std::size_t whole = is_product(r) ? 1 : 0;  // the left operand of a product is read as it is
    std::vector<Tensors> in(r.in.size());
    for (std::size_t k = whole; k < r.in.size(); ++k) in[k] = parts_of(r.in[k], n);
    Tensors parts;
    for (std::size_t i = 0; i < std::size_t(n); ++i) {
      Tensors operands;
      for (std::size_t k = 0; k < r.in.size(); ++k) operands.push_back(k < whole ? value_[r.in[k]] : in[k][i]);
      parts.push_back(record(*r.op, operands, r.attrs, r.where));
    }
    return parts;
  }

  const Tape& t_;
  std::vector<bool> follows_;         // elementwise code on a product
  std::vector<std::int64_t> chunks_;  // into how many a record is taken apart, 0 for not at all
  Tensors value_;
  std::vector<Tensors> parts_;
};

}  // namespace

TapePtr sink_chunks(const TapePtr& tape) { return Sinker(tape).run(); }

}  // namespace tapeloop
