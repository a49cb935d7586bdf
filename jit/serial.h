// Bytes that mean the same in another process: what tapes and programs are written to the disk cache as.
//
// Nothing depends on an address: an op is its name and, if it is elementwise, its lane program; a symbol is its number in
// the order in which the tape meets it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "ad/tape.h"
#include "jit/recipe.h"

namespace tapeloop {

// The symbols of a tape, in the order in which its text meets them.
using Symbols = std::vector<Extent>;

// A tape as bytes: two tapes have the same just when the same machine code serves both. Fills in `symbols`.
std::string serialized(const Tape& tape, Symbols& symbols);

// A recipe as bytes and back. `symbols` are those of the tape that it was made for.
std::string serialized(const Recipe& recipe, const Symbols& symbols);
// Throws std::runtime_error when the bytes are no recipe for a tape with such inputs and outputs.
Recipe recipe_from(std::string_view bytes, const Symbols& symbols, const Tape& tape);

}  // namespace tapeloop
