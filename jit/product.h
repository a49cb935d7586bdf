// What is known of a product nest while it is emitted, between emit_product.cpp, emit_long_product.cpp and
// emit_small_product.cpp.
#pragma once

#include "jit/emit.h"
#include "jit/tile.h"

namespace tapeloop {

struct Emitter::Product {
  const Nest& nest;
  const Record& last;
  Panels panels;
  Dtype dtype;
  int vectors;
  struct Term {
    const Record& record;
    llvm::AllocaInst* table;
    llvm::Value *a, *b, *panel_bytes;
    std::int64_t known_a_depth, known_b_depth;  // as a TileKind has them

    // An entry of the table.
    llvm::Value* get(llvm::IRBuilderBase& builder, stride::Stride which) const;
    void set(llvm::IRBuilderBase& builder, stride::Stride which, llvm::Value* value) const;
  };
  std::vector<Term> terms;
  llvm::AllocaInst* scratch = nullptr;
  llvm::Value* zeros = nullptr;
  // Where the whole product goes as it is: then nothing else is computed on it.
  llvm::Value *out = nullptr, *out_pitch = nullptr;
  // Where it starts, when that lies in memory as the result does.
  llvm::Value *start = nullptr, *start_pitch = nullptr;
  llvm::Value* vector_pitch = nullptr;                       // from one vector of a row to the next, in both
  llvm::Value *panel_begin = nullptr, *panel_end = nullptr;  // that this thread takes

  std::int64_t vector_bytes() const { return panels.lanes * size_of(dtype); }
  std::uint64_t alignment() const {
    return std::uint64_t(std::min<std::int64_t>(vector_bytes(), kBytesOfLine));
  }  // of vectors
  // In bytes, of a row of a panel in a matrix whose rows are `pitch` bytes apart.
  llvm::Value* offset(llvm::IRBuilderBase& b, llvm::Value* row, llvm::Value* pitch, llvm::Value* panel) const;
  // Which of the lines that lie ahead tile `tile` of a panel asks for; in bytes. Together they ask for all of them, if there
  // are enough tiles.
  llvm::Value* line_ahead(llvm::IRBuilderBase& b, const Term& term, llvm::Value* tile, int side_by_side) const;
  // In bytes, from a panel to the one that this thread takes next; the last is followed by the first of the next rows.
  llvm::Value* to_next_panel(llvm::IRBuilderBase& b, const Term& term, llvm::Value* panel) const;
};

}  // namespace tapeloop
