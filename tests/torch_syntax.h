// The grammar: text to a tree.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace tapeloop::testing::torch {

// One part of a program; `kind` says which, `text` is its name or operator.
struct Node {
  std::string kind, text;
  std::vector<std::shared_ptr<const Node>> kids;
  double number = 0;
};
using NodePtr = std::shared_ptr<const Node>;

// The statements of a program. Throws BadCase when they are not understood.
std::vector<NodePtr> parse(const std::string& source);

}  // namespace tapeloop::testing::torch
