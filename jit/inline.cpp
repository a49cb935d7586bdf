#include "jit/inline.h"

#include <algorithm>
#include <map>

#include "jit/rebuild.h"
#include "ops/call.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

bool has_calls(const Tape& tape) {
  for (const Record& r : tape.records)
    if (r.op->kind == Kind::call || r.op == &barrier_op ||
        std::any_of(r.attrs.entries().begin(), r.attrs.entries().end(), [](const Attrs::Entry& entry) {
          const auto* body = std::get_if<TapePtr>(&entry.second);
          return body && has_calls(**body);
        }))
      return true;
  return false;
}

class Inliner {
 public:
  // Equal bodies stay one body.
  TapePtr operator()(const TapePtr& tape) {
    if (!has_calls(*tape)) return tape;
    if (const auto known = done_.find(tape.get()); known != done_.end()) return known->second;
    const TapePtr fresh =
        rebuild(tape, [&](Id id, const Tensors& in, Recorder& recorder) { return rewrite((*tape)[id], in, recorder); });
    return done_[tape.get()] = fresh;
  }

 private:
  std::map<const Tape*, TapePtr> done_;
  std::int64_t barriers_ = 0;

  Tensor rewrite(const Record& r, const Tensors& in, Recorder& recorder) {
    if (r.op == &pick_op && !in[0].parts().empty()) return pick(in[0], r.attrs.integer("index"));
    if (r.op->kind == Kind::loop || r.op->kind == Kind::branch)
      return record(*r.op, in, with_bodies(r.attrs, *this), r.where);
    if (r.op == &barrier_op)
      return record(reshape_op, Tensors{in[0]}, {{"shape", in[0].shape()}, {"barrier", ++barriers_}}, r.where);
    if (r.op->kind != Kind::call) return {};
    Tensors results;
    for (const Tensor& result : inline_tape(*(*this)(r.attrs.get<TapePtr>("body")), in))
      results.push_back(recorder.adopt(result, r.op->name, r.where));
    return Tensor::tuple(std::move(results));
  }
};

}  // namespace

TapePtr inline_calls(const TapePtr& tape) { return Inliner()(tape); }

}  // namespace tapeloop
