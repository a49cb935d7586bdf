// The architecture, kept true by reading the sources as text: who includes whom, where LLVM may appear, how long a file
// may be, and whether the README's architecture section names all files that exist and no others.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

constexpr int max_lines = 600;

// What a folder may include: itself and the floors below it. Folders of one floor do not know each other.
const std::map<std::string, std::set<std::string>> may_include = {
    {"ad", {"ad"}},
    {"ops", {"ad", "ops"}},
    {"jit", {"ad", "ops", "jit"}},
    {"models", {"ad", "ops", "models"}},
    {"examples", {"ad", "ops", "jit", "models", "examples"}},
    {"tests", {"ad", "ops", "jit", "models", "examples", "tests"}},
    {"bench", {"ad", "ops", "jit", "models", "bench"}},
};

// The name between the quotes or brackets of an #include line, or nothing.
std::string included(const std::string& line) {
  auto at = line.find_first_not_of(" \t");
  if (at == std::string::npos || line[at] != '#') return {};
  at = line.find_first_not_of(" \t", at + 1);
  if (at == std::string::npos || line.compare(at, 7, "include") != 0) return {};
  const auto open = line.find_first_of("\"<", at + 7);
  if (open == std::string::npos) return {};
  const auto close = line.find_first_of("\">", open + 1);
  return line.substr(open + 1, close == std::string::npos ? close : close - open - 1);
}

std::string first_folder(const fs::path& path) {
  return std::distance(path.begin(), path.end()) > 1 ? path.begin()->string() : "";
}

// What is wrong with one source file; `path` is relative to the source root.
Strings faults_in_source(const std::string& path, const std::string& text) {
  Strings faults;
  const std::string folder = first_folder(path);
  const bool is_source = path.ends_with(".cpp") || path.ends_with(".h");
  const bool may_use_llvm = folder == "jit" && path.ends_with(".cpp");
  int number = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!is_source) continue;
    const std::string name = included(line);
    if (name.empty()) continue;
    const std::string where = path + ":" + std::to_string(number) + ": includes " + name;
    if ((name.starts_with("llvm/") || name.starts_with("llvm-c/")) && !may_use_llvm)
      faults.push_back(where + ", and LLVM belongs in jit/*.cpp only");
    // "../jit/jit.h" is jit/jit.h by another name.
    const fs::path target =
        name.starts_with(".") ? (fs::path(path).parent_path() / name).lexically_normal() : fs::path(name);
    const auto allowed = may_include.find(folder);
    const std::string other = first_folder(target);
    if (allowed != may_include.end() && may_include.contains(other) && !allowed->second.contains(other))
      faults.push_back(where + ", and " + folder + " must not know " + other);
  }
  if (number > max_lines)
    faults.push_back(path + ": " + std::to_string(number) + " lines, more than " + std::to_string(max_lines));
  const bool below_jit = folder == "ad" || folder == "ops" || folder == "models";
  if (below_jit && text.find("llvm") != std::string::npos) faults.push_back(path + ": mentions llvm");
  return faults;
}

// The lines below the heading that says "Architecture", up to the next heading of its level.
Strings architecture_section(const std::string& readme) {
  Strings section;
  std::size_t level = 0;
  bool in_code = false;
  std::istringstream lines(readme);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) in_code = !in_code;
    const std::size_t marks = in_code ? 0 : std::min(line.find_first_not_of('#'), line.size());
    if (marks > 0) {
      if (level > 0 && marks <= level) break;
      if (level == 0 && (line.find("rchitecture") != std::string::npos)) {
        level = marks;
        continue;
      }
    }
    if (level > 0) section.push_back(line);
  }
  return section;
}

// The files that an architecture section names. `ad/tensor.h` is a file; in a list such as
//   ad/   shape.h  tensor.h/.cpp
// a name stands for a file of the folder that the list began with: ad/shape.h, ad/tensor.h, ad/tensor.cpp. The list ends
// at an empty line. Names without a folder, elsewhere, are given back as they are; `*_test.cpp` is no file.
Strings files_named(const Strings& section) {
  const auto is_name = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string("_-./*:").find(c) != std::string::npos;
  };
  Strings names;
  std::string folder;
  for (const std::string& line : section) {
    if (line.empty() || line.starts_with("```") || line.starts_with("#")) folder.clear();
    for (auto at = line.begin(); at != line.end();) {
      const auto begin = std::find_if(at, line.end(), is_name);
      at = std::find_if_not(begin, line.end(), is_name);
      std::string word(begin, at);
      while (!word.empty() && (word.back() == '.' || word.back() == ':')) word.pop_back();  // the end of a sentence
      if (word.find("://") != std::string::npos || word.find('*') != std::string::npos) continue;
      if (word.ends_with("/") && begin == line.begin()) folder = word;
      Strings both = {word};
      if (const auto twin = word.find(".h/.cpp"); twin != std::string::npos)
        both = {word.substr(0, twin) + ".h", word.substr(0, twin) + ".cpp"};
      for (const std::string& name : both) {
        const std::string extension = fs::path(name).extension().string();
        if (extension != ".h" && extension != ".cpp" && extension != ".py") continue;
        names.push_back(name.find('/') == std::string::npos ? folder + name : name);
      }
    }
  }
  return names;
}

// `files` are all paths of the tree. A name without a folder may be in any. Every source must be named but for tests, which
// are called after what they test.
Strings faults_in_readme(const std::string& readme, const Strings& files) {
  Strings faults;
  const Strings names = files_named(architecture_section(readme));
  for (const std::string& file : files) {
    const std::string extension = fs::path(file).extension().string();
    if ((extension != ".h" && extension != ".cpp") || first_folder(file) == "tests") continue;
    const bool is_named = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return file == name || (name.find('/') == std::string::npos && fs::path(file).filename() == name);
    });
    if (!is_named) faults.push_back("README.md: the architecture section does not name " + file);
  }
  for (const std::string& name : names) {
    const bool exists = std::any_of(files.begin(), files.end(), [&](const std::string& file) {
      return file == name || (name.find('/') == std::string::npos && fs::path(file).filename() == name);
    });
    if (!exists) faults.push_back("README.md: the architecture section names " + name + ", which does not exist");
  }
  return faults;
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Every file below the folders of the architecture, and the build's own, relative to the source root.
Strings tree(const fs::path& root) {
  Strings files = {"CMakeLists.txt", "dev"};
  for (const auto& [folder, allowed] : may_include) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder))
      if (entry.is_regular_file()) files.push_back(entry.path().lexically_relative(root).generic_string());
  }
  return files;
}

std::string listed(const Strings& faults) {
  std::string text;
  for (const std::string& fault : faults) text += "\n  " + fault;
  return text;
}

}  // namespace

TEST_CASE("floors: a folder includes only the floors below it") {
  CHECK(faults_in_source("ops/math.h", "#include \"ad/op.h\"\n#include <vector>\n").empty());
  CHECK(faults_in_source("jit/jit.h", "#include \"ops/scan.h\"\n// #include \"models/lstm.h\"\n").empty());
  CHECK(faults_in_source("tests/lstm_test.cpp", "#include \"models/lstm.h\"\n#include \"jit/jit.h\"\n").empty());
  CHECK(faults_in_source("ad/tape.h", "#include \"ops/math.h\"\n") ==
        Strings{"ad/tape.h:1: includes ops/math.h, and ad must not know ops"});
  CHECK(faults_in_source("ad/tape.h", "\n  #  include <../ops/math.h>\n").size() == 1);
  CHECK(faults_in_source("jit/emit.cpp", "#include \"models/lstm.h\"\n").size() == 1);
  CHECK(faults_in_source("models/lstm.h", "#include \"jit/jit.h\"\n").size() == 1);
  CHECK(faults_in_source("models/lstm.h", "#include \"tests/cases.h\"\n").size() == 1);
}

TEST_CASE("floors: LLVM headers appear in jit/*.cpp only") {
  const std::string text = "#include <llvm/IR/Module.h>\n";
  CHECK(faults_in_source("jit/emit.cpp", text).empty());
  CHECK(faults_in_source("jit/jit.h", text).size() == 1);
  CHECK(faults_in_source("tests/jit_test.cpp", text).size() == 1);
  CHECK(faults_in_source("ops/math.h", text).size() == 2);
  CHECK(faults_in_source("ops/math.h", "// as llvm does\n") == Strings{"ops/math.h: mentions llvm"});
  CHECK(faults_in_source("ops/math.h", "// as LLVM does\n").empty());
}

TEST_CASE("floors: no file is too long") {
  CHECK(faults_in_source("ad/tape.h", std::string(max_lines, '\n')).empty());
  CHECK(faults_in_source("ad/tape.h", std::string(max_lines + 1, '\n')) ==
        Strings{"ad/tape.h: 601 lines, more than 600"});
}

TEST_CASE("floors: the architecture section names the files that exist") {
  const Strings files = {"ad/shape.h", "ad/tensor.h", "ad/tensor.cpp", "jit/jit.h", "dev"};
  const std::string readme =
      "# Tapeloop\nsee missing.h\n"
      "## Architecture\nSee `jit.h`, or ad/shape.h. (https://x.org/y.h)\n\n"
      "```\nad/   shape.h   extents\n      tensor.h/.cpp\njit/  jit.h *.cpp\n```\n\nand tensor.cpp\n### More\n"
      "ad/tensor.h\n## Next\nmissing.h\n";
  CHECK(faults_in_readme(readme, files).empty());
  CHECK(files_named(architecture_section(readme)).size() == 8);
  CHECK(faults_in_readme("## Architecture\nad/missing.h\n", {"dev"}).size() == 1);
  CHECK(faults_in_readme("## The architecture\n`missing.cpp`\n", {"dev"}).size() == 1);
  CHECK(faults_in_readme("## Architecture\njit/  jit.h\n      tensor.h\n", {"jit/jit.h", "ad/tensor.h"}) ==
        Strings{"README.md: the architecture section does not name ad/tensor.h",
                "README.md: the architecture section names jit/tensor.h, which does not exist"});
}

TEST_CASE("floors: this tree keeps them") {
  const fs::path root = TAPELOOP_SOURCE_DIR;
  const Strings files = tree(root);
  Strings faults;
  for (const std::string& file : files) {
    const std::string extension = fs::path(file).extension().string();
    if (extension != ".h" && extension != ".cpp" && extension != ".py" && file != "dev" && file != "CMakeLists.txt")
      continue;
    for (const std::string& fault : faults_in_source(file, read(root / file))) faults.push_back(fault);
  }
  if (fs::exists(root / "README.md"))
    for (const std::string& fault : faults_in_readme(read(root / "README.md"), files)) faults.push_back(fault);
  CHECK_MESSAGE(faults.empty(), listed(faults));
}
