// After its first step a run takes no memory from the heap, on any thread, logging and validation
// included. malloc counts its calls in this program, hence a test of its own.
#include <gtest/gtest.h>

#include <thread>

#include "tests/counted_allocations.h"
#include "tests/forwarding_backend.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

// Notes the count of allocations whenever the host reads something: once a step, and for each batch
// of a validation.
class CountingBackend final : public ForwardingBackend {
 public:
  CountingBackend() : ForwardingBackend(2) { counts_.reserve(1000); }
  void read(std::span<std::byte> host, Range from) override {
    ForwardingBackend::read(host, from);
    counts_.push_back(heap_allocations);
  }

  const std::vector<std::int64_t>& counts() const { return counts_; }

 private:
  std::vector<std::int64_t> counts_;
};

TEST(Allocations, AreCounted) {
  const std::int64_t before = heap_allocations;
  const std::vector<int> something(10);
  EXPECT_EQ(heap_allocations, before + 1);
  EXPECT_EQ(something[3], 0);
  std::thread([] { const std::vector<int> of_another_thread(10); }).join();
  EXPECT_GT(heap_allocations, before + 2);
}

class Allocation : public testing::TestWithParam<std::pair<const char*, const char*>> {};

void expect_no_allocations(const TinyRun& run, std::vector<std::string> overrides) {
  constexpr std::int64_t kSteps = 12;
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
  constexpr std::size_t kReads = kSteps + kValidations * kBatches;  // then the run is saved
  ASSERT_GT(counts.size(), kReads);
  EXPECT_GT(counts.front(), 0);
  for (std::size_t i = 1; i < kReads; ++i)
    EXPECT_EQ(counts[i], counts[i - 1]) << "before read " << i;
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

// Neither the step's thread nor those that copy: calls of all threads are counted.
TEST_P(Allocation, NorDoCopiesOnQueuesOfTheirOwn) {
  expect_no_allocations(
      TinyRun(GetParam().first, GetParam().second),
      {"memory.offload=all", "memory.offload_directory=\".\"", "memory.fetch_ahead=2"});
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
