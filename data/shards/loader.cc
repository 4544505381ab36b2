#include "data/shards/loader.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "engine/base/error.h"

namespace ingot {
namespace {

void check(const LoaderOptions& options) {
  if (options.micro_batch < 1 || options.world < 1 || options.rank < 0 ||
      options.rank >= options.world) {
    throw std::logic_error("a loader needs a micro-batch of at least 1 and a rank below world");
  }
}

void check_spans(const Dataset& dataset, const LoaderOptions& options,
                 std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets) {
  const auto size = static_cast<std::size_t>(options.micro_batch * dataset.sequence_length());
  if (tokens.size() != size || targets.size() != size) {
    throw std::logic_error("a batch of another size than [micro_batch, sequence_length]");
  }
}

}  // namespace

Loader::Loader(const Dataset& dataset, const LoaderOptions& options)
    : dataset_(dataset), options_(options), permutation_(dataset.sample_count(), options.seed, 0) {
  check(options);
}

DataPosition Loader::advanced(DataPosition from, std::int64_t samples) const {
  const std::int64_t total = dataset_.sample_count();
  const std::int64_t sample = from.sample + samples;
  return {from.epoch + sample / total, sample % total};
}

std::int64_t Loader::sample_at(DataPosition position) {
  if (!options_.shuffle) return position.sample;
  if (position.epoch != permuted_epoch_) {
    permutation_ = SamplePermutation(dataset_.sample_count(), options_.seed, position.epoch);
    permuted_epoch_ = position.epoch;
  }
  return permutation_(position.sample);
}

void Loader::next(std::span<std::int32_t> tokens, std::span<std::int32_t> targets) {
  check_spans(dataset_, options_, tokens, targets);
  const auto length = static_cast<std::size_t>(dataset_.sequence_length());
  const std::int64_t step = options_.world * options_.micro_batch;
  const DataPosition mine = advanced(position_, options_.rank * options_.micro_batch);
  for (std::int64_t row = 0; row < options_.micro_batch; ++row) {
    const auto begin = static_cast<std::size_t>(row) * length;
    dataset_.read(sample_at(advanced(mine, row)), tokens.subspan(begin, length),
                  targets.subspan(begin, length));
  }
  position_ = advanced(position_, step);
  for (std::int64_t row = 0; row < options_.micro_batch; ++row) {
    dataset_.prefetch(sample_at(advanced(mine, step + row)));
  }
}

void Loader::seek(DataPosition position) {
  if (position.epoch < 0 || position.sample < 0 || position.sample >= dataset_.sample_count()) {
    throw Error(ErrorCode::data,
                "the position to resume at (epoch " + std::to_string(position.epoch) + ", sample " +
                    std::to_string(position.sample) + ") is not in this data of " +
                    std::to_string(dataset_.sample_count()) + " samples",
                dataset_.shards().front().path().string(),
                "resume with the data and sequence_length the checkpoint was made with");
  }
  position_ = position;
}

SequentialBatches::SequentialBatches(const Dataset& dataset, const LoaderOptions& options,
                                     std::int64_t wanted)
    : dataset_(dataset), options_(options) {
  check(options);
  const std::int64_t step = options.world * options.micro_batch;
  samples_ = wanted > 0 ? std::min(wanted, dataset.sample_count()) : dataset.sample_count();
  count_ = (samples_ + step - 1) / step;
}

std::int64_t SequentialBatches::read(std::int64_t batch, std::span<std::int32_t> tokens,
                                     std::span<std::int32_t> targets) const {
  check_spans(dataset_, options_, tokens, targets);
  if (batch < 0 || batch >= count_) throw std::logic_error("a batch beyond the last");
  const auto length = static_cast<std::size_t>(dataset_.sequence_length());
  const std::int64_t first = (batch * options_.world + options_.rank) * options_.micro_batch;
  const std::int64_t real = std::clamp<std::int64_t>(samples_ - first, 0, options_.micro_batch);
  for (std::int64_t row = 0; row < real; ++row) {
    const auto begin = static_cast<std::size_t>(row) * length;
    dataset_.read(first + row, tokens.subspan(begin, length), targets.subspan(begin, length));
  }
  const auto filled = static_cast<std::size_t>(real) * length;
  std::ranges::fill(tokens.subspan(filled), 0);
  std::ranges::fill(targets.subspan(filled), -1);
  for (std::int64_t row = 0; row < options_.micro_batch; ++row) {
    const std::int64_t next = first + options_.world * options_.micro_batch + row;
    if (next < samples_) dataset_.prefetch(next);
  }
  return real * dataset_.sequence_length();
}

}  // namespace ingot
