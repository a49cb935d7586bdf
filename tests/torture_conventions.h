// The conventions of our derivatives where systems differ, or where no derivative exists. This table is their documentation;
// the tests hold it to account. PyTorch is 1.13, JAX its jax.numpy and jax.nn.
//
//   at                               here                   PyTorch            JAX
//   relu(0), and at −0; at NaN       0; 1                   0; 1               0; 0
//   abs(0), sign(x), floor(x)        0                      0                  0
//   maximum(a, a), minimum(a, a)     half each              half each          half each
//   max, min over axes, ties         equal shares           amax: equal        equal
//   max, min over axes, a NaN        NaN                    max() 1, amax NaN  NaN
//   cummax, cummin, ties             the last               the last           half each
//   hardtanh, clamp at the bounds    hardtanh 0, clamp 1    0, 1               1, half
//   clamp(NaN)                       0                      0                  0
//   elu, selu, celu, 2nd order at 0  the lower side's       0                  the lower side's
//   sqrt(0), sqrt(−0)                inf, −inf              inf, −inf          inf, −inf
//   0 · an infinite derivative       NaN                    NaN                NaN
//   where, the side not taken        selected: exactly 0,   the same           the same
//                                    unless its own
//                                    derivative is inf
//   norm(0): derivative, 2nd order   0, 0                   0, NaN             NaN, NaN
//   pow(0, 0) in x, in y             0, 0                   0, 0               0, 0
//   pow(NaN, 0) in x                 0                      0                  0
//   prod of several zeros, order 2   exact                  0                  exact
//   logaddexp(−∞, −∞)                half each              NaN                half each
//   atan2 of very large, very small  exact                  0, inf             0, inf
//   fmod(∞, b), remainder(a, 0) in b NaN                    −inf               NaN
//   pow(x < 0, y) in y               NaN                    NaN                NaN
//   logsumexp(all −inf)              value −inf, NaN        value −inf, NaN    value −inf, NaN
//   an input that is not used        zero                   none, or an error  zero
//   a change in place                never seen by what     an error           not expressible
//                                    was computed before
//   gather beyond the axis           NaN, gradient 0        an error           clamped
//   an integer or boolean input      an error               an error           an error
//   captured numbers under jit       frozen at first call;  (eager)            frozen
//                                    TAPELOOP_CHECK finds
//                                    that they changed
#pragma once

#include <limits>
#include <map>
#include <string>
#include <vector>

namespace tapeloop::testing {

// A case of the torture set whose recorded gradient is not ours. It must be listed, with our answer, and what is listed must
// deviate.
struct Convention {
  std::string why;
  std::map<std::string, std::vector<double>> gradients;  // ours, row-major; those that are not named are as recorded
  std::map<int, std::vector<double>> higher = {};        // by order
};

inline const std::map<std::string, Convention>& conventions() {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  static const std::map<std::string, Convention> table{
      {"B35",
       {"PyTorch's second derivative at 0 is NaN; the right one is −π²/3",
        {},
        {{2, {-3.289868133696453, -1.190227128238936}}}}},
      // Of our own set (tests/golden/torture_cases.py):
      {"elu-second-order",
       {"at 0 all derivatives are those of the lower side, as in JAX", {}, {{2, {0.36787944117144233, 1, 0}}}}},
      {"max-of-nan", {"where the greatest is NaN, so is the gradient, as in JAX", {{"x", {kNan, kNan}}}}},
      {"logaddexp-infinite", {"half each, as at any other tie", {{"x", {0.5, 1}}, {"y0", {0.5, 0}}}}},
      {"fmod-of-infinity", {"the value is NaN, and so is the gradient", {{"y0", {0, kNan}}}}},
      {"remainder-by-zero", {"the value is NaN, and so is the gradient", {{"y0", {kNan, -1}}}}},
      {"atan2-far",
       {"squares that overflow or vanish are avoided",
        {{"x", {kNan, 5e-201, 5e199}}, {"y0", {kNan, -5e-201, -5e199}}}}},
      {"norm-at-zero-second-order",
       {"the norm of 0 counts as a constant for every order, where PyTorch gives NaN", {}, {{2, {0, 0}}}}},
      {"prod-of-two-zeros",
       {"PyTorch loses what the product of the others contributes", {}, {{2, {3, 3, 0}}, {3, {2, 2, 2}}}}},
  };
  return table;
}

}  // namespace tapeloop::testing
