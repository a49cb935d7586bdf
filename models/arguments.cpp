#include "models/arguments.h"

#include <fmt/format.h>

#include <cmath>

namespace tapeloop {
namespace {

// One operand of a cell: [..., n], where n is the number of rows of its weights.
void check_features(std::string_view cell, std::string_view name, const Tensor& x, const Tensor& weights,
                    const Where& caller) {
  check_value(cell, x, caller);
  check_value(cell, weights, caller);
  const std::int64_t features = weights.rank() == 2 ? weights.size(0).value() : -1;
  if (x.rank() == 0 || x.dtype() != weights.dtype() || x.size(-1).value() != features)
    throw Error(fmt::format("{}: the {} is {}, the cell's weights are {}", cell, name, to_string(x.type()),
                            to_string(weights.type())),
                caller, fmt::format("a batch of {}s is {}[B, {}]", name, name_of(weights.dtype()), features));
}

}  // namespace

void check_step(std::string_view cell, const Tensor& x, const Tensor& w, const Tensor& h, const Tensor& u,
                const Where& caller) {
  check_features(cell, "input", x, w, caller);
  check_features(cell, "state", h, u, caller);
  const Shape rows_x(x.shape().begin(), x.shape().end() - 1), rows_h(h.shape().begin(), h.shape().end() - 1);
  if (!agree(rows_x, rows_h))
    throw Error(
        fmt::format("{}: the input is {}, the state {}: another batch", cell, to_string(x.type()), to_string(h.type())),
        caller, "cell.initial(batch) makes a state; a sequence [T, B, D] is read by unroll(cell, state, xs)");
}

void check_decay(std::string_view op, std::string_view name, double value, const Where& caller) {
  if (!(value >= 0 && value < 1))
    throw Error(fmt::format("{}: {} is {}", op, name, value), caller, "it is at least 0 and less than 1");
}

void check_range(std::string_view op, std::string_view name, double value, double low, double high,
                 const Where& caller) {
  if (value >= low && value <= high) return;
  throw Error(fmt::format("{}: {} is {}", op, name, value), caller,
              std::isinf(high) ? fmt::format("it is at least {}", low) : fmt::format("it is from {} to {}", low, high));
}

}  // namespace tapeloop
