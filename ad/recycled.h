// An allocator for small objects that come and go with every call: what is freed is kept for the next of its kind.
//
// A compiled program hands out tensors on every call; with this a training loop that has settled asks neither the system
// nor the C library for memory.
#pragma once

#include <cstddef>
#include <mutex>
#include <new>

namespace tapeloop {

namespace detail {

// Freed blocks of one size, as a chain through the blocks themselves.
template <std::size_t size, std::size_t alignment>
class FreeBlocks {
 public:
  static FreeBlocks& instance() {
    static FreeBlocks& blocks = *new FreeBlocks;  // never destroyed: objects with static storage may outlive any other
    return blocks;
  }
  void* take() {
    {
      std::lock_guard lock(mutex_);
      if (Block* block = first_) {
        first_ = block->next;
        return block;
      }
    }
    return ::operator new(size, std::align_val_t(alignment));
  }
  void give(void* memory) {
    std::lock_guard lock(mutex_);
    first_ = new (memory) Block{first_};
  }

 private:
  struct Block {
    Block* next;
  };
  static_assert(size >= sizeof(Block) && alignment >= alignof(Block));
  std::mutex mutex_;
  Block* first_ = nullptr;
};

}  // namespace detail

// For std::allocate_shared. As many blocks are kept as were in use at once.
template <class T>
struct Recycled {
  using value_type = T;
  Recycled() = default;
  template <class U>
  Recycled(const Recycled<U>&) {}  // NOLINT(google-explicit-constructor): allocators convert

  T* allocate(std::size_t) { return static_cast<T*>(Blocks::instance().take()); }  // one object at a time
  void deallocate(T* object, std::size_t) { Blocks::instance().give(object); }
  template <class U>
  bool operator==(const Recycled<U>&) const {
    return true;
  }

 private:
  using Blocks = detail::FreeBlocks<sizeof(T), alignof(T)>;
};

}  // namespace tapeloop
