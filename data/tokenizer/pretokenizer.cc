#include "data/tokenizer/pretokenizer.h"

#include <algorithm>
#include <utility>

#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepSeekNumbers = R"(\p{N}{1,3})";
constexpr std::string_view kDeepSeekHan = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
// The line ends are literal characters in the published files.
constexpr std::string_view kDeepSeekWords = R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^)"
                                            "\r\n"
                                            R"(\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[)"
                                            "\r\n]*|\\s*[\r\n"
                                            R"(]+|\s+(?!\S)|\s+)";

SplitStep isolated(std::string_view pattern) { return {.pattern = std::string(pattern)}; }
SplitStep byte_level(bool use_regex) {
  return {.kind = SplitStep::Kind::byte_level, .use_regex = use_regex};
}

unsigned class_of(SplitStep::Kind kind) {
  switch (kind) {
    case SplitStep::Kind::number:
      return kNumber;
    case SplitStep::Kind::white_space:
      return kSpace;
    default:
      return kOldPunctuation;
  }
}

// Calls found(begin, end) for every match, in order. Empty matches count, but none that touches the
// match before.
template <class Found>
void find_all(const Regex& regex, std::string_view text, RegexScratch& scratch, Found&& found) {
  std::size_t from = 0, last_end = std::string_view::npos;
  while (from <= text.size()) {
    const auto match = regex.find(text, from, scratch);
    if (!match) return;
    if (match->begin == match->end && match->end == last_end) {
      from += from < text.size() ? decode_valid(text.data() + from).size : 1;
      continue;
    }
    found(match->begin, match->end);
    from = last_end = match->end;
  }
}

template <class Found>
void find_all(std::string_view literal, std::string_view text, Found&& found) {
  for (std::size_t at = 0; (at = text.find(literal, at)) != std::string_view::npos;
       at += literal.size()) {
    found(at, at + literal.size());
  }
}

template <class Found>
void find_words(std::string_view text, Found&& found) {
  constexpr unsigned kEither = kWord | kSpace;
  const auto& classes = character_classes();
  for (std::size_t at = 0; at < text.size();) {
    CodePoint c = decode_valid(text.data() + at);
    const std::size_t begin = at;
    const unsigned kind = classes[c.value] & kEither;
    while (at < text.size() &&
           (classes[(c = decode_valid(text.data() + at)).value] & kEither) == kind)
      at += c.size;
    if (kind != kSpace) found(begin, at);
  }
}

template <class Found>
void find_all(SplitStep::Kind kind, std::string_view text, Found&& found) {
  if (kind == SplitStep::Kind::words) return find_words(text, found);
  const unsigned wanted = class_of(kind);
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_valid(text.data() + at);
    if (character_classes()[c.value] & wanted) found(at, at + c.size);
    at += c.size;
  }
}

template <class Found>
void find_all(const SplitStep& step, const Regex* regex, std::string_view text,
              RegexScratch& scratch, Found&& found) {
  switch (step.kind) {
    case SplitStep::Kind::regex:
      return find_all(*regex, text, scratch, found);
    case SplitStep::Kind::literal:
      return find_all(step.pattern, text, found);
    default:
      return find_all(step.kind, text, found);
  }
}

// Joins neighbours as the behaviour says.
void merge(SplitBehavior behavior, std::vector<SplitSpan>& spans) {
  const auto keep = [&spans](auto&& joins_the_one_before) {
    std::vector<SplitSpan> merged;
    bool before = false;
    for (const SplitSpan& span : spans) {
      if (!merged.empty() && joins_the_one_before(before, span.match)) {
        merged.back().begin = std::min(merged.back().begin, span.begin);
        merged.back().end = std::max(merged.back().end, span.end);
      } else {
        merged.push_back(span);
      }
      before = span.match;
    }
    spans = std::move(merged);
  };
  switch (behavior) {
    case SplitBehavior::contiguous:
      return keep([](bool before, bool now) { return before == now; });
    case SplitBehavior::merged_with_previous:
      return keep([](bool before, bool now) { return now && !before; });
    case SplitBehavior::merged_with_next:
      std::reverse(spans.begin(), spans.end());
      keep([](bool before, bool now) { return now && !before; });
      std::reverse(spans.begin(), spans.end());
      return;
    case SplitBehavior::removed:
      std::erase_if(spans, [](const SplitSpan& span) { return span.match; });
      return;
    case SplitBehavior::isolated:
      return;
  }
}

}  // namespace

std::vector<SplitStep> gpt2_split_steps() { return {byte_level(true)}; }

std::vector<SplitStep> llama3_split_steps(int digits) {
  return {isolated(digits == 1 ? kQwen2 : kLlama3), byte_level(false)};
}

std::vector<SplitStep> deepseek_v3_split_steps() {
  return {isolated(kDeepSeekNumbers), isolated(kDeepSeekHan), isolated(kDeepSeekWords),
          byte_level(false)};
}

PreTokenizer::PreTokenizer(std::vector<SplitStep> steps, const std::string& where,
                           bool use_scanners) {
  if (steps.empty() || steps.back().kind != SplitStep::Kind::byte_level) {
    throw Error(ErrorCode::data, "the pre-tokenizer is not byte-level", where,
                "use a tokenizer whose pre_tokenizer ends with ByteLevel");
  }
  if (use_scanners) {
    if (steps == gpt2_split_steps()) kind_ = Kind::gpt2;
    if (steps == deepseek_v3_split_steps()) kind_ = Kind::deepseek_v3;
    for (const int digits : {1, 3}) {
      if (steps == llama3_split_steps(digits)) kind_ = Kind::llama3, digits_ = digits;
    }
    if (kind_ != Kind::general) return;
  }
  add_prefix_space_ = steps.back().add_prefix_space;
  const bool use_regex = steps.back().use_regex;
  steps.pop_back();
  // The prefix comes before the regex: only the scanner can follow it.
  scan_gpt2_at_end_ = use_regex && (use_scanners || add_prefix_space_);
  if (use_regex && !scan_gpt2_at_end_) steps.push_back(isolated(kGpt2));
  for (const SplitStep& step : steps) {
    regex_of_step_.push_back(static_cast<int>(regexes_.size()));
    if (step.kind == SplitStep::Kind::regex) regexes_.emplace_back(step.pattern, where);
  }
  steps_ = std::move(steps);
}

void PreTokenizer::split_in_steps(std::string_view text, Scratch& scratch) const {
  scratch.pieces.assign(1, text);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const bool has_regex = steps_[i].kind == SplitStep::Kind::regex;
    const Regex* regex = has_regex ? &regexes_[regex_of_step_[i]] : nullptr;
    scratch.next.clear();
    for (const std::string_view piece : scratch.pieces) apply(steps_[i], regex, piece, scratch);
    scratch.pieces.swap(scratch.next);
  }
  std::erase_if(scratch.pieces, [](std::string_view piece) { return piece.empty(); });
}

void PreTokenizer::apply(const SplitStep& step, const Regex* regex, std::string_view text,
                         Scratch& scratch) const {
  const auto emit = [&](std::size_t begin, std::size_t end) {
    if (begin < end) scratch.next.push_back(text.substr(begin, end - begin));
  };
  std::size_t done = 0;
  if (step.behavior == SplitBehavior::isolated) {  // nearly always: matches and gaps as they come
    find_all(step, regex, text, scratch.regex, [&](std::size_t begin, std::size_t end) {
      emit(done, begin);
      emit(begin, end);
      done = end;
    });
    return emit(done, text.size());
  }
  std::vector<SplitSpan>& spans = scratch.spans;
  spans.clear();
  const auto gap = [&](std::size_t end) {
    if (done < end) spans.push_back({done, end, step.invert});
  };
  find_all(step, regex, text, scratch.regex, [&](std::size_t begin, std::size_t end) {
    gap(begin);
    spans.push_back({begin, end, !step.invert});
    done = end;
  });
  gap(text.size());
  merge(step.behavior, spans);
  for (const SplitSpan& span : spans) emit(span.begin, span.end);
}

}  // namespace ingot
