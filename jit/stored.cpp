#include "jit/stored.h"

#include <fmt/format.h>
#include <llvm/Config/llvm-config.h>

#include "ad/options.h"
#include "jit/cache.h"

namespace tapeloop {

ProgramKey::ProgramKey(const Tape& tape, const Target& target, Threads threads) {
  // Who looks at the stages of a compilation wants to see all of them.
  if (!options().cache || options().debug >= 2 || !options().dump.empty()) return;
  key_ = fmt::format("library {}\nLLVM {}\ncpu {} {} {}\ndenormals {}\none thread {}\nwithout {}\n", kBuildId,
                     LLVM_VERSION_STRING, target.cpu, target.features, target.vector_bytes, options().denormals,
                     threads == Threads::one, options().without) +
         serialized(tape, symbols_);
}

std::optional<StoredProgram> ProgramKey::load(const Tape& tape) const {
  if (key_.empty()) return {};
  const auto value = DiskCache::of_user().load(key_);
  if (!value) return {};
  try {
    const std::size_t line = value->find('\n');
    const std::size_t size = std::stoul(value->substr(0, line));  // of the recipe; the object code follows
    if (line == std::string::npos || size > value->size() - line - 1) return {};
    const std::string_view rest = std::string_view(*value).substr(line + 1);
    return StoredProgram{recipe_from(rest.substr(0, size), symbols_, tape), std::string(rest.substr(size))};
  } catch (const std::exception&) {
    return {};  // compiled anew, and stored over what is there
  }
}

void ProgramKey::store(const Recipe& recipe, const std::string& object) const {
  if (key_.empty()) return;
  const std::string bytes = serialized(recipe, symbols_);
  DiskCache::of_user().store(key_, fmt::format("{}\n", bytes.size()) + bytes + object);
}

}  // namespace tapeloop
