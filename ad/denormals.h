// Denormal numbers cost a hundred cycles each and a recurrent network that has died out is full of them, so everything
// here runs with them flushed: a denormal operand counts as a zero of its sign (DAZ), a result below the normal range
// becomes one (FTZ). The mode belongs to a thread, and the caller of the library gets its own back.
#pragma once

#include <xmmintrin.h>

namespace tapeloop {

// Flushes denormals on this thread until the end of the scope; with `keep` (TAPELOOP_DENORMALS=1) it underflows
// gradually instead, whatever the caller had set. Other bits of MXCSR, the rounding mode among them, are left alone.
class FlushDenormals {
 public:
  explicit FlushDenormals(bool keep = false)
      : callers_(_mm_getcsr()), ours_(keep ? callers_ & ~kFtzDaz : callers_ | kFtzDaz) {
    if (ours_ != callers_) _mm_setcsr(ours_);  // setting it costs more than looking
  }
  ~FlushDenormals() {
    if (ours_ != callers_) _mm_setcsr(callers_);
  }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  static constexpr unsigned kFtzDaz = 0x8040;
  unsigned callers_, ours_;
};

}  // namespace tapeloop
