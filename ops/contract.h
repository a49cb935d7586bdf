// Sums of products over named or aligned axes: compositions of views, products and matmul.
#pragma once

#include <string_view>

#include "ad/op.h"

namespace tapeloop {

// Σ aᵢ·bᵢ of two vectors.
Tensor dot(const Tensor& a, const Tensor& b, Where where = Where::current());

// aᵢ·bⱼ: of vectors a matrix; in general the axes of a, then those of b.
Tensor outer(const Tensor& a, const Tensor& b, Where where = Where::current());

// Einstein's summation, with a letter for each axis: einsum("bij,bjk->bik", {a, b}). A letter that is absent behind the
// arrow is summed over; a letter that one operand has twice takes its diagonal. Without an arrow the result has the letters
// that occur once, in alphabetical order. "..." stands for all axes that have no letter; they have to agree. Operands are multiplied from left to right, each product as one matmul.
// Throws Error when letters and axes do not match, or extents of one letter differ.
Tensor einsum(std::string_view equation, const Tensors& operands, Where where = Where::current());

}  // namespace tapeloop
