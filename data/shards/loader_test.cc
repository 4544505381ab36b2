#include "data/shards/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <new>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>

#include "data/shards/shard_testing.h"
#include "io/test_folder.h"

namespace {
std::atomic<std::int64_t> allocations = 0;
}
void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace ingot {
namespace {

constexpr std::int64_t kLength = 4;

struct Batch {
  explicit Batch(std::int64_t rows) : tokens(rows * kLength), targets(rows * kLength) {}
  std::vector<std::int32_t> tokens, targets;
  bool operator==(const Batch&) const = default;
};

Batch next(Loader& loader, std::int64_t rows) {
  Batch batch(rows);
  loader.next(batch.tokens, batch.targets);
  return batch;
}

// A stream 0, 1, 2, ... over three shards: 23 samples of 4, sample i begins with token 4 i.
class LoaderOverShards : public ::testing::Test {
 protected:
  LoaderOverShards() {
    write_shard(folder_ / "a-0", counting_tokens(0, 31, 1000), 1000);
    write_shard(folder_ / "a-1", counting_tokens(31, 2, 1000), 1000);
    write_shard(folder_ / "a-2", counting_tokens(33, 62, 1000), 1000);
    data_.emplace(DatasetOptions{
        .patterns = {folder_ / "a-*.bin"}, .sequence_length = kLength, .vocabulary_size = 1000});
  }
  // The samples in the order a loader gives them.
  std::vector<std::int64_t> order(LoaderOptions options, std::int64_t samples) {
    Loader loader(*data_, options);
    std::vector<std::int64_t> order;
    while (static_cast<std::int64_t>(order.size()) < samples) {
      const Batch batch = next(loader, options.micro_batch);
      for (std::int64_t row = 0; row < options.micro_batch; ++row) {
        order.push_back(batch.tokens[row * kLength] / kLength);
      }
    }
    order.resize(samples);
    return order;
  }
  TestFolder folder_;
  std::optional<Dataset> data_;
  static constexpr std::int64_t kSamples = 23;
};

TEST_F(LoaderOverShards, EveryEpochGivesEverySampleOnceInAnotherOrder) {
  ASSERT_EQ(data_->sample_count(), kSamples);
  const auto samples = order({.micro_batch = 5, .seed = 3}, 4 * kSamples);
  std::set<std::vector<std::int64_t>> epochs;
  for (int epoch = 0; epoch < 4; ++epoch) {
    std::vector<std::int64_t> part(samples.begin() + epoch * kSamples,
                                   samples.begin() + (epoch + 1) * kSamples);
    epochs.insert(part);
    std::ranges::sort(part);
    std::vector<std::int64_t> all(kSamples);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(part, all);
  }
  EXPECT_EQ(epochs.size(), 4u);
}

TEST_F(LoaderOverShards, TheSeedAloneDecidesTheOrder) {
  EXPECT_EQ(order({.seed = 3}, 60), order({.seed = 3}, 60));
  EXPECT_NE(order({.seed = 3}, 60), order({.seed = 4}, 60));
}

TEST_F(LoaderOverShards, WithoutShufflingFilesAreReadInOrder) {
  const auto samples = order({.micro_batch = 4, .shuffle = false}, 50);
  for (std::int64_t i = 0; i < 50; ++i) EXPECT_EQ(samples[i], i % kSamples);
}

TEST_F(LoaderOverShards, TargetsAreTheNextTokens) {
  Loader loader(*data_, {.micro_batch = 3, .seed = 1});
  for (int i = 0; i < 30; ++i) {
    const Batch batch = next(loader, 3);
    for (std::size_t t = 0; t < batch.tokens.size(); ++t) {
      ASSERT_EQ(batch.targets[t], batch.tokens[t] + 1);
    }
  }
}

TEST_F(LoaderOverShards, ResumedAnywhereInThreeEpochsItGivesTheSameBatches) {
  for (const std::int64_t rows : {1, 4, 50}) {  // 50: more than two epochs in one batch
    const LoaderOptions options{.micro_batch = rows, .seed = 9};
    Loader loader(*data_, options);
    std::vector<DataPosition> positions;
    std::vector<Batch> batches;
    while (loader.position().epoch < 4) {
      positions.push_back(loader.position());
      batches.push_back(next(loader, rows));
    }
    for (std::size_t at = 0; at < positions.size(); ++at) {
      Loader fresh(*data_, options);
      fresh.seek(positions[at]);
      for (std::size_t i = at; i < batches.size(); ++i) {
        ASSERT_EQ(fresh.position(), positions[i]);
        ASSERT_EQ(next(fresh, rows), batches[i]) << "resumed at " << at << ", batch " << i;
      }
      // A loader that was elsewhere before, too.
      loader.seek(positions[at]);
      ASSERT_EQ(next(loader, rows), batches[at]);
    }
  }
}

TEST_F(LoaderOverShards, ResumeAcceptsAnotherMicroBatchAndWorldAtAnyPosition) {
  const auto reference = order({.seed = 5}, 3 * kSamples);
  Loader loader(*data_, {.micro_batch = 3, .rank = 1, .world = 2, .seed = 5});
  loader.seek({1, 20});
  const Batch batch = next(loader, 3);
  for (std::int64_t row = 0; row < 3; ++row) {
    EXPECT_EQ(batch.tokens[row * kLength] / kLength, reference[kSamples + 20 + 3 + row]);
  }
  EXPECT_EQ(loader.position(), (DataPosition{2, 3}));
}

TEST_F(LoaderOverShards, RanksTogetherTakeTheOrderOfOneRank) {
  const auto reference = order({.seed = 5}, 120);
  for (const std::int64_t world : {2, 3, 4}) {
    for (const std::int64_t rows : {1, 2}) {
      std::vector<std::int64_t> together(120, -1);
      for (std::int64_t rank = 0; rank < world; ++rank) {
        Loader loader(*data_, {.micro_batch = rows, .rank = rank, .world = world, .seed = 5});
        for (std::int64_t step = 0; step < 120 / (world * rows); ++step) {
          const Batch batch = next(loader, rows);
          for (std::int64_t row = 0; row < rows; ++row) {
            together[(step * world + rank) * rows + row] = batch.tokens[row * kLength] / kLength;
          }
        }
        const std::int64_t taken = 120 / (world * rows) * world * rows;
        EXPECT_EQ(loader.position(), (DataPosition{taken / kSamples, taken % kSamples}));
      }
      EXPECT_EQ(together, reference) << world << " ranks, micro-batch " << rows;
    }
  }
}

TEST_F(LoaderOverShards, NextAndReadAllocateNothing) {
  Loader loader(*data_, {.micro_batch = 5, .seed = 1});
  const SequentialBatches sequential(*data_, {.micro_batch = 5}, 0);
  Batch batch(5);
  const std::int64_t before = allocations;
  for (int i = 0; i < 100; ++i) {  // many epochs
    loader.next(batch.tokens, batch.targets);
    loader.seek(loader.position());
    sequential.read(i % sequential.count(), batch.tokens, batch.targets);
  }
  EXPECT_EQ(allocations - before, 0);
}

TEST_F(LoaderOverShards, APositionOutsideTheDataIsADataError) {
  Loader loader(*data_, {});
  for (const DataPosition bad : {DataPosition{0, kSamples}, {0, -1}, {-1, 0}}) {
    expect_error(
        ErrorCode::data, [&] { loader.seek(bad); }, "epoch " + std::to_string(bad.epoch),
        "a-0.bin");
  }
  EXPECT_THROW(Loader(*data_, {.micro_batch = 0}), std::logic_error);
  EXPECT_THROW(Loader(*data_, {.rank = 2, .world = 2}), std::logic_error);
  Batch batch(2);
  EXPECT_THROW(loader.next(batch.tokens, batch.targets), std::logic_error);
}

TEST_F(LoaderOverShards, SequentialBatchesCoverTheDataOnceOverAllRanks) {
  for (const std::int64_t world : {1, 3}) {
    std::map<std::int32_t, int> seen;
    std::int64_t real = 0;
    for (std::int64_t rank = 0; rank < world; ++rank) {
      const SequentialBatches batches(*data_, {.micro_batch = 5, .rank = rank, .world = world},
                                      1000);
      EXPECT_EQ(batches.count(), world == 1 ? 5 : 2);
      for (std::int64_t i = 0; i < batches.count(); ++i) {
        Batch batch(5);
        const std::int64_t counted = batches.read(i, batch.tokens, batch.targets);
        real += counted;
        for (std::size_t t = 0; t < batch.targets.size(); ++t) {
          const bool padding = static_cast<std::int64_t>(t) >= counted;
          ASSERT_EQ(batch.targets[t], padding ? -1 : batch.tokens[t] + 1);
          if (!padding) ++seen[batch.targets[t]];
        }
      }
    }
    EXPECT_EQ(real, kSamples * kLength);
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(real));
  }
}

TEST_F(LoaderOverShards, SequentialBatchesStopAtTheWantedSampleForAnyBatch) {
  const SequentialBatches batches(*data_, {.micro_batch = 2}, 5);
  EXPECT_EQ(batches.count(), 3);
  Batch batch(2);
  EXPECT_EQ(batches.read(2, batch.tokens, batch.targets), kLength);
  EXPECT_EQ(batch.tokens[0], 4 * kLength);
  EXPECT_EQ(batch.targets[kLength], -1);
  EXPECT_THROW(batches.read(3, batch.tokens, batch.targets), std::logic_error);
  for (const std::int64_t micro_batch : {1, 3, 8}) {
    const SequentialBatches others(*data_, {.micro_batch = micro_batch}, 5);
    std::int64_t real = 0;
    Batch other(micro_batch);
    for (std::int64_t i = 0; i < others.count(); ++i) {
      real += others.read(i, other.tokens, other.targets);
    }
    EXPECT_EQ(real, 5 * kLength) << micro_batch;
  }
}

TEST(SamplePermutation, IsAPermutationOfAnySize) {
  for (const std::int64_t size : {1, 2, 3, 15, 16, 17, 255, 256, 257, 1000, 65536, 65537}) {
    const SamplePermutation permutation(size, 7, 2);
    std::vector<bool> seen(size, false);
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t to = permutation(i);
      ASSERT_TRUE(to >= 0 && to < size && !seen[to]) << size;
      seen[to] = true;
    }
  }
}

// Every checkpoint in the field goes on in this order: another one shows samples twice or never.
TEST(SamplePermutation, TheOrderIsTheOneThatCheckpointsGoOnIn) {
  struct Golden {
    std::int64_t size;
    std::uint64_t seed;
    std::int64_t epoch;
    std::vector<std::int64_t> first;
  };
  const Golden goldens[] = {{1000, 1, 0, {712, 60, 940, 821, 292, 781}},
                            {1000, 1, 1, {547, 167, 406, 351, 319, 419}},
                            {7, 42, 3, {6, 4, 0, 5, 3, 1}},
                            {1000003, 0, 0, {519271, 431431, 747120, 314330, 137787, 361227}}};
  for (const Golden& golden : goldens) {
    const SamplePermutation permutation(golden.size, golden.seed, golden.epoch);
    for (std::size_t i = 0; i < golden.first.size(); ++i) {
      EXPECT_EQ(permutation(static_cast<std::int64_t>(i)), golden.first[i]);
    }
  }
}

TEST(SamplePermutation, HandlesSizesNoTableWouldHold) {
  const std::int64_t size = (std::int64_t{1} << 61) + 12345;
  const SamplePermutation permutation(size, 7, 0);
  std::set<std::int64_t> seen;
  for (std::int64_t i = 0; i < 1000; ++i) {
    const std::int64_t to = permutation(size - 1 - i);
    ASSERT_TRUE(to >= 0 && to < size && seen.insert(to).second);
  }
}

// Each place gets each sample equally often over seeds and epochs, and neighbours part.
TEST(SamplePermutation, LooksLikeARandomOrder) {
  constexpr std::int64_t kSize = 10, kDraws = 20'000;
  std::vector<std::vector<double>> counts(kSize, std::vector<double>(kSize, 0));
  for (std::int64_t draw = 0; draw < kDraws; ++draw) {
    const SamplePermutation permutation(kSize, static_cast<std::uint64_t>(draw / 10), draw % 10);
    for (std::int64_t i = 0; i < kSize; ++i) ++counts[i][permutation(i)];
  }
  double chi_squared = 0;
  for (const auto& row : counts) {
    for (const double count : row) {
      chi_squared += (count - kDraws / 10.0) * (count - kDraws / 10.0) / (kDraws / 10.0);
    }
  }
  EXPECT_LT(chi_squared, 147);  // 81 degrees of freedom: mean 81, sd 12.7; five sd above
  EXPECT_GT(chi_squared, 30);   // four below: it would be too even to be random

  const std::int64_t size = 100'000;
  const SamplePermutation permutation(size, 1, 0);
  double displacement = 0;
  int neighbours = 0;
  for (std::int64_t i = 0; i + 1 < size; ++i) {
    displacement += std::abs(double(permutation(i) - i));
    neighbours += std::abs(permutation(i + 1) - permutation(i)) == 1;
  }
  // A third of the size on average, sd of the mean 75; two neighbours stay together on average.
  EXPECT_NEAR(displacement / double(size), double(size) / 3, 400);
  EXPECT_LT(neighbours, 12);
}

// Every checkpoint of the field says where in this order it stands: it must not change. The numbers
// are those of the algorithm in the header's words, written down once more in Python.
TEST(SamplePermutation, IsTheOneThatCheckpointsCountOn) {
  const struct {
    std::int64_t size;
    std::uint64_t seed;
    std::int64_t epoch;
    std::vector<std::int64_t> order;
  } kOrders[] = {
      {23, 1, 0, {14, 8, 16, 22, 3, 9, 0, 15}},
      {23, 1, 1, {10, 15, 9, 2, 12, 1, 4, 6}},
      {1000, 42, 3, {787, 945, 181, 463, 493, 240, 698, 674}},
      {1000000000,
       7,
       0,
       {221637865, 452356872, 522675308, 533996976, 47347282, 788634085, 242385787, 837702505}},
  };
  for (const auto& [size, seed, epoch, order] : kOrders) {
    const SamplePermutation permutation(size, seed, epoch);
    for (std::size_t i = 0; i < order.size(); ++i) {
      EXPECT_EQ(permutation(static_cast<std::int64_t>(i)), order[i]) << size << " " << i;
    }
  }
}

}  // namespace
}  // namespace ingot
