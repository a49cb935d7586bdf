// Choosing elements by integer tensors: embedding look-up, its derivative, and what losses need.
//
// Indices are i32, u32 or i64, which are narrowed to i32: tables have less than 2³¹ rows. A negative one counts from the end. One outside the axis is no error, since a compiled program
// has nobody to tell: gather gives NaN there (0 for integers and booleans), everything else leaves it out. So a wrong
// index shows up at once in the values, the same way interpreted and compiled.
#pragma once

#include "ad/op.h"

namespace tapeloop {

// Rows of `table`, one for each index: the result's shape is that of table with `axis` replaced by the axes of indices.
// Derivative: scatter_add of the cotangent.
Tensor gather(const Tensor& table, const Tensor& indices, int axis = 0, Where where = Where::current());

// A tensor of the given shape into whose rows (axis 0) `updates` are added, in the order of the indices: each element is
// one chain of additions from `start` (zero without it). updates has the axes of indices, then those of a row.
Tensor scatter_add(const Tensor& indices, const Tensor& updates, const Shape& shape, Where where = Where::current());
Tensor scatter_add(const Tensor& indices, const Tensor& updates, const Tensor& start, Where where = Where::current());

// One element of each row: x of shape [..., V, ...] and indices without that axis give x[..., indices[...], ...].
// 0 where the index is outside. Derivative: the cotangent at the picked element, zero elsewhere.
Tensor pick_along(const Tensor& x, const Tensor& indices, int axis = -1, Where where = Where::current());

// One element of x for each index: y[i, j, …] = x[i, j, …] with the position along `axis` replaced by indices[i, j, …].
// indices has x's shape but along the axis, where it has any extent. Derivative: scatter_along of the cotangent, added.
Tensor take_along(const Tensor& x, const Tensor& indices, int axis = -1, Where where = Where::current());

// x[i₁, …, i_k] for the k numbers along the last axis of `indices`, which stand for the first k axes of x: the result has
// the other axes of indices, then the other axes of x.
Tensor gather_nd(const Tensor& x, const Tensor& indices, Where where = Where::current());

// 1 at the index, 0 elsewhere, along a new last axis of extent n.
Tensor one_hot(const Tensor& indices, const Extent& n, Dtype dtype = Dtype::f32, Where where = Where::current());

// Indices in i64 as i32: those that do not fit are outside of every axis, and so are the ends that they become. Others stay.
Tensor narrowed(const Tensor& indices, const Where& where);

// Positions in a tensor of `shape` that is laid out in a row, from positions along one axis (take_along) or along the first
// k axes (gather_nd); −2³¹, which is outside of all tensors, where one is outside of its axis. Throws Error when the
// tensor has 2³¹ elements or more.
Tensor flat_along(const Shape& shape, const Tensor& indices, int axis, const Where& where);
Tensor flat_nd(const Shape& shape, const Tensor& indices, const Where& where);

// The row that index number i names among n rows; negative when it is outside.
std::int64_t row_position(const Tensor& indices, std::int64_t i, std::int64_t n);

// What batching rules are made of: indices [n, …] into tables [n, rows, …] as indices into the rows of all n tables in one
// list (what is outside stays outside), and those rows, [n·rows, …].
Tensor indices_of_all(const Tensor& indices, const Extent& n, const Extent& rows, const Where& where);
Tensor listed_rows(const Tensor& x, const Where& where);

extern const Op gather_op;  // operands: table, indices; attribute: outside (f64: what floats are outside, NaN or 0)
extern const Op scatter_add_op;  // operands: indices, updates, optional start; attribute: shape

}  // namespace tapeloop
