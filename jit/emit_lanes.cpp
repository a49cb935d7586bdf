// Every instruction is written so that LLVM 19 selects it well on SSE2, AVX2 and AVX-512, and so that no pass and no
// selection can change a bit of it.
//
// Denormals need care. The processor takes them for zeros (DAZ) in arithmetic, but LLVM may replace x·1 by x and a
// minimum by a selection, which then let one through. So this file knows of each value whether it can be a denormal,
// and flushes it by hand where the difference could be seen. Results of arithmetic never are: the processor flushes
// them (FTZ), or, where denormals are kept, there is nothing to flush.
#include "jit/emit_lanes.h"

#include <fmt/format.h>
#include <llvm/ADT/APFloat.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/DerivedTypes.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/NoFolder.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "ad/error.h"
#include "ad/options.h"
#include "jit/element.h"
#include "jit/fold_lanes.h"

namespace tapeloop {
namespace {

using llvm::Value;
using llvm::Intrinsic::ID;

// What can be folded has been, by fold_constants. An ordinary builder would fold again, without flushing denormals.
using Builder = llvm::IRBuilder<llvm::NoFolder>;

// Whether a value can be a denormal that counts as zero, and whether LLVM may know some of its bits: it takes a number
// that has a bit set for one that is not equal to zero.
enum class Denormal { never, opaque, visible };

struct Cell {
  Value* value = nullptr;
  Denormal denormal = Denormal::never;
};

class LaneEmitter {
 public:
  LaneEmitter(llvm::IRBuilderBase& b, LaneProgram program, std::span<Value* const> operands, int width,
              const Target& target)
      : b_(b.GetInsertBlock(), b.GetInsertPoint()),
        program_(std::move(program)),
        operands_(operands),
        width_(width),
        target_(target),
        cells_(program_.code.size()) {}

  Value* run() {
    for (std::size_t id = 0; id <= program_.result; ++id) cells_[id] = emit(program_.code[id]);
    return cells_[program_.result].value;
  }

 private:
  // --- types and constants ---

  llvm::Type* of_width(llvm::Type* element) const { return vector_of(element, width_); }
  llvm::Type* type(Dtype dtype) { return of_width(element_in_register(b_, dtype)); }
  // The integers of as many bits.
  llvm::Type* bits_type(Dtype dtype) { return of_width(size_of(dtype) == 8 ? b_.getInt64Ty() : b_.getInt32Ty()); }
  llvm::Constant* constant(Dtype dtype, double value) { return llvm::ConstantFP::get(type(dtype), value); }
  llvm::Constant* integer(llvm::Type* type, std::uint64_t value) { return llvm::ConstantInt::get(type, value); }
  llvm::Constant* literal(const LaneInstr& instr) {
    llvm::LLVMContext& context = b_.getContext();
    llvm::Constant* scalar = nullptr;
    if (instr.dtype == Dtype::f32)
      scalar = llvm::ConstantFP::get(
          context, llvm::APFloat(llvm::APFloat::IEEEsingle(), llvm::APInt(32, std::uint32_t(instr.bits))));
    else if (instr.dtype == Dtype::f64)
      scalar = llvm::ConstantFP::get(context, llvm::APFloat(llvm::APFloat::IEEEdouble(), llvm::APInt(64, instr.bits)));
    else if (instr.dtype == Dtype::boolean)
      scalar = b_.getInt1(instr.bits != 0);
    else if (instr.dtype == Dtype::i64)
      scalar = b_.getInt64(instr.bits);
    else
      scalar = b_.getInt32(std::uint32_t(instr.bits));
    if (width_ == 1) return scalar;
    return llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(unsigned(width_)), scalar);
  }

  // --- operands ---

  const Cell& cell(const LaneInstr& instr, int a) const { return cells_[instr.arg[std::size_t(a)]]; }
  Value* arg(const LaneInstr& instr, int a) const { return cell(instr, a).value; }
  Dtype dtype_of_arg(const LaneInstr& instr, int a) const { return program_.code[instr.arg[std::size_t(a)]].dtype; }
  Value* flushed_arg(const LaneInstr& instr, int a) {
    const Cell& x = cell(instr, a);
    if (x.denormal == Denormal::never) return x.value;
    LaneInstr source = program_.code[instr.arg[std::size_t(a)]];
    if (source.op != LaneOp::literal) return flush(x.value, source.dtype);
    source.bits &= sign_bit(source.dtype);
    return literal(source);
  }

  // --- pieces ---

  Value* bits_of(Value* x, Dtype dtype) { return b_.CreateBitCast(x, bits_type(dtype)); }

  Value* with_sign(Value* magnitude, Value* sign) {
    return b_.CreateBinaryIntrinsic(ID(llvm::Intrinsic::copysign), magnitude, sign);
  }
  Value* unary(ID id, Value* x) { return b_.CreateUnaryIntrinsic(id, x); }
  Value* binary(ID id, Value* x, Value* y) { return b_.CreateBinaryIntrinsic(id, x, y); }

  // What DAZ does to an operand.
  Value* flush(Value* x, Dtype dtype) {
    llvm::Type* type = bits_type(dtype);
    Value* bits = bits_of(x, dtype);
    Value* exponent = b_.CreateAnd(bits, integer(type, dtype == Dtype::f64 ? 0x7ff0000000000000u : 0x7f800000u));
    Value* zero = b_.CreateBitCast(b_.CreateAnd(bits, integer(type, sign_bit(dtype))), x->getType());
    return b_.CreateSelect(b_.CreateICmpEQ(exponent, integer(type, 0)), zero, x);
  }

  // See rounded() in ad/lanes_instr.cpp: SSE2 has no instruction for it, and a call per element would be slow.
  Value* round(Value* x, Dtype dtype) {
    if (target_.isa != Isa::sse2) return unary(llvm::Intrinsic::roundeven, x);
    llvm::Constant* integral = constant(dtype, dtype == Dtype::f32 ? 0x1p23 : 0x1p52);
    Value* magnitude = unary(llvm::Intrinsic::fabs, x);
    Value* r = b_.CreateFSub(b_.CreateFAdd(magnitude, integral), integral);
    return b_.CreateSelect(b_.CreateFCmpOLT(magnitude, integral), with_sign(r, x), x);
  }

  Value* floor(Value* x, Dtype dtype) {
    if (target_.isa != Isa::sse2) return unary(llvm::Intrinsic::floor, x);
    Value* r = round(x, dtype);
    return b_.CreateSelect(b_.CreateFCmpOGT(r, x), b_.CreateFSub(r, constant(dtype, 1)), r);
  }

  Value* fma(const LaneInstr& instr) {
    // Without the instruction it is a call, and the C library's integer code knows nothing of FTZ and DAZ.
    const bool call = target_.isa == Isa::sse2;
    bool neutral = false;
    for (std::uint16_t id : instr.arg) neutral |= is_neutral(program_.code[id]);
    Value* x[3];
    for (int a = 0; a < 3; ++a) x[a] = call || neutral ? flushed_arg(instr, a) : arg(instr, a);
    Value* r = b_.CreateIntrinsic(type(instr.dtype), llvm::Intrinsic::fma, {x[0], x[1], x[2]});
    return call && !options().denormals ? flush(r, instr.dtype) : r;
  }

  // The elements of `v` from `first` on, `count` of them.
  Value* part(Value* v, int first, int count) {
    std::vector<int> mask(std::size_t(count), 0);
    std::iota(mask.begin(), mask.end(), first);
    return b_.CreateShuffleVector(v, mask);
  }

  // vscalef, one register of `lanes` after the other; the parts are joined pairwise.
  Value* scale_by_register(Value* x, Value* exponent, Dtype dtype, int lanes) {
    namespace intrinsic = llvm::Intrinsic;
    // Of 16, 32 and 64 bytes.
    constexpr ID of_f32[] = {intrinsic::x86_avx512_mask_scalef_ps_128, intrinsic::x86_avx512_mask_scalef_ps_256,
                             intrinsic::x86_avx512_mask_scalef_ps_512};
    constexpr ID of_f64[] = {intrinsic::x86_avx512_mask_scalef_pd_128, intrinsic::x86_avx512_mask_scalef_pd_256,
                             intrinsic::x86_avx512_mask_scalef_pd_512};
    const int bytes = lanes * size_of(dtype);
    const ID id = (dtype == Dtype::f32 ? of_f32 : of_f64)[std::countr_zero(unsigned(bytes) / 16)];
    constexpr unsigned current_rounding = 4;  // which shorter ones take without saying
    llvm::Constant* all = llvm::ConstantInt::getAllOnesValue(b_.getIntNTy(unsigned(std::max(8, lanes))));
    std::vector<Value*> parts;
    for (int first = 0; first < width_; first += lanes) {
      Value* a = part(x, first, lanes);
      std::vector<Value*> arguments{a, part(exponent, first, lanes), a, all};
      if (bytes == 64) arguments.push_back(b_.getInt32(current_rounding));
      parts.push_back(b_.CreateIntrinsic(id, {}, arguments));
    }
    for (int size = 2 * lanes; parts.size() > 1; size *= 2) {
      std::vector<int> mask(std::size_t(size), 0);
      std::iota(mask.begin(), mask.end(), 0);
      for (std::size_t i = 0; i < parts.size() / 2; ++i)
        parts[i] = b_.CreateShuffleVector(parts[2 * i], parts[2 * i + 1], mask);
      parts.resize(parts.size() / 2);
    }
    return parts[0];
  }

  Value* scale_by_power(Value* x, Value* exponent, Dtype dtype) {
    const int size = size_of(dtype);
    if (target_.isa == Isa::avx512 && std::has_single_bit(unsigned(width_)) && width_ * size >= 16)
      return scale_by_register(x, exponent, dtype, std::min(width_, 64 / size));
    // 2^n alone leaves the range before the product does; the first product is exact, so that there is one rounding.
    llvm::Type* i32 = type(Dtype::i32);
    Value* ordered = b_.CreateSelect(b_.CreateFCmpORD(exponent, exponent), exponent, constant(dtype, 0));
    Value* n = b_.CreateFPToSI(ordered, i32);
    Value* half = b_.CreateAShr(n, integer(i32, 1));
    Value* once = b_.CreateFMul(x, power_of_two(half, dtype));
    return b_.CreateFMul(once, power_of_two(b_.CreateSub(n, half), dtype));
  }

  Value* power_of_two(Value* n, Dtype dtype) {
    llvm::Type* bits = bits_type(dtype);
    Value* biased = b_.CreateAdd(n, integer(n->getType(), dtype == Dtype::f32 ? 127 : 1023));
    Value* wide = dtype == Dtype::f32 ? biased : b_.CreateZExt(biased, bits);
    return b_.CreateBitCast(b_.CreateShl(wide, integer(bits, dtype == Dtype::f32 ? 23 : 52)), type(dtype));
  }

  Value* mulhi(Value* x, Value* y) {
    llvm::Type* wide = of_width(b_.getInt64Ty());
    Value* product = b_.CreateMul(b_.CreateZExt(x, wide), b_.CreateZExt(y, wide));
    return b_.CreateTrunc(b_.CreateLShr(product, integer(wide, 32)), type(Dtype::u32));
  }

  // --- conversions ---

  // llvm.fptosi.sat would do, but LLVM 19 takes its vectors apart.
  Value* saturated(Value* x, Dtype from, Dtype to) {
    const bool has_sign = is_signed(to);
    const int bits = 8 * size_of(to);
    llvm::Constant* low = constant(from, has_sign ? -std::ldexp(1.0, bits - 1) : 0);
    llvm::Constant* high = constant(from, std::ldexp(1.0, has_sign ? bits - 1 : bits));
    Value* not_above = b_.CreateFCmpOLT(x, high);
    Value* inside = b_.CreateAnd(b_.CreateFCmpOGT(x, low), not_above);
    Value* safe = b_.CreateSelect(inside, x, constant(from, 0));
    llvm::Type* result = type(to);
    const llvm::APInt least =
        has_sign ? llvm::APInt::getSignedMinValue(unsigned(bits)) : llvm::APInt(unsigned(bits), 0);
    Value* r = has_sign ? b_.CreateFPToSI(safe, result) : b_.CreateFPToUI(safe, result);
    r = b_.CreateSelect(b_.CreateFCmpOGE(x, high), llvm::ConstantInt::get(result, least - 1), r);
    return b_.CreateSelect(b_.CreateFCmpOLE(x, low), llvm::ConstantInt::get(result, least), r);
  }

  Value* convert(const LaneInstr& instr) {
    const Dtype from = dtype_of_arg(instr, 0);
    const Dtype to = instr.dtype;
    Value* x = arg(instr, 0);
    if (to == Dtype::boolean)
      return is_float(from) ? b_.CreateFCmpUNE(compared_arg(instr, 0), constant(from, 0))
                            : b_.CreateICmpNE(x, integer(type(from), 0));
    if (is_float(to)) {
      // Flushed by hand, since a conversion to and fro may be left out.
      if (is_float(from)) return b_.CreateFPCast(flushed_arg(instr, 0), type(to));
      return is_signed(from) ? b_.CreateSIToFP(x, type(to)) : b_.CreateUIToFP(x, type(to));
    }
    if (is_float(from)) return saturated(x, from, to);
    return is_signed(from) ? b_.CreateSExtOrTrunc(x, type(to)) : b_.CreateZExtOrTrunc(x, type(to));
  }

  // --- instructions ---

  // Nothing is to be flushed in an integer, or where denormals are kept.
  static Denormal seen(Dtype dtype, Denormal denormal) {
    return is_float(dtype) && !options().denormals ? denormal : Denormal::never;
  }

  Cell emit(const LaneInstr& instr) {
    switch (instr.op) {
      case LaneOp::input:
        return {operands_[instr.arg[0]], seen(instr.dtype, Denormal::opaque)};
      case LaneOp::literal:
        return {literal(instr), is_denormal(instr) ? seen(instr.dtype, Denormal::visible) : Denormal::never};
      // What moves bits lets denormals through.
      case LaneOp::neg:
      case LaneOp::abs:
        return {moved(instr), cell(instr, 0).denormal};
      case LaneOp::select:
        return {b_.CreateSelect(arg(instr, 0), arg(instr, 1), arg(instr, 2)),
                std::max(cell(instr, 1).denormal, cell(instr, 2).denormal)};
      case LaneOp::bitcast:
        return {b_.CreateBitCast(arg(instr, 0), type(instr.dtype)), seen(instr.dtype, Denormal::visible)};
      case LaneOp::with_exponent: {
        llvm::Type* i64 = bits_type(Dtype::f64);
        Value* low = b_.CreateAnd(bits_of(arg(instr, 0), Dtype::f64), integer(i64, 0xffffffffu));
        Value* high = b_.CreateShl(b_.CreateZExt(arg(instr, 1), i64), integer(i64, 32));
        return {b_.CreateBitCast(b_.CreateOr(low, high), type(Dtype::f64)), seen(Dtype::f64, Denormal::visible)};
      }
      case LaneOp::convert:
        if (dtype_of_arg(instr, 0) == instr.dtype) return cell(instr, 0);
        return {convert(instr)};
      case LaneOp::eq:
      case LaneOp::lt:
      case LaneOp::le:
        return {compared(instr)};
      case LaneOp::bits_of_exponent: {
        llvm::Type* i64 = bits_type(Dtype::f64);
        Value* top = b_.CreateLShr(bits_of(arg(instr, 0), Dtype::f64), integer(i64, 32));
        return {b_.CreateTrunc(top, type(Dtype::u32))};
      }
      default:
        return {is_float(instr.dtype) ? of_floats(instr) : of_integers(instr)};
    }
  }

  Value* moved(const LaneInstr& instr) {
    Value* x = arg(instr, 0);
    const bool negate = instr.op == LaneOp::neg;
    if (is_float(instr.dtype)) return negate ? b_.CreateFNeg(x) : unary(llvm::Intrinsic::fabs, x);
    if (negate) return b_.CreateNeg(x);
    return instr.dtype == Dtype::u32 ? x : binary(llvm::Intrinsic::abs, x, b_.getFalse());  // INT_MIN wraps
  }

  Value* compared_arg(const LaneInstr& instr, int a) {
    return cell(instr, a).denormal == Denormal::visible ? flushed_arg(instr, a) : arg(instr, a);
  }

  Value* compared(const LaneInstr& instr) {
    const Dtype dtype = dtype_of_arg(instr, 0);
    Value* x = compared_arg(instr, 0);
    Value* y = compared_arg(instr, 1);
    using Is = llvm::CmpInst::Predicate;
    if (instr.op == LaneOp::eq) return is_float(dtype) ? b_.CreateFCmpOEQ(x, y) : b_.CreateICmpEQ(x, y);
    const bool less = instr.op == LaneOp::lt;
    if (is_float(dtype)) return b_.CreateFCmp(less ? Is::FCMP_OLT : Is::FCMP_OLE, x, y);
    if (is_signed(dtype)) return b_.CreateICmp(less ? Is::ICMP_SLT : Is::ICMP_SLE, x, y);
    return b_.CreateICmp(less ? Is::ICMP_ULT : Is::ICMP_ULE, x, y);
  }

  Value* of_floats(const LaneInstr& instr) {
    const Dtype dtype = instr.dtype;
    if (instr.op == LaneOp::fma) return fma(instr);
    if (instr.op == LaneOp::sqrt) return unary(llvm::Intrinsic::sqrt, arg(instr, 0));
    if (instr.op == LaneOp::floor) return floor(arg(instr, 0), dtype);
    if (instr.op == LaneOp::round) return round(arg(instr, 0), dtype);
    if (instr.op == LaneOp::min) return binary(llvm::Intrinsic::minimum, flushed_arg(instr, 0), flushed_arg(instr, 1));
    if (instr.op == LaneOp::max) return binary(llvm::Intrinsic::maximum, flushed_arg(instr, 0), flushed_arg(instr, 1));
    if (instr.op == LaneOp::scale_by_power) return scale_by_power(arg(instr, 0), arg(instr, 1), dtype);
    const bool neutral = is_neutral(program_.code[instr.arg[0]]) || is_neutral(program_.code[instr.arg[1]]);
    Value* x = neutral ? flushed_arg(instr, 0) : arg(instr, 0);
    Value* y = neutral ? flushed_arg(instr, 1) : arg(instr, 1);
    switch (instr.op) {
      case LaneOp::add:
        return b_.CreateFAdd(x, y);
      case LaneOp::sub:
        return b_.CreateFSub(x, y);
      case LaneOp::mul:
        return b_.CreateFMul(x, y);
      case LaneOp::div:
        return b_.CreateFDiv(x, y);
      default:
        reject(instr);
    }
  }

  // Without its fraction; what the processor refuses to divide is the nearest that there is.
  Value* quotient(const LaneInstr& instr, Value* x, Value* y) {
    if (instr.dtype != Dtype::i64) reject(instr);
    llvm::Type* i64 = type(instr.dtype);
    Value *zero = integer(i64, 0), *least = llvm::ConstantInt::get(i64, llvm::APInt::getSignedMinValue(64)),
          *most = llvm::ConstantInt::get(i64, llvm::APInt::getSignedMaxValue(64));
    Value* by_zero = b_.CreateICmpEQ(y, zero);
    Value* overflows =
        b_.CreateAnd(b_.CreateICmpEQ(x, least), b_.CreateICmpEQ(y, llvm::ConstantInt::getSigned(i64, -1)));
    Value* result = b_.CreateSDiv(x, b_.CreateSelect(b_.CreateOr(by_zero, overflows), integer(i64, 1), y));
    Value* nearest =
        b_.CreateSelect(b_.CreateICmpSGT(x, zero), most, b_.CreateSelect(b_.CreateICmpEQ(x, zero), zero, least));
    return b_.CreateSelect(by_zero, nearest, b_.CreateSelect(overflows, most, result));
  }

  Value* of_integers(const LaneInstr& instr) {
    Value* x = arg(instr, 0);
    Value* y = arg(instr, 1);
    const bool has_sign = is_signed(instr.dtype);
    switch (instr.op) {
      case LaneOp::add:
        return b_.CreateAdd(x, y);
      case LaneOp::sub:
        return b_.CreateSub(x, y);
      case LaneOp::mul:
        return b_.CreateMul(x, y);
      case LaneOp::div:
        return quotient(instr, x, y);
      case LaneOp::min:
        return binary(has_sign ? ID(llvm::Intrinsic::smin) : ID(llvm::Intrinsic::umin), x, y);
      case LaneOp::max:
        return binary(has_sign ? ID(llvm::Intrinsic::smax) : ID(llvm::Intrinsic::umax), x, y);
      case LaneOp::and_:
        return b_.CreateAnd(x, y);
      case LaneOp::or_:
        return b_.CreateOr(x, y);
      case LaneOp::xor_:
        return b_.CreateXor(x, y);
      case LaneOp::mulhi:
        return mulhi(x, y);
      case LaneOp::shl:
        return b_.CreateShl(x, b_.CreateAnd(y, integer(y->getType(), 31)));
      case LaneOp::shr: {
        Value* bits = b_.CreateAnd(y, integer(y->getType(), 31));
        return has_sign ? b_.CreateAShr(x, bits) : b_.CreateLShr(x, bits);
      }
      default:
        reject(instr);
    }
  }

  [[noreturn]] void reject(const LaneInstr& instr) const {
    throw InternalError(fmt::format("lane instruction {} has no meaning for {}", int(instr.op), name_of(instr.dtype)));
  }

  Builder b_;
  const LaneProgram program_;
  std::span<Value* const> operands_;
  int width_;
  const Target& target_;
  std::vector<Cell> cells_;
};

}  // namespace

Value* emit_lanes(llvm::IRBuilderBase& b, const LaneProgram& program, std::span<Value* const> operands, int width,
                  const Target& target) {
  return LaneEmitter(b, fold_constants(program), operands, width, target).run();
}

}  // namespace tapeloop
