// Mutated shards and indexes: an Error(data) or a correct answer, never a crash. Half of the inputs
// get a right header hash again, so that the checks behind it are tried as well.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "data/shards/shard.h"
#include "data/shards/shard_testing.h"
#include "engine/base/error.h"
#include "io/file_descriptor.h"
#include "io/test_folder.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

constexpr int kInputs = 20'000;

void reseal(std::string& bytes) {
  if (bytes.size() < 64) return;
  const std::uint64_t hash = hash_of(std::string_view(bytes).substr(0, 56));
  std::memcpy(bytes.data() + 56, &hash, sizeof hash);
}

// The header's fields, or the whole of the file.
std::string mutated(const std::string& seed, fuzz::Rng& rng) {
  std::string bytes;
  if (rng.one_in(2)) {
    bytes = fuzz::mutate(seed.substr(0, 64), rng) + seed.substr(64);
    if (rng.one_in(2)) bytes.resize(seed.size());
  } else {
    bytes = fuzz::mutate(seed, rng);
  }
  if (rng.one_in(2)) reseal(bytes);
  return bytes;
}

// A file in memory behind a name on disk: 40,000 real ones would keep a disk busy for a minute.
class MemoryFile {
 public:
  explicit MemoryFile(const std::filesystem::path& name)
      : file_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    std::filesystem::remove(name);
    std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(file_.number()), name);
  }
  void put(const std::string& bytes) {
    ASSERT_EQ(::ftruncate(file_.number(), 0), 0);
    ASSERT_EQ(::pwrite(file_.number(), bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
  }

 private:
  FileDescriptor file_;
};

// True when accepted.
template <class Action>
bool accepted(Action&& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::data) << error.what();
    return false;
  }
}

void use(const std::filesystem::path& path) {
  const Shard shard(path);
  const std::uint64_t count = shard.header().token_count;
  std::vector<std::int32_t> out(std::min<std::uint64_t>(count, 100));
  shard.prefetch(0, count);
  shard.read(count - out.size(), out, shard.header().vocabulary_size);
  for (const std::int32_t token : out) {
    ASSERT_GE(token, 0);
    ASSERT_LT(std::uint64_t(token), shard.header().vocabulary_size);
  }
  const ShardIndex index(shard);
  for (std::uint64_t i = 0; i < index.document_count(); ++i) index.first_token(i);
  shard.verify();
}

class ShardFuzz : public ::testing::Test {
 protected:
  ShardFuzz() {
    write_shard(bin_.parent_path() / "s", counting_tokens(0, 50, 60'000), 60'000);
    use(bin_);
  }

  // Of `mutated_file`, while the other one of the two stays good.
  void expect_refused_or_read(const std::filesystem::path& mutated_file, std::uint64_t seed) {
    const std::string good_bytes = contents_of(mutated_file);
    MemoryFile file(mutated_file);
    fuzz::Rng rng(seed);
    int good = 0;
    for (int i = 0; i < kInputs; ++i) {
      file.put(mutated(good_bytes, rng));
      good += accepted([&] { use(bin_); });
    }
    // Both ways are really walked: mutations reach the file, and not all are refused at the magic.
    EXPECT_LT(good, kInputs / 4);
    EXPECT_GT(good, kInputs / 500);
  }

  TestFolder folder_;
  std::filesystem::path bin_ = folder_ / "s.bin", idx_ = folder_ / "s.idx";
};

TEST_F(ShardFuzz, MutatedShardsAreRefusedOrRead) { expect_refused_or_read(bin_, 1); }

TEST_F(ShardFuzz, MutatedIndexesAreRefusedOrRead) { expect_refused_or_read(idx_, 2); }

}  // namespace
}  // namespace ingot
