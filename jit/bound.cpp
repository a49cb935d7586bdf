#include "jit/bound.h"

#include <fmt/format.h>

#include "ad/denormals.h"
#include "ad/options.h"
#include "jit/compile.h"
#include "jit/freeze.h"
#include "jit/program.h"

namespace tapeloop::detail {

// All that a call needs, side by side.
struct BoundCode::Context {
  CompiledProgram::Function* function;
  void** memory;
  const std::int64_t* extents;
  std::pair<void**, void**>*first_swap, *end_swap;  // places that change roles after a call
  bool denormals;
};

void BoundCode::call(void* context) {
  const Context& c = *static_cast<Context*>(context);
  FlushDenormals flush(c.denormals);
  c.function(c.memory, c.extents, nullptr, 0, 1);
  for (auto* swap = c.first_swap; swap != c.end_swap; ++swap) std::swap(*swap->first, *swap->second);
}

namespace {

class Code final : public BoundCode {
 public:
  Code(std::shared_ptr<const CompiledProgram> program, Tensors frozen, std::size_t skipped, const Tensors& arguments,
       const std::vector<Carry>& carries)
      : program_(std::move(program)), frozen_(std::move(frozen)), skipped_(skipped) {
    const Recipe& recipe = program_->recipe();
    // Arguments of the code: those that may change, in memory of our own, then the frozen values.
    Tensors all;
    for (std::size_t i = skipped; i < arguments.size(); ++i) all.push_back(copy(arguments[i]));
    all.insert(all.end(), frozen_.begin(), frozen_.end());
    std::vector<Argument> borrowed;
    for (const Tensor& tensor : all) borrowed.push_back({&tensor, nullptr});
    layout_ = program_->layout_for(borrowed);
    arena_ = Buffer::allocate(layout_->arena_bytes);
    for (std::size_t i = 0; i < layout_->results.size(); ++i) results_.push_back(layout_->new_result(i));
    // Memory that will change roles with a result's has as much around it.
    for (const Carry& carry : carries)
      all[carry.input - skipped] = copy_into(layout_->new_result(carry.output), all[carry.input - skipped]);

    memory_.resize(recipe.layout.memory.size());
    inputs_.resize(all.size());
    outputs_.resize(results_.size());
    std::size_t next = 0;
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      const MemoryEntry& entry = recipe.layout.memory[i];
      switch (entry.kind) {
        case MemoryEntry::Kind::input:
          memory_[i] = const_cast<std::byte*>(all[entry.index].bytes());
          inputs_[entry.index] = &memory_[i];
          break;
        case MemoryEntry::Kind::output:
          memory_[i] = const_cast<std::byte*>(results_[entry.index].bytes());
          outputs_[entry.index] = &memory_[i];
          break;
        case MemoryEntry::Kind::constant:
          memory_[i] = const_cast<std::byte*>(entry.value.bytes());
          break;
        case MemoryEntry::Kind::arena:
          memory_[i] = arena_->data() + layout_->offsets[next++];
          break;
      }
    }
    arguments_ = std::move(all);
    for (const Carry& carry : carries) {
      void** input = inputs_[carry.input - skipped];
      void*& output = *outputs_[carry.output];
      if (recipe.donors[carry.output] == int(carry.input - skipped))
        output = *input;
      else
        swaps_.emplace_back(input, &output);
      outputs_[carry.output] = input;  // after a call the new state stands where the old one was read
    }
    context_ = {program_->function(),          memory_.data(),     layout_->extents.data(), swaps_.data(),
                swaps_.data() + swaps_.size(), options().denormals};
  }

  Context* context() override { return &context_; }

 private:
  static Tensor copy_into(Tensor place, const Tensor& tensor) {
    std::copy_n(tensor.bytes(), bytes_of(tensor.type()), const_cast<std::byte*>(place.bytes()));
    return place;
  }
  static Tensor copy(const Tensor& tensor) {
    return copy_into(Tensor(tensor.type(), Buffer::allocate(bytes_of(tensor.type()))), tensor);
  }
  static std::span<std::byte> checked(const char* what, std::size_t i, const Type& type, Dtype dtype, void* memory,
                                      const Where& where) {
    if (type.dtype != dtype)
      throw Error(fmt::format("bound: {} {} is {}, asked for {}", what, i, to_string(type), name_of(dtype)), where,
                  "give the C++ type after the number: input<2, int>()");
    return {static_cast<std::byte*>(memory), std::size_t(bytes_of(type))};
  }
  std::span<std::byte> input_bytes(std::size_t i, Dtype dtype, const Where& where) override {
    if (i < skipped_)
      throw Error("bound: this argument comes before the state, so the program has taken over its values", where,
                  "bind again to change it");
    return checked("input", i, arguments_[i - skipped_].type(), dtype, *inputs_[i - skipped_], where);
  }
  std::span<std::byte> output_bytes(std::size_t i, Dtype dtype, const Where& where) override {
    return checked("output", i, *layout_->results[i], dtype, *outputs_[i], where);
  }

  std::shared_ptr<const CompiledProgram> program_;
  Tensors frozen_, arguments_, results_;
  std::size_t skipped_;
  std::shared_ptr<const CompiledProgram::Layout> layout_;
  std::shared_ptr<Buffer> arena_;
  std::vector<void*> memory_;
  std::vector<void**> inputs_, outputs_;  // their places in the memory table
  std::vector<std::pair<void**, void**>> swaps_;
  Context context_{};
};

}  // namespace

std::unique_ptr<BoundCode> BoundCode::compile(const TapePtr& tape, const Tensors& arguments, std::size_t frozen,
                                              std::vector<Carry> carries) {
  TapePtr once;
  const auto without_frozen = [&](const TapePtr& lowered) {
    Frozen parts = freeze(lowered, frozen);
    once = std::move(parts.once);
    return std::move(parts.every);
  };
  auto program = compile_tape(tape, without_frozen, Threads::one);
  Tensors values;
  if (!once->outputs.empty()) {
    const Tensors first(arguments.begin(), arguments.begin() + std::ptrdiff_t(frozen));
    values = (*compile_tape(once))(first);
  }
  return std::make_unique<Code>(std::move(program), std::move(values), frozen, arguments, carries);
}

}  // namespace tapeloop::detail
