// What the nests of a plan do, for people.
#pragma once

#include <string>

#include "jit/plan.h"
#include "jit/target.h"

namespace tapeloop {

// One line for each nest, those of loops and branches indented below them: its kind, the space it walks, the tile of a product
// in rows × vectors, and, with the sizes that the plan was made for, floating-point operations (of products: two for each
// multiply-add; of the others: one for each elementwise record) and the bytes that it reads and writes.
std::string describe(const Plan& plan, const Target& target);

}  // namespace tapeloop
