// The conventions of our derivatives where systems differ, or where no derivative exists. This table is their documentation;
// the tests hold it to account. PyTorch is 1.13, JAX its jax.numpy and jax.nn.
//
//   at                               here                   PyTorch            JAX
//   relu(0), and at −0               0                      0                  0
//   abs(0), sign(x), floor(x)        0                      0                  0
//   maximum(a, a), minimum(a, a)     half each              half each          half each
//   max, min over axes, ties         equal shares           amax: equal        equal
//   hardtanh, clamp at the bounds    hardtanh 1, clamp 1    0, 1               1, half
//   sqrt(0), sqrt(−0)                inf, −inf              inf, −inf          inf, −inf
//   0 · an infinite derivative       NaN                    NaN                NaN
//   where, the side not taken        selected: exactly 0,   the same           the same
//                                    unless its own
//                                    derivative is inf
//   pow(0, 0) in x, in y             0, 0                   0, 0               0, 0
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
  static const std::map<std::string, Convention> table{
      {"A15",
       {"hardtanh is clamp, whose derivative is that of x at both bounds; in JAX it is 1 there, too",
        {{"x", {1, 1, 1}}}}},
      {"B35",
       {"PyTorch's second derivative at 0 is NaN; the right one is −π²/3",
        {},
        {{2, {-3.289868133696453, -1.190227128238936}}}}},
  };
  return table;
}

}  // namespace tapeloop::testing
