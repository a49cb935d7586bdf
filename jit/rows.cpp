#include "jit/rows.h"

#include <algorithm>

#include "jit/loop.h"
#include "jit/pack.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

// Follows the rows of what the steps of a loop change: its states, and what its nests write.
class Rows {
 public:
  Rows(const Plan& plan, std::size_t constants, std::size_t states, const Extent& rows)
      : plan_(plan), t_(*plan.tape), rows_(rows), changes_(t_.size(), false) {
    for (std::size_t i = 0; i < states; ++i) changes_[t_.inputs[constants + i]] = true;
  }

  bool are_apart() {
    for (Id id = 0; id < t_.size(); ++id) {
      const Record& r = t_[id];
      if (r.op == &input_op) {
        if (changes_[id] && !begins_with_rows(id)) return false;
        continue;
      }
      changes_[id] = plan_.stored[id] || std::any_of(r.in.begin(), r.in.end(), [&](Id in) { return changes_[in]; });
      if (changes_[id] && r.op->kind != Kind::source && !keeps_rows(id)) return false;
    }
    return std::all_of(plan_.nests.begin(), plan_.nests.end(), [&](const Nest& nest) { return shares_rows(nest); });
  }

 private:
  // Whether threads take rows of a nest, each its own. Packed operands are written panel by panel, of which there may be as
  // many as rows; and of a product whose rows are those of a transposed operand threads take panels (Emitter::emit_product).
  bool shares_rows(const Nest& nest) const {
    const bool walks = nest.kind == NestKind::map || nest.kind == NestKind::matmul || nest.kind == NestKind::reduce;
    if (!walks || t_[nest.root].op == &pack_op || nest.space.empty() || !(nest.space[0] == rows_)) return false;
    return std::none_of(nest.terms.begin(), nest.terms.end(), [&](Id term) {
      return t_[term].op == &packed_matmul_op && t_[term].attrs.flag("transpose_a");
    });
  }
  bool begins_with_rows(Id id) const {
    const Shape& shape = t_[id].type.shape;
    return !shape.empty() && shape[0] == rows_;
  }
  // Whether row i of a value is made of rows i.
  bool keeps_rows(Id id) const {
    const Record& r = t_[id];
    auto changes = [&](std::size_t k) { return bool(changes_[r.in[k]]); };
    auto other_axis = [&] { return r.attrs.integer("axis") != 0; };
    if (r.op == &split_op) return other_axis();
    if (r.op == &pick_op) return t_[r.in[0]].op == &split_op && begins_with_rows(id);
    // Packed for who comes after the loop.
    if (r.op == &pack_op) return is_read_by_none(id);
    if (!begins_with_rows(id)) return false;
    for (std::size_t k = 0; k < r.in.size(); ++k)
      if (changes(k) && !begins_with_rows(r.in[k])) return false;
    if (r.op->kind == Kind::elementwise || r.op == &reshape_op) return true;
    if (r.op == &broadcast_op) return !changes(0) || r.attrs.get<Ints>("axes")[0] == 0;
    if (r.op == &transpose_op) return r.attrs.get<Ints>("order")[0] == 0;
    if (r.op == &slice_op || r.op == &concat_op || r.op == &flip_op || r.op == &pad_op) return other_axis();
    if (r.op == &packed_matmul_op) return !r.attrs.flag("transpose_a") && !r.attrs.flag("steps") && !changes(1);
    if (r.op == &matmul_op) return r.type.rank() > 2;
    if (r.op == &gather_op) return !changes(0);
    if (r.op->kind == Kind::reduce && r.attrs.has("axes")) {
      const Ints& axes = r.attrs.get<Ints>("axes");
      return std::find(axes.begin(), axes.end(), 0) == axes.end();
    }
    return false;
  }
  bool is_read_by_none(Id id) const {
    return std::all_of(t_.records.begin(), t_.records.end(),
                       [&](const Record& r) { return std::find(r.in.begin(), r.in.end(), id) == r.in.end(); });
  }

  const Plan& plan_;
  const Tape& t_;
  const Extent rows_;
  std::vector<bool> changes_;
};

}  // namespace

bool keeps_rows_apart(const Plan& body, std::size_t constants, std::size_t states) {
  if (body.nests.empty() || body.nests[0].space.empty()) return false;
  return Rows(body, constants, states, body.nests[0].space[0]).are_apart();
}

std::optional<RowStates> states_by_rows(const Plan& body, std::size_t constants, std::size_t states,
                                        std::int64_t cache_bytes) {
  constexpr std::int64_t kLittle = 2 << 10, kRowsOfProducts = 32;
  const Tape& t = *body.tape;
  RowStates result;
  for (std::size_t i = 0; i < states; ++i) {
    Type type = t.input_type(constants + i);
    type.shape.erase(type.shape.begin());
    const Extent count = extent_product(type.shape);
    if (!count.is_number()) return std::nullopt;
    result.bytes += count.value() * size_of(type.dtype) * (body.states[i].in_place ? 1 : 2);
  }
  if (result.bytes < kLittle) return std::nullopt;
  std::int64_t weights = 0;
  for (const Nest& nest : body.nests)
    for (Id term : nest.terms) {
      if (t[term].op != &packed_matmul_op) continue;
      const Type& type = t[t[term].in[1]].type;
      if (!extent_product(type.shape).is_number()) return std::nullopt;
      weights += bytes_of(type);
      result.fewest = kRowsOfProducts;
    }
  if (weights > cache_bytes / 4) return std::nullopt;
  return result;
}

}  // namespace tapeloop
