// PyTorch's layers as objects, torch.nn.ReLU()(x), which are functions with some of their arguments given beforehand.
#pragma once

#include "torch_language.h"

namespace tapeloop::testing::torch {

bool is_layer(const std::string& name);
Value layer(const Args& made_with);  // of this name and these arguments: a closure

// Names that mean the same: axis and dim, keepdims and keepdim, and a first operand that is named.
void spell_alike(Args& args);

}  // namespace tapeloop::testing::torch
