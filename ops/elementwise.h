// Elementwise ops: each is one value and one function, and nothing else in the project knows it.
//
// Operands are tensors or C++ numbers, which take the dtype of the tensor they meet; shapes are broadcast as in NumPy.
// Above each op stands its derivative, in maths; the op writes it down in tensor ops, so that it can be derived again.
// Where a factor may be infinite on a side that was not taken, the cotangent v is *selected* there, never multiplied by
// zero: 0·inf would be NaN. How to write one: ops/README.md.
#pragma once

#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/compare.h"
#include "ops/exponential.h"
#include "ops/special.h"
#include "ops/trigonometry.h"
