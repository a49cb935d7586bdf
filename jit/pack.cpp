#include "jit/pack.h"
#include "jit/passes.h"

#include <algorithm>

#include "ad/options.h"
#include "jit/loop.h"
#include "jit/tile.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

Type infer_pack(const Op&, std::span<const Type> in, const Attrs& attrs, const Where&) {
  const Panels panels(attrs);
  Shape shape(in[0].shape.begin(), in[0].shape.end() - 2);
  shape.push_back(panels.count());
  shape.push_back(in[0].shape[in[0].shape.size() - (attrs.flag("transpose") ? 1 : 2)]);
  shape.push_back(panels.streams);
  shape.push_back(panels.panel_columns());
  return {in[0].dtype, shape, nullptr};
}

Type infer_packed_matmul(const Op&, std::span<const Type> in, const Attrs& attrs, const Where&) {
  const Panels panels(attrs);
  const std::size_t rank = in[0].shape.size();
  return {in[0].dtype,
          {in[0].shape[attrs.flag("transpose_a") ? rank - 1 : rank - 2], panels.streams * panels.columns},
          nullptr};
}

// How many equal chunks along its last axis a value is taken apart into, if that is all that is done with it; else 1.
std::int64_t chunks_of(const Tape& tape, const std::vector<std::vector<Id>>& readers, Id id) {
  if (std::find(tape.outputs.begin(), tape.outputs.end(), id) != tape.outputs.end()) return 1;
  std::int64_t chunks = 0;
  for (Id reader : readers[id]) {
    const Record& r = tape[reader];
    if (r.op != &split_op || r.attrs.integer("axis") != 1) return 1;
    const Shape& sizes = r.attrs.get<Shape>("sizes");
    for (const Extent& size : sizes)
      if (!(size == sizes[0])) return 1;
    if (chunks && chunks != std::int64_t(sizes.size())) return 1;
    chunks = std::int64_t(sizes.size());
  }
  return chunks >= 1 && chunks <= kMostStreams ? chunks : 1;
}

// Products that share their left operand, as one.
struct Group {
  std::vector<Id> members;
  std::int64_t streams = 0, columns = 0;
};

class Packer {
 public:
  explicit Packer(const TapePtr& tape)
      : tape_(tape), t_(*tape), group_of_(t_.size(), -1), first_stream_(t_.size(), 0), chunks_(t_.size(), 1) {
    readers_.resize(t_.size());
    for (Id id = 0; id < t_.size(); ++id)
      for (Id operand : t_[id].in)
        if (readers_[operand].empty() || readers_[operand].back() != id) readers_[operand].push_back(id);
  }

  TapePtr run() {
    for (Id id = 0; id < t_.size(); ++id)
      if (t_[id].op == &matmul_op && t_[id].type.rank() == 2) join(id);
    recorder_ = Recorder::start();
    value_.resize(t_.size());
    for (std::size_t i = 0; i < t_.inputs.size(); ++i) value_[t_.inputs[i]] = recorder_->input(t_.input_type(i));
    for (Id id : order()) emit(id);
    Tensors outputs;
    for (Id id : t_.outputs) outputs.push_back(value_[id]);
    return prune(recorder_->finish(outputs));
  }

 private:
  // Whether computing `id` needs a member of `group`, when every group is computed as a whole.
  bool needs(Id id, int group) const {
    std::vector<bool> seen(t_.size(), false);
    std::vector<Id> work(t_[id].in.begin() + 1, t_[id].in.end());
    auto add = [&](Id x) {
      if (!seen[x]) work.push_back(x);
      seen[x] = true;
    };
    while (!work.empty()) {
      const Id x = work.back();
      work.pop_back();
      if (group_of_[x] == group) return true;
      if (group_of_[x] >= 0) {
        for (Id member : groups_[std::size_t(group_of_[x])].members)
          for (Id operand : t_[member].in) add(operand);
      } else {
        for (Id operand : t_[x].in) add(operand);
      }
    }
    return false;
  }

  void join(Id id) {
    const Record& r = t_[id];
    const bool shares = runs(Pass::share_operand);
    if (shares) chunks_[id] = chunks_of(t_, readers_, id);
    const std::int64_t columns = r.type.shape[1].pin() / chunks_[id];
    for (std::size_t g = 0; shares && g < groups_.size(); ++g) {
      Group& group = groups_[g];
      const Record& first = t_[group.members[0]];
      if (first.in[0] != r.in[0] || first.attrs.flag("transpose_a") != r.attrs.flag("transpose_a") ||
          first.attrs.flag("transpose_b") != r.attrs.flag("transpose_b") || group.columns != columns ||
          group.streams + chunks_[id] > kMostStreams || needs(id, int(g)))
        continue;
      group_of_[id] = int(g);
      first_stream_[id] = group.streams;
      group.members.push_back(id);
      group.streams += chunks_[id];
      return;
    }
    group_of_[id] = int(groups_.size());
    groups_.push_back({{id}, chunks_[id], columns});
  }

  // All records but inputs, each after what it needs; of a group the first member stands for all.
  std::vector<Id> order() const {
    std::vector<Id> list;
    std::vector<char> state(t_.size(), 0);  // 1: waiting for its operands, 2: listed
    auto leader = [&](Id id) { return group_of_[id] < 0 ? id : groups_[std::size_t(group_of_[id])].members[0]; };
    for (Id root = 0; root < t_.size(); ++root) {
      std::vector<Id> work{leader(root)};
      while (!work.empty()) {
        const Id id = work.back();
        if (state[id] == 2) {
          work.pop_back();
          continue;
        }
        if (state[id] == 1) {
          state[id] = 2;
          if (t_[id].op != &input_op) list.push_back(id);
          work.pop_back();
          continue;
        }
        state[id] = 1;
        auto wait_for = [&](const Record& r) {
          for (Id operand : r.in)
            if (state[leader(operand)] == 0) work.push_back(leader(operand));
        };
        if (group_of_[id] < 0)
          wait_for(t_[id]);
        else
          for (Id member : groups_[std::size_t(group_of_[id])].members) wait_for(t_[member]);
      }
    }
    return list;
  }

  void emit(Id id) {
    const Record& r = t_[id];
    if (group_of_[id] >= 0) return emit_group(groups_[std::size_t(group_of_[id])]);
    if (r.op == &pick_op && t_[r.in[0]].op == &split_op && !parts_.empty()) {
      // A chunk of a product that has become some streams of a larger one.
      const Id source = t_[r.in[0]].in[0];
      auto it = std::find_if(parts_.begin(), parts_.end(), [&](const auto& p) { return p.first == source; });
      if (it != parts_.end()) {
        value_[id] = it->second[std::size_t(first_stream_[source] + r.attrs.integer("index"))];
        return;
      }
    }
    if (r.op == &split_op && value_[r.in[0]].is_empty()) return;
    Tensors in;
    for (Id operand : r.in) in.push_back(value_[operand]);
    if (is_loop(r)) {
      value_[id] = record(*r.op, in, r.attrs.with("body", pack_matmuls(r.attrs.get<TapePtr>("body"))), r.where);
      return;
    }
    std::vector<Id> ids;
    for (const Tensor& tensor : in) ids.push_back(tensor.id());
    value_[id] = recorder_->append(*r.op, std::move(ids), r.attrs, r.type, r.where);
  }

  void emit_group(const Group& group) {
    const Record& first = t_[group.members[0]];
    const Panels panels = Panels::of(first.type.dtype, group.streams, group.columns);
    Tensors right, starts;
    Ints start_streams;
    for (Id member : group.members) {
      const Record& r = t_[member];
      right.push_back(value_[r.in[1]]);
      if (r.in.size() < 3) continue;
      starts.push_back(value_[r.in[2]]);
      start_streams.push_back(first_stream_[member]);
    }
    Tensors operands{
        value_[first.in[0]],
        record(pack_op, right, panels.attrs().with("transpose", std::int64_t(first.attrs.flag("transpose_b"))),
               first.where)};
    operands.insert(operands.end(), starts.begin(), starts.end());
    const Attrs attrs = panels.attrs()
                            .with("as_it_lies", std::int64_t(0))
                            .with("transpose_a", std::int64_t(first.attrs.flag("transpose_a")))
                            .with("steps", std::int64_t(0))
                            .with("reverse", std::int64_t(0))
                            .with("starts", start_streams);
    const Tensor product = record(packed_matmul_op, operands, attrs, first.where);
    if (group.members.size() == 1) {
      value_[group.members[0]] = product;
      return;
    }
    const Tensors parts = split(product, Shape(std::size_t(group.streams), Extent(group.columns)), 1, first.where);
    for (Id member : group.members) {
      if (chunks_[member] == 1)
        value_[member] = parts[std::size_t(first_stream_[member])];
      else
        parts_.emplace_back(member, parts);
    }
  }

  const TapePtr tape_;
  const Tape& t_;
  std::vector<std::vector<Id>> readers_;
  std::vector<Group> groups_;
  std::vector<int> group_of_;
  std::vector<std::int64_t> first_stream_, chunks_;
  std::shared_ptr<Recorder> recorder_;
  Tensors value_;
  std::vector<std::pair<Id, Tensors>> parts_;  // of products that are several streams of a group
};

}  // namespace

std::int64_t Panels::lanes_of(Dtype dtype) { return lanes_of_panels(target_for(options().isa), dtype); }

Panels Panels::of(Dtype dtype, std::int64_t streams, std::int64_t columns) {
  const std::int64_t lanes = lanes_of(dtype);
  const std::int64_t vectors = std::max<std::int64_t>(1, (columns + lanes - 1) / lanes);
  return {streams, streams > 1 ? 1 : std::min<std::int64_t>(4, vectors), lanes, columns};
}

Panels::Panels(const Attrs& a)
    : streams(a.integer("streams")),
      width(a.integer("width")),
      lanes(a.integer("lanes")),
      columns(a.get<std::int64_t>("columns")) {}

Attrs Panels::attrs() const { return {{"streams", streams}, {"width", width}, {"lanes", lanes}, {"columns", columns}}; }

constinit const Op pack_op = {.name = "pack", .kind = Kind::view, .infer = infer_pack};
constinit const Op packed_matmul_op = {.name = "packed_matmul", .kind = Kind::matmul, .infer = infer_packed_matmul};

TapePtr pack_matmuls(const TapePtr& tape) { return Packer(tape).run(); }

}  // namespace tapeloop
