// What a run leaves to look at: `ingot report`, event files, and which build wrote it.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/checkpoint_files.h"
#include "tests/subprocess.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Report : public testing::Test {
 protected:
  // The folder of a run of three steps.
  std::string trained(const std::string& name, const std::vector<std::string>& settings = {}) {
    const std::string folder = run_.directory(name).string();
    std::vector<std::string> words = {"train",
                                      run_.config_file(),
                                      "--quiet",
                                      "--steps",
                                      "3",
                                      "--set",
                                      "log.every=1",
                                      "--set",
                                      "checkpoint.directory=" + folder};
    for (const std::string& setting : settings) words.insert(words.end(), {"--set", setting});
    const ProcessResult result = run_ingot(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return folder;
  }

  TinyRun run_{"deepseek_v3"};
};

TEST_F(Report, ShowsRunsSideBySideWithTheirPlansAndConfigs) {
  const std::string one = trained("one"), two = trained("two", {"optimizer.learning_rate=1e-4"});
  const std::string page_file = run_.folder() / "page.html";
  const ProcessResult result = run_ingot({"report", one, two, "--output", page_file});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string page = contents_of(page_file);
  for (const char* part :
       {"Training loss", "Validation loss", "Learning rate", "Gradient norm", "Tokens a second",
        "Expert load", "Multi-token prediction loss", "Live memory over the ops of a step",
        "optimizer.learning_rate", "What differs", "g++"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(page.find("not shown"), std::string::npos);
}

TEST_F(Report, WorksBeforeTheFirstCheckpointAndRefusesOtherFolders) {
  const fs::path one = trained("one");
  for (const std::string& name : CheckpointReader::list(one)) fs::remove_all(one / name);
  const std::string page_file = run_.folder() / "page.html";
  EXPECT_EQ(run_ingot({"report", one, "--output", page_file}).exit_code, 0);
  EXPECT_NE(contents_of(page_file).find("there is no checkpoint yet"), std::string::npos);
  expect_failure(run_ingot({"report", run_.folder() / "data", "--output", page_file}), 3,
                 {"no metrics.jsonl", "checkpoint.directory"});
  expect_failure(run_ingot({"report"}), 2, {"RUN_DIR"});
}

TEST_F(Report, TheBuildStandsInTheLogTheManifestAndThePlan) {
  const fs::path one = trained("one");
  std::istringstream lines(contents_of(one / "metrics.jsonl"));
  std::string first;
  std::getline(lines, first);
  const std::string build = json::parse(first).at("build");
  EXPECT_NE(build.find("g++"), std::string::npos);
  const auto checkpoint = CheckpointReader::open(one / CheckpointReader::list(one).back());
  const json manifest = json::parse(checkpoint.manifest_text());
  EXPECT_EQ(manifest.at("build"), build);
  EXPECT_FALSE(manifest.at("kernels").get<std::string>().empty());
  const ProcessResult plan = run_ingot({"plan", run_.config_file(), "--json"});
  EXPECT_EQ(json::parse(plan.out).at("build"), build);
}

// What tensorboard reads of such a file: tests/bench/read_events.py.
TEST_F(Report, EventFilesAreWrittenWhereTheyAreAskedForOneForEachStart) {
  const auto event_files = [](const fs::path& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with("events.out.tfevents.")) {
        files.push_back(entry.path());
      }
    }
    return files;
  };
  EXPECT_TRUE(event_files(trained("without")).empty());
  const fs::path with = trained("with", {"log.tensorboard=true"});
  ASSERT_EQ(event_files(with).size(), 1u);
  const std::string bytes = contents_of(event_files(with)[0]);
  for (const char* tag : {"brain.Event:2", "loss/training", "loss/validation", "loss/mtp",
                          "optimizer/learning_rate", "experts/load_max_over_mean"}) {
    EXPECT_NE(bytes.find(tag), std::string::npos) << tag;
  }
  trained("with", {"log.tensorboard=true"});  // is at its end: nothing to add but the start
  EXPECT_EQ(event_files(with).size(), 2u);
}

}  // namespace
}  // namespace ingot
