// The text a character model learns from: bytes, their vocabulary, and batches of contiguous streams.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "ad/tensor.h"

namespace char_lm {

namespace fs = std::filesystem;
using tapeloop::Error;
using tapeloop::Tensor;

inline std::string read_file(const fs::path& path) {
  if (fs::is_directory(path)) throw Error("text: " + path.string() + " is a directory", "name its files");
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error("text: cannot read " + path.string(), "does it exist, and may you read it?");
  std::string content(std::istreambuf_iterator<char>(in), {});
  if (in.bad()) throw Error("text: reading " + path.string() + " failed");
  return content;
}

// Where the C++ standard library headers of the compiler that built this program are, or an empty path.
inline fs::path standard_headers() {
  std::vector<fs::path> candidates;
#ifdef TAPELOOP_CXX_HEADERS
  candidates.emplace_back(TAPELOOP_CXX_HEADERS);
#endif
#ifdef _GLIBCXX_RELEASE
  for (const char* prefix : {"/usr/include/c++/", "/usr/local/include/c++/"})
    candidates.push_back(prefix + std::to_string(_GLIBCXX_RELEASE));
#endif
  for (const fs::path& candidate : candidates)
    if (fs::is_regular_file(candidate / "vector")) return candidate;
  return {};
}

// The given files one after another; without any, the standard library's headers in the order of their paths.
inline std::string read_text(const std::vector<std::string>& files) {
  std::vector<fs::path> paths(files.begin(), files.end());
  if (paths.empty()) {
    const fs::path root = standard_headers();
    if (root.empty())
      throw Error("text: the headers this program was compiled with are not on this machine", "name files with --text");
    for (const auto& entry : fs::recursive_directory_iterator(root))
      if (entry.is_regular_file()) paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
  }
  std::string text;
  for (const fs::path& path : paths) {
    const std::string content = read_file(path);
    // A header is text; anything with a zero byte in the default directory is not a header.
    if (!files.empty() || content.find('\0') == std::string::npos) text += content;
  }
  return text;
}

// The bytes that occur, in their order; ids are positions in it.
inline std::string vocabulary_of(const std::string& text) {
  std::array<bool, 256> seen{};
  for (char c : text) seen[static_cast<unsigned char>(c)] = true;
  std::string vocabulary;
  for (int c = 0; c < 256; ++c)
    if (seen[std::size_t(c)]) vocabulary += char(c);
  return vocabulary;
}

inline std::vector<std::int32_t> encode(const std::string& text, const std::string& vocabulary) {
  std::array<std::int32_t, 256> ids;
  ids.fill(-1);
  for (std::size_t i = 0; i < vocabulary.size(); ++i) ids[static_cast<unsigned char>(vocabulary[i])] = std::int32_t(i);
  std::vector<std::int32_t> encoded;
  encoded.reserve(text.size());
  for (char c : text) {
    const std::int32_t id = ids[static_cast<unsigned char>(c)];
    if (id < 0)
      throw Error("text: byte " + std::to_string(static_cast<unsigned char>(c)) + " is not in the model's vocabulary",
                  "train on this text without --resume");
    encoded.push_back(id);
  }
  return encoded;
}

// A text cut into `batch` streams of equal length that are read side by side; what does not fill a row is left out.
class Streams {
 public:
  Streams(std::vector<std::int32_t> ids, int batch, std::string_view name) : ids_(std::move(ids)), batch_(batch) {
    length_ = ids_.empty() ? 0 : (std::int64_t(ids_.size()) - 1) / batch;
    if (length_ < 1)
      throw Error("text: the " + std::string(name) + " part has only " + std::to_string(ids_.size()) +
                      " characters for " + std::to_string(batch) + " streams",
                  "give more text or a smaller --batch");
  }

  int batch() const { return batch_; }
  std::int64_t length() const { return length_; }

  // Inputs and targets [steps, batch] from `position` of every stream: each target is the character after its input.
  std::pair<Tensor, Tensor> at(std::int64_t position, std::int64_t steps) const {
    std::vector<std::int32_t> xs, ys;
    xs.reserve(std::size_t(steps * batch_));
    ys.reserve(std::size_t(steps * batch_));
    for (std::int64_t t = position; t < position + steps; ++t)
      for (std::int64_t row = 0; row < batch_; ++row) {
        xs.push_back(ids_[std::size_t(row * length_ + t)]);
        ys.push_back(ids_[std::size_t(row * length_ + t + 1)]);
      }
    return {Tensor::of(xs, {steps, batch_}), Tensor::of(ys, {steps, batch_})};
  }

 private:
  std::vector<std::int32_t> ids_;
  int batch_;
  std::int64_t length_;
};

}  // namespace char_lm
