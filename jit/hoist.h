// What a loop need not do in every step leaves it. No pass here changes a bit.
#pragma once

#include "ad/tape.h"

namespace tapeloop {

// What a loop computes from its constants alone is computed before it.
TapePtr hoist_invariants(const TapePtr& tape);

}  // namespace tapeloop
