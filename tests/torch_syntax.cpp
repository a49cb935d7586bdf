#include "torch_syntax.h"

#include <cctype>

#include "torch_language.h"

namespace tapeloop::testing::torch {
namespace {

NodePtr node(std::string kind, std::string text, std::vector<NodePtr> kids = {}, double number = 0) {
  return std::make_shared<const Node>(Node{std::move(kind), std::move(text), std::move(kids), number});
}

struct Word {
  char kind;  // n name, 0 number, s string, o operator, ; end of a statement, { } indentation, e end
  std::string text;
};

std::vector<Word> words_of(const std::string& source) {
  std::vector<Word> words;
  std::vector<std::size_t> indents{0};
  int open = 0;
  std::size_t i = 0;
  auto at_line_start = [&] {
    std::size_t column = 0;
    while (i < source.size() && source[i] == ' ') ++i, ++column;
    if (i >= source.size() || source[i] == '\n' || source[i] == '#') return;
    if (column > indents.back()) {
      indents.push_back(column);
      words.push_back({'{', ""});
    }
    while (column < indents.back()) {
      indents.pop_back();
      words.push_back({'}', ""});
    }
  };
  at_line_start();
  while (i < source.size()) {
    const char c = source[i];
    if (c == '\n') {
      ++i;
      if (open > 0) continue;
      if (!words.empty() && words.back().kind != ';' && words.back().kind != '{' && words.back().kind != '}')
        words.push_back({';', "\n"});
      at_line_start();
    } else if (c == ' ' || c == '\t') {
      ++i;
    } else if (c == '#') {
      while (i < source.size() && source[i] != '\n') ++i;
    } else if (c == ';') {
      words.push_back({';', ";"});
      ++i;
    } else if (std::isalpha(static_cast<unsigned char>(c)) || c == '_') {
      std::string text;
      while (i < source.size() && (std::isalnum(static_cast<unsigned char>(source[i])) || source[i] == '_'))
        text += source[i++];
      words.push_back({'n', text});
    } else if (std::isdigit(static_cast<unsigned char>(c)) ||
               (c == '.' && i + 1 < source.size() && std::isdigit(static_cast<unsigned char>(source[i + 1])))) {
      std::string text;
      while (i < source.size()) {
        const char d = source[i];
        const bool sign = (d == '+' || d == '-') && (text.back() == 'e' || text.back() == 'E');
        if (!std::isalnum(static_cast<unsigned char>(d)) && d != '.' && d != '_' && !(sign && !text.empty())) break;
        text += d;
        ++i;
      }
      words.push_back({'0', text});
    } else if (c == '"' || c == '\'') {
      std::string text;
      for (++i; i < source.size() && source[i] != c; ++i) text += source[i];
      ++i;
      words.push_back({'s', text});
    } else {
      static const char* const operators[] = {
          "**=", "//=", "**", "//", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "@=", "->", "..."};
      std::string text(1, c);
      for (const char* op : operators)
        if (source.compare(i, std::string(op).size(), op) == 0) {
          text = op;
          break;
        }
      if (text == "(" || text == "[") ++open;
      if (text == ")" || text == "]") --open;
      words.push_back({'o', text});
      i += text.size();
    }
  }
  if (!words.empty() && words.back().kind != ';') words.push_back({';', "\n"});
  for (; indents.size() > 1; indents.pop_back()) words.push_back({'}', ""});
  words.push_back({'e', ""});
  return words;
}

class Parser {
 public:
  explicit Parser(const std::string& source) : words_(words_of(source)) {}

  std::vector<NodePtr> program() {
    std::vector<NodePtr> statements;
    while (now().kind != 'e') statement(statements);
    return statements;
  }

 private:
  const Word& now() const { return words_[at_]; }
  bool is(const std::string& text) const { return (now().kind == 'o' || now().kind == 'n') && now().text == text; }
  bool take(const std::string& text) {
    if (!is(text)) return false;
    ++at_;
    return true;
  }
  void want(const std::string& text) {
    if (!take(text)) throw BadCase("expected " + text + " before \"" + now().text + "\"");
  }

  void statement(std::vector<NodePtr>& to) {
    if (now().kind == ';') {
      ++at_;
      return;
    }
    if (is("for")) {
      ++at_;
      const NodePtr target = targets();
      want("in");
      const NodePtr over = tuple();
      to.push_back(node("for", "", {target, over, suite()}));
    } else if (is("while")) {
      ++at_;
      const NodePtr condition = expression();
      to.push_back(node("while", "", {condition, suite()}));
    } else if (take("with")) {
      const NodePtr how = expression();
      to.push_back(node("with", "", {how, suite()}));
    } else if (take("def")) {
      const std::string name = now().text;
      ++at_;
      want("(");
      std::vector<NodePtr> kids = parameters(")");
      want(")");
      kids.push_back(suite());
      to.push_back(node("def", name, kids));
    } else if (is("if") || is("elif")) {
      ++at_;
      const NodePtr condition = expression();
      std::vector<NodePtr> kids{condition, suite()};
      if (is("elif")) {
        std::vector<NodePtr> rest;
        statement(rest);
        kids.push_back(node("suite", "", rest));
      } else if (take("else")) {
        kids.push_back(suite());
      }
      to.push_back(node("ifs", "", kids));
    } else {
      simple(to);
      if (now().kind == ';') ++at_;
    }
  }

  void simple(std::vector<NodePtr>& to) {
    if (take("pass")) return;
    if (take("del")) {
      (void)tuple();
      return;
    }
    if (take("return")) {
      to.push_back(now().kind == ';' ? node("return", "") : node("return", "", {tuple()}));
      return;
    }
    for (const char* word : {"break", "continue"})
      if (take(word)) {
        to.push_back(node(word, ""));
        return;
      }
    const NodePtr first = tuple();
    for (const char* op : {"+=", "-=", "*=", "/=", "**=", "//=", "@="})
      if (take(op)) {
        to.push_back(node("change", std::string(op, std::string(op).size() - 1), {first, tuple()}));
        return;
      }
    std::vector<NodePtr> sides{first};
    while (take("=")) sides.push_back(tuple());
    to.push_back(sides.size() == 1 ? node("do", "", sides) : node("set", "", sides));
  }

  NodePtr suite() {
    want(":");
    std::vector<NodePtr> statements;
    if (now().kind == ';') {
      ++at_;
      if (now().kind != '{') throw BadCase("an indented block is missing");
      ++at_;
      while (now().kind != '}') statement(statements);
      ++at_;
    } else {
      // On the same line, to its end.
      simple(statements);
      while (now().kind == ';' && now().text == ";") {
        ++at_;
        if (now().kind != ';') simple(statements);
      }
      if (now().kind == ';') ++at_;
    }
    return node("suite", "", statements);
  }

  // Names, with defaults, up to what follows them.
  std::vector<NodePtr> parameters(const std::string& end) {
    std::vector<NodePtr> names;
    while (!is(end)) {
      const std::string name = now().text;
      ++at_;
      names.push_back(take("=") ? node("parameter", name, {expression()}) : node("parameter", name));
      if (!is(end)) want(",");
    }
    return names;
  }

  NodePtr targets() {
    std::vector<NodePtr> names{postfix()};
    while (take(",")) names.push_back(postfix());
    return names.size() == 1 ? names[0] : node("tuple", "", names);
  }

  NodePtr tuple() {
    std::vector<NodePtr> items{expression()};
    bool is_tuple = false;
    while (take(",")) {
      is_tuple = true;
      if (now().kind == ';' || is(")") || is("=")) break;
      items.push_back(expression());
    }
    return is_tuple ? node("tuple", "", items) : items[0];
  }

  NodePtr expression() {
    if (take("lambda")) {
      std::vector<NodePtr> kids = parameters(":");
      want(":");
      kids.push_back(expression());
      return node("lambda", "lambda", kids);
    }
    const NodePtr value = either();
    if (!take("if")) return value;
    const NodePtr condition = either();
    want("else");
    return node("if", "", {condition, value, expression()});
  }
  NodePtr either() {
    NodePtr left = both();
    while (take("or")) left = node("or", "", {left, both()});
    return left;
  }
  NodePtr both() {
    NodePtr left = negation();
    while (take("and")) left = node("and", "", {left, negation()});
    return left;
  }
  NodePtr negation() { return take("not") ? node("not", "", {negation()}) : comparison(); }
  NodePtr comparison() {
    NodePtr left = level(0);
    if (take("is")) {
      const char* kind = take("not") ? "is not" : "is";
      return node(kind, "", {left, level(0)});
    }
    // a < b < c is a < b and b < c.
    NodePtr all;
    for (bool found = true; found;) {
      found = false;
      for (const char* op : {"<=", ">=", "==", "!=", "<", ">"})
        if (take(op)) {
          const NodePtr right = level(0), one = node("binary", op, {left, right});
          all = all ? node("and", "", {all, one}) : one;
          left = right;
          found = true;
          break;
        }
    }
    return all ? all : left;
  }
  NodePtr level(std::size_t depth) {
    static const std::vector<std::vector<std::string>> levels{
        {"|"}, {"^"}, {"&"}, {"+", "-"}, {"*", "/", "//", "%", "@"}};
    if (depth == levels.size()) return unary();
    NodePtr left = level(depth + 1);
    for (bool found = true; found;) {
      found = false;
      for (const std::string& op : levels[depth])
        if (take(op)) {
          left = node("binary", op, {left, level(depth + 1)});
          found = true;
          break;
        }
    }
    return left;
  }
  NodePtr unary() {
    for (const char* op : {"-", "+", "~"})
      if (take(op)) return node("unary", op, {unary()});
    const NodePtr base = postfix();
    return take("**") ? node("binary", "**", {base, unary()}) : base;
  }

  NodePtr postfix() {
    NodePtr value = atom();
    for (;;) {
      if (take(".")) {
        value = node("attr", now().text, {value});
        ++at_;
      } else if (take("(")) {
        std::vector<NodePtr> kids{value};
        while (!take(")")) {
          if (now().kind == 'n' && words_[at_ + 1].kind == 'o' && words_[at_ + 1].text == "=") {
            const std::string name = now().text;
            at_ += 2;
            kids.push_back(node("named", name, {expression()}));
          } else {
            const bool star = take("*");
            NodePtr argument = expression();
            if (is("for")) argument = comprehension(argument);
            kids.push_back(star ? node("star", "", {argument}) : argument);
          }
          if (!is(")")) want(",");
        }
        value = node("call", "", kids);
      } else if (take("[")) {
        std::vector<NodePtr> kids{value};
        while (!take("]")) {
          kids.push_back(index());
          if (!is("]")) want(",");
        }
        value = node("index", "", kids);
      } else {
        return value;
      }
    }
  }

  NodePtr index() {
    auto part = [&]() -> NodePtr { return is(":") || is("]") || is(",") ? node("none", "") : expression(); };
    const NodePtr start = part();
    if (!take(":")) return start;
    const NodePtr stop = part();
    return node("slice", "", {start, stop, take(":") ? part() : node("none", "")});
  }

  NodePtr comprehension(const NodePtr& item) {
    want("for");
    const NodePtr target = targets();
    want("in");
    std::vector<NodePtr> kids{item, target, either()};
    if (take("if")) kids.push_back(either());
    if (is("for")) throw BadCase("a comprehension over two sequences");
    return node("comprehension", "", kids);
  }

  NodePtr atom() {
    const Word word = now();
    ++at_;
    if (word.kind == '0') {
      std::string digits = word.text;
      std::erase(digits, '_');
      const bool integral = digits.find_first_of(".eE") == std::string::npos;
      return node("number", integral ? "int" : "float", {}, std::stod(digits));
    }
    if (word.kind == 's') return node("string", word.text);
    if (word.kind == 'n') return node("name", word.text);
    if (word.text == "...") return node("ellipsis", "");
    if (word.text == "(") {
      if (take(")")) return node("tuple", "");
      NodePtr value = tuple();
      if (is("for")) value = comprehension(value);
      want(")");
      return value;
    }
    if (word.text == "[") {
      std::vector<NodePtr> items;
      while (!take("]")) {
        NodePtr item = expression();
        if (is("for")) {
          item = comprehension(item);
          want("]");
          return item;
        }
        items.push_back(item);
        if (!is("]")) want(",");
      }
      return node("list", "", items);
    }
    throw BadCase("unexpected \"" + word.text + "\"");
  }

  std::vector<Word> words_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<NodePtr> parse(const std::string& source) { return Parser(source).program(); }

}  // namespace tapeloop::testing::torch
