#include "jit/team.h"

#include <immintrin.h>
#include <sched.h>

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace tapeloop {
namespace {

// Some 40 µs. Longer than threads that each have a core wait for one another, and short against a slice of the scheduler:
// a thread that waits for one which has no core gives up its own.
constexpr int spins = 2000;

template <class Reached>
bool spin_until(const Reached& reached) {
  for (int spin = 0; spin < spins; ++spin) {
    if (reached()) return true;
    _mm_pause();
  }
  return false;
}

// Where the threads of a team meet: they spin briefly, then sleep. A pure spin is catastrophic when a core is taken away.
class Team {
 public:
  explicit Team(int threads) : threads_(threads), seats_(std::make_unique<Seat[]>(std::size_t(threads))) {}
  int threads() const { return threads_; }

  void meet(int thread) {
    Seat& own = seats_[std::size_t(thread)];
    const int meeting = (own.meeting.load(std::memory_order_relaxed) + 1) & kMeetings;
    own.core.store(sched_getcpu(), std::memory_order_relaxed);
    // An exchange, so that it is seen before we look whether anybody sleeps.
    own.meeting.exchange(meeting, std::memory_order_seq_cst);
    own.meeting.notify_all();
    for (int other = 0; other < threads_; ++other) {
      const std::atomic<int>& others = seats_[std::size_t(other)].meeting;
      int seen = meeting;
      // Who is there may have gone on to the next meeting already, but no further.
      const auto is_there = [&] {
        seen = others.load(std::memory_order_acquire);
        return seen == meeting || seen == ((meeting + 1) & kMeetings);
      };
      if (is_there() || spin_until(is_there)) continue;
      leave_shared_core(thread);
      while (!is_there()) others.wait(seen, std::memory_order_acquire);
    }
  }

 private:
  // The scheduler may leave two threads that wake each other on one core for long, each of which then runs only while the
  // other sleeps. Whoever has waited in vain and shares a core with an earlier thread moves to one that no other is on.
  void leave_shared_core(int thread) {
    const int mine = sched_getcpu();
    bool shared = false;
    for (int other = 0; other < thread; ++other) shared = shared || core_of(other) == mine;
    cpu_set_t allowed;
    if (!shared || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    cpu_set_t free = allowed;
    for (int other = 0; other < threads_; ++other)
      if (core_of(other) >= 0) CPU_CLR(core_of(other), &free);
    if (CPU_COUNT(&free) == 0 || sched_setaffinity(0, sizeof free, &free) != 0) return;
    // It has moved; where it goes later is the scheduler's affair.
    (void)sched_setaffinity(0, sizeof allowed, &allowed);
  }
  int core_of(int thread) const { return seats_[std::size_t(thread)].core.load(std::memory_order_relaxed); }

  static constexpr int kMeetings = 0xffff;  // are told apart; they are counted round and round

  // What one thread writes and the others watch: one cache line, which goes from core to core once a meeting.
  struct alignas(64) Seat {
    std::atomic<int> meeting{0};  // the last that it has come to
    std::atomic<int> core{-1};    // where it was then
  };
  const int threads_;
  std::unique_ptr<Seat[]> seats_;
};

// Threads that wait for the next program. One caller at a time; others wait for it.
class Workers {
 public:
  static Workers& instance() {
    static Workers workers;
    return workers;
  }

  bool hire(int threads) {
    std::lock_guard lock(busy_);
    try {
      gather(threads);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  void run(int threads, const TeamWork& work) {
    std::lock_guard lock(busy_);
    gather(threads);
    work_ = &work;
    mode_ = _mm_getcsr();
    idle_.store(int(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    work.run(work.context, team_.get(), 0);
    // Nobody may still be looking at the work or the team, those who had no part in it neither.
    if (spin_until([&] { return idle_.load(std::memory_order_acquire) == 0; })) return;
    for (int left; (left = idle_.load(std::memory_order_acquire)) > 0;) idle_.wait(left, std::memory_order_acquire);
  }

  ~Workers() {
    stop_ = true;
    generation_.fetch_add(1);
    generation_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

 private:
  void gather(int threads) {
    while (int(workers_.size()) < threads - 1) {
      const int index = int(workers_.size()) + 1;
      workers_.emplace_back([this, index, seen = generation_.load()] { serve(index, seen); });
    }
    if (!team_ || team_->threads() != threads) team_ = std::make_unique<Team>(threads);
  }
  void serve(int index, int seen) {
    for (;;) {
      (void)spin_until([&] { return generation_.load(std::memory_order_acquire) != seen; });
      generation_.wait(seen, std::memory_order_acquire);
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
      if (index < team_->threads()) {
        const unsigned mine = _mm_getcsr();
        _mm_setcsr(mode_);
        work_->run(work_->context, team_.get(), index);
        _mm_setcsr(mine);
      }
      if (idle_.fetch_sub(1, std::memory_order_acq_rel) == 1) idle_.notify_one();
    }
  }

  std::mutex busy_;
  std::vector<std::thread> workers_;
  std::atomic<int> generation_{0}, idle_{0};
  std::atomic<bool> stop_{false};
  std::unique_ptr<Team> team_;
  const TeamWork* work_ = nullptr;
  unsigned mode_ = 0;
};

}  // namespace

bool hire(int threads) { return Workers::instance().hire(threads); }

void run_together(int threads, const TeamWork& work) { Workers::instance().run(threads, work); }

}  // namespace tapeloop

extern "C" void tapeloop_meet(void* team, std::int64_t thread) {
  static_cast<tapeloop::Team*>(team)->meet(int(thread));
}
