// Every partial result of an associative operation, in logarithmically many steps that are each done for all places at once.
#pragma once

#include "ad/trace.h"
#include "ops/shape.h"

namespace tapeloop {

namespace detail {

// Elements start, start + 2, … of the leading axis; both halves put back in turns.
Tensor every_second(const Tensor& x, std::int64_t start, std::int64_t stop, const Where& where);
Tensor in_turns(const Tensor& even, const Tensor& odd, const Where& where);
std::int64_t steps_of(const Tensors& xs, const Where& where);

template <class Tree, class F>
Tree each_tensor(Tree tree, const F& f) {
  for_each_tensor(tree, [&](Tensor& t) {
    if (!t.is_empty()) t = f(t);
  });
  return tree;
}

// Neighbours are combined; the scan of the pairs is every second result, and one more combination each gives the others.
template <class Combine, class Tree>
Tree scan_of_pairs(const Combine& combine, const Tree& xs, const Where& where) {
  const std::int64_t n = steps_of(leaves_of(xs), where);
  if (n < 2) return xs;
  const auto part = [&](std::int64_t start, std::int64_t stop) {
    return each_tensor(xs, [&](const Tensor& t) { return every_second(t, start, stop, where); });
  };
  const Tree odd = scan_of_pairs(combine, combine(part(0, n - 1), part(1, n)), where);
  Tensors first, later;
  for (const Tensor& t : leaves_of(xs)) first.push_back(slice(t, 0, 0, 1, 1, where));
  if (n > 2) {
    const Tree before = each_tensor(odd, [&](const Tensor& t) { return slice(t, 0, 0, (n - 1) / 2, 1, where); });
    later = leaves_of(combine(before, part(2, n)));
  }
  std::size_t next = 0;
  return each_tensor(odd, [&](const Tensor& t) {
    const std::size_t i = next++;
    return in_turns(later.empty() ? first[i] : concat({first[i], later[i]}, 0, where), t, where);
  });
}

}  // namespace detail

// y[0] = x[0], y[i] = combine(y[i − 1], x[i]) over the leading axis of every tensor of xs, a tree. combine(a, b) is associative
// and takes many pairs at once: trees like xs, with a leading axis of any extent (Blelloch 1990). With `reverse` from the end:
// y[i] = combine(x[i], y[i + 1]). The tape has O(log n) records; the number of steps becomes part of a compiled program.
//
// A linear recurrence h[i] = a[i]·h[i − 1] + b[i] from h[−1] = 0 is the second part of
//
//   associative_scan([](const Pair& s, const Pair& t) { return Pair{t.a * s.a, t.a * s.b + t.b}; }, Pair{a, b})
//
// Throws Error when the tensors differ in length or a tensor has no leading axis.
template <class Combine, class Tree>
Tree associative_scan(const Combine& combine, const Tree& xs, bool reverse = false, Where where = Where::current()) {
  if (!reverse) return detail::scan_of_pairs(combine, xs, where);
  const auto flipped = [&](const Tree& tree) {
    return detail::each_tensor(tree, [&](const Tensor& t) { return flip(t, 0, where); });
  };
  // Backwards, what comes first is the later element.
  return flipped(
      detail::scan_of_pairs([&](const Tree& a, const Tree& b) { return combine(b, a); }, flipped(xs), where));
}

}  // namespace tapeloop
