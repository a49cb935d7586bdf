#include "ad/op.h"

#include <fmt/format.h>

#include <map>
#include <mutex>

#include "ad/denormals.h"
#include "ad/options.h"
#include "ad/tape.h"

namespace tapeloop {
namespace {

std::string type_list(std::span<const Type> in) {
  std::string text;
  for (const Type& type : in) text += (text.empty() ? "" : " and ") + to_string(type);
  return text;
}

}  // namespace

Tensor run_elementwise(const Op& op, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  std::vector<Type> types;
  std::vector<LaneOperand> operands;
  for (const Tensor& tensor : in) {
    types.push_back(tensor.type());
    operands.push_back({tensor.bytes(), 1});
  }
  const std::int64_t count = count_of(type.shape);
  auto buffer = Buffer::allocate(count * size_of(type.dtype));
  run_lanes(lane_program(op, types, attrs), operands, buffer->data(), count);
  return Tensor(type, std::move(buffer));
}

Type infer_same(const Op& op, std::span<const Type> in, const Attrs&, const Where& where) {
  for (const Type& type : in) {
    if (type.dtype != in[0].dtype)
      throw Error(fmt::format("{}: operands have different dtypes: {}", op.name, type_list(in)), where,
                  fmt::format("cast(x, Dtype::{}) converts one of them",
                              in[0].dtype == Dtype::boolean ? "boolean" : name_of(in[0].dtype)));
    if (!agree(type.shape, in[0].shape))
      throw Error(fmt::format("{}: shapes differ: {}", op.name, type_list(in)), where);
  }
  return in[0];
}

Type infer_number(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  for (const Type& type : in)
    if (type.dtype == Dtype::boolean)
      throw Error(fmt::format("{}: booleans have no arithmetic: {}", op.name, type_list(in)), where,
                  "cast(x, Dtype::f32) makes numbers of them; where(condition, a, b) chooses");
  return infer_same(op, in, attrs, where);
}

Type infer_float(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  Type type = infer_same(op, in, attrs, where);
  if (!is_float(type.dtype))
    throw Error(fmt::format("{}: needs floating-point operands, got {}", op.name, type_list(in)), where,
                "cast(x, Dtype::f32) converts");
  return type;
}

Type infer_comparison(const Op& op, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  Type type = infer_same(op, in, attrs, where);
  type.dtype = Dtype::boolean;
  return type;
}

const LaneProgram& lane_program(const Op& op, std::span<const Type> in, const Attrs& attrs) {
  std::string key;
  const auto address = reinterpret_cast<std::uintptr_t>(op.lanes);
  key.append(reinterpret_cast<const char*>(&address), sizeof address);
  for (const Type& type : in) key += char('0' + int(type.dtype));
  if (!attrs.empty()) key += to_string(attrs);

  static std::mutex mutex;
  static std::map<std::string, LaneProgram>& programs = *new std::map<std::string, LaneProgram>;
  std::lock_guard lock(mutex);
  auto it = programs.find(key);
  if (it != programs.end()) return it->second;

  LaneProgram program;
  std::vector<Lane> operands;
  for (std::size_t i = 0; i < in.size(); ++i) {
    program.code.push_back({LaneOp::input, in[i].dtype, {std::uint16_t(i)}, 0});
    operands.emplace_back(program, std::uint16_t(i));
  }
  program.result = op.lanes(Lanes{operands, &attrs}).id();
  return programs.emplace(std::move(key), std::move(program)).first->second;
}

void check_value(std::string_view op, const Tensor& x, const Where& where) {
  if (x.is_empty())
    throw Error(fmt::format("{}: an operand is empty", op), where, "a Tensor must be given a value before it is used");
}

void needs_float(std::string_view op, const Tensor& x, const Where& where) {
  check_value(op, x, where);
  if (!is_float(x.dtype()))
    throw Error(fmt::format("{}: needs a floating-point operand, got {}", op, to_string(x.type())), where,
                "cast(x, Dtype::f32) converts");
}

Tensor record(const Op& op, const Tensors& operands, Attrs attrs, const Where& where) {
  std::shared_ptr<Recorder> recorder;
  bool all_generated = true;
  for (const Tensor& operand : operands) {
    check_value(op.name, operand, where);
    if (operand.is_recorded() && (!recorder || operand.recorder()->serial() > recorder->serial()))
      recorder = operand.recorder();
    all_generated = all_generated && operand.is_generated();
  }

  Tensors in;
  std::vector<Type> types;
  for (const Tensor& operand : operands) {
    in.push_back(recorder ? recorder->adopt(operand, op.name, where) : operand);
    types.push_back(in.back().type());
  }
  Type type = op.infer(op, types, attrs, where);
  check_size(op.name, type, where);

  if (recorder) {
    std::vector<Id> ids;
    for (const Tensor& tensor : in) ids.push_back(tensor.id());
    return recorder->append(op, std::move(ids), std::move(attrs), std::move(type), where);
  }
  if (all_generated) {
    // Stays a recipe, unless it has grown so deep that following it would overflow a stack.
    Tensor result = Tensor::generated(type, op, attrs, operands);
    if (result.generated_depth() < 500) return result;
  }
  for (Tensor& tensor : in) tensor = tensor.materialized();
  FlushDenormals flush(options().denormals);
  return op.run(op, in, attrs, type);
}

Tensor generate(const Op& op, Attrs attrs, const Where& where) {
  Type type = op.infer(op, {}, attrs, where);
  check_size(op.name, type, where);
  return Tensor::generated(std::move(type), op, std::move(attrs), {});
}

Tensors picks(const Tensor& tuple) {
  Tensors parts;
  for (std::size_t i = 0; i < tuple.type().parts->size(); ++i) parts.push_back(pick(tuple, int(i)));
  return parts;
}

Tensors joined(Tensors a, const Tensors& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace tapeloop
