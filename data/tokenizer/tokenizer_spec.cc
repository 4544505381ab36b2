#include "data/tokenizer/tokenizer_spec.h"

#include <xxhash.h>

#include <array>
#include <memory>
#include <unordered_map>

#include "data/tokenizer/pretokenizer_unicode.h"

namespace ingot {
namespace {

bool is_spelled_as_itself(unsigned byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

// The 68 other bytes are U+0100, U+0101, ... in increasing order.
std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte)
    alphabet[byte] = is_spelled_as_itself(byte) ? byte : next++;
  return alphabet;
}

const std::array<char32_t, 256>& alphabet() {
  static const std::array<char32_t, 256> table = make_alphabet();
  return table;
}

// Feeds values with their lengths, so that no two lists of values read the same.
class Hasher {
 public:
  Hasher() : state_(XXH3_createState(), &XXH3_freeState) {
    if (!state_) throw std::bad_alloc();
    XXH3_64bits_reset(state_.get());
  }
  void add(std::uint64_t value) { XXH3_64bits_update(state_.get(), &value, sizeof value); }
  void add(std::string_view text) {
    add(text.size());
    XXH3_64bits_update(state_.get(), text.data(), text.size());
  }
  std::uint64_t digest() const { return XXH3_64bits_digest(state_.get()); }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

}  // namespace

std::string spell_bytes(std::string_view bytes) {
  std::string spelling;
  for (const char byte : bytes) append_utf8(alphabet()[static_cast<unsigned char>(byte)], spelling);
  return spelling;
}

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
  static const std::array<int, 0x144> byte_of = [] {
    std::array<int, 0x144> table;
    table.fill(-1);
    for (int byte = 0; byte < 256; ++byte) table[alphabet()[byte]] = byte;
    return table;
  }();
  std::string bytes;
  for (std::size_t at = 0; at < spelling.size();) {
    const CodePoint c = decode_valid(spelling.data() + at);
    if (c.value >= byte_of.size() || byte_of[c.value] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte_of[c.value]));
    at += c.size;
  }
  return bytes;
}

std::uint64_t hash(const TokenizerSpec& spec) {
  Hasher hasher;
  hasher.add("ingot tokenizer 1");
  hasher.add(spec.vocabulary.size());
  for (const auto& [token, id] : spec.vocabulary) hasher.add(token), hasher.add(id);
  hasher.add(spec.merges.size());
  for (const BpeMerge& merge : spec.merges) hasher.add(merge.left), hasher.add(merge.right);
  hasher.add(spec.added_tokens.size());
  for (const AddedToken& token : spec.added_tokens) {
    hasher.add(token.id), hasher.add(token.content);
    hasher.add(token.single_word | token.lstrip << 1 | token.rstrip << 2 | token.normalized << 3 |
               token.special << 4);
  }
  hasher.add(spec.split_steps.size());
  for (const SplitStep& step : spec.split_steps) {
    hasher.add(static_cast<std::uint64_t>(step.kind)), hasher.add(step.pattern);
    hasher.add(static_cast<std::uint64_t>(step.behavior));
    hasher.add(step.invert | step.add_prefix_space << 1 | step.use_regex << 2);
  }
  hasher.add(static_cast<std::uint64_t>(spec.normalization));
  hasher.add(spec.options.ignore_merges | spec.options.fuse_unknown << 1);
  hasher.add(spec.options.unknown_id ? *spec.options.unknown_id + std::uint64_t{1} : 0);
  return hasher.digest();
}

}  // namespace ingot
