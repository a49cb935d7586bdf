// Every piece of C++ in README.md stands, word for word, in a file that is compiled.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The blocks between ```cpp and ```.
std::vector<std::string> cpp_blocks(const std::string& markdown) {
  std::vector<std::string> blocks;
  std::istringstream lines(markdown);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (!inside && line == "```cpp") {
      blocks.emplace_back();
      inside = true;
    } else if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      blocks.back() += line + "\n";
    }
  }
  return blocks;
}

}  // namespace

TEST_CASE("readme: blocks are found") {
  CHECK(cpp_blocks("a\n```cpp\nint x;\n\nint y;\n```\n```sh\nls\n```\n") ==
        std::vector<std::string>{"int x;\n\nint y;\n"});
}

TEST_CASE("readme: its C++ is compiled somewhere") {
  const fs::path root = TAPELOOP_SOURCE_DIR;
  if (!fs::exists(root / "README.md")) return;
  std::string compiled;
  for (const char* folder : {"examples", "tests"})
    for (const auto& entry : fs::directory_iterator(root / folder))
      if (entry.path().extension() == ".cpp") compiled += read(entry.path());
  for (const char* page : {"README.md", "ops/README.md"}) {
    const std::vector<std::string> blocks = cpp_blocks(read(root / page));
    CHECK(!blocks.empty());
    for (const std::string& block : blocks)
      CHECK_MESSAGE(compiled.find(block) != std::string::npos, page << ": in no compiled file:\n" << block);
  }
}
