#include "allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TAPELOOP_COUNTS 0
#elif defined(__has_feature)
#define TAPELOOP_COUNTS !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define TAPELOOP_COUNTS 1
#endif

namespace {
std::atomic<std::int64_t> count{0}, bytes{0};
}  // namespace

#if TAPELOOP_COUNTS
// The program's own definitions come before the C library's, which go on doing the work.
static void add(std::size_t size) {
  count.fetch_add(1, std::memory_order_relaxed);
  bytes.fetch_add(std::int64_t(size), std::memory_order_relaxed);
}

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t n, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
  add(size);
  return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) noexcept {
  add(n * size);
  return __libc_calloc(n, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  add(size);
  return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  add(size);
  return __libc_memalign(alignment, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  add(size);
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) noexcept {
  add(size);
  *memory = __libc_memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}
}
#endif

namespace tapeloop::testing {

bool allocations_are_counted() { return TAPELOOP_COUNTS; }
std::int64_t allocations() { return count.load(std::memory_order_relaxed); }
std::int64_t allocated_bytes() { return bytes.load(std::memory_order_relaxed); }

}  // namespace tapeloop::testing
