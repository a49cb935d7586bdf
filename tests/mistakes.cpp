#include "mistakes.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <vector>

#include "ad/error.h"
#include "cases.h"

namespace tapeloop::testing {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

constexpr std::string_view marker = "// <-";

struct Source {
  std::string path;
  std::vector<std::string> lines;

  bool is_marked(std::size_t number) const {
    return number >= 1 && number <= lines.size() && lines[number - 1].find(marker) != std::string::npos;
  }
  // The line without the marker and without the name that opens a one-line mistake.
  std::string text(std::size_t number) const {
    if (number < 1 || number > lines.size()) return "no such line";
    std::string line = lines[number - 1].substr(0, lines[number - 1].find(marker));
    if (const auto body = line.find("[] {"); line.find("{\"") != std::string::npos && body != std::string::npos) {
      line = line.substr(body + 4);
      line = line.substr(0, line.rfind("}}"));
    }
    const auto first = line.find_first_not_of(' '), last = line.find_last_not_of(' ');
    return first == std::string::npos ? "" : line.substr(first, last + 1 - first);
  }
};

// The message with places in the test replaced by their source, other files of ours without the number of the line, and
// folders that are made for a test by a word. Tells whether a marked line was named.
std::string normal(const std::string& message, const Source& source, bool& names_the_line) {
  static const std::regex place(R"(([^\s:]+\.(?:cpp|h)):(\d+))"), folder(R"(\S*/tapeloop\.[A-Za-z0-9]{6})");
  std::string result;
  std::string rest = std::regex_replace(message, folder, "FOLDER");
  for (std::smatch match; std::regex_search(rest, match, place);) {
    result += match.prefix();
    const fs::path path(match[1].str());
    const std::size_t number = std::stoul(match[2].str());
    if (path.filename() == fs::path(source.path).filename()) {
      names_the_line = names_the_line || source.is_marked(number);
      result += "<< " + source.text(number) + " >>";
    } else {
      result += (path.parent_path().filename() / path.filename()).string();
    }
    rest = match.suffix();
  }
  return result + rest;
}

}  // namespace

void check_mistakes(const std::string& group, std::span<const Mistake> mistakes, const std::source_location& file) {
  const std::string path_of_test = TAPELOOP_SOURCE_DIR "/tests/" + fs::path(file.file_name()).filename().string();
  const Source source{path_of_test, lines_of(path_of_test)};
  REQUIRE_MESSAGE(!source.lines.empty(), "cannot read ", path_of_test);
  std::string text;
  for (const Mistake& mistake : mistakes) {
    INFO(std::string(mistake.name));
    std::string message;
    try {
      mistake.make();
      FAIL_CHECK("no error");
    } catch (const Error& error) {
      bool names_the_line = false;
      message = normal(error.what(), source, names_the_line);
      CHECK_MESSAGE(names_the_line, "the error does not name the line of the mistake:\n", message);
    } catch (const std::exception& error) {
      FAIL_CHECK("not an Error: " << std::string(error.what()));
    }
    text += std::string("== ") + mistake.name + "\n" + message + "\n\n";
    ++cases;
  }

  const std::string path = std::string(TAPELOOP_SOURCE_DIR "/tests/golden/errors/") + group + ".txt";
  const char* mode = std::getenv("TAPELOOP_GOLDEN");
  if (mode && std::string(mode) == "write") {
    std::ofstream(path) << text;
    return;
  }
  std::ifstream in(path);
  const std::string golden{std::istreambuf_iterator<char>(in), {}};
  if (text == golden) return;
  std::istringstream now(text), then(golden);
  std::string a, b, name;
  while (std::getline(now, a) && std::getline(then, b) && a == b)
    if (a.starts_with("== ")) name = a.substr(3);
  FAIL_CHECK("what is said to \""
             << name << "\" differs from " << path << "\n  now:    " << a << "\n  golden: " << b
             << "\n  if the new text is meant: TAPELOOP_GOLDEN=write build/release/tapeloop_tests -tc='mistakes*'");
}

}  // namespace tapeloop::testing
