#include "jit/listener.h"

#include <fmt/format.h>
#include <llvm/ExecutionEngine/Orc/DebugObjectManagerPlugin.h>
#include <llvm/ExecutionEngine/Orc/EPCDebugObjectRegistrar.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

#include "ad/options.h"

namespace tapeloop {
namespace {

// Lines of `address size name`; see tools/perf/Documentation/jit-interface.txt in the sources of Linux.
class PerfMap final : public llvm::orc::ObjectLinkingLayer::Plugin {
 public:
  void modifyPassConfig(llvm::orc::MaterializationResponsibility&, llvm::jitlink::LinkGraph&,
                        llvm::jitlink::PassConfiguration& config) override {
    // Nothing refers to functions that are called within their section only, and their names would be dropped.
    config.PrePrunePasses.emplace_back([](llvm::jitlink::LinkGraph& graph) {
      for (llvm::jitlink::Symbol* symbol : graph.defined_symbols())
        if (symbol->hasName() && is_code(symbol->getBlock().getSection())) symbol->setLive(true);
      return llvm::Error::success();
    });
    config.PostFixupPasses.emplace_back([](llvm::jitlink::LinkGraph& graph) {
      static std::mutex mutex;
      const std::lock_guard lock(mutex);
      const std::string path = fmt::format("/tmp/perf-{}.map", getpid());
      // Whoever profiles wants the names; a map that cannot be written is no reason to stop the program.
      if (std::FILE* file = std::fopen(path.c_str(), "a")) {
        for (const llvm::jitlink::Symbol* symbol : graph.defined_symbols())
          if (symbol->hasName() && symbol->getSize() > 0 && is_code(symbol->getBlock().getSection()))
            fmt::print(file, "{:x} {:x} tapeloop::{}\n", symbol->getAddress().getValue(),
                       std::uint64_t(symbol->getSize()), std::string_view(symbol->getName()));
        std::fclose(file);
      }
      return llvm::Error::success();
    });
  }
  llvm::Error notifyFailed(llvm::orc::MaterializationResponsibility&) override { return llvm::Error::success(); }
  llvm::Error notifyRemovingResources(llvm::orc::JITDylib&, llvm::orc::ResourceKey) override {
    return llvm::Error::success();
  }
  void notifyTransferringResources(llvm::orc::JITDylib&, llvm::orc::ResourceKey, llvm::orc::ResourceKey) override {}

 private:
  static bool is_code(const llvm::jitlink::Section& section) {
    return (unsigned(section.getMemProt()) & unsigned(llvm::orc::MemProt::Exec)) != 0;
  }
};

}  // namespace

void announce_code(llvm::orc::ExecutionSession& session, llvm::orc::ObjectLinkingLayer& layer) {
  if (!options().profile) return;
  layer.addPlugin(std::make_unique<PerfMap>());
  if (auto registrar = llvm::orc::createJITLoaderGDBRegistrar(session))
    layer.addPlugin(std::make_unique<llvm::orc::DebugObjectManagerPlugin>(
        session, std::move(*registrar), /*RequireDebugSections=*/false, /*AutoRegisterCode=*/true));
  else
    llvm::consumeError(registrar.takeError());  // an LLVM without the interface
}

}  // namespace tapeloop
