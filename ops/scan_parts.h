// What the files that implement scan share.
#pragma once

#include "ad/op.h"
#include "ops/scan.h"

namespace tapeloop::detail {

Attrs loop_attrs(TapePtr body, std::size_t constants, std::size_t states, const Extent& length, bool reverse);

// So many values of a type along a new leading axis.
Type stacked(Type type, const Extent& length);

// begin, begin + 1, …: `count` of them.
std::vector<std::size_t> range(std::size_t begin, std::size_t count);
void append(std::vector<std::size_t>& list, const std::vector<std::size_t>& more);

// The same function with its inputs and outputs in another order: `inputs[i]` is the input that becomes input i.
TapePtr reorder(const TapePtr& tape, const std::vector<std::size_t>& inputs, const std::vector<std::size_t>& outputs);

// Reverse mode (design §3): the vjp of the body, split into the half that can run forward in time and the half that waits
// for cotangents; what crosses between them is kept for each step. The late half is a loop over reversed time whose state
// is the cotangent of the state and the growing cotangents of the constants.
Pullback vjp_scan(const Record& r, const Tensors& in, const Demand& demand);
// Forward mode: one wider loop carries values and tangents together.
Pushforward jvp_scan(const Record& r, const Tensors& in, const Tensors& dots);

}  // namespace tapeloop::detail
