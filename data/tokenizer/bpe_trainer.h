// Learns a byte-level BPE vocabulary from text: the merges of Hugging Face's BpeTrainer with the
// full byte alphabet, ties going to the pair with the smaller ids, so that the same documents in
// any order give the same tokenizer.
//
//   BpeTrainer trainer({.vocabulary_size = 8192});
//   for (const std::string& document : documents) trainer.add(document);
//   write(write_tokenizer_json(trainer.train()));
//
// Memory grows with the number of different words, not with the text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer_spec.h"

namespace ingot {

struct BpeTrainerOptions {
  std::uint32_t vocabulary_size =
      8192;  // with the special tokens and the 256 bytes; fewer if the text gives out
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // ids 0, 1, ...; the bytes follow
  std::uint64_t min_frequency = 0;                              // of a pair that is merged
  std::vector<SplitStep> split_steps = deepseek_v3_split_steps();
  Normalization normalization = Normalization::none;
};

class BpeTrainer {
 public:
  // Error(usage) for a vocabulary that has no place for the bytes and the special tokens, or an
  // absurd one.
  explicit BpeTrainer(BpeTrainerOptions options);

  // Counts the words of one document; any bytes.
  void add(std::string_view document);

  // The tokenizer for all documents so far.
  TokenizerSpec train() const;

 private:
  // Different words with their counts: bytes one after the other, and a hash table of places.
  class Words {
   public:
    Words() : slots_(1 << 12) {}
    void count(std::string_view word);
    std::size_t size() const { return counts_.size(); }
    std::string_view operator[](std::size_t i) const {
      return std::string_view(bytes_).substr(begins_[i], begins_[i + 1] - begins_[i]);
    }
    std::uint64_t count_of(std::size_t i) const { return counts_[i]; }

   private:
    std::size_t slot_of(std::string_view word) const;
    void grow();

    std::string bytes_;
    std::vector<std::uint64_t> begins_ = {0};
    std::vector<std::uint64_t> counts_;
    std::vector<std::uint32_t> slots_;  // open addressing, word + 1 or 0
  };

  void add_valid(std::string_view text);

  BpeTrainerOptions options_;
  PreTokenizer pre_tokenizer_;
  PreTokenizer::Scratch scratch_;
  std::string normalized_;
  Words words_;
};

}  // namespace ingot
