// Who is measured: this library, or a peer beside it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "bench/problem.h"

namespace tapeloop::bench {

class Contender {
 public:
  virtual ~Contender() = default;
  virtual std::string name() const = 0;  // tapeloop, onednn, torch
  // Makes ready for a problem and forgets the one before; false when this system does not offer it.
  virtual bool prepare(const Problem& problem) = 0;
  // Solves the problem `calls` times in a row; milliseconds for each.
  virtual double run(int calls) = 0;
  // What it works in beside arguments and results; 0 where it does not say.
  virtual std::int64_t workspace_bytes() const { return 0; }
};

std::unique_ptr<Contender> tapeloop_contender();
// The same, with a pass of its compiler left out.
std::unique_ptr<Contender> tapeloop_without(std::string_view pass);
// The same library's compiler, cold or with its programs on the disk.
std::unique_ptr<Contender> compiler_contender(bool from_disk);

}  // namespace tapeloop::bench
