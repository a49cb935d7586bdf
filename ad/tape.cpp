#include "ad/tape.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "ad/arithmetic.h"

namespace tapeloop {

// --- the ops of the tape itself ------------------------------------------------------------------------------------------

namespace {

Type infer_pick(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const auto index = std::size_t(attrs.integer("index"));
  if (!in[0].parts || index >= in[0].parts->size())
    throw InternalError(fmt::format("pick {} of {}", index, to_string(in[0])), where);
  return (*in[0].parts)[index];
}

Tensor run_pick(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type&) {
  return in[0].parts()[std::size_t(attrs.integer("index"))];
}

Type infer_constant(const Op&, std::span<const Type>, const Attrs& attrs, const Where&) {
  return attrs.get<Tensor>("value").type();
}

Tensor run_constant(const Op&, std::span<const Tensor>, const Attrs& attrs, const Type&) {
  return attrs.get<Tensor>("value");
}

}  // namespace

constinit const Op input_op = {.name = "input", .kind = Kind::input, .cheap = true};
constinit const Op pick_op = {.name = "pick", .kind = Kind::pick, .cheap = true, .infer = infer_pick, .run = run_pick};
constinit const Op constant_op = {
    .name = "constant", .kind = Kind::source, .cheap = true, .infer = infer_constant, .run = run_constant};

Tensor pick(const Tensor& tuple, int index) {
  if (tuple.is_concrete()) return tuple.parts()[std::size_t(index)];
  return record(pick_op, {tuple}, {{"index", std::int64_t(index)}}, Where::current());
}

Tensor constant(const Tensor& value, const Where& where) {
  check_value("constant", value, where);
  if (value.is_recorded())
    throw Error(fmt::format("constant: a recorded tensor {} has no numbers yet", to_string(value.type())), where,
                "it needs no constant(): use it as it is; stop_gradient(t) keeps gradients out");
  if (value.is_generated()) return value;
  return generate(constant_op, {{"value", value}}, where);
}

// --- recording -----------------------------------------------------------------------------------------------------------

bool operator==(const Tape& a, const Tape& b) {
  if (a.hash != b.hash || a.size() != b.size() || a.inputs != b.inputs || a.outputs != b.outputs) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Record &x = a.records[i], &y = b.records[i];
    if (x.op != y.op || x.in != y.in || !(x.type == y.type) || !(x.attrs == y.attrs)) return false;
  }
  return true;
}

Recorder::Recorder(Captures captures) : captures_(captures) {
  static std::atomic<std::uint64_t> next{1};
  serial_ = next++;
}

std::shared_ptr<Recorder> Recorder::start(Captures captures) {
  return std::shared_ptr<Recorder>(new Recorder(captures));
}

Tensor Recorder::input(const Type& type, const Where& where) {
  const Id id = Id(tape_.records.size());
  tape_.records.push_back({&input_op, {}, {{"index", std::int64_t(tape_.inputs.size())}}, type, where});
  tape_.inputs.push_back(id);
  return Tensor::recorded(type, shared_from_this(), id);
}

Tensors Recorder::inputs(const std::vector<Type>& types) {
  Tensors result;
  for (const Type& type : types) result.push_back(input(type));
  return result;
}

Tensor Recorder::append(const Op& op, std::vector<Id> in, Attrs attrs, Type type, const Where& where) {
  std::size_t hash = std::hash<const void*>{}(&op);
  for (Id id : in) hash = hash_combine(hash, id);
  hash = hash_combine(hash, attrs.hash());
  hash = hash_combine(hash, hash_of(type));
  for (auto [it, end] = known_.equal_range(hash); it != end; ++it) {
    const Record& r = tape_.records[it->second];
    if (r.op == &op && r.in == in && r.type == type && r.attrs == attrs)
      return Tensor::recorded(r.type, shared_from_this(), it->second);
  }
  const Id id = Id(tape_.records.size());
  known_.emplace(hash, id);
  tape_.records.push_back({&op, std::move(in), std::move(attrs), type, where});
  return Tensor::recorded(std::move(type), shared_from_this(), id);
}

// A recipe may use a value many times over, so each is written down once.
Id Recorder::adopt_generated(const Tensor& tensor, std::string_view op, const Where& where,
                             std::unordered_map<const void*, Id>& adopted) {
  if (const auto known = adopted.find(tensor.identity()); known != adopted.end()) return known->second;
  std::vector<Id> ids;
  for (const Tensor& operand : tensor.generator_operands())
    ids.push_back(operand.is_generated() ? adopt_generated(operand, op, where, adopted)
                                         : adopt(operand, op, where).id());
  const Id id = append(tensor.generator(), std::move(ids), tensor.generator_attrs(), tensor.type(), where).id();
  adopted.emplace(tensor.identity(), id);
  return id;
}

Tensor Recorder::adopt(const Tensor& tensor, std::string_view op, const Where& where) {
  if (tensor.is_recorded() && tensor.recorder().get() == this) {
    if (finished_)
      throw Error(fmt::format("{}: an operand {} outlived the recording it belongs to", op, to_string(tensor.type())),
                  where, "return it from the function that is differentiated, compiled or scanned");
    return tensor;
  }
  if (tensor.is_generated()) {
    std::unordered_map<const void*, Id> adopted;
    return Tensor::recorded(tensor.type(), shared_from_this(), adopt_generated(tensor, op, where, adopted));
  }
  if (tensor.is_concrete() && captures_ == Captures::recorded) {
    if (tensor.count() == 1) return adopt(literal(tensor, where), op, where);
    throw Error(fmt::format("{}: a tensor {} that is not an argument was captured", op, to_string(tensor.type())),
                where, "pass it as an argument; or, if it may be frozen into the program, write constant(t)");
  }
  if (tensor.is_recorded() && tensor.recorder()->is_finished())
    throw Error(fmt::format("{}: an operand {} outlived the recording it belongs to", op, to_string(tensor.type())),
                where, "return it from the function that is differentiated, compiled or scanned");
  for (std::size_t i = 0; i < captured_.size(); ++i) {
    const Tensor& known = captured_[i];
    const bool same = tensor.is_recorded()
                          ? known.is_recorded() && known.recorder() == tensor.recorder() && known.id() == tensor.id()
                          : known.is_concrete() && known.bytes() == tensor.bytes() && known.type() == tensor.type();
    if (same) return Tensor::recorded(known.type(), shared_from_this(), captured_ids_[i]);
  }
  Tensor inner = input(tensor.type(), where);
  captured_.push_back(tensor);
  captured_ids_.push_back(inner.id());
  return inner;
}

TapePtr Recorder::finish(const Tensors& outputs, const Where& where) {
  for (const Tensor& output : outputs) tape_.outputs.push_back(adopt(output, "return", where).id());
  finished_ = true;
  // Arguments were all declared before the first value was captured, so the captured ones are already last.
  std::size_t h = tape_.size();
  for (const Record& r : tape_.records) {
    h = hash_combine(h, std::hash<std::string_view>{}(r.op->name));
    for (Id id : r.in) h = hash_combine(h, id);
    h = hash_combine(hash_combine(h, r.attrs.hash()), hash_of(r.type));
  }
  for (Id id : tape_.outputs) h = hash_combine(h, id);
  tape_.hash = h;
  return std::make_shared<const Tape>(tape_);
}

// --- tape to tape --------------------------------------------------------------------------------------------------------

Tensors inline_tape(const Tape& tape, const Tensors& arguments) {
  if (arguments.size() != tape.inputs.size())
    throw InternalError(fmt::format("inline: {} arguments for {} inputs", arguments.size(), tape.inputs.size()));
  Tensors value(tape.size());
  std::shared_ptr<Recorder> recorder;  // the innermost recording, on which sources are recorded too
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    value[tape.inputs[i]] = arguments[i];
    if (arguments[i].is_recorded() && (!recorder || arguments[i].recorder()->serial() > recorder->serial()))
      recorder = arguments[i].recorder();
  }
  if (recorder)
    for (Id id : tape.inputs)
      if (value[id].is_generated()) value[id] = recorder->adopt(value[id], "inline", tape[id].where);
  for (Id id = 0; id < tape.size(); ++id) {
    const Record& r = tape[id];
    if (r.op == &input_op) continue;
    Tensors in;
    for (Id operand : r.in) in.push_back(value[operand]);
    if (r.op == &pick_op)
      value[id] = pick(in[0], r.attrs.integer("index"));
    else if (in.empty())
      value[id] = recorder ? recorder->adopt(generate(*r.op, r.attrs, r.where), r.op->name, r.where)
                           : generate(*r.op, r.attrs, r.where);
    else
      value[id] = record(*r.op, in, r.attrs, r.where);
  }
  Tensors outputs;
  for (Id id : tape.outputs) outputs.push_back(value[id]);
  return outputs;
}

std::vector<Type> types_of(const Tensors& tensors) {
  std::vector<Type> types;
  for (const Tensor& tensor : tensors) types.push_back(tensor.type());
  return types;
}

std::vector<Type> input_types(const Tape& tape) {
  std::vector<Type> types;
  for (std::size_t i = 0; i < tape.inputs.size(); ++i) types.push_back(tape.input_type(i));
  return types;
}

TapePtr rewired(const Tape& tape, const std::vector<Type>& inputs, const std::vector<std::size_t>& place) {
  auto recorder = Recorder::start();
  Tensors given, arguments;
  for (const Type& type : inputs) given.push_back(recorder->input(type));
  for (std::size_t p : place) arguments.push_back(p == kNowhere ? Tensor() : given[p]);
  return recorder->finish(inline_tape(tape, arguments));
}

TapePtr with_outputs(const Tape& tape, const std::vector<std::size_t>& outputs) {
  auto recorder = Recorder::start();
  Tensors arguments, chosen;
  for (const Type& type : input_types(tape)) arguments.push_back(recorder->input(type));
  const Tensors all = inline_tape(tape, arguments);
  for (std::size_t i : outputs) chosen.push_back(all[i]);
  return recorder->finish(chosen);
}

std::vector<bool> inputs_read(const Tape& tape, const std::vector<bool>& outputs) {
  std::vector<bool> needed(tape.size(), false), inputs;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i]) needed[tape.outputs[i]] = true;
  for (Id id = Id(tape.size()); id-- > 0;)
    if (needed[id])
      for (Id operand : tape[id].in) needed[operand] = true;
  for (Id id : tape.inputs) inputs.push_back(needed[id]);
  return inputs;
}

std::vector<bool> inputs_used(const Tape& tape) {
  std::vector<bool> used(tape.size(), false), inputs;
  for (const Record& record : tape.records)
    for (Id operand : record.in) used[operand] = true;
  for (Id id : tape.outputs) used[id] = true;
  for (Id id : tape.inputs) inputs.push_back(used[id]);
  return inputs;
}

TapePtr prune(const TapePtr& tape) {
  const Tape& t = *tape;
  std::vector<bool> live(t.size(), false);
  std::vector<std::vector<bool>> parts(t.size());
  for (Id id : t.outputs) live[id] = true;
  for (Id id = Id(t.size()); id-- > 0;) {
    const Record& r = t[id];
    if (!live[id]) continue;
    for (Id operand : r.in) live[operand] = true;
    if (r.op == &pick_op) {
      parts[r.in[0]].resize(t[r.in[0]].type.parts->size());
      parts[r.in[0]][std::size_t(r.attrs.integer("index"))] = true;
    }
  }

  auto recorder = Recorder::start();
  Tensors value(t.size());
  for (Id id : t.inputs) value[id] = recorder->input(t[id].type, t[id].where);
  std::vector<Tensors> narrowed(t.size());
  for (Id id = 0; id < t.size(); ++id) {
    const Record& r = t[id];
    if (!live[id] || r.op == &input_op) continue;
    Tensors in;
    std::vector<Id> ids;
    for (Id operand : r.in) in.push_back(value[operand]);
    if (r.op == &pick_op && !narrowed[r.in[0]].empty()) {
      value[id] = narrowed[r.in[0]][std::size_t(r.attrs.integer("index"))];
      continue;
    }
    if (r.op->narrow) {
      narrowed[id] = r.op->narrow(r, in, parts[id]);
      continue;
    }
    for (const Tensor& tensor : in) {
      if (!tensor.is_recorded())
        throw InternalError(fmt::format("prune: an operand of {} is on no tape", r.op->name), r.where);
      ids.push_back(tensor.id());
    }
    value[id] = recorder->append(*r.op, std::move(ids), r.attrs, r.type, r.where);
  }
  Tensors outputs;
  for (Id id : t.outputs) outputs.push_back(value[id]);
  return recorder->finish(outputs);
}

}  // namespace tapeloop
