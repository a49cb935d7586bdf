#include "bench/peer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "ad/error.h"

extern char** environ;

namespace tapeloop::bench {
namespace {

namespace fs = std::filesystem;

class Peer final : public Contender {
 public:
  explicit Peer(const PeerCommand& command) : name_(command.name) {
    int to[2], from[2];
    // Closed in whatever is started, the next peer included, which would otherwise keep this one from seeing its end.
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) throw Error("bench: no pipe to " + name_);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);

    std::vector<char*> arguments;
    for (const std::string& argument : command.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    std::vector<std::string> variables;
    for (char** variable = environ; *variable; ++variable) {
      const std::string text = *variable;
      if (!command.environment.contains(text.substr(0, text.find('=')))) variables.push_back(text);
    }
    for (const auto& [key, value] : command.environment) variables.push_back(key + "=" + value);
    std::vector<char*> environment;
    for (std::string& variable : variables) environment.push_back(variable.data());
    environment.push_back(nullptr);
    const int error = posix_spawn(&process_, arguments[0], &actions, nullptr, arguments.data(), environment.data());
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    to_ = fdopen(to[1], "w");
    from_ = fdopen(from[0], "r");
    if (error) process_ = 0;
  }
  ~Peer() override {
    // It ends at the end of its input.
    std::fclose(to_);
    std::fclose(from_);
    if (process_ > 0) waitpid(process_, nullptr, 0);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool is_ready() { return process_ > 0 && answer() == "ready"; }

  std::string name() const override { return name_; }
  bool prepare(const Problem& p) override {
    threads_ = p.threads;
    return ask(fmt::format("prepare {} {} {} {} {} {}", to_string(p.task), p.cell, p.row.batch, p.row.steps, p.row.size,
                           p.threads)) == "ok";
  }
  double run(int calls) override {
    const std::string text = ask(fmt::format("run {}", calls));
    // Threads of OpenMP go on spinning for a while after their work, on the core that the next contender needs.
    if (threads_ > 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    char* end = nullptr;
    const double ms = std::strtod(text.c_str(), &end);
    if (end == text.c_str()) throw Error("bench: " + name_ + " answers " + text);
    return ms;
  }

 private:
  std::string ask(const std::string& line) {
    fmt::print(to_, "{}\n", line);
    std::fflush(to_);
    return answer();
  }
  std::string answer() {
    char line[256];
    if (!std::fgets(line, sizeof line, from_)) return "nothing: it has ended";
    std::string text = line;
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }

  std::string name_;
  pid_t process_ = 0;
  std::FILE *to_ = nullptr, *from_ = nullptr;
  int threads_ = 1;
};

fs::path own_folder() { return fs::read_symlink("/proc/self/exe").parent_path(); }

std::string if_exists(const std::string& path) { return fs::exists(path) ? path : ""; }

}  // namespace

std::unique_ptr<Contender> peer_contender(const PeerCommand& command) {
  if (!fs::exists(command.arguments.at(0))) return nullptr;
  signal(SIGPIPE, SIG_IGN);  // a peer that has ended is noticed by its silence
  auto peer = std::make_unique<Peer>(command);
  return peer->is_ready() ? std::move(peer) : nullptr;
}

PeerCommand peer_command(const std::string& name) {
  if (name == "onednn") return {name, {own_folder() / "tapeloop_bench_onednn"}, {{"OMP_PROC_BIND", "true"}}};
  // PyTorch at its best: AVX-512 kernels where the machine has them (some distributions build it for AVX2), oneDNN's matrix
  // product behind its BLAS interface, an allocator that keeps its memory, threads that stay where they are.
  std::string preload = if_exists(own_folder() / "libtapeloop_bench_sgemm.so");
  for (const std::string& library : {if_exists(TAPELOOP_BENCH_TCMALLOC)})
    if (!library.empty()) preload += (preload.empty() ? "" : ":") + library;
  std::map<std::string, std::string> environment{{"OMP_PROC_BIND", "true"}};
  if (!preload.empty()) environment["LD_PRELOAD"] = preload;
  if (__builtin_cpu_supports("avx512f")) environment["ATEN_CPU_CAPABILITY"] = "avx512";
  return {name, {TAPELOOP_BENCH_PYTHON, TAPELOOP_SOURCE_DIR "/bench/peers/torch_peer.py"}, environment};
}

}  // namespace tapeloop::bench
