// A run that was interrupted and resumed leaves what an uninterrupted one does, bit for bit.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "io/directory_lock.h"
#include "tests/forwarding_backend.h"
#include "tests/tiny_run.h"
#include "weights/checkpoint.h"

namespace ingot {
namespace {

using std::filesystem::path;

constexpr std::int64_t kSteps = 8;

// Puts one checkpoint of `from` into the empty run directory `to`, with the metrics so far.
void transplant(const path& from, const path& to, std::int64_t step) {
  std::filesystem::create_directories(to);
  std::filesystem::copy(from / checkpoint_name(step), to / checkpoint_name(step),
                        std::filesystem::copy_options::recursive);
  std::filesystem::copy(from / "metrics.jsonl", to / "metrics.jsonl");
}

void expect_same_run(const path& run, const path& expected) {
  for (const std::string& name : CheckpointReader::list(run)) {
    EXPECT_EQ(checkpoint_contents(run / name), checkpoint_contents(expected / name)) << run / name;
  }
  EXPECT_EQ(timeless_metrics(run), timeless_metrics(expected));
}

class Resume : public testing::TestWithParam<std::pair<const char*, const char*>> {};

// 23 samples and 4 a step: step 6 crosses into the second epoch within a micro-batch.
TEST_P(Resume, AtAnyStepWithAnyThreadsEqualsTheUninterruptedRun) {
  const auto [family, compute] = GetParam();
  const TinyRun run(family, compute);
  ASSERT_EQ(run.train("whole"), 0);
  ASSERT_EQ(timeless_metrics(run.directory("whole")).size(), kSteps + 2);  // 2 validations
  for (std::int64_t step = 1; step < kSteps; ++step) {
    const std::string name = "from " + std::to_string(step);
    transplant(run.directory("whole"), run.directory(name), step);
    const int threads = 1 + static_cast<int>(step % 3);
    ASSERT_EQ(run.train(name, {}, {.threads = threads, .quiet = true}), 0);
    EXPECT_EQ(CheckpointReader::list(run.directory(name)).size(), 1 + kSteps - step);
    expect_same_run(run.directory(name), run.directory("whole"));
  }
}

TEST_P(Resume, AfterEverySingleStepEqualsTheUninterruptedRun) {
  const auto [family, compute] = GetParam();
  const TinyRun run(family, compute);
  ASSERT_EQ(run.train("whole"), 0);
  for (std::int64_t step = 1; step <= kSteps; ++step) {
    ASSERT_EQ(run.train("pieces", {}, {.steps = step, .threads = 1, .quiet = true}), 0);
  }
  EXPECT_EQ(CheckpointReader::list(run.directory("pieces")).size(), kSteps);
  for (std::int64_t step = 1; step <= kSteps; ++step) {
    const std::string name = checkpoint_name(step);
    EXPECT_EQ(checkpoint_contents(run.directory("pieces") / name),
              checkpoint_contents(run.directory("whole") / name));
  }
  EXPECT_EQ(metric(run.directory("pieces"), "loss"), metric(run.directory("whole"), "loss"));
}

INSTANTIATE_TEST_SUITE_P(Runs, Resume,
                         testing::Values(std::pair{"llama", "fp32"}, std::pair{"llama", "bf16"},
                                         std::pair{"deepseek_v3", "fp32"},
                                         std::pair{"deepseek_v3", "bf16"},
                                         std::pair{"deepseek_v3", "fp16"}),
                         [](const auto& info) {
                           return std::string(info.param.first) + "_" + info.param.second;
                         });

// Averages of one rule say nothing to another.
TEST(ResumeWithAnotherOptimizer, IsNamedAndBeginsItsAveragesAnew) {
  for (const auto& [before, after] : {std::pair{"adamw", "muon"}, {"muon", "adamw"}}) {
    const TinyRun run("llama", "fp32");
    ASSERT_EQ(run.train("run", {setting("optimizer.type", before)},
                        {.steps = 4, .threads = 2, .quiet = true}),
              0);
    testing::internal::CaptureStdout();
    ASSERT_EQ(run.train("run", {setting("optimizer.type", after)}, {.steps = 6, .threads = 2}), 0);
    const std::string said = testing::internal::GetCapturedStdout();
    const auto quoted = [](const char* name) { return '"' + std::string(name) + '"'; };
    EXPECT_NE(
        said.find("optimizer.type is " + quoted(after) + " from here on; it was " + quoted(before)),
        std::string::npos)
        << said;
    // As from the same weights in a run that has had no optimizer.
    const auto trainer = nlohmann::json::parse(
        checkpoint_contents(run.directory("run") / checkpoint_name(6)).at("trainer"));
    EXPECT_EQ(trainer["updates"], 2);
    EXPECT_EQ(trainer["step"], 6);
    const auto losses = metric(run.directory("run"), "loss");
    EXPECT_LT(losses[5], losses[3] + 0.5);  // no leap
  }
}

TEST(ResumeWithOtherSettings, NamesEachWithBothValues) {
  const TinyRun run;
  ASSERT_EQ(run.train("run", {}, {.steps = 2, .threads = 2, .quiet = true}), 0);
  testing::internal::CaptureStdout();
  ASSERT_EQ(run.train("run", {"optimizer.learning_rate=0.002", "optimizer.state=int8"},
                      {.steps = 3, .threads = 2}),
            0);
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_NE(said.find("optimizer.learning_rate is 0.002 from here on; it was 0.01"),
            std::string::npos)
      << said;
  EXPECT_NE(said.find("optimizer.state is \"int8\" from here on; it was \"fp32\""),
            std::string::npos);
}

class Damage : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(run_.train("whole"), 0);
    ASSERT_EQ(run_.train("run", {}, {.steps = 5, .threads = 2, .quiet = true}), 0);
  }

  path newest() const { return run_.directory("run") / checkpoint_name(5); }

  // Goes on to the end; returns what was said.
  std::string resume() {
    testing::internal::CaptureStdout();
    EXPECT_EQ(run_.train("run", {}, {.threads = 2}), 0);
    return testing::internal::GetCapturedStdout();
  }

  void expect_resumed_from(const std::string& said, std::int64_t step) const {
    const std::size_t line = said.find("resumed from ");
    ASSERT_NE(line, std::string::npos) << said;
    const std::string from = said.substr(line, said.find('\n', line) - line);
    EXPECT_TRUE(from.ends_with("/run/" + checkpoint_name(step))) << from;
  }

  TinyRun run_;
};

TEST_F(Damage, OfATensorInTheNewestCheckpointIsNamedAndTheOneBeforeIsUsed) {
  const path file = newest() / "tensors-00001-of-00001.safetensors";
  std::string bytes = contents_of(file);
  bytes[bytes.size() / 2] ^= 1;
  put_file(file, bytes);
  const std::string said = resume();
  EXPECT_NE(said.find("damaged checkpoint step_00000005 passed over"), std::string::npos) << said;
  EXPECT_NE(said.find("tensors-00001-of-00001.safetensors"), std::string::npos) << said;
  expect_resumed_from(said, 4);
  expect_same_run(run_.directory("run"), run_.directory("whole"));  // step 5 was written again
}

TEST_F(Damage, OfTheManifestIsNamedAndTheOneBeforeIsUsed) {
  std::string text = contents_of(newest() / "manifest.json");
  text[text.find("\"step\": 5") + 8] = '6';
  put_file(newest() / "manifest.json", text);
  const std::string said = resume();
  EXPECT_NE(said.find("damaged checkpoint step_00000005 passed over"), std::string::npos) << said;
  expect_resumed_from(said, 4);
}

TEST_F(Damage, ATruncatedFileIsNamedAndTheOneBeforeIsUsed) {
  const path file = newest() / "tensors-00001-of-00001.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  const std::string said = resume();
  EXPECT_NE(said.find("damaged checkpoint step_00000005 passed over"), std::string::npos) << said;
  expect_resumed_from(said, 4);
}

TEST_F(Damage, AHalfWrittenCheckpointIsNoCheckpoint) {
  std::filesystem::rename(newest(), newest().string() + ".partial");
  expect_resumed_from(resume(), 4);
  EXPECT_FALSE(std::filesystem::exists(newest().string() + ".partial"));
  expect_same_run(run_.directory("run"), run_.directory("whole"));
}

TEST_F(Damage, OfAllCheckpointsStopsTheRunInsteadOfStartingItAgain) {
  for (const std::string& name : CheckpointReader::list(run_.directory("run"))) {
    std::filesystem::remove(run_.directory("run") / name / "manifest.json");
    put_file(run_.directory("run") / name / "manifest.json", "{}");
  }
  expect_error(
      ErrorCode::data, [&] { run_.train("run"); }, "every checkpoint of this run is damaged");
  EXPECT_EQ(CheckpointReader::list(run_.directory("run")).size(), 5u);
}

TEST_F(Damage, OfANamedCheckpointIsAnErrorThatNamesTheFile) {
  put_file(newest() / "tensors-00001-of-00001.safetensors", "");
  expect_error(
      ErrorCode::data,
      [&] { run_.train("run", {}, {.resume = newest().string(), .threads = 1, .quiet = true}); },
      "tensors-00001-of-00001.safetensors");
}

TEST(ResumeOption, NoneRefusesToContinueAnEarlierRun) {
  const TinyRun run;
  ASSERT_EQ(run.train("run", {}, {.steps = 2, .threads = 1, .quiet = true}), 0);
  const auto before = checkpoint_contents(run.directory("run") / checkpoint_name(2));
  expect_error(
      ErrorCode::usage,
      [&] { run.train("run", {}, {.resume = "none", .threads = 1, .quiet = true}); },
      "checkpoints of an earlier run", "--resume auto");
  EXPECT_EQ(checkpoint_contents(run.directory("run") / checkpoint_name(2)), before);
  EXPECT_EQ(run.train("other", {}, {.resume = "none", .threads = 1, .quiet = true}), 0);
}

TEST(ResumeOption, AFolderGoesOnFromThatCheckpoint) {
  const TinyRun run;
  ASSERT_EQ(run.train("whole"), 0);
  const std::string from = (run.directory("whole") / checkpoint_name(3)).string();
  ASSERT_EQ(run.train("branch", {}, {.resume = from, .threads = 2, .quiet = true}), 0);
  EXPECT_EQ(CheckpointReader::list(run.directory("branch")).size(), kSteps - 3);
  EXPECT_EQ(checkpoint_contents(run.directory("branch") / checkpoint_name(kSteps)),
            checkpoint_contents(run.directory("whole") / checkpoint_name(kSteps)));
}

TEST(ResumeOption, AnotherModelIsRefusedByTheKeyThatDiffersWithBothValues) {
  const TinyRun run;
  ASSERT_EQ(run.train("run", {}, {.steps = 1, .threads = 1, .quiet = true}), 0);
  std::string model = contents_of(run.folder() / "model.json");
  model.replace(model.find("\"intermediate_size\": 48"), 23, "\"intermediate_size\": 40");
  put_file(run.folder() / "model.json", model);
  expect_error(
      ErrorCode::data, [&] { run.train("run"); }, "model.intermediate_size is 40",
      "the checkpoint has 48");
}

TEST(Keep, OnlyTheNewestCheckpointsStay) {
  const TinyRun run;
  ASSERT_EQ(run.train("run", {"checkpoint.keep=2"}), 0);
  EXPECT_EQ(CheckpointReader::list(run.directory("run")),
            (std::vector<std::string>{checkpoint_name(kSteps - 1), checkpoint_name(kSteps)}));
}

// A run that finds no folder looks for others again once it is made: between the two, another may
// have begun there.
TEST(Resume, TwoRunsThatBeginAtOnceInANewFolderDoNotShareIt) {
  const TinyRun run;
  struct Other final : ForwardingBackend {
    Other(int threads, std::filesystem::path folder) : ForwardingBackend(threads), folder(folder) {}
    std::unique_ptr<Memory> allocate(Place place, std::int64_t bytes,
                                     const std::filesystem::path& in = {}) override {
      std::filesystem::create_directory(folder);
      began = began || lock.take(folder);
      return ForwardingBackend::allocate(place, bytes, in);
    }
    std::filesystem::path folder;
    DirectoryLock lock;
    bool began = false;
  };
  Other backend(2, run.directory("new"));
  expect_error(
      ErrorCode::usage,
      [&] { train(run.config("new"), {.threads = 2, .quiet = true}, backend, 0); },
      "another run is writing");
  EXPECT_TRUE(backend.began);
}

}  // namespace
}  // namespace ingot
