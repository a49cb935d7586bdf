// What a loop need not do in every step leaves it, and what need not be there before it goes in. No pass here changes a
// bit.
#pragma once

#include <vector>

#include "ad/tape.h"
#include "jit/loop.h"

namespace tapeloop {

// Constants of a loop that only show another value (a slice of the weights, a bias for every row) are looked at inside, so
// that no memory is filled with them.
TapePtr sink_views(const TapePtr& tape);

// What is elementwise over time, cheap, and read elementwise by one loop alone is computed in the loop's steps.
TapePtr sink_values(const TapePtr& tape);

// A product of a concatenation, and one that is split along its columns, becomes one product for each part of which each step
// needs only some.
TapePtr part_products(const TapePtr& tape);

// A loop with states that never look at its others becomes two, so that products of what the first computes can leave the second;
// and so on.
TapePtr part_loops(const TapePtr& tape);
// The loops that part_loops makes of one.
std::vector<LoweredLoop> loops_parted(const LoweredLoop& loop);

// What a loop computes from its constants alone is computed before it.
TapePtr hoist_invariants(const TapePtr& tape);

// Products of xs with constants, with what leads to them and what follows from them without the state, are computed
// before the loop for all its steps at once: the rows of the steps are the rows of one product. What is much larger than what it
// is computed from stays, unless it is multiplied.
TapePtr hoist_before(const TapePtr& tape);

// Products that no later step needs are computed after the loop for all its steps at once. Sums over the steps,
//
//   acc' = matmul(aᵀ, b, acc)        acc' = sum(x, acc)        acc' = acc + x
//
// become one product, one sum, that goes through the steps in the order of the loop.
TapePtr hoist_after(const TapePtr& tape);

// Products of a column and a row are elementwise: what computes with them goes on in registers, as with any other value. Those
// that hoist_after may add up over the steps stay products.
TapePtr outer_products(const TapePtr& tape);

// The types, for one step, of what hoist_before would hand to the loop and hoist_after take from it; empty if nothing
// would leave.
std::vector<Type> values_that_may_leave(const LoweredLoop& loop);

}  // namespace tapeloop
