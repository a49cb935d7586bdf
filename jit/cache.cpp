#include "jit/cache.h"

#include <fcntl.h>
#include <llvm/ADT/StringExtras.h>
#include <llvm/Support/SHA256.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace tapeloop {
namespace {

namespace fs = std::filesystem;

constexpr char magic[] = "tapeloop code 1\n";
constexpr std::size_t magic_size = sizeof magic - 1, hash_size = 32;

std::string hash_of(const std::string& bytes) {
  const auto hash =
      llvm::SHA256::hash(llvm::ArrayRef(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

struct File {
  int descriptor;
  explicit File(int fd) : descriptor(fd) {}
  ~File() {
    if (descriptor >= 0) close(descriptor);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

bool read_all(int fd, std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = read(fd, bytes.data() + done, bytes.size() - done);
    if (n <= 0) return false;
    done += std::size_t(n);
  }
  return true;
}
bool write_all(int fd, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n <= 0) return false;
    done += std::size_t(n);
  }
  return true;
}

std::string size_as_bytes(std::uint64_t size) {
  std::string bytes(sizeof size, 0);
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes;
}

}  // namespace

DiskCache DiskCache::of_user() {
  const char* base = std::getenv("XDG_CACHE_HOME");
  if (base && base[0] == '/') return DiskCache(fs::path(base) / "tapeloop");  // relative ones are to be ignored
  const char* home = std::getenv("HOME");
  return DiskCache(home && home[0] == '/' ? fs::path(home) / ".cache" / "tapeloop" : fs::path());
}

fs::path DiskCache::file_of(const std::string& key) const {
  return folder_ / (llvm::toHex(hash_of(key), /*LowerCase=*/true) + ".code");
}

// Whoever can write to the folder could have us run anything.
bool DiskCache::is_ours() const {
  struct stat s{};
  return !folder_.empty() && lstat(folder_.c_str(), &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == geteuid() &&
         (s.st_mode & 077) == 0;
}

// A file: magic, checksum of the rest, size of the key, key, value.
std::optional<std::string> DiskCache::load(const std::string& key) const {
  if (!is_ours()) return {};
  const fs::path path = file_of(key);
  const File file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat s{};
  if (file.descriptor < 0 || fstat(file.descriptor, &s) != 0) return {};
  const std::size_t head = magic_size + hash_size + sizeof(std::uint64_t);
  const bool plausible = S_ISREG(s.st_mode) && s.st_uid == geteuid() && (s.st_mode & 022) == 0 &&
                         s.st_size >= off_t(head + key.size()) && s.st_size <= off_t(most_bytes_);
  std::string bytes(plausible ? std::size_t(s.st_size) : 0, 0);
  const bool whole = plausible && read_all(file.descriptor, bytes) && bytes.compare(0, magic_size, magic) == 0 &&
                     bytes.substr(magic_size, hash_size) == hash_of(bytes.substr(magic_size + hash_size)) &&
                     bytes.compare(magic_size + hash_size, sizeof(std::uint64_t), size_as_bytes(key.size())) == 0 &&
                     bytes.compare(head, key.size(), key) == 0;
  if (!whole) {
    unlink(path.c_str());
    return {};
  }
  (void)futimens(file.descriptor, nullptr);  // used just now
  return bytes.substr(head + key.size());
}

void DiskCache::store(const std::string& key, const std::string& value) const {
  if (folder_.empty()) return;
  std::error_code unused;
  fs::create_directories(folder_.parent_path(), unused);
  (void)mkdir(folder_.c_str(), 0700);
  if (!is_ours()) return;
  const std::string content = size_as_bytes(key.size()) + key + value;
  if (std::int64_t(content.size()) > most_bytes_ / 4) return;
  static std::atomic<unsigned> count{0};
  const fs::path path = file_of(key);
  const fs::path own = path.string() + "." + std::to_string(getpid()) + "." + std::to_string(count++) + ".part";
  {
    const File file(open(own.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (file.descriptor < 0) return;
    if (!write_all(file.descriptor, magic + hash_of(content) + content)) {
      unlink(own.c_str());
      return;
    }
  }
  if (rename(own.c_str(), path.c_str()) != 0) unlink(own.c_str());
  make_room();
}

// Down to three quarters of the limit, so that this is not done at every turn. Another process may be doing the same: what
// has gone already is no error.
void DiskCache::make_room() const {
  struct Entry {
    fs::path path;
    fs::file_time_type used;
    std::int64_t bytes;
  };
  std::vector<Entry> entries;
  std::int64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    Entry entry{it->path(), fs::last_write_time(it->path(), gone), 0};
    if (gone) continue;
    entry.bytes = std::int64_t(fs::file_size(entry.path, gone));
    if (gone) continue;
    total += entry.bytes;
    entries.push_back(std::move(entry));
  }
  if (total <= most_bytes_) return;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : entries) {
    if (total <= most_bytes_ / 4 * 3) break;
    std::error_code gone;
    fs::remove(entry.path, gone);
    total -= entry.bytes;
  }
}

}  // namespace tapeloop
