#include "weights/staging_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace ingot {
namespace {

using Bytes = std::vector<std::byte>;

std::vector<Bytes> random_runs(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Bytes> runs(count);
  for (Bytes& run : runs) {
    run.resize(random() % 1000);
    for (std::byte& byte : run) byte = static_cast<std::byte>(random());
  }
  return runs;
}

// In pieces of at most that many bytes. Whether all were wanted.
bool send(StagingRing& ring, const std::vector<Bytes>& runs, std::int64_t piece) {
  for (const Bytes& run : runs) {
    for (std::int64_t first = 0; first < std::ssize(run);) {
      const auto room = ring.room(std::min(piece, std::ssize(run) - first));
      if (room.empty()) return false;
      std::memcpy(room.data(), run.data() + first, room.size());
      first += std::ssize(room);
      ring.put(std::ssize(room));
    }
  }
  ring.end();
  return true;
}

// Runs of the same lengths. Counts the pieces that do not begin at a multiple of the alignment.
std::vector<Bytes> receive(StagingRing& ring, const std::vector<Bytes>& lengths, std::int64_t piece,
                           int& unaligned) {
  std::vector<Bytes> runs;
  for (const Bytes& expected : lengths) {
    Bytes& run = runs.emplace_back();
    while (run.size() < expected.size()) {
      const auto next = ring.next(std::min(piece, std::ssize(expected) - std::ssize(run)));
      if (next.empty()) return runs;
      unaligned += reinterpret_cast<std::uintptr_t>(next.data()) % kStagingAlignment != 0;
      run.insert(run.end(), next.begin(), next.end());
      ring.take(std::ssize(next));
    }
  }
  return runs;
}

struct Buffer {
  explicit Buffer(std::size_t bytes) : bytes_(bytes + kStagingAlignment) {}
  // As an arena's: from an aligned address.
  std::span<std::byte> aligned() {
    const auto address = reinterpret_cast<std::uintptr_t>(bytes_.data());
    const std::size_t skip = (kStagingAlignment - address % kStagingAlignment) % kStagingAlignment;
    return std::span(bytes_).subspan(skip, bytes_.size() - kStagingAlignment);
  }

 private:
  std::vector<std::byte> bytes_;
};

TEST(StagingRing, GivesEveryByteInOrderWhateverItsSizeAndThatOfThePieces) {
  const std::vector<Bytes> runs = random_runs(200, 1);
  for (const std::size_t bytes : {128, 192, 4096, 1 << 20}) {
    Buffer buffer(bytes);
    StagingRing ring(buffer.aligned());
    for (const std::int64_t piece : {64, 128, 1024}) {
      ring.restart();
      std::vector<Bytes> received;
      int unaligned = 0;
      std::thread reader([&] { received = receive(ring, runs, piece, unaligned); });
      EXPECT_TRUE(send(ring, runs, 1088 - piece));
      reader.join();
      EXPECT_EQ(received, runs) << bytes << " " << piece;
      EXPECT_EQ(unaligned, 0);
    }
  }
}

TEST(StagingRing, ThatHoldsAllNeverLetsTheWriterWait) {
  const std::vector<Bytes> runs = random_runs(100, 2);
  std::size_t all = 0;
  for (const Bytes& run : runs) all += (run.size() + 63) / 64 * 64;
  Buffer buffer(all);
  StagingRing ring(buffer.aligned());
  EXPECT_TRUE(send(ring, runs, 256));  // nobody reads
  int unaligned = 0;
  EXPECT_EQ(receive(ring, runs, 256, unaligned), runs);
}

TEST(StagingRing, WhoseReaderGivesUpLetsTheWriterGo) {
  const std::vector<Bytes> runs = random_runs(100, 3);
  Buffer buffer(1024);
  StagingRing ring(buffer.aligned());
  std::thread reader([&] {
    ring.take(std::ssize(ring.next(64)));
    ring.give_up();
  });
  EXPECT_FALSE(send(ring, runs, 256));
  reader.join();
}

TEST(StagingRing, ThatEndsEarlyGivesNothing) {
  Buffer buffer(1024);
  StagingRing ring(buffer.aligned());
  ring.end();
  EXPECT_TRUE(ring.next(64).empty());
}

}  // namespace
}  // namespace ingot
