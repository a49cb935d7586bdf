#include "jit/pace.h"

#include <algorithm>

namespace tapeloop {

bool Pace::together() {
  std::lock_guard lock(mutex_);
  if (left_ == 0 && --until_trial_ < 0) {
    const bool one = usual_ >= kLong;
    counted_ = one ? 1 : kCounted;
    left_ = one ? 1 : kCounted + 1;
  }
  return together_ != (left_ > 0);
}

void Pace::learn(bool together, double seconds) {
  std::lock_guard lock(mutex_);
  if (++calls_ == 1) return;  // in which memory is mapped and threads are started
  if (together == together_) {
    // A call that was interrupted says little, several that are slow say much.
    usual_ = usual_ == 0 ? seconds : usual_ + (std::min(seconds, 2 * usual_) - usual_) / 8;
    return;
  }
  if (left_ == 0) return;  // another caller's trial has ended meanwhile
  if (--left_ < counted_) tried_[std::size_t(left_)] = seconds;
  if (left_ > 0) return;
  std::sort(tried_.begin(), tried_.begin() + counted_);
  const double tried = tried_[std::size_t(counted_ / 2)];
  if (usual_ != 0 && tried < usual_) {
    together_ = !together_;
    usual_ = tried;
    patience_ = 8;
  } else {
    patience_ = std::min(2 * patience_, kMostPatience);  // the longer nothing has changed, the more seldom
  }
  until_trial_ = patience_;
}

}  // namespace tapeloop
