// Every switch of the library. Each is an environment variable, read once, and can be set for a scope in code.
#pragma once

#include <string>

#include "ad/error.h"

namespace tapeloop {

struct Options {
  int debug = 0;       // TAPELOOP_DEBUG=1..5: calls, time per pass and kernels, tapes, LLVM IR, assembly (to stderr)
  std::string dump;    // TAPELOOP_DUMP=dir: every stage of every compilation to a file
  bool jit = true;     // TAPELOOP_JIT=0: jit(f) interprets
  bool check = false;  // TAPELOOP_CHECK=1: verify after each pass; retrace cached programs; name the first NaN
  int threads = 0;     // TAPELOOP_THREADS: 0 means as many as the machine gives
  bool all_threads = false;  // TAPELOOP_ALL_THREADS=1: use them however little there is to do
  std::string isa;           // TAPELOOP_ISA=avx512|avx2|sse2: at most this instruction set; empty means the host's
  bool denormals = false;    // TAPELOOP_DENORMALS=1: gradual underflow instead of flushing to zero
  bool cache = true;         // TAPELOOP_CACHE=0: neither read compiled programs from the disk nor keep them there
  std::string
      without;  // TAPELOOP_WITHOUT=pass,pass: passes of the compiler (jit/passes.h) to leave out; no bit depends on it
  bool profile = false;  // TAPELOOP_PROFILE=1: compiled code has names in perf and GDB
  std::string trace;     // TAPELOOP_TRACE=file.json: what happened when, for chrome://tracing and Perfetto
};

// The options in force on this thread.
const Options& options();

// Puts other options in force until the end of the scope, on this thread.
class ScopedOptions {
 public:
  // Throws Error when an option makes no sense.
  explicit ScopedOptions(Options options, Where where = Where::current());
  ~ScopedOptions();
  ScopedOptions(const ScopedOptions&) = delete;
  ScopedOptions& operator=(const ScopedOptions&) = delete;

 private:
  Options mine_;
  const Options* outer_;
};

}  // namespace tapeloop
