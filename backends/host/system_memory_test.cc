#include "backends/host/system_memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <vector>

#include "engine/base/error.h"

namespace {
long allocations = 0;
}  // namespace

void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* const memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace ingot {
namespace {

constexpr std::int64_t kMebibyte = std::int64_t{1} << 20;

// A made-up /proc and /sys below a folder of its own.
class FakeSystem {
 public:
  explicit FakeSystem(const std::string& name)
      : root_(testing::TempDir() + "system_memory_test_" + name) {
    std::filesystem::remove_all(root_);
    write("/proc/meminfo", "MemTotal:  1024000 kB\nMemFree: 1 kB\nMemAvailable:  512000 kB\n");
  }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  SystemMemory read() const { return read_system_memory(root_); }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

constexpr char kMountV2[] = "31 1 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(SystemMemory, WithoutControlGroupsIsTheMachines) {
  const SystemMemory memory = FakeSystem("plain").read();
  EXPECT_EQ(memory.total, 1024000 * 1024);
  EXPECT_EQ(memory.available, 512000 * 1024);
  EXPECT_FALSE(memory.cgroup_limit);
  EXPECT_EQ(memory.room(), memory.available);
  EXPECT_EQ(memory.limit(), memory.total);
}

TEST(SystemMemory, TakesTheTightestGroupOnTheWayUp) {
  const FakeSystem system("v2");
  system.write("/proc/self/mountinfo", kMountV2);
  system.write("/proc/self/cgroup", "0::/a/b\n");
  system.write("/sys/fs/cgroup/a/b/memory.max", "max\n");
  system.write("/sys/fs/cgroup/a/memory.max", "104857600\n");
  system.write("/sys/fs/cgroup/a/memory.current", "52428800\n");
  const SystemMemory memory = system.read();
  ASSERT_TRUE(memory.cgroup_limit);
  EXPECT_EQ(*memory.cgroup_limit, 100 * kMebibyte);
  EXPECT_EQ(memory.cgroup_current, 50 * kMebibyte);
  EXPECT_EQ(memory.room(), 50 * kMebibyte);
  EXPECT_EQ(memory.limit(), 100 * kMebibyte);
  system.write("/sys/fs/cgroup/a/b/memory.max", "62914560\n");
  system.write("/sys/fs/cgroup/a/b/memory.current", "20971520\n");
  EXPECT_EQ(system.read().room(), 40 * kMebibyte);
}

TEST(SystemMemory, DoesNotCountFileCacheThatCanBeDropped) {
  const FakeSystem system("cache");
  system.write("/proc/self/mountinfo", kMountV2);
  system.write("/proc/self/cgroup", "0::/\n");
  system.write("/sys/fs/cgroup/memory.max", "104857600\n");
  system.write("/sys/fs/cgroup/memory.current", "104857600\n");
  system.write("/sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 31457280\nslab 5\n");
  EXPECT_EQ(system.read().room(), 30 * kMebibyte);
}

TEST(SystemMemory, ReadsVersionOneAndItsWayToSayUnlimited) {
  const FakeSystem system("v1");
  system.write("/proc/self/mountinfo",
               "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
               "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  system.write("/proc/self/cgroup", "5:cpu:/x\n4:memory:/jobs/1\n0::/\n");
  system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(system.read().cgroup_limit);
  system.write("/sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes", "10485760\n");
  system.write("/sys/fs/cgroup/memory/jobs/1/memory.usage_in_bytes", "9437184\n");
  system.write("/sys/fs/cgroup/memory/jobs/1/memory.stat", "total_inactive_file 1048576\n");
  EXPECT_EQ(system.read().room(), 2 * kMebibyte);
}

TEST(SystemMemory, FindsItsGroupInsideAContainer) {
  const FakeSystem system("container");
  system.write("/proc/self/mountinfo",
               "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  system.write("/proc/self/cgroup", "4:memory:/docker/abc\n");
  system.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "10485760\n");
  EXPECT_EQ(system.read().room(), 10 * kMebibyte);
  // A path outside of what is mounted: the mount is all there is to see.
  system.write("/proc/self/mountinfo", kMountV2);
  system.write("/proc/self/cgroup", "0::/../other\n");
  system.write("/sys/fs/cgroup/memory.max", "20971520\n");
  EXPECT_EQ(system.read().room(), 20 * kMebibyte);
}

TEST(SystemMemory, HasNoNegativeRoom) {
  const FakeSystem system("full");
  system.write("/proc/self/mountinfo", kMountV2);
  system.write("/proc/self/cgroup", "0::/\n");
  system.write("/sys/fs/cgroup/memory.max", "1048576\n");
  system.write("/sys/fs/cgroup/memory.current", "2097152\n");
  EXPECT_EQ(system.read().room(), 0);
}

TEST(SystemMemory, SurvivesNonsenseInTheGroupsAndRefusesASystemWithoutSizes) {
  const FakeSystem system("nonsense");
  system.write("/proc/self/mountinfo", std::string(kMountV2) + "x\n - \n - cgroup2\n");
  system.write("/proc/self/cgroup", ":\n::\n0::no/slash\nabc\n");
  system.write("/sys/fs/cgroup/memory.max", "-3\n");
  EXPECT_FALSE(system.read().cgroup_limit);
  for (const char* const text : {"", "MemTotal: x kB\nMemAvailable: 5 kB\n", "MemTotal: 5 kB\n"}) {
    system.write("/proc/meminfo", text);
    EXPECT_THROW(system.read(), Error) << text;
  }
}

TEST(MemoryLimit, SeesALimitThatIsLoweredAndAProcessThatIsMoved) {
  const FakeSystem system("watched");
  system.write("/proc/self/mountinfo", kMountV2);
  system.write("/proc/self/cgroup", "0::/a\n");
  system.write("/sys/fs/cgroup/a/memory.max", "max\n");
  system.write("/sys/fs/cgroup/b/memory.max", "20971520\n");
  MemoryLimit limit(system.root());
  EXPECT_EQ(limit.bytes(), 1024000 * 1024);
  system.write("/sys/fs/cgroup/a/memory.max", "104857600\n");
  EXPECT_EQ(limit.bytes(), 100 * kMebibyte);
  system.write("/sys/fs/cgroup/memory.max", "52428800\n");  // of the group above
  EXPECT_EQ(limit.bytes(), 50 * kMebibyte);
  system.write("/proc/self/cgroup", "0::/b\n");
  EXPECT_EQ(limit.bytes(), 20 * kMebibyte);
}

TEST(MemoryLimit, AllocatesNothingWhileNothingChanges) {
  MemoryLimit limit;
  const std::int64_t first = limit.bytes();
  const long before = allocations;
  EXPECT_EQ(limit.bytes(), first);
  EXPECT_EQ(allocations, before);
}

TEST(SystemMemory, OfThisMachineIsConsistent) {
  const SystemMemory memory = read_system_memory();
  EXPECT_GT(memory.total, 64 * kMebibyte);
  EXPECT_LE(memory.available, memory.total);
  EXPECT_LE(memory.room(), memory.available);
  EXPECT_LE(memory.limit(), memory.total);
}

TEST(ProcessMemory, PeakRemembersWhatResidentGaveBack) {
  const std::int64_t before = resident_bytes();
  EXPECT_GT(before, kMebibyte);
  {
    std::vector<char> block(48 * kMebibyte, 1);
    EXPECT_GT(resident_bytes(), before + 40 * kMebibyte);
  }
  EXPECT_GE(peak_resident_bytes(), before + 40 * kMebibyte);
  EXPECT_GE(peak_resident_bytes(), resident_bytes());
}

TEST(ProcessMemory, IsReadWithoutAllocating) {
  const long before = allocations;
  const std::int64_t sum = resident_bytes() + peak_resident_bytes();
  const long after = allocations;
  EXPECT_EQ(after, before);
  EXPECT_GT(sum, 0);
}

}  // namespace
}  // namespace ingot
