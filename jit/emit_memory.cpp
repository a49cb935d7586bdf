// Vectors of lanes: their types and constants, their places in memory, and the loads and stores between the two.
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include <numeric>

#include "ad/arithmetic.h"
#include "jit/element.h"
#include "jit/emit.h"
#include "jit/emit_lanes.h"
#include "jit/pack.h"

namespace tapeloop {

using llvm::Value;

llvm::Type* Emitter::element(Dtype dtype) { return element_in_memory(b_, dtype); }

llvm::Type* Emitter::lanes(llvm::Type* type) { return vector_of(type, width_); }

Value* Emitter::splat(Value* scalar) { return width_ == 1 ? scalar : b_.CreateVectorSplat(unsigned(width_), scalar); }

Value* Emitter::literal(Dtype dtype, double value) {
  switch (dtype) {
    case Dtype::f32:
      return splat(llvm::ConstantFP::get(b_.getFloatTy(), llvm::APFloat(float(value))));
    case Dtype::f64:
      return splat(llvm::ConstantFP::get(b_.getDoubleTy(), llvm::APFloat(value)));
    case Dtype::boolean:
      return splat(b_.getInt1(value != 0));
    case Dtype::u32:
      return splat(b_.getInt32(std::uint32_t(value)));
    case Dtype::i64:
      return splat(b_.getInt64(std::uint64_t(i64_of(value))));
    default:
      return splat(b_.getInt32(std::uint32_t(std::int32_t(value))));
  }
}

// One lane instruction on two values, for what reductions and accumulations do between elements.
Value* Emitter::combine(LaneOp op, Dtype dtype, Value* a, Value* b) {
  LaneProgram program;
  program.code = {{LaneOp::input, dtype, {0}, 0}, {LaneOp::input, dtype, {1}, 0}, {op, dtype, {0, 1}, 0}};
  program.result = 2;
  Value* operands[] = {a, b};
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(a->getType());
  return emit_lanes(b_, program, operands, vector ? int(vector->getNumElements()) : 1, target_);
}

// --- memory ----------------------------------------------------------------------------------------------------------------

// The positions of all lanes as a vector of i64.
Value* Emitter::positions(const Index& index) {
  if (index.vector) return index.vector;
  Value* base = splat(index.base);
  if (index.step == 0 || width_ == 1) return base;
  std::vector<llvm::Constant*> steps;
  for (int i = 0; i < width_; ++i) steps.push_back(b_.getInt64(std::uint64_t(std::int64_t(i) * index.step)));
  return b_.CreateAdd(base, llvm::ConstantVector::get(steps));
}

// The place in row-major memory of `shape`.
Index Emitter::linear(const Shape& shape, const Indices& at) {
  if (flat_) return at[0];
  Index result{number(0), 0, nullptr};
  Value* stride = number(1);
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    const Index& index = at[axis];
    auto* constant = llvm::dyn_cast<llvm::ConstantInt>(stride);
    const bool simple =
        !index.vector &&
        (index.step == 0 || (constant && constant->getSExtValue() <= 1 && !result.vector && result.step == 0));
    if (simple) {
      result.base = b_.CreateAdd(result.base, b_.CreateMul(index.base, stride));
      if (constant) result.step += index.step * int(constant->getSExtValue());
      if (result.vector) result.vector = b_.CreateAdd(result.vector, splat(b_.CreateMul(index.base, stride)));
    } else {
      Value* all = b_.CreateMul(positions(index), splat(stride));
      result.vector = b_.CreateAdd(positions(result), all);
    }
    stride = b_.CreateMul(stride, extent(shape[axis]));
  }
  return result;
}

Value* Emitter::load(Value* pointer, Dtype dtype, const Index& offset, Value* mask) {
  llvm::Type* type = element(dtype);
  const llvm::Align align(std::uint64_t(size_of(dtype)));
  Value* result = nullptr;
  if (offset.vector && width_ > 1) {
    Value* addresses = b_.CreateGEP(type, pointer, offset.vector);
    result = b_.CreateMaskedGather(lanes(type), addresses, align, mask ? mask : splat(b_.getTrue()),
                                   llvm::Constant::getNullValue(lanes(type)));
  } else if (offset.step == 1 && width_ > 1) {
    Value* address = b_.CreateGEP(type, pointer, offset.base);
    if (mask)
      result = b_.CreateMaskedLoad(lanes(type), address, align, mask, llvm::Constant::getNullValue(lanes(type)));
    else
      result = b_.CreateAlignedLoad(lanes(type), address, align);
  } else if (offset.step == 0 || width_ == 1) {
    Value* base = width_ == 1 && offset.vector ? offset.vector : offset.base;
    result = splat(b_.CreateAlignedLoad(type, b_.CreateGEP(type, pointer, base), align));
  } else {
    return load(pointer, dtype, Index{nullptr, 0, positions(offset)}, mask);
  }
  return dtype == Dtype::boolean ? b_.CreateICmpNE(result, llvm::Constant::getNullValue(result->getType())) : result;
}

void Emitter::store(Value* pointer, Dtype dtype, const Index& offset, Value* value, Value* mask) {
  llvm::Type* type = element(dtype);
  const llvm::Align align(std::uint64_t(size_of(dtype)));
  if (dtype == Dtype::boolean) value = b_.CreateZExt(value, lanes(type));
  if (width_ == 1) {
    b_.CreateAlignedStore(value, b_.CreateGEP(type, pointer, offset.vector ? offset.vector : offset.base), align);
  } else if (offset.vector || offset.step != 1) {
    b_.CreateMaskedScatter(value, b_.CreateGEP(type, pointer, positions(offset)), align,
                           mask ? mask : splat(b_.getTrue()));
  } else {
    Value* address = b_.CreateGEP(type, pointer, offset.base);
    if (mask)
      b_.CreateMaskedStore(value, address, align, mask);
    else
      b_.CreateAlignedStore(value, address, align);
  }
}

// [panel][k][stream][column]. A vector no wider than those of the panel fits as a whole, since a panel is made of whole
// vectors; of a wider one each part goes to where its columns are, if they exist.
void Emitter::write_to_panels(Value* pointer, const Type& type, const Panels& panels, int stream, const Indices& at,
                              Value* value, Value* mask) {
  const int all = width_, part = int(std::gcd<std::int64_t>(all, panels.panel_columns()));
  Value *columns = number(panels.panel_columns()), *depth = extent(type.shape[type.shape.size() - 3]);
  for (int first = 0; first < all; first += part) {
    Value *column = b_.CreateAdd(at[1].base, number(first)), *here = value, *exists = nullptr;
    if (part < all) {
      std::vector<int> lanes_of_part(std::size_t(part), first);
      std::iota(lanes_of_part.begin(), lanes_of_part.end(), first);
      here = b_.CreateShuffleVector(value, lanes_of_part);
      if (mask && first > 0)
        exists = b_.CreateVectorSplat(unsigned(part), b_.CreateExtractElement(mask, std::uint64_t(first)));
    }
    Value* panel = b_.CreateMul(b_.CreateSDiv(column, columns), depth);
    Value* row = b_.CreateAdd(b_.CreateMul(b_.CreateAdd(panel, at[0].base), number(panels.streams)), number(stream));
    width_ = part;
    store(pointer, type.dtype,
          Index{b_.CreateAdd(b_.CreateMul(row, columns), b_.CreateSRem(column, columns)), 1, nullptr}, here, exists);
    width_ = all;
  }
}

void Emitter::write(Frame& frame, const Write& w, const Indices& at, Value* value, Value* mask) {
  Value* pointer = w.slot >= 0 ? frame.slot[std::size_t(w.slot)] : pointer_of(frame, w.target);
  const Type& type = frame[w.target].type;
  if (w.stream >= 0) return write_to_panels(pointer, type, Panels(frame[w.target].attrs), w.stream, at, value, mask);
  if (flat_) return store(pointer, type.dtype, at[0], value, mask);
  Indices place = at;
  if (!(w.offset.is_number() && w.offset.value() == 0)) {
    Index& index = place[std::size_t(w.axis)];
    index.base = index.base ? b_.CreateAdd(index.base, extent(w.offset)) : nullptr;
  }
  store(pointer, type.dtype, w.slot >= 0 ? linear(type.shape, place) : place_in(frame, w.target, place), value, mask);
}

}  // namespace tapeloop
