// Matrix products.
#pragma once

#include "ad/op.h"

namespace tapeloop {

struct MatmulOptions {
  bool transpose_a = false;  // a is given as [..., K, M]
  bool transpose_b = false;  // b is given as [..., N, K]
};

// a · b, for a of shape [..., M, K] and b of shape [..., K, N]; leading axes are broadcast, and a vector is a row on the
// left and a column on the right, as in NumPy. Every element is one chain of fused multiply-adds in the order of k.
// With `start` (shape of the result, or one that broadcasts to it) the chain begins there: start + a · b.
// Throws Error when inner sizes differ.
Tensor matmul(const Tensor& a, const Tensor& b, Where where = Where::current());
Tensor matmul(const Tensor& a, const Tensor& b, MatmulOptions options, Where where = Where::current());
Tensor matmul(const Tensor& a, const Tensor& b, const Tensor& start, MatmulOptions options = {},
              Where where = Where::current());

// Operands of equal leading axes, or two matrices; optional third operand. Attributes: transpose_a, transpose_b.
extern const Op matmul_op;

// Whether a matmul record is the product of columns and rows, [..., M, 1] · [..., 1, N]: no sums, but a value of its own for
// every pair.
bool is_outer_product(const Tape& tape, const Record& r);

}  // namespace tapeloop
