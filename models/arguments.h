// What models ask of their arguments, said in terms of the caller's line.
#pragma once

#include <string_view>

#include "ad/op.h"

namespace tapeloop {

// Throws Error naming `cell` unless x is [..., D] and h is [..., H] with equal leading extents, for weights w [D, …] and
// u [H, …], all of one dtype.
void check_step(std::string_view cell, const Tensor& x, const Tensor& w, const Tensor& h, const Tensor& u,
                const Where& caller);

// Throws Error naming `op` and `name` unless 0 ≤ value < 1, as what decays must be.
void check_decay(std::string_view op, std::string_view name, double value, const Where& caller);

// Throws Error naming `op` and `name` unless low ≤ value ≤ high.
void check_range(std::string_view op, std::string_view name, double value, double low, double high,
                 const Where& caller);

}  // namespace tapeloop
