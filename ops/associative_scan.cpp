#include "ops/associative_scan.h"

#include <fmt/format.h>

namespace tapeloop::detail {

Tensor every_second(const Tensor& x, std::int64_t start, std::int64_t stop, const Where& where) {
  return slice(x, 0, start, stop, 2, where);
}

// even has as many rows as odd, or one more.
Tensor in_turns(const Tensor& even, const Tensor& odd, const Where& where) {
  const std::int64_t pairs = odd.size(0).value();
  if (even.size(0).value() > pairs)
    return concat(
        {in_turns(slice(even, 0, 0, pairs, 1, where), odd, where), slice(even, 0, pairs, pairs + 1, 1, where)}, 0,
        where);
  Shape shape = odd.shape();
  shape[0] = 2 * pairs;
  return reshape(stack({even, odd}, 1, where), shape, where);
}

std::int64_t steps_of(const Tensors& xs, const Where& where) {
  if (xs.empty()) throw Error("associative_scan: xs hold no tensor", where);
  for (const Tensor& x : xs) {
    if (x.rank() == 0) throw Error("associative_scan: xs hold a scalar; every x needs a leading axis", where);
    if (x.size(0).value() != xs[0].size(0).value())
      throw Error(fmt::format("associative_scan: xs have {} and {} steps", xs[0].size(0).value(), x.size(0).value()),
                  where, "all tensors must have the same leading extent");
  }
  return xs[0].size(0).pin();
}

}  // namespace tapeloop::detail
