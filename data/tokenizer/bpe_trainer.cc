#include "data/tokenizer/bpe_trainer.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "data/tokenizer/pretokenizer_unicode.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::uint64_t kNoPair = ~std::uint64_t{0};

std::uint64_t pair_of(std::uint32_t left, std::uint32_t right) {
  return std::uint64_t{left} << 32 | right;
}

// How often each pair stands in the text. A count of the pair that was merged is left as it was, as
// in Hugging Face's trainer: nothing asks for it again.
class PairCounts {
 public:
  struct Entry {
    std::uint64_t pair = kNoPair;
    std::int64_t count = 0;
    std::int32_t pending = -1;  // index into a list of the caller's, -1: none
  };

  PairCounts() : entries_(1 << 16) {}

  // Valid until the next call.
  Entry& operator[](std::uint64_t pair) {
    if (2 * used_ > entries_.size()) grow();
    Entry& entry = entries_[slot_of(pair)];
    if (entry.pair == kNoPair) {
      entry.pair = pair;
      ++used_;
    }
    return entry;
  }

 private:
  std::size_t slot_of(std::uint64_t pair) const {
    const std::size_t mask = entries_.size() - 1;
    std::size_t slot = (pair * 0x9E3779B97F4A7C15u) >> (64 - std::countr_zero(entries_.size()));
    while (entries_[slot].pair != kNoPair && entries_[slot].pair != pair) slot = (slot + 1) & mask;
    return slot;
  }
  void grow() {
    std::vector<Entry> old(2 * entries_.size());
    old.swap(entries_);
    for (const Entry& entry : old) {
      if (entry.pair != kNoPair) entries_[slot_of(entry.pair)] = entry;
    }
  }

  std::vector<Entry> entries_;
  std::size_t used_ = 0;
};

// A pair that waits to be merged, with the words it was seen in when it came up.
struct Candidate {
  std::uint64_t count;
  std::uint64_t pair;
  std::vector<std::uint32_t> words;

  // For a heap with the largest count, then the smallest pair, on top.
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

// The words as symbols, and what merging does to them.
class Corpus {
 public:
  void add_word(std::string_view word, std::uint64_t count,
                const std::array<std::uint32_t, 256>& byte_ids) {
    begins_.push_back(symbols_.size());
    sizes_.push_back(static_cast<std::uint32_t>(word.size()));
    counts_.push_back(static_cast<std::int64_t>(count));
    for (const char byte : word) symbols_.push_back(byte_ids[static_cast<unsigned char>(byte)]);
  }

  void count_all_pairs() {
    for (std::uint32_t word = 0; word < sizes_.size(); ++word) {
      const std::uint32_t* symbols = &symbols_[begins_[word]];
      for (std::uint32_t i = 0; i + 1 < sizes_[word]; ++i)
        change(pair_of(symbols[i], symbols[i + 1]), word, +1);
    }
    offer_pending();
  }

  // The next pair to merge; count 0 when there is none.
  Candidate next() {
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      Candidate top = std::move(heap_.back());
      heap_.pop_back();
      const std::int64_t count = pairs_[top.pair].count;
      if (count == static_cast<std::int64_t>(top.count)) return top;
      // Other merges have taken some of its places since.
      if (count <= 0) continue;
      top.count = static_cast<std::uint64_t>(count);
      heap_.push_back(std::move(top));
      std::push_heap(heap_.begin(), heap_.end());
    }
    return {0, kNoPair, {}};
  }

  void merge(const Candidate& candidate, std::uint32_t result) {
    const auto left = static_cast<std::uint32_t>(candidate.pair >> 32),
               right = static_cast<std::uint32_t>(candidate.pair);
    for (const std::uint32_t word : candidate.words) merge_in_word(word, left, right, result);
    offer_pending();
  }

 private:
  void merge_in_word(std::uint32_t word, std::uint32_t left, std::uint32_t right,
                     std::uint32_t result) {
    std::uint32_t* symbols = &symbols_[begins_[word]];
    const std::uint32_t size = sizes_[word];
    std::uint32_t out = 0;
    for (std::uint32_t in = 0; in < size; ++out) {
      if (symbols[in] != left || in + 1 >= size || symbols[in + 1] != right) {
        symbols[out] = symbols[in++];
        continue;
      }
      if (out > 0) {
        change(pair_of(symbols[out - 1], left), word, -1);
        change(pair_of(symbols[out - 1], result), word, +1);
      }
      in += 2;
      symbols[out] = result;
      if (in < size) {
        change(pair_of(right, symbols[in]), word, -1);
        change(pair_of(result, symbols[in]), word, +1);
      }
    }
    sizes_[word] = out;
  }

  void change(std::uint64_t pair, std::uint32_t word, int by) {
    PairCounts::Entry& entry = pairs_[pair];
    entry.count += by * counts_[word];
    if (by < 0) return;
    if (entry.pending < 0) {
      entry.pending = static_cast<std::int32_t>(pending_.size());
      pending_.push_back({0, pair, {}});
    }
    std::vector<std::uint32_t>& words = pending_[entry.pending].words;
    if (words.empty() || words.back() != word) words.push_back(word);
  }

  void offer_pending() {
    for (Candidate& candidate : pending_) {
      PairCounts::Entry& entry = pairs_[candidate.pair];
      entry.pending = -1;
      if (entry.count <= 0) continue;
      candidate.count = static_cast<std::uint64_t>(entry.count);
      heap_.push_back(std::move(candidate));
      std::push_heap(heap_.begin(), heap_.end());
    }
    pending_.clear();
  }

  std::vector<std::uint32_t> symbols_;
  std::vector<std::uint64_t> begins_;  // of each word in symbols_
  std::vector<std::uint32_t> sizes_;
  std::vector<std::int64_t> counts_;
  PairCounts pairs_;
  std::vector<Candidate> heap_, pending_;
};

// Special tokens, then the bytes in the order of their spellings.
std::array<std::uint32_t, 256> start_vocabulary(const BpeTrainerOptions& options,
                                                TokenizerSpec& spec) {
  for (const std::string& token : options.special_tokens) {
    const auto id = static_cast<std::uint32_t>(spec.vocabulary.size());
    spec.vocabulary.emplace_back(token, id);
    spec.added_tokens.push_back({.id = id, .content = token, .special = true});
  }
  std::array<std::pair<std::string, unsigned>, 256> spellings;
  for (unsigned byte = 0; byte < 256; ++byte)
    spellings[byte] = {spell_bytes(std::string(1, static_cast<char>(byte))), byte};
  std::sort(spellings.begin(), spellings.end());  // UTF-8 sorts as its code points
  std::array<std::uint32_t, 256> ids;
  for (const auto& [spelling, byte] : spellings) {
    ids[byte] = static_cast<std::uint32_t>(spec.vocabulary.size());
    spec.vocabulary.emplace_back(spelling, ids[byte]);
  }
  return ids;
}

}  // namespace

void BpeTrainer::Words::count(std::string_view word) {
  const std::size_t slot = slot_of(word);
  if (slots_[slot] != 0) {
    ++counts_[slots_[slot] - 1];
    return;
  }
  bytes_ += word;
  begins_.push_back(bytes_.size());
  counts_.push_back(1);
  slots_[slot] = static_cast<std::uint32_t>(counts_.size());
  if (2 * counts_.size() > slots_.size()) grow();
}

std::size_t BpeTrainer::Words::slot_of(std::string_view word) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = XXH3_64bits(word.data(), word.size()) & mask;
  while (slots_[slot] != 0 && (*this)[slots_[slot] - 1] != word) slot = (slot + 1) & mask;
  return slot;
}

void BpeTrainer::Words::grow() {
  if (counts_.size() > (std::size_t{1} << 31)) {
    throw Error(ErrorCode::data, "the text has more than 2^31 different words",
                "tokenizer training", "train on less text");
  }
  slots_.assign(4 * slots_.size(), 0);
  for (std::size_t i = 0; i < counts_.size(); ++i)
    slots_[slot_of((*this)[i])] = static_cast<std::uint32_t>(i + 1);
}

BpeTrainer::BpeTrainer(BpeTrainerOptions options)
    : options_(std::move(options)), pre_tokenizer_(options_.split_steps, "tokenizer training") {
  const std::size_t least = 256 + options_.special_tokens.size();
  if (options_.vocabulary_size < least || options_.vocabulary_size > kMaxTokenId) {
    throw Error(ErrorCode::usage,
                "a vocabulary of " + std::to_string(options_.vocabulary_size) + " tokens",
                "tokenizer training",
                "ask for " + std::to_string(least) + " to " + std::to_string(kMaxTokenId));
  }
}

void BpeTrainer::add(std::string_view document) {
  while (!document.empty()) {
    const std::size_t valid = valid_utf8_prefix(document);
    if (valid > 0) add_valid(document.substr(0, valid));
    document.remove_prefix(valid);
    while (!document.empty() && utf8_character_size(document) == 0) document.remove_prefix(1);
  }
}

void BpeTrainer::add_valid(std::string_view text) {
  pre_tokenizer_.split(normalize(options_.normalization, text, normalized_), scratch_,
                       [this](std::string_view word) { words_.count(word); });
}

TokenizerSpec BpeTrainer::train() const {
  TokenizerSpec spec;
  spec.split_steps = options_.split_steps;
  spec.normalization = options_.normalization;
  const std::array<std::uint32_t, 256> byte_ids = start_vocabulary(options_, spec);
  std::unordered_map<std::string, std::uint32_t> ids(spec.vocabulary.begin(),
                                                     spec.vocabulary.end());

  Corpus corpus;
  for (std::size_t i = 0; i < words_.size(); ++i)
    corpus.add_word(words_[i], words_.count_of(i), byte_ids);
  corpus.count_all_pairs();
  while (spec.vocabulary.size() < options_.vocabulary_size) {
    const Candidate top = corpus.next();
    if (top.count < std::max<std::uint64_t>(options_.min_frequency, 1)) break;
    const auto left = static_cast<std::uint32_t>(top.pair >> 32),
               right = static_cast<std::uint32_t>(top.pair);
    const std::string token = spec.vocabulary[left].first + spec.vocabulary[right].first;
    // Two pairs can spell the same token.
    const auto [known, is_new] =
        ids.emplace(token, static_cast<std::uint32_t>(spec.vocabulary.size()));
    if (is_new) spec.vocabulary.emplace_back(token, known->second);
    spec.merges.push_back({left, right, known->second});
    corpus.merge(top, known->second);
  }
  return spec;
}

}  // namespace ingot
