#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizer/pretokenizer_regex.h"

#include <pcre2.h>

#include <bitset>
#include <cstdint>
#include <utility>

#include "data/tokenizer/pretokenizer_unicode.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::uint32_t kMatchLimit = 50'000'000;    // steps of one match
constexpr std::uint32_t kHeapLimitKiB = 256 * 1024;  // backtracking memory of one match
// Counts as memory of the process whether used or not; what needs more is matched without JIT.
constexpr std::size_t kJitStackBytes = 1024 * 1024;
constexpr std::size_t kMaxPatternBytes = 64 * 1024;
constexpr std::uint32_t kOptions =
    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;

std::string pcre2_message(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

struct RegexScratch::State {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, kJitStackBytes, nullptr);
  State() {
    if (!data || !context) throw std::bad_alloc();
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_heap_limit(context, kHeapLimitKiB);
    if (stack) pcre2_jit_stack_assign(context, nullptr, stack);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

RegexScratch::RegexScratch() : state_(std::make_unique<State>()) {}
RegexScratch::~RegexScratch() = default;
RegexScratch::RegexScratch(RegexScratch&&) noexcept = default;
RegexScratch& RegexScratch::operator=(RegexScratch&&) noexcept = default;

struct Regex::Code {
  pcre2_code* code;
  explicit Code(pcre2_code* compiled) : code(compiled) {}
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(code); }
};

namespace {

// The bytes a match can begin with; empty if it can begin with any or be empty.
std::optional<std::bitset<256>> first_bytes(const pcre2_code* code) {
  const std::uint8_t* bitmap = nullptr;
  if (pcre2_pattern_info(code, PCRE2_INFO_FIRSTBITMAP, &bitmap) != 0 || !bitmap)
    return std::nullopt;
  std::bitset<256> bytes;
  for (std::size_t byte = 0; byte < 256; ++byte) bytes[byte] = bitmap[byte / 8] >> (byte % 8) & 1;
  return bytes;
}

// \s+$: in PCRE2 the time of a run of spaces that ends before a word is the square of its length.
constexpr std::string_view kSpaceAtLineEnd = R"(\s+$)";

std::optional<Regex::Match> find_space_at_line_end(std::string_view text, std::size_t from) {
  for (std::size_t at = from; at < text.size();) {
    const std::size_t begin = at;
    std::size_t line_end = begin;
    int size = 0;
    for (; at < text.size(); at += size) {
      const CodePoint c = decode_valid(text.data() + at);
      size = c.size;
      if (!(character_classes()[c.value] & kSpace)) break;
      if (c.value == '\n') line_end = at;
    }
    if (at == text.size()) line_end = at;
    if (line_end > begin) return Regex::Match{begin, line_end};
    at += at < text.size() ? size : 0;
  }
  return std::nullopt;
}

}  // namespace

Regex::Regex(std::string_view pattern, std::string where)
    : pattern_(pattern), where_(std::move(where)) {
  if (pattern.size() > kMaxPatternBytes) {
    throw Error(ErrorCode::data, "a regex of " + std::to_string(pattern.size()) + " bytes", where_,
                "use one of at most 65536");
  }
  const std::string translated = to_pcre2(pattern, where_);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);  // whatever the library was built with
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                   translated.size(), kOptions, &error, &offset, context.get());
  if (!code) {
    throw Error(ErrorCode::data,
                "regex '" + pattern_ + "' is not understood: " + pcre2_message(error), where_,
                "check the file against its origin");
  }
  code_ = std::make_shared<const Code>(code);
  first_bytes_ = first_bytes(code);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where the JIT can't, pcre2_match interprets
}

std::optional<Regex::Match> Regex::find(std::string_view text, std::size_t from,
                                        RegexScratch& scratch) const {
  if (pattern_ == kSpaceAtLineEnd) return find_space_at_line_end(text, from);
  // Most pieces that one step of a sequence made hold nothing for the next: a call of PCRE2 saved.
  if (first_bytes_) {
    while (from < text.size() && !(*first_bytes_)[static_cast<unsigned char>(text[from])]) ++from;
    if (from == text.size()) return std::nullopt;
  }
  const RegexScratch::State& state = *scratch.state_;
  const auto match = [&](std::uint32_t options) {
    return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       PCRE2_NO_UTF_CHECK | options, state.data, state.context);
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT)
    result = match(PCRE2_NO_JIT);  // has a larger heap to go back on
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result < 0) {
    throw Error(ErrorCode::data,
                "regex '" + pattern_ + "' fails on this text: " + pcre2_message(result), where_,
                "shorten the text's longest words or use another pre-tokenizer");
  }
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(state.data);
  // \K in a lookahead can move the start past the end or back before `from`.
  if (bounds[0] < from || bounds[1] < bounds[0]) {
    throw Error(ErrorCode::data, "regex '" + pattern_ + "' matches backwards", where_,
                "remove its \\K");
  }
  return Match{bounds[0], bounds[1]};
}

}  // namespace ingot
