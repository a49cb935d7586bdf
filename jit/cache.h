// Machine code kept on disk, so that a program compiled by one process is there for the next.
//
// $XDG_CACHE_HOME/tapeloop (else ~/.cache/tapeloop) holds one file a program, named by a hash of its key. A file is used
// only if it and its folder belong to this user, nobody else may write to them, its checksum holds, and it repeats the whole
// key; else the program is compiled anew. Writers make a file of their own and rename it, so that readers see all of it or
// nothing. When the files together exceed a limit, those not used for longest go. TAPELOOP_CACHE=0 turns all of it off.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace tapeloop {

class DiskCache {
 public:
  explicit DiskCache(std::filesystem::path folder, std::int64_t most_bytes = std::int64_t(256) << 20)
      : folder_(std::move(folder)), most_bytes_(most_bytes) {}
  // The one of this user, as the environment says.
  static DiskCache of_user();

  // What was stored under a key; nothing when it is not there or not to be trusted.
  std::optional<std::string> load(const std::string& key) const;
  // Failing to store is no error: the program is compiled again next time.
  void store(const std::string& key, const std::string& value) const;

  std::filesystem::path file_of(const std::string& key) const;

 private:
  bool is_ours() const;
  void make_room() const;

  std::filesystem::path folder_;
  std::int64_t most_bytes_;
};

// A hash of the library's sources and compiler: another version of the library finds nothing of this one's.
extern const char* const kBuildId;

}  // namespace tapeloop
