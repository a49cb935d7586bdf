// The machine that code is compiled for: an instruction set, and what follows from it.
#pragma once

#include <cstdint>
#include <string>

namespace tapeloop {

enum class Isa { sse2, avx2, avx512 };

struct Target {
  Isa isa;
  std::string cpu;       // LLVM's name of it
  std::string features;  // "+avx2,-avx512f,…"
  int vector_bytes;
  int vector_registers;
  std::int64_t cache_bytes;  // of the second cache, which a core has for itself
};

// The best that this machine can do.
const Target& host_target();

// The same with at most the instruction set `isa_option` ("avx512", "avx2", "sse2"; empty: no limit), which is what
// options().isa says. An Error if it is none of these.
const Target& target_for(const std::string& isa_option);

}  // namespace tapeloop
