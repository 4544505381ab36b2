#include "data/shards/dataset.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <unordered_set>

#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr const char* kMend = "make shards with `ingot prepare`, or correct \"data\" in the config";

std::vector<std::string> paths_matching(const std::string& pattern) {
  std::error_code ignored;
  // A file whose own name holds a bracket or a star.
  if (std::filesystem::is_regular_file(pattern, ignored)) return {pattern};
  glob_t found = {};
  const int status = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  const std::unique_ptr<glob_t, decltype(&::globfree)> owner(&found, &::globfree);
  if (status == GLOB_NOSPACE) throw Error(ErrorCode::data, "too many files match", pattern, kMend);
  std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  if (status != 0 || paths.empty()) {
    throw Error(ErrorCode::data, "no token shard of this name", pattern, kMend);
  }
  std::ranges::sort(paths);
  return paths;
}

std::vector<std::string> paths_matching(std::span<const std::string> patterns) {
  std::vector<std::string> paths;
  std::unordered_set<std::string> seen;
  for (const std::string& pattern : patterns) {
    for (std::string& path : paths_matching(pattern)) {
      std::error_code error;
      const auto real = std::filesystem::canonical(path, error);
      if (seen.insert(error ? path : real.string()).second) paths.push_back(std::move(path));
    }
  }
  if (paths.empty()) throw Error(ErrorCode::data, "no token shards are given", "", kMend);
  return paths;
}

void require_same_tokenizer(const Shard& first, const Shard& shard) {
  const ShardHeader& a = first.header();
  const ShardHeader& b = shard.header();
  if (a.tokenizer_hash == b.tokenizer_hash && a.vocabulary_size == b.vocabulary_size) return;
  throw Error(ErrorCode::data,
              "made with another tokenizer (" + to_hex(b.tokenizer_hash) + ", vocabulary " +
                  std::to_string(b.vocabulary_size) + ") than " + first.path().string() + " (" +
                  to_hex(a.tokenizer_hash) + ", vocabulary " + std::to_string(a.vocabulary_size) +
                  ")",
              shard.path().string(), "train on shards of one tokenizer");
}

}  // namespace

Dataset::Dataset(const DatasetOptions& options)
    : sequence_length_(options.sequence_length), vocabulary_size_(options.vocabulary_size) {
  if (sequence_length_ < 1) throw std::logic_error("sequence_length must be at least 1");
  std::int64_t total = 0;
  for (std::string& path : paths_matching(options.patterns)) {
    const Shard& shard = shards_.emplace_back(std::move(path));
    require_same_tokenizer(shards_.front(), shard);
    first_tokens_.push_back(total);
    total += static_cast<std::int64_t>(shard.header().token_count);
  }
  first_tokens_.push_back(total);

  const ShardHeader& header = shards_.front().header();
  const std::string& where = shards_.front().path().string();
  if (vocabulary_size_ == 0) vocabulary_size_ = header.vocabulary_size;
  if (header.vocabulary_size > vocabulary_size_) {
    throw Error(ErrorCode::data,
                "the tokenizer of these shards has a vocabulary of " +
                    std::to_string(header.vocabulary_size) + ", the model one of " +
                    std::to_string(vocabulary_size_),
                where,
                "set the model's \"vocab_size\" to " + std::to_string(header.vocabulary_size));
  }
  if (total - 1 < sequence_length_) {
    throw Error(ErrorCode::data,
                "a sample needs " + std::to_string(sequence_length_) +
                    " + 1 tokens, the data has " + std::to_string(total),
                where, "lower \"sequence_length\" or prepare more text");
  }
}

template <class Part>
void Dataset::for_each_part(std::int64_t first, std::int64_t count, Part&& part) const {
  auto shard =
      static_cast<std::size_t>(std::upper_bound(first_tokens_.begin(), first_tokens_.end(), first) -
                               first_tokens_.begin() - 1);
  for (; count > 0; ++shard) {
    const std::int64_t share = std::min(count, first_tokens_[shard + 1] - first);
    part(shards_[shard], static_cast<std::uint64_t>(first - first_tokens_[shard]),
         static_cast<std::uint64_t>(share));
    first += share;
    count -= share;
  }
}

void Dataset::read(std::int64_t sample, std::span<std::int32_t> tokens,
                   std::span<std::int32_t> targets) const {
  const auto length = static_cast<std::size_t>(sequence_length_);
  if (sample < 0 || sample >= sample_count() || tokens.size() != length ||
      targets.size() != length) {
    throw std::logic_error("a sample outside the dataset, or a span of another length");
  }
  const std::int64_t first = sample * sequence_length_;
  for_each_part(first, 1, [&](const Shard& shard, std::uint64_t from, std::uint64_t) {
    shard.copy(from, tokens.first(1), vocabulary_size_);
  });
  std::size_t done = 0;
  for_each_part(first + 1, sequence_length_,
                [&](const Shard& shard, std::uint64_t from, std::uint64_t count) {
                  shard.copy(from, targets.subspan(done, count), vocabulary_size_);
                  shard.release(from, count);
                  done += count;
                });
  std::ranges::copy(targets.first(length - 1), tokens.begin() + 1);
}

void Dataset::prefetch(std::int64_t sample) const {
  if (sample < 0 || sample >= sample_count()) return;
  for_each_part(sample * sequence_length_, sequence_length_ + 1,
                [](const Shard& shard, std::uint64_t from, std::uint64_t count) {
                  shard.prefetch(from, count);
                });
}

}  // namespace ingot
