// The transformations that make programs faster, by name, so that what each is worth can be measured. None changes a bit.
#pragma once

#include <span>
#include <string_view>

namespace tapeloop {

enum class Pass : unsigned char {
  sink_views,           // slices of weights and rows of biases are looked at inside of loops, not copied for them
  outer_products,       // products of a column and a row are elementwise
  sink_values,          // cheap elementwise values over time are computed in the step that reads them
  part_products,        // what the next step does not need of a product becomes a product of its own
  block_time,           // strip-mine loops so that what goes in and out of the inner one stays in the cache
  part_loops,           // states that never look at others have a loop of their own, before that of the others
  hoist_before,         // products of what is given over time, for all steps at once
  hoist_after,          // sums over time, such as the gradients of weights, for all steps at once
  hoist_invariants,     // what is the same in every step, such as packing weights
  share_operand,        // products of one left operand are one product
  epilogues,            // elementwise code goes on in the registers of the product before it
  chain_products,       // a product that starts at another goes on in its registers
  fold_reductions,      // elementwise code is computed in the reduction that reads it
  group_rows,           // what reductions over rows couple runs row by row, from the first nest to the last
  states_in_place,      // the state of a loop is overwritten where it is read
  small_products,       // products of a few rows are taken without calls
  rows_apart,           // threads that keep to their rows do not meet in every step
  rows_in_parts,        // what is too much state for the cache goes through a loop some rows after the others
  states_in_registers,  // a loop of elementwise steps is turned inside out: each element goes through all of them
  to_and_fro,           // a loop walks an operand that is larger than the cache back where it came from
  optimise              // LLVM's own passes over the code
};

// In the order of their declaration.
std::span<const std::string_view> pass_names();

// Whether a pass takes part in compilations: options().without does not name it. Throws Error when that names something else.
bool runs(Pass pass);

}  // namespace tapeloop
