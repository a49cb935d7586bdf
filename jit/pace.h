// Whether a program is run by one thread or by a team: a second thread pays only while the machine really gives it a core,
// which no formula knows. The way that is not taken is tried now and then.
#pragma once

#include <array>
#include <mutex>

namespace tapeloop {

class Pace {
 public:
  // How the next call is to be run.
  bool together();
  // What a call that was run so has taken.
  void learn(bool together, double seconds);

 private:
  // The first call of a trial wakes threads and finds nothing in their caches, so it does not count; of the others one may
  // have been interrupted. Neither is much to a long call, of which one has to do: someone waits for it.
  static constexpr int kCounted = 3;
  static constexpr double kLong = 0.02;      // seconds
  static constexpr int kMostPatience = 512;  // calls

  std::mutex mutex_;
  bool together_ = true;
  double usual_ = 0;  // seconds of a call that is run as most are, lately
  int calls_ = 0, until_trial_ = kCounted, patience_ = 8;
  int counted_ = 0, left_ = 0;  // calls of the trial that is going on
  std::array<double, kCounted> tried_{};
};

}  // namespace tapeloop
