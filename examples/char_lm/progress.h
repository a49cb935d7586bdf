// What a person sees during training, on stderr: one line that is redrawn on a terminal, else a line now and then.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace char_lm {

class Progress {
 public:
  Progress() {
    const char* no_color = std::getenv("NO_COLOR");
    color_ = terminal_ && !(no_color && *no_color);
  }

  bool is_terminal() const { return terminal_; }

  // `done` is the fraction of the work, `left` the seconds it still takes.
  void show(double done, std::int64_t step, double bits, double speed, double left) {
    char text[160];
    if (!terminal_) {
      std::fprintf(stderr, "step %lld  %.6f bits/char  %.0f chars/s  %.0f s left\n", static_cast<long long>(step), bits,
                   speed, left);
      return;
    }
    constexpr int width = 28;
    const int full = std::clamp(int(done * width), 0, width);
    std::string bar;
    for (int i = 0; i < width; ++i) bar += i < full ? "━" : (color_ ? "━" : " ");
    if (color_)
      bar = "\033[36m" + bar.substr(0, std::size_t(full) * 3) + "\033[90m" + bar.substr(std::size_t(full) * 3) +
            "\033[0m";
    std::snprintf(text, sizeof text, " %3.0f%%  step %lld  %.3f bits/char  %.0f chars/s  %.0f s left", 100 * done,
                  static_cast<long long>(step), bits, speed, left);
    std::fprintf(stderr, "\r\033[K%s%s", bar.c_str(), text);
    std::fflush(stderr);
    drawn_ = true;
  }

  // A line that stays.
  void say(const std::string& line) {
    std::fprintf(stderr, "%s%s\n", drawn_ ? "\r\033[K" : "", line.c_str());
    drawn_ = false;
  }

 private:
  bool terminal_ = isatty(STDERR_FILENO) != 0, color_ = false, drawn_ = false;
};

}  // namespace char_lm
