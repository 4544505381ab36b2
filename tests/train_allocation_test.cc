// After its first step a run takes no memory from the heap, on any thread, logging and validation
// included. malloc counts its calls in this program, hence a test of its own.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "tests/tiny_run.h"

namespace {
std::atomic<std::int64_t> allocations{0};
}

extern "C" {
// NOLINTBEGIN: glibc's own
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
// NOLINTEND
void* malloc(std::size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* block, std::size_t size) noexcept {
  ++allocations;
  return __libc_realloc(block, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  ++allocations;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
  ++allocations;
  *block = __libc_memalign(alignment, size);
  return *block == nullptr ? ENOMEM : 0;
}
}

namespace ingot {
namespace {

// The CPU's kernels; notes the count of allocations whenever a part has run.
class CountingBackend final : public Backend {
 public:
  std::string description() const override { return cpu_.description(); }
  std::unique_ptr<Kernel> make_kernel(const Program& program, const Op& op) override {
    return cpu_.make_kernel(program, op);
  }
  std::unique_ptr<DeviceMemory> allocate(std::int64_t bytes) override {
    counts_.reserve(1000);
    return cpu_.allocate(bytes);
  }
  std::unique_ptr<DeviceMemory> allocate_offload(std::int64_t bytes,
                                                 const std::filesystem::path& folder) override {
    return cpu_.allocate_offload(bytes, folder);
  }
  void copy_to_device(std::byte* device, std::span<const std::byte> host) override {
    cpu_.copy_to_device(device, host);
  }
  void copy_to_host(std::span<std::byte> host, const std::byte* device) override {
    cpu_.copy_to_host(host, device);
  }
  void synchronize() override { counts_.push_back(allocations); }

  const std::vector<std::int64_t>& counts() const { return counts_; }

 private:
  cpu::CpuBackend cpu_ = tiny_backend(2);
  std::vector<std::int64_t> counts_;
};

TEST(Allocations, AreCounted) {
  const std::int64_t before = allocations;
  const std::vector<int> something(10);
  EXPECT_EQ(allocations, before + 1);
  EXPECT_EQ(something[3], 0);
  std::thread([] { const std::vector<int> of_another_thread(10); }).join();
  EXPECT_GT(allocations, before + 2);
}

class Allocation : public testing::TestWithParam<std::pair<const char*, const char*>> {};

void expect_no_allocations(const TinyRun& run, std::vector<std::string> overrides) {
  constexpr std::int64_t kSteps = 12, kPartsOfAStep = 3;  // two micro-steps and the update
  constexpr std::int64_t kValidations = 4, kBatches = 2;
  overrides.insert(overrides.end(), {"schedule.steps=12", "checkpoint.every=0",
                                     "log.validate_every=3", "spike.z_score=1000"});
  const RunConfig config = run.config("run", overrides);
  CountingBackend backend;
  testing::internal::CaptureStdout();  // the console's lines are written too
  ASSERT_EQ(train(config, {.threads = 2}, backend, /*peak_flops=*/1e9), 0);
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_NE(said.find("step 12/12"), std::string::npos);
  EXPECT_EQ(metric(run.directory("run"), "loss").size(), kSteps);
  const std::vector<std::int64_t>& counts = backend.counts();
  ASSERT_EQ(counts.size(), kSteps * kPartsOfAStep + kValidations * kBatches);
  EXPECT_GT(counts.front(), 0);
  for (std::size_t i = kPartsOfAStep; i < counts.size(); ++i) {
    EXPECT_EQ(counts[i], counts[i - 1]) << "before the end of part " << i;
  }
}

TEST_P(Allocation, StepsAfterTheFirstDoNoneLoggingAndValidationIncluded) {
  expect_no_allocations(TinyRun(GetParam().first, GetParam().second), {});
}

TEST_P(Allocation, NorDoCompressionRecomputationAndOffload) {
  expect_no_allocations(
      TinyRun(GetParam().first, GetParam().second),
      {"memory.activations=int8", "memory.offload=all", "memory.offload_directory=\".\""});
  expect_no_allocations(TinyRun(GetParam().first, GetParam().second),
                        {"memory.activations=recompute"});
}

INSTANTIATE_TEST_SUITE_P(Runs, Allocation,
                         testing::Values(std::pair{"llama", "fp32"}, std::pair{"qwen3", "bf16"},
                                         std::pair{"deepseek_v2", "bf16"},
                                         std::pair{"deepseek_v3", "bf16"},
                                         std::pair{"deepseek_v3", "fp16"}),
                         [](const auto& info) {
                           return std::string(info.param.first) + "_" + info.param.second;
                         });

}  // namespace
}  // namespace ingot
