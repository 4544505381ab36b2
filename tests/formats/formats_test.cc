// Shards, states of `ingot prepare` and checkpoints that earlier builds wrote: this one reads them,
// finds the same values in them and goes on from them. What users have must not become unreadable.
#include <gtest/gtest.h>

#include "data/prepare/prepare_state.h"
#include "planning/planner.h"
#include "tests/formats/format_golden.h"
#include "tests/tiny_run.h"
#include "training/steps/training_engine.h"
#include "weights/checkpoint.h"
#include "weights/saved_states.h"
#include "weights/weight_copy.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kRoot = fs::absolute("tests/golden/formats");

// A copy that may be written to: Bazel's is one of links.
void copy_golden(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path target = to / entry.path().lexically_relative(from);
    if (fs::is_directory(entry)) {
      fs::create_directories(target);
    } else {
      put_file(target, contents_of(entry.path()));
    }
  }
}

std::vector<std::string> builds() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kRoot)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

TEST(Formats, ThereIsAGoldenOfEveryBuildThatChangedOne) {
  ASSERT_FALSE(builds().empty());
  EXPECT_EQ(builds().front(), "build_1");
}

class OfBuild : public testing::TestWithParam<std::string> {
 protected:
  OfBuild() { copy_golden(kRoot / GetParam(), folder_.path()); }

  TestFolder folder_{fast_temporary_folder()};
};

TEST_P(OfBuild, PrepareGoesOnAfterItsFirstShardAndComesToTheSameShards) {
  const PrepareResult result = prepare(golden_preparation(folder_.path(), "killed"));
  fs::current_path("/");
  EXPECT_EQ(result.resumed_shards, 1u);
  int shards = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "data")) {
    const std::string name = entry.path().filename();
    if (!name.ends_with(".bin") && !name.ends_with(".idx")) continue;
    EXPECT_TRUE(contents_of(entry.path()) == contents_of(folder_ / "killed" / name)) << name;
    ++shards;
  }
  EXPECT_GE(shards, 6);  // files of two training shards and one of validation
}

std::vector<std::string> golden_run_names() {
  std::vector<std::string> names;
  for (const auto& [name, text] : golden_runs()) names.push_back(name);
  return names;
}

// The values of a checkpoint must be the same to the bit, whoever reads them.
TEST_P(OfBuild, CheckpointsHoldTheSameValues) {
  for (const std::string& name : golden_run_names()) {
    SCOPED_TRACE(name);
    const json expected = json::parse(contents_of(folder_ / name / "values.json"));
    const auto reader = CheckpointReader::open(folder_ / name / checkpoint_name(kGoldenStep));
    EXPECT_EQ(reader.step(), kGoldenStep);
    const json states = described_states(reader);
    EXPECT_EQ(states.size(), expected.at("states").size());
    EXPECT_GT(states.size(), 30u);
    for (const auto& [state, values] : expected.at("states").items()) {
      EXPECT_EQ(states.value(state, json()), values) << state;
    }
  }
}

TEST_P(OfBuild, RunsLoadTheSameValues) {
  for (const std::string& name : golden_run_names()) {
    SCOPED_TRACE(name);
    const json expected = json::parse(contents_of(folder_ / name / "values.json")).at("states");
    const RunConfig config = load_run_config(folder_ / name / "run.json", {});
    cpu::CpuBackend backend = tiny_backend(2);
    TrainingEngine engine(plan_training(config, backend), backend, config);
    load_checkpoint(CheckpointReader::open(folder_ / name / checkpoint_name(kGoldenStep)),
                    engine.executor());
    const Program& program = engine.executor().program();
    std::size_t compared = 0;
    for (const SavedState& state : saved_states(program, saved_sets(program))) {
      std::vector<float> values(state.part->shape.elements());
      read_weight_part(engine.executor(), state.state(), *state.part, values);
      EXPECT_EQ(described(values), expected.value(state.name, json())) << state.name;
      ++compared;
    }
    EXPECT_EQ(compared, expected.size());
  }
}

// Between levels of kernels these losses differ by 4e-8 in fp32 and 8e-5 in bf16 (measured on all
// five). Wrong data, moments or place in the schedule change them by more.
TEST_P(OfBuild, RunsGoOnAsTheyDidAndEvaluateAsTheyDid) {
  for (const std::string& name : golden_run_names()) {
    SCOPED_TRACE(name);
    const double tolerance = name == "fp32" ? 1e-6 : 5e-4;
    const json expected = json::parse(contents_of(folder_ / name / "values.json"));
    const double evaluation = expected.at("evaluation");
    EXPECT_NEAR(evaluation_loss(folder_ / name / checkpoint_name(kGoldenStep)), evaluation,
                tolerance * evaluation);
    const auto losses = train_golden(folder_ / name, kGoldenEnd);
    ASSERT_EQ(losses.size(), expected.at("losses").size());
    for (std::size_t i = 0; i < losses.size(); ++i) {
      const double loss = expected.at("losses")[i];
      EXPECT_NEAR(losses[i], loss, tolerance * loss) << "step " << kGoldenStep + 1 + i;
    }
  }
}

// What a later build writes is refused by name, not guessed at. (Shards and manifests: shard_test,
// checkpoint_files_test.)
TEST_P(OfBuild, AVersionOfTomorrowIsRefusedByName) {
  std::string state = contents_of(folder_ / "killed/prepare.json");
  const auto at = state.find("\"format\": 1");
  ASSERT_NE(at, std::string::npos);
  state.replace(at, 11, "\"format\": 9");
  expect_error(
      ErrorCode::data, [&] { parse_state(state, "prepare.json"); }, "another format");

  const auto reader = CheckpointReader::open(folder_ / "int8" / checkpoint_name(kGoldenStep));
  json manifest = json::parse(reader.manifest_text());
  for (const char* own : {"manifest_xxh3", "format_version", "step", "sequence", "files"}) {
    manifest.erase(own);
  }
  manifest["state_forms"] = 9;
  CheckpointWriter(folder_.path(), 1, {}).commit(manifest.dump());
  const RunConfig config = load_run_config(folder_ / "int8/run.json", {});
  cpu::CpuBackend backend = tiny_backend(1);
  TrainingEngine engine(plan_training(config, backend), backend, config);
  const auto tomorrow = CheckpointReader::open(folder_ / checkpoint_name(1));
  expect_error(
      ErrorCode::data, [&] { load_checkpoint(tomorrow, engine.executor()); }, "version 9",
      "version 1");
}

INSTANTIATE_TEST_SUITE_P(Goldens, OfBuild, testing::ValuesIn(builds()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot
