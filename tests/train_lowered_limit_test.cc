// A limit on memory that is lowered while a run goes on: a made-up control group.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "backends/host/system_memory.h"
#include "tests/tiny_run.h"
#include "training/steps/trainer_state.h"
#include "weights/checkpoint.h"

namespace ingot {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

class LoweredLimit : public testing::Test {
 protected:
  void SetUp() override {
    write("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 16777216 kB\n");
    write("proc/self/mountinfo", "31 1 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    write("proc/self/cgroup", "0::/\n");
    limit_to(8192 * kMiB);
  }

  void write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = system_ / name;
    std::filesystem::create_directories(path.parent_path());
    put_file(path, text);
  }
  void limit_to(std::int64_t bytes) const {
    write("sys/fs/cgroup/memory.max", std::to_string(bytes) + "\n");
  }

  // Trains, lowers the limit after a few steps, and sends SIGTERM when that had its effect, or
  // none: the run itself would go on for hours. Returns what train() does.
  int train_until_limited_to(std::int64_t bytes, const std::string& effect = "") {
    std::jthread other([&] {
      const auto log = run_.directory("run") / "metrics.jsonl";
      while (!std::filesystem::exists(log) || metric(run_.directory("run"), "loss").size() < 5) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      limit_to(bytes);
      if (effect.empty()) return;
      // A look a second; a save follows it at once.
      for (int i = 0; i < 1000 && CheckpointReader::list(run_.directory("run")).empty(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      // So that the run is stopped by steps of the plan it has then, not on the way to it.
      const auto steps = [&] { return metric(run_.directory("run"), "loss").size(); };
      const std::size_t seen = steps();
      for (int i = 0; i < 1000 && steps() < seen + 10; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      ::raise(SIGTERM);
    });
    testing::internal::CaptureStdout();
    const int result =
        run_.train("run", {"schedule.steps=1000000", "checkpoint.every=0", "log.validate_every=0"},
                   {.threads = 2, .quiet = false, .system_root = system_.path().string()});
    const std::string said = testing::internal::GetCapturedStdout();
    EXPECT_NE(said.find(effect), std::string::npos) << said.substr(said.size() - 2000);
    return result;
  }

  TestFolder system_{fast_temporary_folder()};
  TinyRun run_;
};

TEST_F(LoweredLimit, BelowWhatAnyPlanNeedsSavesAndEndsTheRunWithTheSmallestBudget) {
  expect_error(
      ErrorCode::budget, [&] { train_until_limited_to(kMiB); }, "lowered", "saved at step",
      "smallest budget");
  testing::internal::GetCapturedStdout();
  const auto steps = metric(run_.directory("run"), "step");
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(CheckpointReader::list(run_.directory("run")),
            std::vector{checkpoint_name(static_cast<std::int64_t>(steps.back()))});
}

// The guard of 64 MiB is gone, but not what the run needs.
TEST_F(LoweredLimit, ThatTheOldPlanStillKeepsOnlyWarns) {
  EXPECT_EQ(train_until_limited_to(resident_bytes() + 40 * kMiB, "goes on with its old plan"),
            128 + SIGTERM);
}

TEST_F(LoweredLimit, ThatLeavesRoomMakesANewPlan) {
  EXPECT_EQ(train_until_limited_to(4096 * kMiB, "the memory budget changed; so far"),
            128 + SIGTERM);
  // It went on with the data where the old plan stood, and with Adam's count: 4 sequences a step,
  // 23 in an epoch.
  const auto found =
      CheckpointReader::find_newest_good(run_.directory("run"), [](const auto&, const auto&) {});
  ASSERT_TRUE(found);
  const TrainerState state = load_trainer_state(*found).value();
  EXPECT_EQ(state.data, (DataPosition{state.step * 4 / 23, state.step * 4 % 23}));
  EXPECT_EQ(state.updates, state.step);
  EXPECT_GT(state.step, 5);
}

}  // namespace
}  // namespace ingot
