#include "bench/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace tapeloop::bench {
namespace {

struct Kernel {
  void (*run)(long rounds);
  double flop_a_round;
};

constexpr float factor = 1, addend = 1e-3F;  // no sum gets so large or so small that it is slow to compute

// As many independent chains as it takes to hide the latency of an instruction, written in assembly: what a compiler makes
// of a loop over an array of registers is its own affair.
__attribute__((target("avx512f"))) void with_avx512(long rounds) {
  asm volatile(
      "vbroadcastss %1, %%zmm31\n\t vbroadcastss %2, %%zmm30\n"
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n\t vmovaps %%zmm31, %%zmm\\r\n.endr\n"
      "1:\n"
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n\t"
      " vfmadd213ps %%zmm30, %%zmm31, %%zmm\\r\n.endr\n\t"
      "dec %0\n\t jnz 1b\n\t vzeroupper"
      : "+r"(rounds)
      : "m"(factor), "m"(addend)
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm30",
        "xmm31");
}

__attribute__((target("avx2,fma"))) void with_avx2(long rounds) {
  asm volatile(
      "vbroadcastss %1, %%ymm15\n\t vbroadcastss %2, %%ymm14\n"
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t vmovaps %%ymm15, %%ymm\\r\n.endr\n"
      "1:\n"
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t vfmadd213ps %%ymm14, %%ymm15, %%ymm\\r\n.endr\n\t"
      "dec %0\n\t jnz 1b\n\t vzeroupper"
      : "+r"(rounds)
      : "m"(factor), "m"(addend)
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14",
        "xmm15");
}

// No fused multiply-add: as many multiplications as additions.
void with_sse2(long rounds) {
  asm volatile(
      "movss %1, %%xmm15\n\t shufps $0, %%xmm15, %%xmm15\n\t movss %2, %%xmm14\n\t shufps $0, %%xmm14, %%xmm14\n"
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t movaps %%xmm15, %%xmm\\r\n.endr\n"
      "1:\n"
      ".irp r,0,1,2,3,4,5\n\t mulps %%xmm15, %%xmm\\r\n.endr\n"
      ".irp r,6,7,8,9,10,11\n\t addps %%xmm14, %%xmm\\r\n.endr\n\t"
      "dec %0\n\t jnz 1b"
      : "+r"(rounds)
      : "m"(factor), "m"(addend)
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14",
        "xmm15");
}

Kernel kernel() {
  if (__builtin_cpu_supports("avx512f")) return {with_avx512, 24 * 16 * 2};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {with_avx2, 12 * 8 * 2};
  return {with_sse2, 12 * 4};
}

double seconds_of(const Kernel& k, long rounds) {
  const auto begin = std::chrono::steady_clock::now();
  k.run(rounds);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

double fma_peak(int threads) {
  const Kernel k = kernel();
  const long rounds = 200'000;  // 0.6 ms on a core of 250 GFLOP/s
  constexpr int tries = 4;
  // The threads start every try together; a try takes as long as its slowest.
  std::atomic<int> ready{0};
  std::vector<std::vector<double>> seconds(tries, std::vector<double>(std::size_t(threads)));
  auto work = [&](int thread) {
    for (int i = 0; i < tries; ++i) {
      ++ready;
      while (ready.load() < threads * (i + 1)) std::this_thread::yield();
      seconds[std::size_t(i)][std::size_t(thread)] = seconds_of(k, rounds);
    }
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  for (std::thread& other : others) other.join();
  double best = 0;
  for (const auto& one : seconds)
    best = std::max(best, k.flop_a_round * double(rounds) * threads / *std::max_element(one.begin(), one.end()));
  return best * 1e-9;
}

}  // namespace tapeloop::bench
