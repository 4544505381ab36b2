// Oniguruma's spelling of a regular expression -> PCRE2's. What is known to mean the same is
// copied, what means something else is translated, everything else is refused by name.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/pretokenizer_regex.h"
#include "data/tokenizer/pretokenizer_regex_characters.h"
#include "data/tokenizer/pretokenizer_regex_class.h"
#include "engine/base/utf8.h"

namespace ingot {
namespace {

constexpr std::string_view kLineBreak = R"((?>\x{d}\x{a}|[\x{a}-\x{d}\x{85}\x{2028}\x{2029}]))";
// They join with a neighbour to one character where case does not count (fi: U+FB01).
constexpr std::string_view kFolded[] = {"ff", "fi", "fl", "ss", "st"};

class Translator : private RegexCharacters {
 public:
  using RegexCharacters::RegexCharacters;

  std::string run() {
    while (at_ < in_.size()) step();
    out_ += scope_.closing;
    return std::move(out_);
  }

 private:
  // What holds up to the end of a group.
  struct Scope {
    bool caseless = false, extended = false;
    std::string closing;    // of groups that options of their own have opened
    std::size_t begin = 0;  // of the group in out_
  };

  void copy(std::size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }
  void atom(std::string_view text) {
    atom_ = out_.size();
    out_ += text;
  }
  void atom(const CodePointSet& set, bool negated = false) {
    atom(pcre2_class(set, negated, scope_.caseless));
  }
  static std::string literal(char32_t c) {
    std::string text;
    if (c < 0x80 && !is_ascii_letter_or_digit(static_cast<char>(c)) && c > ' ' && c != 0x7F)
      text = "\\";
    append_utf8(c, text);
    return text;
  }

  void step() {
    switch (peek()) {
      case '(':
        return open_group();
      case ')':
        return close_group();
      case '[': {
        ++at_;
        bool negated = false;
        const CodePointSet set = character_class(negated, scope_.caseless);
        return atom(set, negated);
      }
      case '\\':
        return escape();
      case '{':
        return interval();
      case '*':
      case '+':
      case '?':
      case '|':
        return copy(1);
      case '.':
      case '^':
      case '$':
        atom_ = out_.size();
        return copy(1);
      case '#':
        if (!scope_.extended) break;
        at_ = std::min(in_.find('\n', at_), in_.size());
        return;
      case ' ':
      case '\t':
      case '\n':
      case '\r':
        if (!scope_.extended) break;
        ++at_;
        return;
      default:
        break;
    }
    refuse_folded();
    atom(literal(character()));
  }

  void refuse_folded() const {
    if (!scope_.caseless) return;
    std::string two(in_.substr(at_, 2));
    for (char& c : two) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    for (const std::string_view folded : kFolded) {
      if (two == folded) refuse("'" + two + "' without case (it is one character, too)");
    }
  }

  void open_group() {
    if (starts("(*")) refuse("'(*'");
    if (take("(?#")) {
      at_ = std::min(in_.find(')', at_), in_.size());
      ++at_;
      return;
    }
    Scope inner{scope_.caseless, scope_.extended, "", out_.size()};
    for (const std::string_view kind : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"}) {
      if (!starts(kind)) continue;
      copy(kind.size());
      return enter(inner);
    }
    if (starts("(?<") || starts("(?'")) {
      named_ = true;
      const std::size_t close = in_.find(peek(2) == '<' ? '>' : '\'', at_ + 3);
      copy(std::min(close, in_.size() - 1) + 1 - at_);
      return enter(inner);
    }
    if (!starts("(?")) {
      copy(1);
      return enter(inner);
    }
    options(inner);
  }

  // (?i-m:...) or, up to the end of the group and all its alternatives, (?i-m).
  void options(Scope inner) {
    std::string spelled;
    bool on = true;
    for (at_ += 2; peek() != ':' && peek() != ')'; ++at_) {
      const char c = peek();
      if (c == '-') {
        on = false;
      } else if (c == 'i') {
        inner.caseless = on;
      } else if (c == 'x') {
        inner.extended = on;
        continue;  // spaces and comments are left out here
      } else if (c != 'm') {
        refuse("'(?" + spelled + std::string(1, c) + "'");
      }
      spelled += c == 'm' ? 's' : c;  // "dot matches newlines"
    }
    if (spelled.ends_with('-')) spelled.pop_back();
    const std::string opening = "(?" + spelled + ":";
    if (in_[at_++] == ':') {
      out_ += opening;
      return enter(inner);
    }
    out_ += opening;
    scope_.caseless = inner.caseless;
    scope_.extended = inner.extended;
    scope_.closing += ')';
  }

  void enter(Scope inner) { outer_.push_back(std::exchange(scope_, std::move(inner))); }

  void close_group() {
    out_ += scope_.closing;
    atom_ = scope_.begin;
    if (!outer_.empty()) {
      scope_ = std::move(outer_.back());
      outer_.pop_back();
    }
    copy(1);  // without an opening one, PCRE2 names the mistake
  }

  // {n,m} with what follows. There is no possessive X{n,m}+: it means (?:X{n,m})+, as X{n}? means
  // (?:X{n})?.
  void interval() {
    const std::size_t close = in_.find('}', at_);
    const std::string_view body =
        in_.substr(at_ + 1, close == std::string_view::npos ? 0 : close - at_ - 1);
    if (body.empty() || body.find_first_not_of("0123456789,") != std::string_view::npos ||
        body == ",") {
      ++at_;
      return atom("\\{");
    }
    at_ = close + 1;
    out_ += body.front() == ',' ? "{0" : "{";
    out_ += body;
    out_ += '}';
    const bool exact = body.find(',') == std::string_view::npos;
    if (peek() == '+' || (peek() == '?' && exact)) {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
  }

  // A backslash outside [...].
  void escape() {
    const char c = peek(1);
    if (const auto set = escaped_set(false)) return atom(set->first, set->second);
    switch (c) {
      case 'b':
      case 'B':
        at_ += 2;
        return word_boundary(c == 'b');
      case 'A':
      case 'z':
      case 'Z':
      case 'G':
      case 'K':
        atom_ = out_.size();
        return copy(2);
      case 'R':
        at_ += 2;
        return atom(kLineBreak);
      case 'N':
        at_ += 2;
        return atom("(?-s:.)");
      case 'O':
        at_ += 2;
        return atom("(?s:.)");
      default:
        if (c >= '1' && c <= '9') return back_reference();
        return atom(literal(escaped_character(/*inside=*/false)));
    }
  }

  void back_reference() {
    const char next = peek(2);
    if (named_ || (next >= '0' && next <= '9')) refuse("'" + std::string(in_.substr(at_, 3)) + "'");
    atom_ = out_.size();
    copy(2);
  }

  void word_boundary(bool wanted) {
    const std::string word = pcre2_class(oniguruma_word_characters());
    const std::string before = "(?<=" + word + ")", no_before = "(?<!" + word + ")";
    const std::string behind = "(?=" + word + ")", no_behind = "(?!" + word + ")";
    atom(wanted ? "(?:" + before + no_behind + "|" + no_before + behind + ")"
                : "(?:" + before + behind + "|" + no_before + no_behind + ")");
  }

  std::string out_;
  std::size_t atom_ = 0;  // where in out_ the last thing a quantifier can follow begins
  bool named_ = false;    // there is a group with a name: others have no numbers then
  Scope scope_;
  std::vector<Scope> outer_;
};

}  // namespace

std::string to_pcre2(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace ingot
