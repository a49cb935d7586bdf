// Elements of a dtype as LLVM sees them, alone and in vectors.
#pragma once

#include "ad/dtype.h"

namespace llvm {
class IRBuilderBase;
class Type;
}  // namespace llvm

namespace tapeloop {

// In memory, where a boolean is a byte, and in registers, where it is a bit.
llvm::Type* element_in_memory(llvm::IRBuilderBase& b, Dtype dtype);
llvm::Type* element_in_register(llvm::IRBuilderBase& b, Dtype dtype);

// <width x element>, or the element itself if width is 1.
llvm::Type* vector_of(llvm::Type* element, int width);

}  // namespace tapeloop
