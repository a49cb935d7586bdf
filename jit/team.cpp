#include "jit/team.h"

#include <immintrin.h>
#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "ad/denormals.h"
#include "ad/options.h"

namespace tapeloop {
namespace {

// Spins briefly, then sleeps: a pure spin is catastrophic when a core is taken away.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void meet() {
    const int phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      phase_.notify_all();
      return;
    }
    for (int spin = 0; spin < 2000; ++spin) {
      if (phase_.load(std::memory_order_acquire) != phase) return;
      _mm_pause();
    }
    while (phase_.load(std::memory_order_acquire) == phase) phase_.wait(phase, std::memory_order_acquire);
  }

 private:
  const int threads_;
  std::atomic<int> arrived_{0}, phase_{0};
};

// Threads that wait for the next program. One caller at a time; others run alone.
class Workers {
 public:
  static Workers& instance() {
    static Workers workers;
    return workers;
  }

  void run(int threads, const std::function<void(void*, std::int64_t)>& work) {
    while (int(workers_.size()) < threads - 1) {
      const int index = int(workers_.size()) + 1;
      workers_.emplace_back([this, index, seen = generation_.load()]() mutable { serve(index, seen); });
    }
    Barrier barrier(threads), done(threads);
    barrier_ = &barrier;
    done_ = &done;
    work_ = &work;
    threads_ = threads;
    mode_ = _mm_getcsr();
    idle_.store(int(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    work(&barrier, 0);
    done.meet();
    // The barriers live on this stack: nobody may still be looking at them.
    while (idle_.load(std::memory_order_acquire) > 0) _mm_pause();
  }

  std::mutex busy;

  ~Workers() {
    stop_ = true;
    generation_.fetch_add(1);
    generation_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

 private:
  void serve(int index, int seen) {
    for (;;) {
      for (int spin = 0; spin < 2000 && generation_.load(std::memory_order_acquire) == seen; ++spin) _mm_pause();
      generation_.wait(seen, std::memory_order_acquire);
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
      if (index < threads_) {
        const unsigned mine = _mm_getcsr();
        _mm_setcsr(mode_);
        (*work_)(barrier_, index);
        _mm_setcsr(mine);
        done_->meet();
      }
      idle_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<std::thread> workers_;
  std::atomic<int> generation_{0}, idle_{0};
  std::atomic<bool> stop_{false};
  Barrier *barrier_ = nullptr, *done_ = nullptr;
  const std::function<void(void*, std::int64_t)>* work_ = nullptr;
  int threads_ = 1;
  unsigned mode_ = 0;
};

int quota_of_cgroup() {
  std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r");
  if (!file) return 1 << 20;
  long quota = 0, period = 0;
  const int fields = std::fscanf(file, "%ld %ld", &quota, &period);
  std::fclose(file);
  return fields == 2 && period > 0 ? int((quota + period - 1) / period) : 1 << 20;
}

}  // namespace

int threads_available() {
  if (options().threads > 0) return options().threads;
  static const int machine = [] {
    cpu_set_t set;
    const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return std::max(1, std::min(cores, quota_of_cgroup()));
  }();
  return machine;
}

void run_together(int threads, const std::function<void(void*, std::int64_t)>& work) {
  Workers& workers = Workers::instance();
  std::unique_lock lock(workers.busy);
  workers.run(threads, work);
}

}  // namespace tapeloop

extern "C" void tapeloop_meet(void* team, std::int64_t) { static_cast<tapeloop::Barrier*>(team)->meet(); }
