// The program under signals: SIGINT, SIGTERM and SIGHUP save and leave, SIGKILL at any moment loses
// at most the steps since the last save, and the resumed run is the uninterrupted one.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "engine/numbers/random.h"
#include "tests/subprocess.h"
#include "tests/tiny_run.h"
#include "weights/checkpoint.h"

namespace ingot {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kSteps = 400;

class Signals : public testing::Test {
 protected:
  void SetUp() override {
    const ProcessResult result = train("whole");
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expected_ = checkpoint_contents(run_.directory("whole") / checkpoint_name(kSteps));
  }

  ProcessResult train(const std::string& name, const ProcessOptions& options = {}) const {
    return run_ingot({"train", run_.config_file(), "--set",
                      "checkpoint.directory=" + run_.directory(name).string(), "--set",
                      "schedule.steps=" + std::to_string(kSteps), "--set", "checkpoint.every=50",
                      "--set", "checkpoint.keep=2", "--set", "log.validate_every=100"},
                     options);
  }

  std::vector<std::string> checkpoints(const std::string& name) const {
    return CheckpointReader::list(run_.directory(name));
  }

  void expect_equal_to_whole(const std::string& name) const {
    EXPECT_EQ(checkpoint_contents(run_.directory(name) / checkpoint_name(kSteps)), expected_);
    EXPECT_EQ(timeless_metrics(run_.directory(name)), timeless_metrics(run_.directory("whole")));
  }

  // Sends the signal once the run's log has that many lines.
  ProcessOptions signal_after(const std::string& name, std::int64_t lines, int signal) const {
    return {.while_running = [this, name, lines, signal](pid_t child) {
      const auto log = run_.directory(name) / "metrics.jsonl";
      for (int i = 0; i < 20000; ++i) {
        std::this_thread::sleep_for(milliseconds(1));
        std::error_code missing;
        if (std::filesystem::file_size(log, missing) > 250 * static_cast<std::uintmax_t>(lines) &&
            !missing) {
          break;
        }
      }
      ::kill(child, signal);
    }};
  }

  TinyRun run_{"deepseek_v3", "bf16"};
  std::map<std::string, std::string> expected_;
};

TEST_F(Signals, InterruptTerminateAndHangUpSaveLeaveAndResumeExactly) {
  std::int64_t lines = 20;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const ProcessResult result = train("run", signal_after("run", lines, signal));
    EXPECT_EQ(result.exit_code, 128 + signal) << result.err;
    EXPECT_NE(result.out.find("saved "), std::string::npos);
    ASSERT_FALSE(checkpoints("run").empty());
    EXPECT_LT(checkpoints("run").back(), checkpoint_name(kSteps));
    lines += 100;
  }
  EXPECT_EQ(train("run").exit_code, 0);
  expect_equal_to_whole("run");
}

TEST_F(Signals, KilledAtRandomMomentsTheRunGetsToTheSameEnd) {
  int kills = 0;
  for (std::uint64_t attempt = 0;; ++attempt) {
    // Later and later, so that it ends; a random part hits saves, validations and the start.
    const double wait =
        15.0 * static_cast<double>(attempt + 1) + 60 * random_uniform(5, 0, attempt);
    const ProcessResult result =
        train("run", {.while_running = [wait](pid_t child) {
                std::this_thread::sleep_for(milliseconds(static_cast<int>(wait)));
                ::kill(child, SIGKILL);
              }});
    if (result.exit_code == 0) break;
    ASSERT_EQ(result.signal, SIGKILL) << result.err;
    ++kills;
    ASSERT_LT(kills, 100);
  }
  EXPECT_GT(kills, 2);
  EXPECT_EQ(checkpoints("run").size(), 2u);
  expect_equal_to_whole("run");
}

}  // namespace
}  // namespace ingot
