// Ranks as users start them: mpirun and the real program.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/subprocess.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

// Sequences of a step are 4: up to 4 ranks of one each.
std::vector<std::string> training(const TinyRun& run, const std::string& name,
                                  std::vector<std::string> more = {}) {
  std::vector<std::string> words = {"train", run.config_file().string(),
                                    "--set", "checkpoint.directory=" + run.directory(name).string(),
                                    "--set", "batch.micro_batch=1"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

ProcessResult run_ranks(int ranks, std::vector<std::string> program,
                        std::function<void(pid_t)> while_running = {}) {
  std::vector<std::string> words = {
      "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", std::to_string(ranks)};
  words.insert(words.end(), program.begin(), program.end());
  return run_ingot(words, {.program = "/usr/bin/mpirun",
                           .environment = {"TMPDIR=/tmp", "OMPI_MCA_mpi_yield_when_idle=1"},
                           .while_running = std::move(while_running)});
}

ProcessResult train_on(int ranks, std::vector<std::string> arguments,
                       std::function<void(pid_t)> while_running = {}) {
  arguments.insert(arguments.begin(), std::filesystem::absolute("tools/ingot").string());
  return run_ranks(ranks, std::move(arguments), std::move(while_running));
}

void expect_near(const std::vector<double>& a, const std::vector<double>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a[i], b[i], 1e-5 * std::fabs(b[i])) << "line " << i;  // order of sums
  }
}

TEST(Mpirun, RanksLearnWhatOneProcessDoes) {
  const TinyRun run("deepseek_v3");
  ASSERT_EQ(run_ingot(training(run, "one")).exit_code, 0);
  for (const int ranks : {2, 4}) {
    const std::string name = std::to_string(ranks);
    const ProcessResult result = train_on(ranks, training(run, name));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find("; " + name + " ranks"), std::string::npos) << result.out;
    for (const char* number :
         {"loss", "grad_norm", "validation_loss", "mtp_loss", "expert_load_max_over_mean"}) {
      SCOPED_TRACE(number);
      expect_near(metric(run.directory(name), number), metric(run.directory("one"), number));
    }
  }
}

TEST(Mpirun, ACheckpointGoesOnWithAnyNumberOfRanks) {
  const TinyRun run("llama");
  ASSERT_EQ(run_ingot(training(run, "whole")).exit_code, 0);
  ASSERT_EQ(train_on(4, training(run, "parts", {"--steps", "2"})).exit_code, 0);
  ASSERT_EQ(run_ingot(training(run, "parts", {"--steps", "4"})).exit_code, 0);
  ASSERT_EQ(train_on(2, training(run, "parts")).exit_code, 0);
  expect_near(metric(run.directory("parts"), "loss"), metric(run.directory("whole"), "loss"));
}

TEST(Mpirun, ARankWithAnotherConfigIsNamedBeforeMemoryIsTaken) {
  const TinyRun run;
  std::string command = std::filesystem::absolute("tools/ingot").string();
  for (const std::string& word : training(run, "differs")) command += " '" + word + "'";
  const ProcessResult result =
      run_ranks(4, {"sh", "-c", command + " --set seed=$((OMPI_COMM_WORLD_RANK / 3))"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("the config of rank 3 is not that of rank 0"), std::string::npos)
      << result.err;
}

TEST(Mpirun, AnotherNumberThanTheConfigNamesIsRefused) {
  const TinyRun run;
  const ProcessResult result = train_on(2, training(run, "four", {"--set", "parallel.data=4"}));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("\"parallel.data\" is 4, and 2 were started"), std::string::npos)
      << result.err;
  expect_failure(run_ingot(training(run, "four", {"--set", "parallel.data=4"})), 2,
                 {"\"parallel.data\" is 4, and 1 process was started", "mpirun -np 4"});
}

// The processes that mpirun started.
std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  const std::string number = std::to_string(parent);
  std::ifstream list("/proc/" + number + "/task/" + number + "/children");
  for (pid_t child; list >> child;) children.push_back(child);
  return children;
}

template <class Holds>
bool becomes_true(Holds holds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

TEST(Mpirun, ARankThatDiesEndsTheJobAndNothingIsLostButTheStepsSinceTheLastSave) {
  const TinyRun run("llama");
  const std::vector<std::string> longer = {"--set", "schedule.steps=100000",
                                           "--set", "checkpoint.keep=2",
                                           "--set", "checkpoint.every=5"};
  bool killed = false;
  const ProcessResult result = train_on(2, training(run, "dies", longer), [&](pid_t mpirun) {
    const auto saved = [&] {
      return std::filesystem::exists(run.directory("dies") / "step_00000005");
    };
    if (!becomes_true(saved)) return;
    const std::vector<pid_t> ranks = children_of(mpirun);
    killed = ranks.size() == 2 && kill(ranks[1], SIGKILL) == 0;
    if (!killed) kill(mpirun, SIGKILL);
  });
  ASSERT_TRUE(killed);
  EXPECT_NE(result.exit_code, 0);
  const ProcessResult again =
      train_on(2, training(run, "dies", {"--set", "schedule.steps=100000", "--steps", "6"}));
  EXPECT_NE(again.out.find("resumed from"), std::string::npos) << again.out << again.err;
}

TEST(Mpirun, ARankThatIsStoppedEndsTheJobAndIsNamed) {
  const TinyRun run("llama");
  bool stopped = false;
  const auto start = std::chrono::steady_clock::now();
  const ProcessResult result =
      train_on(2, training(run, "hangs", {"--set", "schedule.steps=100000"}), [&](pid_t mpirun) {
        const auto saved = [&] {
          return std::filesystem::exists(run.directory("hangs") / "step_00000002");
        };
        if (!becomes_true(saved)) return;
        const std::vector<pid_t> ranks = children_of(mpirun);
        stopped = ranks.size() == 2 && kill(ranks[1], SIGSTOP) == 0;
        if (!stopped) kill(mpirun, SIGKILL);
      });
  ASSERT_TRUE(stopped);
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_NE(result.err.find("rank 1 is silent"), std::string::npos) << result.err;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(45));
}

TEST(Mpirun, SigusrTwoToMpirunSavesAndEndsWithZero) {
  const TinyRun run("llama");
  const std::vector<std::string> longer = {"--set", "schedule.steps=100000", "--set",
                                           "checkpoint.every=0"};
  const ProcessResult result = train_on(2, training(run, "asked", longer), [&](pid_t mpirun) {
    const auto trains = [&] {
      const auto file = run.directory("asked") / "metrics.jsonl";
      return std::filesystem::exists(file) && std::filesystem::file_size(file) > 0;
    };
    becomes_true(trains);
    kill(mpirun, SIGUSR2);
  });
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("saved "), std::string::npos) << result.out;
}

}  // namespace
}  // namespace ingot
