// Tape: an immutable list of records, and the only code that makes one.
//
// A list, not a graph of pointers: every record's operands have smaller ids, so the list is already sorted, nothing is
// recursive, and an analysis is a vector as long as the tape.
#pragma once

#include <memory>
#include <source_location>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ad/attrs.h"
#include "ad/op.h"
#include "ad/tensor.h"

namespace tapeloop {

struct Record {
  const Op* op;
  std::vector<Id> in;
  Attrs attrs;
  Type type;
  Where where;  // where the user wrote it; no part of equality
};

struct Tape {
  std::vector<Record> records;
  std::vector<Id> inputs, outputs;
  std::size_t hash = 0;

  const Record& operator[](Id id) const { return records[id]; }
  std::size_t size() const { return records.size(); }
  const Type& input_type(std::size_t i) const { return records[inputs[i]].type; }
  const Type& output_type(std::size_t i) const { return records[outputs[i]].type; }
};

// Same records, inputs and outputs (where excluded).
bool operator==(const Tape& a, const Tape& b);

// A tape being recorded. Equal records are merged as they are appended.
class Recorder : public std::enable_shared_from_this<Recorder> {
 public:
  // A recorder that captures accepts outer values, concrete ones too, and turns them into further inputs: the body of a
  // scan. Others accept recorded outer values only.
  enum class Captures { recorded, all };
  static std::shared_ptr<Recorder> start(Captures captures = Captures::recorded);

  Tensor input(const Type& type, const Where& where = Where::current());
  Tensors inputs(const std::vector<Type>& types);
  Tensor append(const Op& op, std::vector<Id> in, Attrs attrs, Type type, const Where& where);

  // `tensor` as a value on this tape: itself, a generated tensor recorded here, or a captured outer value.
  Tensor adopt(const Tensor& tensor, std::string_view op, const Where& where);

  // Ends the recording. Inputs are the arguments, then the captured values in the order in which they were met.
  TapePtr finish(const Tensors& outputs, const Where& where = Where::current());

  const Tensors& captured() const { return captured_; }
  const Record& operator[](Id id) const { return tape_.records[id]; }
  std::uint64_t serial() const { return serial_; }  // later recordings are inside earlier ones
  bool is_finished() const { return finished_; }

 private:
  explicit Recorder(Captures captures);
  Id adopt_generated(const Tensor& tensor, std::string_view op, const Where& where,
                     std::unordered_map<const void*, Id>& adopted);

  Tape tape_;
  Captures captures_;
  std::uint64_t serial_;
  bool finished_ = false;
  std::unordered_multimap<std::size_t, Id> known_;
  Tensors captured_;
  std::vector<Id> captured_ids_;
};

// The ops of the tape itself.
extern const Op input_op;     // attribute: index
extern const Op pick_op;      // attribute: index
extern const Op constant_op;  // attribute: value (a concrete tensor)

// A concrete tensor that may be used inside a recorded function without being its argument. It is frozen into the tape.
Tensor constant(const Tensor& value, const Where& where = Where::current());

// Records without which every output has the same value; dead results of loops are removed from their bodies.
TapePtr prune(const TapePtr& tape);

// Records `tape` on the tape of `arguments` (or runs it when they are concrete), and returns its outputs.
Tensors inline_tape(const Tape& tape, const Tensors& arguments);

// `tape` as a function of other inputs: of these types, its input i being input `place[i]` of them (kNowhere: read by nothing).
inline constexpr std::size_t kNowhere = std::size_t(-1);
TapePtr rewired(const Tape& tape, const std::vector<Type>& inputs, const std::vector<std::size_t>& place);
// The same function with these of its outputs.
TapePtr with_outputs(const Tape& tape, const std::vector<std::size_t>& outputs);

std::vector<Type> input_types(const Tape& tape);
std::vector<Type> types_of(const Tensors& tensors);
// For each input, whether the marked outputs depend on it.
std::vector<bool> inputs_read(const Tape& tape, const std::vector<bool>& outputs);
// For each input, whether any record or output names it: also one that nothing is made of, which a tape can have where
// pruning has taken operands from a record.
std::vector<bool> inputs_used(const Tape& tape);

// The attributes of a loop or a branch with each of its tapes replaced by `pass(tape)`.
template <class Pass>
Attrs with_bodies(Attrs attrs, Pass&& pass) {
  const Attrs before = attrs;
  for (const auto& [name, value] : before.entries())
    if (const auto* body = std::get_if<TapePtr>(&value)) attrs = attrs.with(name, pass(*body));
  return attrs;
}

// The interpreter: the meaning of a tape. Arguments are concrete.
Tensors run(const Tape& tape, const Tensors& arguments);

// Checks every rule a tape must obey and throws InternalError at the first that is broken.
void verify(const Tape& tape);

std::string to_string(const Tape& tape);    // one record a line
std::string to_graphviz(const Tape& tape);  // for dot(1)

}  // namespace tapeloop
