#include "ops/contract.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/rearrange.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace tapeloop {
namespace {

using Letters = std::string;

bool has(const Letters& letters, char c) { return letters.find(c) != Letters::npos; }

// A tensor whose axes have names.
struct Named {
  Tensor x;
  Letters letters;

  Extent size(char c) const { return x.size(int(letters.find(c))); }
};

struct Equation {
  std::vector<Letters> operands;
  Letters result;
};

Equation parse(std::string_view text, std::size_t operands, const Where& where) {
  Equation equation;
  equation.operands.emplace_back();
  bool has_arrow = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    Letters& current = has_arrow ? equation.result : equation.operands.back();
    if (std::isalpha(static_cast<unsigned char>(text[i]))) {
      if (has_arrow && has(current, text[i]))
        throw Error(fmt::format("einsum: {}: '{}' stands twice behind the arrow", text, text[i]), where);
      current += text[i];
    } else if (text[i] == ',' && !has_arrow) {
      equation.operands.emplace_back();
    } else if (text.substr(i, 2) == "->" && !has_arrow) {
      has_arrow = true;
      ++i;
    } else if (text[i] != ' ') {
      throw Error(fmt::format("einsum: '{}' in {}", text[i], text), where,
                  "an equation is letters, commas and one ->: \"ij,jk->ik\"");
    }
  }
  if (equation.operands.size() != operands)
    throw Error(fmt::format("einsum: {} names {} operands, got {}", text, equation.operands.size(), operands), where);
  Letters all;
  for (const Letters& letters : equation.operands) all += letters;
  if (!has_arrow) {
    for (char c : all)
      if (std::count(all.begin(), all.end(), c) == 1) equation.result += c;
    std::sort(equation.result.begin(), equation.result.end());
  }
  for (char c : equation.result)
    if (!has(all, c)) throw Error(fmt::format("einsum: {}: no operand has the axis '{}'", text, c), where);
  return equation;
}

// The equation with letters in the place of "...", for the axes that the other letters of an operand leave.
std::string without_dots(std::string_view text, const Tensors& operands, const Where& where) {
  constexpr std::string_view kDots = "...";
  std::string equation(text);
  if (equation.find(kDots) == std::string::npos) return equation;
  Letters free;
  for (char c = 'A'; c <= 'z'; ++c)
    if (std::isalpha(static_cast<unsigned char>(c)) && equation.find(c) == std::string::npos) free += c;
  // Number of axes behind the dots of each operand, and of the widest.
  std::size_t widest = 0, operand = 0;
  const std::size_t arrow = std::min(equation.find("->"), equation.size());
  const auto axes_at = [&](std::size_t from) {
    const std::size_t to = std::min(equation.find(',', from), arrow);
    const auto named = std::count_if(equation.begin() + std::ptrdiff_t(from), equation.begin() + std::ptrdiff_t(to),
                                     [](unsigned char c) { return std::isalpha(c); });
    const std::size_t rank = operand < operands.size() ? std::size_t(operands[operand].rank()) : 0;
    if (rank < std::size_t(named) || rank - std::size_t(named) > free.size())
      throw Error(fmt::format("einsum: {}: operand {} has {} axes", text, operand, rank), where);
    return rank - std::size_t(named);
  };
  std::vector<std::size_t> widths;
  for (std::size_t from = 0; from <= arrow; ++operand) {
    widths.push_back(axes_at(from));
    const std::size_t to = std::min(equation.find(',', from), arrow);
    if (equation.substr(from, to - from).find(kDots) != std::string::npos) widest = std::max(widest, widths.back());
    from = to + 1;
  }
  const Letters all = free.substr(0, widest);
  std::string result;
  operand = 0;
  bool behind = false;
  for (std::size_t i = 0; i < equation.size(); ++i) {
    if (equation[i] == ',') ++operand;
    if (equation.compare(i, 2, "->") == 0) behind = true;
    if (equation.compare(i, 3, kDots) == 0) {
      result += behind ? all : all.substr(widest - widths[operand]);
      i += 2;
    } else {
      result += equation[i];
    }
  }
  if (behind) return result;
  // Without an arrow the axes of the dots come first, then the letters that occur once.
  Letters once;
  for (char c : equation)
    if (std::isalpha(static_cast<unsigned char>(c)) && std::count(equation.begin(), equation.end(), c) == 1) once += c;
  std::sort(once.begin(), once.end());
  return result + "->" + all + once;
}

Named ordered(const Named& a, const Letters& letters, const Where& where) {
  std::vector<int> order;
  for (char c : letters) order.push_back(int(a.letters.find(c)));
  return {transpose(a.x, order, where), letters};
}

// A letter that stands twice: the diagonal of its two axes.
Named without_repeats(Named a, const Where& where) {
  for (std::size_t i = 0; i < a.letters.size(); ++i) {
    const std::size_t j = a.letters.find(a.letters[i], i + 1);
    if (j == Letters::npos) continue;
    const char c = a.letters[i];
    std::vector<int> order;
    Letters rest;
    for (std::size_t k = 0; k < a.letters.size(); ++k)
      if (k != i && k != j) {
        order.push_back(int(k));
        rest += a.letters[k];
      }
    order.push_back(int(i));
    order.push_back(int(j));
    return without_repeats({diagonal(transpose(a.x, order, where), 0, where), rest + c}, where);
  }
  return a;
}

// Sums over the letters that nobody else wants.
Named summed(const Named& a, const Letters& wanted, const Where& where) {
  std::vector<int> axes;
  Letters rest;
  for (std::size_t i = 0; i < a.letters.size(); ++i) {
    if (has(wanted, a.letters[i]))
      rest += a.letters[i];
    else
      axes.push_back(int(i));
  }
  return {axes.empty() ? a.x : sum(a.x, axes, false, where), rest};
}

// One product: shared letters that are wanted are batch axes, shared ones that are not are summed over.
Named product(const Named& a, const Named& b, const Letters& wanted, const Where& where) {
  Letters batch, inner, left, right;
  for (char c : a.letters) (!has(b.letters, c) ? left : has(wanted, c) ? batch : inner) += c;
  for (char c : b.letters)
    if (!has(a.letters, c)) right += c;
  const auto joined = [&](const Named& x, const Letters& letters) {
    Extent n = 1;
    for (char c : letters) n = n * x.size(c);
    return n;
  };
  const Named x = ordered(a, batch + left + inner, where), y = ordered(b, batch + inner + right, where);
  const Extent rows = joined(a, left), depth = joined(a, inner), columns = joined(b, right), count = joined(a, batch);
  Tensor z;
  if (batch.empty())
    z = matmul(reshape(x.x, {rows, depth}, where), reshape(y.x, {depth, columns}, where), {}, where);
  else
    z = matmul(reshape(x.x, {count, rows, depth}, where), reshape(y.x, {count, depth, columns}, where), {}, where);
  Shape shape;
  for (char c : batch + left) shape.push_back(a.size(c));
  for (char c : right) shape.push_back(b.size(c));
  return {reshape(z, shape, where), batch + left + right};
}

}  // namespace

Tensor dot(const Tensor& a, const Tensor& b, Where where) {
  check_value("dot", a, where);
  check_value("dot", b, where);
  if (a.rank() != 1 || b.rank() != 1 || !agree(a.shape(), b.shape()))
    throw Error(
        fmt::format("dot: needs two vectors of one length, got {} and {}", to_string(a.type()), to_string(b.type())),
        where, "matmul() is for matrices");
  return sum(Operand(a, where) * b, Axes::everything(), false, where);
}

Tensor outer(const Tensor& a, const Tensor& b, Where where) {
  check_value("outer", a, where);
  check_value("outer", b, where);
  Shape column = a.shape();
  column.insert(column.end(), b.shape().size(), 1);
  return Operand(reshape(a, column, where), where) * b;
}

Tensor einsum(std::string_view text, const Tensors& operands, Where where) {
  for (const Tensor& x : operands) check_value("einsum", x, where);
  const std::string equation = without_dots(text, operands, where);
  const Equation letters = parse(equation, operands.size(), where);
  std::vector<Named> named;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (operands[i].rank() != int(letters.operands[i].size()))
      throw Error(fmt::format("einsum: {}: '{}' for {}", equation, letters.operands[i], to_string(operands[i].type())),
                  where, "one letter for each axis");
    named.push_back({operands[i], letters.operands[i]});
    for (const Named& a : named)
      for (char c : named.back().letters)
        for (std::size_t k = 0; k < a.letters.size(); ++k)
          if (a.letters[k] == c && !agree(a.x.size(int(k)), named.back().size(c)))
            throw Error(fmt::format("einsum: {}: axis '{}' has extents {} and {}", equation, c,
                                    a.x.size(int(k)).value(), named.back().size(c).value()),
                        where);
  }
  for (Named& a : named) a = without_repeats(a, where);
  Named result = named[0];
  for (std::size_t i = 1; i <= named.size(); ++i) {
    Letters wanted = letters.result;
    for (std::size_t j = i; j < named.size(); ++j) wanted += named[j].letters;
    result = summed(result, wanted, where);
    if (i == named.size()) break;
    Letters later = letters.result;
    for (std::size_t j = i + 1; j < named.size(); ++j) later += named[j].letters;
    result = product(result, summed(named[i], later + result.letters, where), later, where);
  }
  return ordered(result, letters.result, where).x;
}

}  // namespace tapeloop
