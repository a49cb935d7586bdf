#include <fmt/format.h>

#include "ad/tape.h"

namespace tapeloop {
namespace {

std::string indented(const std::string& text) {
  std::string result;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    result += "    " + text.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return result;
}

std::string ids(const std::vector<Id>& list) {
  std::string text;
  for (Id id : list) text += fmt::format("{}%{}", text.empty() ? "" : ", ", id);
  return text;
}

}  // namespace

std::string to_string(const Tape& tape) {
  std::string text;
  for (Id id = 0; id < tape.size(); ++id) {
    const Record& r = tape[id];
    text += fmt::format("%{} = {}({})", id, r.op->name, ids(r.in));
    if (!r.attrs.empty()) text += fmt::format(" {{{}}}", to_string(r.attrs));
    text += fmt::format(" : {}\n", to_string(r.type));
    for (const auto& [name, value] : r.attrs.entries())
      if (const auto* body = std::get_if<TapePtr>(&value)) text += indented(to_string(**body));
  }
  return text + fmt::format("return {}\n", ids(tape.outputs));
}

std::string to_graphviz(const Tape& tape) {
  std::string text = "digraph tape {\n  node [shape=box, fontname=\"monospace\"];\n";
  for (Id id = 0; id < tape.size(); ++id) {
    const Record& r = tape[id];
    text += fmt::format("  n{} [label=\"%{} {}\\n{}\"];\n", id, id, r.op->name, to_string(r.type));
    for (Id operand : r.in) text += fmt::format("  n{} -> n{};\n", operand, id);
  }
  for (std::size_t i = 0; i < tape.outputs.size(); ++i)
    text += fmt::format("  out{} [label=\"output {}\", shape=plaintext];\n  n{} -> out{};\n", i, i, tape.outputs[i], i);
  return text + "}\n";
}

}  // namespace tapeloop
