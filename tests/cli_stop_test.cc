// SIGTERM is obeyed at once, in the middle of a step that takes minutes, and nothing is lost.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/subprocess.h"
#include "tests/tiny_run.h"
#include "weights/checkpoint.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;

TEST(Stop, InTheMiddleOfALongStepTakesSecondsAndTheResumedRunIsTheUninterruptedOne) {
  const TinyRun run("deepseek_v3", "bf16");
  ASSERT_EQ(run.train("whole"), 0);
  const auto directory = run.directory("run");
  Clock::time_point sent;
  const ProcessOptions options{.while_running = [&](pid_t child) {
    // The folder is made once the program listens to signals.
    for (int i = 0; i < 60'000 && !std::filesystem::exists(directory); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
    sent = Clock::now();
    ::kill(child, SIGTERM);
  }};
  const std::string folder = "checkpoint.directory=" + directory.string();
  // A million micro-steps.
  const ProcessResult result = run_ingot(
      {"train", run.config_file(), "--set", folder, "--set", "batch.tokens_per_step=32000000"},
      options);
  EXPECT_EQ(result.exit_code, 128 + SIGTERM) << result.err;
  EXPECT_LT(std::chrono::duration<double>(Clock::now() - sent).count(), 5);
  EXPECT_EQ(CheckpointReader::list(directory), std::vector{checkpoint_name(0)});

  EXPECT_EQ(run_ingot({"train", run.config_file(), "--set", folder}).exit_code, 0);
  EXPECT_EQ(checkpoint_contents(directory / checkpoint_name(8)),
            checkpoint_contents(run.directory("whole") / checkpoint_name(8)));
  EXPECT_EQ(timeless_metrics(directory), timeless_metrics(run.directory("whole")));
}

}  // namespace
}  // namespace ingot
