#include <fmt/format.h>

#include "ad/tape.h"

namespace tapeloop {

// Recursion is over the nesting of loop bodies only, never along a tape.
void verify(const Tape& tape) {
  auto broken = [&](Id id, const std::string& what) {
    throw InternalError(fmt::format("verify: record %{} {}\n{}", id, what, to_string(tape)));
  };
  std::vector<Type> types;
  for (Id id = 0; id < tape.size(); ++id) {
    const Record& r = tape[id];
    if (!r.op) broken(id, "has no op");
    types.clear();
    for (Id operand : r.in) {
      if (operand >= id) broken(id, "reads a record that comes after it");
      types.push_back(tape[operand].type);
    }
    for (const auto& [name, value] : r.attrs.entries())
      if (const auto* body = std::get_if<TapePtr>(&value)) verify(**body);
    if (r.op == &input_op) continue;
    const Type inferred = r.op->infer(*r.op, types, r.attrs, r.where);
    if (!(inferred == r.type))
      broken(id,
             fmt::format("({}) has type {}, its operands give {}", r.op->name, to_string(r.type), to_string(inferred)));
  }
  for (std::size_t i = 0; i < tape.inputs.size(); ++i) {
    if (tape.inputs[i] >= tape.size()) broken(tape.inputs[i], "is an input but does not exist");
    const Record& r = tape[tape.inputs[i]];
    if (r.op != &input_op || r.attrs.integer("index") != int(i))
      broken(tape.inputs[i], "is not the input it should be");
  }
  for (Id id : tape.outputs)
    if (id >= tape.size()) broken(id, "is an output but does not exist");
}

}  // namespace tapeloop
