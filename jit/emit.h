// Nests to LLVM IR. One Emitter writes one function, the whole program:
//
//   void program(void** memory, const int64_t* extents, void* team, int64_t thread, int64_t threads)
//
// Every thread runs it and takes its share of each nest; between nests they meet at a barrier. Memory and extents are
// tables whose meaning the emitter hands back, so the same code serves any value of the symbols.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "jit/plan.h"
#include "jit/target.h"

namespace llvm {
class AllocaInst;
class BasicBlock;
class Function;
class IRBuilderBase;
class Module;
class Type;
class Value;
}  // namespace llvm

namespace tapeloop {
struct TileKind;
struct Panels;
struct Channels;

// A piece of memory the program needs: an argument, a result, a constant, or a part of the arena that is alive from one
// nest to another.
struct MemoryEntry {
  enum class Kind { input, output, constant, arena } kind;
  std::size_t index = 0;  // of the argument or result
  Type type;              // of an arena entry: what it holds
  Tensor value;           // of a constant
  int first = 0, last = 0;
};

struct ProgramLayout {
  std::vector<MemoryEntry> memory;
  std::vector<Extent> extents;
  // Extents that a loop binds to the size of its block, with their greatest value.
  std::vector<std::pair<Extent, Extent>> blocks;
};

// Where along its axis a lane reads: base + step · lane, or any vector of positions.
struct Index {
  llvm::Value* base = nullptr;
  int step = 0;
  llvm::Value* vector = nullptr;
};
using Indices = std::vector<Index>;

// The function by which the threads of a program wait for one another: void(void* team, int64_t thread).
inline constexpr const char* kBarrierSymbol = "tapeloop_meet";

// Whom a program is written for: any number of threads, or the one that calls it.
enum class Threads : std::uint8_t { any, one };

class Emitter {
 public:
  // With `Threads::one` the code is for thread 0 of 1, whatever its arguments say.
  Emitter(llvm::IRBuilderBase& builder, llvm::Function* function, const Target& target, Threads threads);
  ProgramLayout emit(const Plan& plan);

 private:
  // The memory of one tape while its nests are emitted.
  struct Frame {
    const Plan* plan;
    std::vector<llvm::Value*> pointer;      // of each record
    std::vector<llvm::Value*> slot;         // of each output
    std::vector<std::vector<int>> entries;  // of each record: the parts of the layout it may lie in
    const Record& operator[](Id id) const { return (*plan->tape)[id]; }
  };
  using Body = std::function<void(llvm::Value*)>;
  using Place = std::vector<llvm::Value*>;  // of a row: its index along each axis that counts rows
  struct Tile {  // the sums of the row and vector of a product that are at hand, one for each stream
    Id product = 0;
    std::vector<llvm::Value*> sums;
  };

  // emit.cpp: nests
  void emit_nests(Frame& frame, llvm::Value* apart = nullptr);
  void emit_nest(Frame& frame, llvm::Value* apart);
  void emit_map(const Nest& nest, Frame& frame);
  void emit_barrier(llvm::Value* apart = nullptr);
  void loop(llvm::Value* begin, llvm::Value* end, llvm::Value* step, const Body& body);
  void vector_loop(llvm::Value* begin, llvm::Value* end,
                   const std::function<void(llvm::Value*, llvm::Value* mask)>& body);
  void for_lines(const Shape& shape, std::size_t axis, bool in_vectors, Indices& at, const Body& body);
  void if_then(llvm::Value* condition, const std::function<void()>& body);
  std::pair<llvm::Value*, llvm::Value*> share(llvm::Value* count, std::int64_t grain);
  llvm::Value* shares_rows(llvm::Value* rows);
  std::pair<llvm::Value*, llvm::Value*> share_rows(llvm::Value* rows, std::int64_t grain);
  void allocate(Frame& frame, Id id);
  std::pair<llvm::Value*, int> arena(const Type& type);

  // emit_loop.cpp
  struct LoopFrame;
  void emit_loop(Id id, Frame& frame);
  void emit_turns(LoopFrame& loop);
  void in_parts(LoopFrame& loop, llvm::Value* apart, const std::function<void()>& turns);

  // emit_channels.cpp
  struct Vectors;
  struct Steps;
  void emit_channels(LoopFrame& loop, const Channels& channels);
  void emit_steps(LoopFrame& loop, const Channels& channels, llvm::Value* from, llvm::Value* to,
                  const std::vector<Vectors>& vectors);
  void store_at(llvm::Value* pointer, const Type& type, const std::vector<int>& place, const Vectors& at,
                llvm::Value* value);
  Indices indices_at(const std::vector<int>& place, const Vectors& at);
  bool is_before_steps(Id id, const Indices& at) const;
  void copy(llvm::Value* from, llvm::Value* to, const Type& type);
  void fill(llvm::Value* place, const Type& type, llvm::Value* value);
  llvm::Value* bytes_of(const Type& type);

  // emit_branch.cpp
  void emit_branch(Id id, Frame& frame);
  void emit_while(Id id, Frame& frame);
  void if_else(llvm::Value* condition, const std::function<void()>& body, const std::function<void()>& otherwise);
  Frame frame_of(const Plan& plan) const;
  std::vector<Id> parts_of(const Frame& frame, Id id, std::size_t count) const;
  void end_loop(Id id, Frame& frame, const std::vector<Id>& part, std::size_t first_entry, int begin_time);

  // emit_value.cpp: what a lane computes
  llvm::Value* pull(Frame& frame, Id id, const Indices& at, llvm::Value* mask);
  llvm::Value* pull_record(Frame& frame, Id id, const Indices& at, llvm::Value* mask);
  llvm::Value* pull_view(Frame& frame, Id id, const Indices& at, llvm::Value* mask);
  llvm::Value* pull_source(Frame& frame, Id id, const Indices& at, llvm::Value* mask);
  void ask_rows_ahead(Frame& frame, Id id, Indices at);
  llvm::Value* pull_pack(Frame& frame, Id id, const Indices& at, llvm::Value* mask);
  llvm::Value* pull_gather(Frame& frame, Id id, const Indices& at, llvm::Value* mask);
  bool is_flat(const Frame& frame, Id id) const;
  Index linear(const Shape& shape, const Indices& at);
  llvm::Value* load(llvm::Value* pointer, Dtype dtype, const Index& offset, llvm::Value* mask);
  void store(llvm::Value* pointer, Dtype dtype, const Index& offset, llvm::Value* value, llvm::Value* mask);
  void write(Frame& frame, const Write& write, const Indices& at, llvm::Value* value, llvm::Value* mask);
  void write_to_panels(llvm::Value* pointer, const Type& type, const Panels& panels, int stream, const Indices& at,
                       llvm::Value* value, llvm::Value* mask);
  llvm::Value* positions(const Index& index);
  llvm::Value* splat(llvm::Value* scalar);
  llvm::Value* literal(Dtype dtype, double value);
  llvm::Value* combine(LaneOp op, Dtype dtype, llvm::Value* a, llvm::Value* b);
  llvm::Type* element(Dtype dtype);
  llvm::Type* lanes(llvm::Type* element);

  // emit_reduce.cpp, emit_prefix.cpp, emit_sort.cpp
  void emit_reduce(const Nest& nest, Frame& frame, const Place& row = {});
  llvm::Value* add_up(LaneOp op, Dtype dtype, llvm::Value* partial);
  void emit_argmax(const Nest& nest, Frame& frame);
  void emit_prefix(const Nest& nest, Frame& frame);
  void emit_sort(const Nest& nest, Frame& frame);
  void emit_scatter(const Nest& nest, Frame& frame);

  // emit_matmul.cpp
  struct Batched;
  void emit_matmul(const Nest& nest, Frame& frame, const Place& row = {});
  void emit_batched(const Batched& product);
  void emit_batched_tile(const Batched& product, llvm::Value* row, std::int64_t rows, llvm::Value* column,
                         std::int64_t vectors, llvm::Value* mask);

  // emit_turned.cpp
  std::size_t axis_in_memory(const Frame& frame, Id id) const;
  bool packs_turned(const Nest& nest, const Frame& frame) const;
  void emit_turned_pack(const Nest& nest, Frame& frame);
  std::optional<std::size_t> turned_axis(const Nest& nest, const Frame& frame) const;
  void emit_turned(const Nest& nest, Frame& frame, std::size_t along);

  // emit_rows.cpp
  void emit_group(const RowGroup& group, Frame& frame, llvm::Value* apart);
  void emit_rows(const RowGroup& group, Frame& frame, bool passes);
  void emit_row_values(const Nest& nest, Frame& frame);
  void emit_row_walk(const Nest& nest, Frame& frame);
  void finish_sum(const Nest& nest, Frame& frame, Id id, llvm::AllocaInst* partial, Indices at);
  Indices at_row(std::size_t rank) const;
  llvm::Value* value_of_row(Id id, const Indices& at);
  Index place_in(const Frame& frame, Id id, const Indices& at);
  void ask_ahead(Frame& frame, Id id, const Index& place);

  // emit_tile.cpp, emit_product.cpp, emit_long_product.cpp, emit_small_product.cpp
  llvm::Function* tile_function(Dtype dtype, const TileKind& kind);
  struct Product;
  using Sums = std::function<llvm::Value*(std::int64_t)>;  // of a row of a tile, by vector
  using Earlier = std::vector<std::pair<Id, Sums>>;        // of products that are at hand beside the last
  void emit_product(const Nest& nest, Frame& frame);
  void begin_product(Product& product, Frame& frame);
  using PanelBody = std::function<void(llvm::Value* panel, std::int64_t valid)>;
  using PanelLoop = std::function<void(const PanelBody&)>;
  void emit_long_product(const Product& product, llvm::Value* row_begin, llvm::Value* row_end,
                         const PanelLoop& for_panels);
  llvm::Value* room_for_copy(std::int64_t bytes);
  void copy_lines(Dtype dtype, llvm::Value* from, llvm::Value* from_pitch, llvm::Value* to, llvm::Value* to_pitch,
                  llvm::Value* lines, llvm::Value* length);
  using TileBody = std::function<void(llvm::Value* row, llvm::Value* rows, llvm::Value* tile)>;
  void for_tiles(const Product& product, int vectors, llvm::Value* row_begin, llvm::Value* row_end,
                 const TileBody& body);
  void emit_panel(Product& product, Frame& frame, llvm::Value* panel, std::int64_t valid, llvm::Value* row_begin,
                  llvm::Value* row_end);
  std::vector<llvm::Value*> start_row(Product& product, Id term, Frame& frame, llvm::Value* row, llvm::Value* panel,
                                      std::int64_t valid, const Earlier& earlier = {});
  void finish_row(Product& product, Frame& frame, llvm::Value* row, const Sums& sums, llvm::Value* panel,
                  std::int64_t valid, const Earlier& earlier = {});
  void bring_tile(const Product& product, Id term, const Sums& sums, std::int64_t v, std::int64_t used);
  const Tile* tile_of(Id product) const;
  bool is_small(const Product& product, const Frame& frame) const;
  void emit_small_product(Product& product, Frame& frame);
  void emit_small_groups(Product& product, Frame& frame, std::int64_t most, bool to_and_fro);
  void emit_small_panels(Product& product, Frame& frame, llvm::Value* panel, std::int64_t panels, std::int64_t valid);

  llvm::Value* number(std::int64_t value);
  llvm::Value* smaller(llvm::Value* x, llvm::Value* y);
  llvm::Value* larger(llvm::Value* x, llvm::Value* y);
  llvm::Value* ceil_div(llvm::Value* x, llvm::Value* y);  // of a number that is not negative by one that is positive
  llvm::Value* extent(const Extent& extent);
  llvm::Value* bound_extent(const Extent& extent);
  llvm::Value* memory(const MemoryEntry& entry, int* index = nullptr);
  llvm::Value* pointer_of(Frame& frame, Id id);
  llvm::AllocaInst* variable(llvm::Type* type);
  void touch(const Frame& frame, Id id);

  llvm::IRBuilderBase& b_;
  llvm::Function* function_;
  const Target& target_;
  llvm::BasicBlock* entry_;
  ProgramLayout layout_;
  std::vector<llvm::Value*> extent_values_;
  llvm::Value *thread_, *threads_;
  // Who takes a share of a nest: a thread, or one of the parts that each thread does one after the other. These keep to rows.
  llvm::Value *worker_, *workers_, *by_parts_ = nullptr;
  std::vector<std::pair<const Symbol*, llvm::Value*>> bound_;  // extents of the blocks that are being walked
  int now_ = 0;                                // number of the nest being emitted, for the lifetimes of buffers
  int width_ = 16;                             // lanes of the nest being emitted
  bool flat_ = false;                          // the nest being emitted walks all elements by one index
  int nest_ = -1;                              // of the frame being emitted
  std::map<std::string, llvm::Value*> known_;  // values already computed in this straight piece of code
  struct Rows {                                // of a group that is being emitted
    Place place;                               // of the row
    llvm::Value* before = nullptr;             // rows that this thread has done
    std::map<Id, llvm::Value*> known;          // what the row has one value of
  } rows_;
  std::vector<Tile> tiles_;
  std::map<std::int64_t, llvm::AllocaInst*> rooms_;  // for copies, by their bytes
  llvm::Value* step_ = nullptr;                      // number of the turn of the innermost loop that is being emitted
  Steps* steps_ = nullptr;                           // of the loop whose state is in registers
};

}  // namespace tapeloop
