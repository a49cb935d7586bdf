#include "ad/grad.h"

#include <fmt/format.h>

namespace tapeloop::detail {

Tensors evaluate(const Tape& tape, const Tensors& inputs) {
  for (const Tensor& input : inputs)
    if (input.is_recorded()) return inline_tape(tape, inputs);
  return run(tape, inputs);
}

void Arguments::add(const Tensors& of_argument, const std::vector<std::string>& names_in_it, bool want) {
  for (const std::string& name : names_in_it)
    names.push_back(fmt::format("argument {}{}{}", counts.size(), name.empty() ? "" : ".", name));
  leaves.insert(leaves.end(), of_argument.begin(), of_argument.end());
  wanted.resize(leaves.size(), want);
  counts.push_back(of_argument.size());
}

void Arguments::add_captured(const Tensors& captured) {
  leaves.insert(leaves.end(), captured.begin(), captured.end());
  wanted.resize(leaves.size(), false);
  names.resize(leaves.size(), "a captured value");
}

std::vector<bool> are_floats(const Tensors& tensors) {
  std::vector<bool> floats;
  for (const Tensor& t : tensors) floats.push_back(is_float(t.dtype()));
  return floats;
}

namespace {

// Throws Error when `given`, the tangent or cotangent (`what`) of the tensor `name`, is not one of type `type`.
void check_partner(std::string_view op, std::string_view what, const std::string& name, const Type& type,
                   const Tensor& given, const Where& where) {
  const std::string of = name.empty() ? "" : " of " + name;
  if (given.is_empty())
    throw Error(fmt::format("{}: the {}{} is empty", op, what, of), where, "zeros_like(t) is one that changes nothing");
  if (given.dtype() != type.dtype || !agree(given.shape(), type.shape))
    throw Error(
        fmt::format("{}: the {}{} is {}, the tensor is {}", op, what, of, to_string(given.type()), to_string(type)),
        where, fmt::format("a {} has the shape and dtype of its tensor", what));
}

}  // namespace

Tensors partners(std::string_view op, std::string_view what, const Tensors& like, const std::vector<std::string>& names,
                 const Tensors& given, const Where& where) {
  Tensors result;
  for (std::size_t i = 0; i < like.size(); ++i) {
    if (like[i].is_empty() || !is_float(like[i].dtype())) continue;
    const Tensor partner = i < given.size() ? given[i] : Tensor();
    check_partner(op, what, names[i], like[i].type(), partner, where);
    result.push_back(partner);
  }
  return result;
}

Tensors value_and_gradients(const TapePtr& tape, const Tensors& inputs, const std::vector<bool>& wanted,
                            const std::vector<std::string>& names, const Where& where) {
  if (tape->outputs.empty())
    throw Error("grad: the function returns no tensor", where, "return the loss as a scalar tensor");
  const Record& loss = (*tape)[tape->outputs[0]];
  const Where& blamed = loss.op == &input_op ? where : loss.where;  // an argument has no line of its own
  if (!is_float(loss.type.dtype) || count_of(loss.type.shape) != 1)
    throw Error(fmt::format("grad: the loss is {}, not one floating-point number", to_string(loss.type)), blamed,
                "reduce it with sum() or mean(); vjp(f) differentiates functions with many results");
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (wanted[i] && !is_float(inputs[i].dtype()))
      throw Error(fmt::format("grad: {} is {}: integers do not take gradients", names[i], to_string(inputs[i].type())),
                  blamed, "differentiate with respect to another argument: grad<I>(f); or cast() it to a float dtype");

  VjpRequest request{wanted, std::vector<bool>(tape->outputs.size(), false), {}};
  request.live[0] = true;
  Tensors arguments = inputs;
  arguments.push_back(full(loss.type.shape, 1, loss.type.dtype, loss.where));
  return evaluate(*vjp(tape, request), arguments);
}

Tensors value_and_gradients(const TapePtr& tape, const Tensors& captured, Arguments arguments, const Where& where) {
  arguments.add_captured(captured);
  return value_and_gradients(tape, arguments.leaves, arguments.wanted, arguments.names, where);
}

}  // namespace tapeloop::detail
