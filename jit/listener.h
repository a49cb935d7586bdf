// Compiled code under its names in perf and GDB.
#pragma once

namespace llvm::orc {
class ExecutionSession;
class ObjectLinkingLayer;
}  // namespace llvm::orc

namespace tapeloop {

// With options().profile, code that this layer links is written to the map of this process that perf reads,
// /tmp/perf-PID.map, and registered with GDB's interface for compilers at run time.
void announce_code(llvm::orc::ExecutionSession& session, llvm::orc::ObjectLinkingLayer& layer);

}  // namespace tapeloop
