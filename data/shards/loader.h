// Micro-batches for training and validation, out of a Dataset.
//
// All ranks together walk one order of samples, epoch after epoch; a step over `world` ranks takes
// the next world * B of it, rank r the r-th B of those. So the order (and which samples a step of
// a given total size sees) depends on data, sequence length and seed alone, never on ranks or B.
#pragma once

#include <cstdint>
#include <span>

#include "data/shards/dataset.h"
#include "data/shards/loader_permutation.h"

namespace ingot {

// Where the stream stands; in a checkpoint, two integers. `sample`: how many samples of this epoch
// all ranks together have taken, 0 .. sample_count() - 1.
struct DataPosition {
  std::int64_t epoch = 0;
  std::int64_t sample = 0;

  bool operator==(const DataPosition&) const = default;
};

struct LoaderOptions {
  std::int64_t micro_batch = 1;  // B, samples a call and rank
  std::int64_t rank = 0;
  std::int64_t world = 1;
  std::uint64_t seed = 0;
  bool shuffle = true;  // false: every epoch in the order of the files
};

// Endless: an epoch's last batch is filled up from the next epoch, and no sample is left out.
class Loader {
 public:
  // The dataset must outlive the loader.
  Loader(const Dataset& dataset, const LoaderOptions& options);

  // The next micro-batch of this rank: tokens [B, T], targets [B, T], row-major; no target is -1.
  // Allocates nothing. Error(data) when a shard holds a token outside the vocabulary.
  void next(std::span<std::int32_t> tokens, std::span<std::int32_t> targets);

  // Before the samples that next() gives. The same on every rank that called next() as often.
  DataPosition position() const { return position_; }
  // Goes on exactly as a loader did that had this position(). Error(data) when there is no such
  // place in this data.
  void seek(DataPosition position);

 private:
  // Moves by a number of samples, into later epochs if need be.
  DataPosition advanced(DataPosition from, std::int64_t samples) const;
  std::int64_t sample_at(DataPosition position);

  const Dataset& dataset_;
  LoaderOptions options_;
  DataPosition position_;
  std::int64_t permuted_epoch_ = 0;
  SamplePermutation permutation_;
};

// The first samples in file order, the same on every call: what validation and evaluation read.
class SequentialBatches {
 public:
  // wanted: samples over all ranks; 0 or more than there are: the whole data. The last batch is
  // filled up with targets -1 (token 0), which losses do not count: the same samples for any
  // micro_batch and world.
  // micro_batch, rank and world as in LoaderOptions; seed and shuffle are not used.
  SequentialBatches(const Dataset& dataset, const LoaderOptions& options, std::int64_t wanted);

  // Calls that each rank makes: 0 .. count() - 1.
  std::int64_t count() const { return count_; }
  // tokens, targets [B, T] of this rank. Returns how many targets are real.
  std::int64_t read(std::int64_t batch, std::span<std::int32_t> tokens,
                    std::span<std::int32_t> targets) const;

 private:
  const Dataset& dataset_;
  LoaderOptions options_;
  std::int64_t samples_, count_;
};

}  // namespace ingot
