// PyTorch's sums of products, and the linear algebra of small matrices, in ops of ours.
#include <cmath>

#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/rearrange.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/source.h"
#include "torch_table.h"

namespace tapeloop::testing::torch {
namespace {

void products(Table& t) {
  t["einsum"] = [](const Args& a) {
    Tensors operands;
    for (std::size_t i = 1; i < a.positional.size(); ++i)
      if (a.positional[i].as<List>())
        for (const Tensor& each : a.tensors(i, "operands")) operands.push_back(each);
      else
        operands.push_back(a.tensor(i, "operand"));
    std::string equation;
    for (char c : a.text(0, "equation", ""))
      if (c != ' ') equation += c;
    return tensor_value(einsum(equation, operands));
  };
  t["dot"] = t["vdot"] = [](const Args& a) {
    return tensor_value(dot(a.tensor(0, "input"), a.tensor(1, a.function == "dot" ? "tensor" : "other")));
  };
  t["vecdot"] = [](const Args& a) {
    return tensor_value(sum(a.tensor(0, "x") * a.tensor(1, "y"), int(a.number(2, "dim", -1))));
  };
  t["inner"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "other");
    if (x.rank() == 0 || y.rank() == 0) return tensor_value(x * y);
    return tensor_value(x.rank() < 2 && y.rank() < 2 ? dot(x, y) : matmul(x, y.rank() < 2 ? y : transpose(y)));
  };
  t["outer"] = t["ger"] = [](const Args& a) { return tensor_value(outer(a.tensor(0, "input"), a.tensor(1, "vec2"))); };
  // beta·input + alpha·(product)
  auto sum_with = [](auto product) {
    return [product](const Args& a) {
      const double alpha = a.number(99, "alpha", 1), beta = a.number(99, "beta", 1);
      Tensor p = product(a.tensor(1, a.function == "addmv"  ? "mat"
                                     : a.function == "addr" ? "vec1"
                                                            : "mat1"),
                         a.tensor(2, a.function == "addmv"  ? "vec"
                                     : a.function == "addr" ? "vec2"
                                                            : "mat2"));
      if (alpha != 1) p = alpha * p;
      const Tensor x = a.tensor(0, "input");
      // With beta 0 the input is not read, as in BLAS.
      return tensor_value(beta == 0 ? p + stop_gradient(zeros_like(x)) : beta == 1 ? x + p : beta * x + p);
    };
  };
  auto product = [](const Tensor& x, const Tensor& y) { return matmul(x, y); };
  t["addmm"] = t["addmv"] = t["baddbmm"] = sum_with(product);
  t["addbmm"] = sum_with([](const Tensor& x, const Tensor& y) { return sum(matmul(x, y), 0); });
  t["addr"] = sum_with([](const Tensor& x, const Tensor& y) { return outer(x, y); });
  t["chain_matmul"] = t["multi_dot"] = [](const Args& a) {
    Tensor y;
    Tensors all;
    if (a.positional.at(0).as<List>())
      all = a.tensors(0, "tensors");
    else
      for (std::size_t i = 0; i < a.positional.size(); ++i) all.push_back(a.tensor(i, "tensor"));
    for (const Tensor& x : all) y = y.is_empty() ? x : matmul(y, x);
    return tensor_value(y);
  };
  t["tensordot"] = [](const Args& a) {
    Tensor x = a.tensor(0, "a"), y = a.tensor(1, "b");
    std::vector<std::int64_t> in_x, in_y;
    const Value* dims = a.find(2, "dims");
    if (dims && dims->as<List>()) {
      for (const Value& v : *dims->as<List>()->items->at(0).as<List>()->items)
        in_x.push_back(std::int64_t(as_number(v)));
      for (const Value& v : *dims->as<List>()->items->at(1).as<List>()->items)
        in_y.push_back(std::int64_t(as_number(v)));
    } else {
      const int n = dims ? int(as_number(*dims)) : 2;
      for (int i = 0; i < n; ++i) {
        in_x.push_back(x.rank() - n + i);
        in_y.push_back(i);
      }
    }
    std::string of_x, of_y, result;
    for (int i = 0; i < x.rank(); ++i) of_x += char('a' + i);
    for (int i = 0; i < y.rank(); ++i) of_y += char('k' + i);
    for (std::size_t i = 0; i < in_x.size(); ++i) {
      const std::int64_t p = in_x[i] < 0 ? in_x[i] + x.rank() : in_x[i], q = in_y[i] < 0 ? in_y[i] + y.rank() : in_y[i];
      of_y[std::size_t(q)] = of_x[std::size_t(p)];
    }
    for (char c : of_x)
      if (of_y.find(c) == std::string::npos) result += c;
    for (char c : of_y)
      if (of_x.find(c) == std::string::npos) result += c;
    return tensor_value(einsum(of_x + "," + of_y + "->" + result, {x, y}));
  };
  t["kron"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "other");
    if (x.rank() == 1) return tensor_value(reshape(outer(x, y), {-1}));
    const Tensor all = transpose(outer(x, y), {0, 2, 1, 3});
    return tensor_value(reshape(all, {x.size(0).value() * y.size(0).value(), x.size(1).value() * y.size(1).value()}));
  };
  t["cross"] = [](const Args& a) {
    const Tensor x = a.tensor(0, "input"), y = a.tensor(1, "other");
    const int axis = int(a.number(2, "dim", -1));
    return tensor_value(roll(x, -1, axis) * roll(y, -2, axis) - roll(x, -2, axis) * roll(y, -1, axis));
  };
}

// Row i, column j of a matrix, or of a stack of them.
Tensor entry(const Tensor& m, int i, int j) { return at(at(m, -2, i), -1, j); }

// Without row i and column j.
Tensor minor_of(const Tensor& m, int i, int j) {
  auto without = [](const Tensor& x, int axis, int k) {
    return concat({slice(x, axis, 0, k), slice(x, axis, k + 1)}, axis);
  };
  return without(without(m, m.rank() - 2, i), m.rank() - 1, j);
}

// By its first row: for the small matrices of test cases.
Tensor determinant(const Tensor& m) {
  const int n = int(m.size(-1).value());
  if (n > 5) throw NoSuchOp("a determinant of more than 5 rows");
  if (n == 1) return entry(m, 0, 0);
  Tensor total;
  for (int j = 0; j < n; ++j) {
    const Tensor term = entry(m, 0, j) * determinant(minor_of(m, 0, j));
    total = total.is_empty() ? term : j % 2 ? total - term : total + term;
  }
  return total;
}

Tensor inverse(const Tensor& m) {
  const int n = int(m.size(-1).value());
  if (n == 1) return 1 / m;
  Tensors rows;
  for (int i = 0; i < n; ++i) {
    Tensors row;
    for (int j = 0; j < n; ++j) {
      const Tensor cofactor = determinant(minor_of(m, j, i));
      row.push_back((i + j) % 2 ? -cofactor : cofactor);
    }
    rows.push_back(stack(row, -1));
  }
  return stack(rows, -2) / expand_dims(expand_dims(determinant(m), -1), -1);
}

void small_matrices(Table& t) {
  t["det"] = [](const Args& a) { return tensor_value(determinant(a.tensor(0, "input"))); };
  t["logdet"] = [](const Args& a) { return tensor_value(log(determinant(a.tensor(0, "input")))); };
  t["slogdet"] = [](const Args& a) {
    const Tensor d = determinant(a.tensor(0, "input"));
    return list_value({tensor_value(sign(d)), tensor_value(log(abs(d)))});
  };
  t["inverse"] = t["inv"] = [](const Args& a) { return tensor_value(inverse(a.tensor(0, "input"))); };
  t["solve"] = [](const Args& a) { return tensor_value(matmul(inverse(a.tensor(0, "A")), a.tensor(1, "B"))); };
  t["matrix_power"] = [](const Args& a) {
    Tensor x = a.tensor(0, "input");
    const int n = int(a.number(1, "n"));
    if (n < 0) x = inverse(x);
    Tensor y = stop_gradient(zeros_like(x)) + eye(x.size(-1), x.dtype());
    for (int i = 0; i < std::abs(n); ++i) y = i == 0 ? x : matmul(y, x);
    return tensor_value(y);
  };
  t["cholesky"] = [](const Args& a) {
    const Tensor m = a.tensor(0, "input");
    const int n = int(m.size(-1).value());
    std::vector<std::vector<Tensor>> l(std::size_t(n), std::vector<Tensor>(std::size_t(n), zeros({}, m.dtype())));
    for (int i = 0; i < n; ++i)
      for (int j = 0; j <= i; ++j) {
        // The lower triangle is read, the gradient is shared with the upper one.
        Tensor rest = 0.5 * (entry(m, i, j) + entry(m, j, i));
        for (int k = 0; k < j; ++k) rest = rest - l[std::size_t(i)][std::size_t(k)] * l[std::size_t(j)][std::size_t(k)];
        l[std::size_t(i)][std::size_t(j)] = i == j ? sqrt(rest) : rest / l[std::size_t(j)][std::size_t(j)];
      }
    Tensors rows;
    for (const auto& row : l) rows.push_back(stack(row));
    return tensor_value(stack(rows));
  };
}

void triangles(Table& t) {
  t["trace"] = [](const Args& a) { return tensor_value(trace(a.tensor(0, "input"))); };
  t["diagonal"] = [](const Args& a) {
    Tensor x = a.tensor(0, "input");
    int p = int(a.number(2, "dim1", 0)), q = int(a.number(3, "dim2", 1));
    if (p < 0) p += x.rank();
    if (q < 0) q += x.rank();
    std::vector<int> order;
    for (int d = 0; d < x.rank(); ++d)
      if (d != p && d != q) order.push_back(d);
    order.push_back(p);
    order.push_back(q);
    const int offset = int(a.number(1, "offset", 0));
    std::vector<int> back(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) back[std::size_t(order[i])] = int(i);
    auto get = [=](const Tensor& whole) { return diagonal(transpose(whole, order), offset); };
    auto put = [=](const Tensor& whole, const Tensor& part) {
      const Tensor turned = transpose(whole, order);
      const Shape square{turned.size(-2), turned.size(-1)};
      const Tensor row = iota(square, 0),
                   place = clamp(iota({square[0]}, 0) + std::min(offset, 0), 0, part.size(-1).value() - 1);
      const Tensor moved = where(iota(square, 1) - row == offset, expand_dims(gather(part, place, -1), -1), turned);
      return transpose(moved, back);
    };
    return view(a.positional.at(0), get, put);
  };
  t["diag"] = t["diag_embed"] = t["diagflat"] = [](const Args& a) {
    const Tensor given = a.tensor(0, "input");
    const int offset = int(a.number(1, a.function == "diag" ? "diagonal" : "offset", 0));
    if (a.function == "diag" && given.rank() == 2) return tensor_value(diagonal(given, offset));
    const Tensor x = a.function == "diagflat" ? reshape(given, {-1}) : given;
    // Rows of a wider matrix, one place further on in each.
    const std::int64_t n = x.size(-1).value(), away = std::abs(offset);
    Tensor m = expand_dims(x, -1) * eye(n, x.dtype());
    m = pad(pad(m, -1, offset > 0 ? away : 0, offset > 0 ? 0 : away), -2, offset > 0 ? 0 : away, offset > 0 ? away : 0);
    return tensor_value(m);
  };
  t["tril"] = [](const Args& a) { return tensor_value(tril(a.tensor(0, "input"), int(a.number(1, "diagonal", 0)))); };
  t["triu"] = [](const Args& a) { return tensor_value(triu(a.tensor(0, "input"), int(a.number(1, "diagonal", 0)))); };
}

}  // namespace

void add_linear_functions(Table& t) {
  products(t);
  small_matrices(t);
  triangles(t);
}

}  // namespace tapeloop::testing::torch
