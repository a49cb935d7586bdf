#include "jit/element.h"

#include <llvm/IR/DerivedTypes.h>
#include <llvm/IR/IRBuilder.h>

#include "ad/error.h"

namespace tapeloop {

llvm::Type* element_in_memory(llvm::IRBuilderBase& b, Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return b.getFloatTy();
    case Dtype::f64:
      return b.getDoubleTy();
    case Dtype::i32:
    case Dtype::u32:
      return b.getInt32Ty();
    case Dtype::i64:
      return b.getInt64Ty();
    case Dtype::boolean:
      return b.getInt8Ty();
    case Dtype::tuple:
      break;
  }
  throw InternalError("a tuple is no element");
}

llvm::Type* element_in_register(llvm::IRBuilderBase& b, Dtype dtype) {
  return dtype == Dtype::boolean ? b.getInt1Ty() : element_in_memory(b, dtype);
}

llvm::Type* vector_of(llvm::Type* element, int width) {
  return width == 1 ? element : llvm::FixedVectorType::get(element, unsigned(width));
}

}  // namespace tapeloop
