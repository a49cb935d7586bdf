#include "jit/timeline.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>

#include "ad/error.h"
#include "ad/options.h"

namespace tapeloop {
namespace {

using Clock = std::chrono::steady_clock;

// One file of events, written as they end. It is whole JSON after each of them, however the process ends.
class Timeline {
 public:
  explicit Timeline(const std::string& path) : file_(std::fopen(path.c_str(), "w")) {
    if (!file_) throw Error("TAPELOOP_TRACE: cannot write " + path);
    fmt::print(file_, "[\n{{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":{},\"args\":{{\"name\":\"tapeloop\"}}}}",
               getpid());
    close_list();
  }
  ~Timeline() { std::fclose(file_); }
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  void add(const char* kind, const std::string& name, Clock::time_point begin) {
    const auto microseconds = [](Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); };
    std::lock_guard lock(mutex_);
    fmt::print(file_,
               ",\n{{\"name\":\"{}\",\"cat\":\"{}\",\"ph\":\"X\",\"ts\":{:.3f},\"dur\":{:.3f},\"pid\":{},\"tid\":{}}}",
               name, kind, microseconds(begin.time_since_epoch()), microseconds(Clock::now() - begin), getpid(),
               number_of_thread());
    close_list();
  }

 private:
  // The next event takes the place of the bracket.
  void close_list() {
    fmt::print(file_, "\n]\n");
    std::fflush(file_);
    (void)std::fseek(file_, -3, SEEK_CUR);
  }
  static int number_of_thread() {
    static std::atomic<int> count{0};
    thread_local const int number = ++count;
    return number;
  }
  std::FILE* file_;
  std::mutex mutex_;
};

// The timeline of a file, for as long as the process lives.
Timeline& timeline(const std::string& path) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<Timeline>> timelines;
  std::lock_guard lock(mutex);
  auto& entry = timelines[path];
  if (!entry) entry = std::make_unique<Timeline>(path);
  return *entry;
}

}  // namespace

Span::Span(const char* kind, const char* name) : kind_(kind), name_(options().trace.empty() ? nullptr : name) {
  if (!name_) return;
  (void)timeline(options().trace);  // throws here if the file cannot be written, not at the end of the scope
  begin_ = Clock::now();
}
Span::~Span() {
  if (name_) add_span(kind_, name_, begin_);
}

void add_span(const char* kind, const std::string& name, Clock::time_point begin) {
  if (options().trace.empty()) return;
  timeline(options().trace).add(kind, name, begin);
}

}  // namespace tapeloop
