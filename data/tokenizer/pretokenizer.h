// Cuts a text into the pieces that byte-pair merges may not cross: the "pre_tokenizer" of a
// tokenizer.json, a sequence of splitters of which the last is ByteLevel. Same pieces as Hugging
// Face's tokenizers.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/pretokenizer_regex.h"
#include "data/tokenizer/pretokenizer_scan.h"

namespace ingot {

// What becomes of a match and of the gap before it.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

// As they are called in the file, in the same order.
inline constexpr std::array kSplitBehaviorNames = {"Removed", "Isolated", "MergedWithPrevious",
                                                   "MergedWithNext", "Contiguous"};

struct SplitStep {
  enum class Kind {
    regex,        // matches of `pattern`
    literal,      // the very string `pattern`
    number,       // each \p{N} character
    punctuation,  // each kOldPunctuation character
    white_space,  // each White_Space character
    words,        // each run of word characters, and each of what is neither that nor white space
    byte_level,   // add_prefix_space, use_regex; always the last step and only there
  };
  Kind kind = Kind::regex;
  std::string pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  // matches count as gaps and gaps as matches
  bool add_prefix_space = false;
  bool use_regex = false;

  bool operator==(const SplitStep&) const = default;
};

// Of a text that a step looks at: a match or the gap between two.
struct SplitSpan {
  std::size_t begin, end;
  bool match;
};

// GPT-2: ByteLevel with its own regex.
std::vector<SplitStep> gpt2_split_steps();
// Llama-3 (digits = 3), Qwen2 (digits = 1).
std::vector<SplitStep> llama3_split_steps(int digits);
// DeepSeek-V3: numbers in groups of three, Han and kana, words.
std::vector<SplitStep> deepseek_v3_split_steps();

// Immutable; any number of threads may split, each with its own Scratch.
class PreTokenizer {
 public:
  class Scratch {
   private:
    friend class PreTokenizer;
    RegexScratch regex;
    std::vector<std::string_view> pieces, next;
    std::vector<SplitSpan> spans;
    std::string prefixed;
  };

  // `steps` as described at SplitStep. Error(data) with `where` for a regex that is not understood.
  // use_scanners = false runs every regex in PCRE2: slower, the same pieces.
  PreTokenizer(std::vector<SplitStep> steps, const std::string& where, bool use_scanners = true);

  // Calls sink(std::string_view piece) for each piece in order; pieces are not empty and together
  // are the text, but for characters a step removes and spaces it adds. The text must be valid
  // UTF-8; a piece lives until the sink returns.
  template <class Sink>
  void split(std::string_view text, Scratch& scratch, Sink&& sink) const;

 private:
  enum class Kind { general, gpt2, llama3, deepseek_v3 };

  void split_in_steps(std::string_view text, Scratch& scratch) const;
  void apply(const SplitStep& step, const Regex* regex, std::string_view text,
             Scratch& scratch) const;

  Kind kind_ = Kind::general;
  int digits_ = 0;                // llama3
  std::vector<SplitStep> steps_;  // without byte_level
  std::vector<Regex> regexes_;    // one for each regex step
  std::vector<int> regex_of_step_;
  bool add_prefix_space_ = false;
  bool scan_gpt2_at_end_ = false;
  PieceScanner scanner_;
};

template <class Sink>
void PreTokenizer::split(std::string_view text, Scratch& scratch, Sink&& sink) const {
  const char* begin = text.data();
  const char* end = begin + text.size();
  const auto emit = [&sink](const char* from, const char* to) {
    sink(std::string_view(from, static_cast<std::size_t>(to - from)));
  };
  switch (kind_) {
    case Kind::gpt2:
      return scanner_.gpt2(begin, end, emit);
    case Kind::llama3:
      return scanner_.llama3(begin, end, digits_, emit);
    case Kind::deepseek_v3:
      return scanner_.deepseek_v3(begin, end, emit);
    case Kind::general:
      break;
  }
  split_in_steps(text, scratch);
  for (std::string_view piece : scratch.pieces) {
    if (add_prefix_space_ && !piece.starts_with(' ')) {
      scratch.prefixed.assign(1, ' ').append(piece);
      piece = scratch.prefixed;
    }
    if (scan_gpt2_at_end_) {
      scanner_.gpt2(piece.data(), piece.data() + piece.size(), emit);
    } else {
      sink(piece);
    }
  }
}

}  // namespace ingot
