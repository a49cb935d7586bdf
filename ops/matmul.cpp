#include "ops/matmul.h"

#include <fmt/format.h>

#include "ad/tape.h"
#include "ops/batch.h"
#include "ops/matmul_kernel.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

struct Dims {
  Extent m, k, n;
  Shape leading;
};

Dims dims_of(std::span<const Type> in, const Attrs& attrs) {
  const Shape &a = in[0].shape, &b = in[1].shape;
  const std::size_t r = a.size();
  const bool ta = attrs.flag("transpose_a"), tb = attrs.flag("transpose_b");
  return {a[ta ? r - 1 : r - 2], a[ta ? r - 2 : r - 1], b[tb ? r - 2 : r - 1], Shape(a.begin(), a.end() - 2)};
}

Type infer_matmul(const Op&, std::span<const Type> in, const Attrs& attrs, const Where& where) {
  const Type &a = in[0], &b = in[1];
  if (a.rank() < 2 || a.rank() != b.rank())
    throw InternalError(fmt::format("matmul: ranks of {} and {}", to_string(a), to_string(b)), where);
  if (a.dtype != b.dtype || !is_float(a.dtype))
    throw Error(fmt::format("matmul: needs two operands of one floating-point dtype, got {} and {}", to_string(a),
                            to_string(b)),
                where, "cast(x, Dtype::f32) converts");
  const Dims d = dims_of(in, attrs);
  const std::size_t r = b.shape.size();
  const bool tb = attrs.flag("transpose_b");
  if (!agree(d.k, b.shape[tb ? r - 1 : r - 2]))
    throw Error(fmt::format("matmul: inner sizes differ: {}{} x {}{}", to_string(a.shape),
                            attrs.flag("transpose_a") ? "ᵀ" : "", to_string(b.shape), tb ? "ᵀ" : ""),
                where, "the columns of the left operand must be as many as the rows of the right one");
  if (!agree(d.leading, Shape(b.shape.begin(), b.shape.end() - 2)))
    throw Error(fmt::format("matmul: leading axes differ: {} x {}", to_string(a.shape), to_string(b.shape)), where);
  (void)d.n.pin();
  Type result{a.dtype, d.leading, nullptr};
  result.shape.push_back(d.m);
  result.shape.push_back(d.n);
  if (in.size() == 3 && (in[2].dtype != result.dtype || !agree(in[2].shape, result.shape)))
    throw Error(fmt::format("matmul: start is {}, the product is {}", to_string(in[2]), to_string(result)), where);
  return result;
}

Tensor run_matmul(const Op&, std::span<const Tensor> in, const Attrs& attrs, const Type& type) {
  const std::vector<Type> types{in[0].type(), in[1].type()};
  const Dims d = dims_of(types, attrs);
  const MatmulShape shape{count_of(d.leading),      d.m.value(), d.k.value(), d.n.value(), attrs.flag("transpose_a"),
                          attrs.flag("transpose_b")};
  auto buffer = Buffer::allocate(bytes_of(type));
  const std::byte* start = in.size() == 3 ? in[2].bytes() : nullptr;
  if (type.dtype == Dtype::f32)
    multiply(shape, reinterpret_cast<const float*>(in[0].bytes()), reinterpret_cast<const float*>(in[1].bytes()),
             reinterpret_cast<const float*>(start), reinterpret_cast<float*>(buffer->data()));
  else
    multiply(shape, reinterpret_cast<const double*>(in[0].bytes()), reinterpret_cast<const double*>(in[1].bytes()),
             reinterpret_cast<const double*>(start), reinterpret_cast<double*>(buffer->data()));
  return Tensor(type, std::move(buffer));
}

Tensor product(const Tensor& a, const Tensor& b, bool ta, bool tb, const Where& where, const Tensor& start = {}) {
  Attrs attrs{{"transpose_a", std::int64_t(ta)}, {"transpose_b", std::int64_t(tb)}};
  return record(matmul_op, start.is_empty() ? Tensors{a, b} : Tensors{a, b, start}, attrs, where);
}

// C = A·B + S:  dA = dC·Bᵀ,  dB = Aᵀ·dC,  dS = dC; each written in the layout of its operand, so nothing is transposed.
Pullback vjp_matmul(const Record& r, const Tensors& in, const Demand& demand) {
  const bool ta = r.attrs.flag("transpose_a"), tb = r.attrs.flag("transpose_b");
  auto pull = [=, where = r.where, wanted = demand.wanted](const Tensors& cts) {
    const Tensor &a = in[0], &b = in[1], &ct = cts[0];
    Tensors result(in.size());
    if (wanted[0]) result[0] = ta ? product(b, ct, tb, true, where) : product(ct, b, false, !tb, where);
    if (wanted[1]) result[1] = tb ? product(ct, a, true, ta, where) : product(a, ct, !ta, false, where);
    if (in.size() == 3) result[2] = ct;
    return result;
  };
  return {record(matmul_op, in, r.attrs, r.where), pull};
}

// Ċ = Ṡ + Ȧ·B + A·Ḃ
Pushforward jvp_matmul(const Record& r, const Tensors& in, const Tensors& dots) {
  const bool ta = r.attrs.flag("transpose_a"), tb = r.attrs.flag("transpose_b");
  Tensor dot = in.size() == 3 ? dots[2] : Tensor();
  if (!dots[0].is_empty()) dot = product(dots[0], in[1], ta, tb, r.where, dot);
  if (!dots[1].is_empty()) dot = product(in[0], dots[1], ta, tb, r.where, dot);
  return {record(matmul_op, in, r.attrs, r.where), {dot}};
}

// One matrix on the right for all examples: their rows are the rows of one product. Otherwise the examples are a leading axis.
Batched batch_matmul(const Record& r, const Tensors& in, const std::vector<bool>& batched, const Extent& n) {
  const bool ta = r.attrs.flag("transpose_a");
  if (!batched[0] || batched[1] || ta || r.type.rank() != 2)
    return {record(matmul_op, all_batched(r, in, batched, n), r.attrs, r.where), {}};
  const Shape full{n, r.type.shape[0], r.type.shape[1]}, &a = in[0].shape();
  Tensors operands{reshape(in[0], {a[0] * a[1], a[2]}, r.where), in[1]};
  if (in.size() == 3)
    operands.push_back(
        reshape(batched[2] ? in[2] : repeated(in[2], n, r.where), {full[0] * full[1], full[2]}, r.where));
  return {reshape(record(matmul_op, operands, r.attrs, r.where), full, r.where), {}};
}

Shape without_last(const Shape& shape, std::size_t n) { return Shape(shape.begin(), shape.end() - std::ptrdiff_t(n)); }

}  // namespace

bool is_outer_product(const Tape& tape, const Record& r) {
  const Shape& a = tape[r.in[0]].type.shape;
  return r.op == &matmul_op && a[a.size() - (r.attrs.flag("transpose_a") ? 2 : 1)].is_one();
}

constinit const Op matmul_op = {.name = "matmul",
                                .kind = Kind::matmul,
                                .cheap_for = is_outer_product,
                                .start = 2,
                                .infer = infer_matmul,
                                .run = run_matmul,
                                .vjp = vjp_matmul,
                                .jvp = jvp_matmul,
                                .batch = batch_matmul};

Tensor matmul(const Tensor& a, const Tensor& b, Where where) { return matmul(a, b, Tensor(), {}, where); }
Tensor matmul(const Tensor& a, const Tensor& b, MatmulOptions options, Where where) {
  return matmul(a, b, Tensor(), options, where);
}

Tensor matmul(const Tensor& a, const Tensor& b, const Tensor& start, MatmulOptions options, Where where) {
  check_value("matmul", a, where);
  check_value("matmul", b, where);
  if (a.rank() == 0 || b.rank() == 0)
    throw Error(fmt::format("matmul: a scalar operand: {} x {}", to_string(a.type()), to_string(b.type())), where,
                "use * to scale");
  // A vector is a row on the left, a column on the right; its axis is taken out of the result again.
  const bool row = a.rank() == 1, column = b.rank() == 1;
  const Tensor a2 = row ? reshape(a, options.transpose_a ? Shape{a.size(0), 1} : Shape{1, a.size(0)}, where) : a;
  const Tensor b2 = column ? reshape(b, options.transpose_b ? Shape{1, b.size(0)} : Shape{b.size(0), 1}, where) : b;
  const bool ta = options.transpose_a, tb = options.transpose_b;

  Tensor result;
  const Extent m = a2.size(ta ? -1 : -2), k = a2.size(ta ? -2 : -1);
  const Extent n = b2.size(tb ? -2 : -1), kb = b2.size(tb ? -1 : -2);
  if (k.value() != kb.value())
    throw Error(fmt::format("matmul: inner sizes differ: {}{} x {}{}", to_string(a.shape()), ta ? "ᵀ" : "",
                            to_string(b.shape()), tb ? "ᵀ" : ""),
                where, "the columns of the left operand must be as many as the rows of the right one");
  const Shape leading_a = without_last(a2.shape(), 2), leading_b = without_last(b2.shape(), 2);
  auto begin_at = [&](const Shape& shape) {
    if (start.is_empty()) return start;
    const auto both = broadcast_shape(start.shape(), shape);
    if (!both || values_of(*both) != values_of(shape))
      throw Error(fmt::format("matmul: start {} does not stretch to the product {}", to_string(start.shape()),
                              to_string(shape)),
                  where);
    return broadcast_to(start, shape, where);
  };
  auto joined = [](Shape s, Extent x, Extent y) {
    s.push_back(std::move(x));
    s.push_back(std::move(y));
    return s;
  };
  if (b2.rank() == 2 && a2.rank() > 2 && !ta) {
    // One matrix on the right serves all leading axes: they are rows.
    Shape full = joined(leading_a, m, n);
    const Extent rows = extent_product(leading_a) * m;
    Tensor c = begin_at(full);
    if (!c.is_empty()) c = reshape(c, {rows, n}, where);
    result = reshape(product(reshape(a2, {rows, k}, where), b2, false, tb, where, c), full, where);
  } else {
    const auto leading = broadcast_shape(leading_a, leading_b);
    if (!leading)
      throw Error(fmt::format("matmul: leading axes differ: {} x {}", to_string(a.shape()), to_string(b.shape())),
                  where);
    const Tensor c = begin_at(joined(*leading, m, n));
    result = product(broadcast_to(a2, joined(*leading, a2.size(-2), a2.size(-1)), where),
                     broadcast_to(b2, joined(*leading, b2.size(-2), b2.size(-1)), where), ta, tb, where, c);
  }
  if (!row && !column) return result;
  Shape shape = result.shape();
  if (column) shape.pop_back();
  if (row) shape.erase(shape.end() - (column ? 1 : 2));
  return reshape(result, shape, where);
}

}  // namespace tapeloop
