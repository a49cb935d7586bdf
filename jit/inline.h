// Records of kind call are for derivatives; once these have been taken, the tapes they hold are put in their places.
#pragma once

#include "ad/tape.h"

namespace tapeloop {

// The tape without calls and barriers, in the bodies of loops too. A barrier becomes a view of its operand, each one of its
// own, so that what is computed from it again is merged with nothing that was computed before.
TapePtr inline_calls(const TapePtr& tape);

}  // namespace tapeloop
