#include "data/shards/dataset.h"

#include <glob.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <unordered_set>

#include "engine/base/error.h"
#include "engine/base/thread.h"

namespace ingot {
namespace {

constexpr std::size_t kMostThreads = 8;
constexpr const char* kMend = "make shards with `ingot prepare`, or correct \"data\" in the config";

// The pattern in glob's spelling: only `*` and `?` mean something, and not those of a folder or
// file that is there.
std::string escaped(const std::filesystem::path& pattern) {
  std::filesystem::path literal;
  std::string glob;
  for (const std::filesystem::path& part : pattern) {
    const std::string name = part.string();
    literal /= part;
    std::error_code ignored;
    const bool is_there = std::filesystem::exists(literal, ignored);
    if (!glob.empty() && !glob.ends_with('/')) glob += '/';
    for (const char c : name) {
      const bool plain = c == '[' || c == '\\' || (is_there && (c == '*' || c == '?'));
      glob += (plain ? "\\" : "") + std::string(1, c);
    }
  }
  return glob;
}

std::vector<std::string> paths_matching(const std::string& pattern) {
  glob_t found = {};
  const int status = ::glob(escaped(pattern).c_str(), GLOB_NOSORT, nullptr, &found);
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

using Token = std::optional<std::uint32_t>;

// The one that all shards which say something agree on.
void require_same_token(Token& known, const Token& token, const char* what, const Shard& shard) {
  if (!known) known = token;
  if (!token || *token == *known) return;
  throw Error(ErrorCode::data,
              std::string("documents ") + what + " with token " + std::to_string(*token) +
                  ", those of shards before it with " + std::to_string(*known),
              shard.path().string(), "train on shards of one way to prepare");
}

// A shard a thread: disks and hashes are faster together.
void verify_all(std::span<const Shard> shards) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::exception_ptr> errors(shards.size());
  {
    std::vector<Thread> threads(std::min(shards.size(), kMostThreads));
    for (Thread& thread : threads) {
      thread = Thread([&] {
        for (std::size_t i; (i = next++) < shards.size();) {
          try {
            shards[i].verify_tokens();
          } catch (...) {
            errors[i] = std::current_exception();
          }
        }
      });
    }
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
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
    require_same_token(end_of_text_, shard.header().end_of_text, "end", shard);
    require_same_token(begin_of_text_, shard.header().begin_of_text, "begin", shard);
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
  if (options.verify) verify_all(shards_);
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
    shard.read(from, tokens.first(1), vocabulary_size_);
  });
  std::size_t done = 0;
  for_each_part(first + 1, sequence_length_,
                [&](const Shard& shard, std::uint64_t from, std::uint64_t count) {
                  shard.read(from, targets.subspan(done, count), vocabulary_size_);
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
