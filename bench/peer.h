// A peer: another library in a process of its own, which is told over a pipe what to do.
//
// A process of its own keeps its threads, allocator and preloaded libraries away from ours. It times itself, so the pipe
// costs nothing. The conversation, a line each way:
//
//   prepare TASK CELL B T H THREADS     ok | no
//   run CALLS                           milliseconds for each call
#pragma once

#include <map>

#include "bench/contender.h"

namespace tapeloop::bench {

struct PeerCommand {
  std::string name;
  std::vector<std::string> arguments;              // the first is the program
  std::map<std::string, std::string> environment;  // added to ours
};

// Null when the program cannot be started, or says at once that it lacks what it needs.
std::unique_ptr<Contender> peer_contender(const PeerCommand& command);

// The peers that this build and this machine know: "onednn", "torch".
PeerCommand peer_command(const std::string& name);

}  // namespace tapeloop::bench
