#include "jit/describe.h"

#include <fmt/format.h>

#include <set>

#include "jit/channels.h"
#include "jit/pack.h"
#include "jit/tile.h"

namespace tapeloop {
namespace {

class Description {
 public:
  Description(const Plan& plan, const Target& target) : plan_(plan), t_(*plan.tape), target_(target) {}

  std::string text(const std::string& indent) {
    std::string all;
    for (std::size_t n = 0; n < plan_.nests.size(); ++n) {
      const Nest& nest = plan_.nests[n];
      const bool outer = nest.kind == NestKind::loop || nest.kind == NestKind::branch;
      all += fmt::format("{}kernel {} {}", indent, name_of(nest.kind), to_string(nest.space));
      if (outer) {
        const Record& loop = t_[nest.root];
        const auto channels =
            is_loop(loop) ? find_channels(LoweredLoop(loop.attrs), *plan_.bodies[nest.root][0]) : std::nullopt;
        all += channels ? fmt::format(", all steps in registers, for each of {}\n", to_string(channels->space)) : "\n";
        for (const PlanPtr& body : plan_.bodies[nest.root]) all += Description(*body, target_).text(indent + "  ");
        continue;
      }
      const Record& root = t_[nest.root];
      if (root.op == &packed_matmul_op) {
        const Panels panels(root.attrs);
        const int vectors = int(panels.vectors());
        all += fmt::format(" tile {}x{}", rows_of_tile(target_, root.type.dtype, vectors), vectors);
      }
      if (const RowGroup* group = plan_.group_of(int(n)))
        all += fmt::format(" by rows, {} of {}", int(n) - group->first + 1, group->last - group->first + 1);
      measure(nest, int(n));
      all += fmt::format(": {} FLOP, {} bytes read, {} written\n", flop_, read_, written_);
    }
    return all;
  }

 private:
  std::int64_t bytes(Id id) const { return t_[id].type.dtype == Dtype::tuple ? 0 : bytes_of(t_[id].type); }

  void measure(const Nest& nest, int n) {
    flop_ = read_ = written_ = 0;
    seen_.clear();
    visit(nest.root, n);
    for (Id term : nest.terms) visit(term, n);
    for (Id sum : nest.sums) visit(sum, n);
    for (const Write& write : nest.writes) {
      visit(write.value, n);
      written_ += bytes(write.value);
    }
  }

  // What computing a record in this nest takes, with all that it is made of on the way.
  void visit(Id id, int nest) {
    if (!seen_.insert(id).second) return;
    const Record& r = t_[id];
    const bool here = plan_.nest_of[id] == nest || (plan_.nest_of[id] < 0 && !plan_.stored[id]);
    if (!here) {
      read_ += bytes(id);
      return;
    }
    if (r.op->kind == Kind::matmul) {
      flop_ += 2 * extent_product(t_[r.in[0]].type.shape).value() * r.type.shape.back().value();
    } else if (r.op->kind == Kind::elementwise) {
      flop_ += extent_product(r.type.shape).value();
    } else if (r.op->kind == Kind::reduce) {
      flop_ += extent_product(t_[r.in[0]].type.shape).value();
    }
    for (Id operand : r.in) visit(operand, nest);
  }

  const Plan& plan_;
  const Tape& t_;
  const Target& target_;
  std::set<Id> seen_;
  std::int64_t flop_ = 0, read_ = 0, written_ = 0;
};

}  // namespace

std::string describe(const Plan& plan, const Target& target) { return Description(plan, target).text("  "); }

}  // namespace tapeloop
