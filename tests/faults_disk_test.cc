// The disk gives out: what was saved stays, and the message says so.
#include <gtest/gtest.h>

#include "tests/subprocess.h"
#include "tests/tiny_run.h"
#include "weights/checkpoint.h"

namespace ingot {
namespace {

std::vector<std::string> train_arguments(const TinyRun& run, const std::string& directory) {
  return {"train", run.config_file(), "--set", "checkpoint.directory=" + directory};
}

TEST(FullDisk, DuringASaveLeavesEarlierCheckpointsIntactAndSaysSo) {
  const TinyRun run("llama", "bf16");
  const std::string directory = run.directory("run");
  auto arguments = train_arguments(run, directory);
  arguments.insert(arguments.end(), {"--steps", "3"});
  ASSERT_EQ(run_ingot(arguments).exit_code, 0);
  const auto before = checkpoint_contents(run.directory("run") / checkpoint_name(3));

  // The tensors of a checkpoint take some 250 KB.
  const ProcessResult result =
      run_ingot(train_arguments(run, directory), {.largest_file = 100'000});
  expect_failure(result, 6, {"tensors-00001-of-00001.safetensors"});
  EXPECT_EQ(CheckpointReader::list(directory).size(), 3u);
  EXPECT_EQ(checkpoint_contents(run.directory("run") / checkpoint_name(3)), before);

  EXPECT_EQ(run_ingot(train_arguments(run, directory)).exit_code, 0);
  ASSERT_EQ(run.train("whole"), 0);
  EXPECT_EQ(checkpoint_contents(run.directory("run") / checkpoint_name(8)),
            checkpoint_contents(run.directory("whole") / checkpoint_name(8)));
}

TEST(FullDisk, IsSeenByPrepareExportAndImport) {
  const TinyRun run;
  ASSERT_EQ(run.train("run", {}, {.steps = 1, .threads = 1, .quiet = true}), 0);
  const ProcessOptions small{.largest_file = 10'000};
  const std::string exported = run.folder() / "exported";
  expect_failure(run_ingot({"export", run.directory("run"), exported}, small), 6, {exported});
  EXPECT_FALSE(std::filesystem::exists(exported + "/model.safetensors"));

  ASSERT_EQ(run_ingot({"export", run.directory("run"), exported}).exit_code, 0);
  const std::string imported = run.folder() / "imported";
  expect_failure(run_ingot({"import", exported, imported}, small), 6, {imported});
  EXPECT_TRUE(CheckpointReader::list(imported).empty());

  put_file(run.folder() / "text.txt", std::string(40'000, 'x') + contents_of(run.config_file()));
  const std::string shards = run.folder() / "shards";
  expect_failure(run_ingot({"prepare", "--input", run.folder() / "text.txt", "--tokenizer", "train",
                            "--vocab", "257", "--output", shards},
                           {.largest_file = 5'000}),
                 6, {shards});
}

TEST(ReadOnlyFolder, IsRefusedBeforeTheFirstStep) {
  const TinyRun run;
  // Nobody, not even root, makes folders in /proc.
  const ProcessResult result = run_ingot(train_arguments(run, "/proc/runs/tiny"));
  expect_failure(result, 6, {"/proc/runs"});
  EXPECT_EQ(result.out.find("step 1/"), std::string::npos);
}

// There is room and nothing to read, and still it can't be made: a link to nowhere has the name.
TEST(ReadOnlyFolder, ThatCannotBeMadeIsRefusedBeforeTheFirstStep) {
  const TinyRun run;
  std::filesystem::create_symlink(run.folder() / "no" / "where", run.folder() / "run");
  const ProcessResult result = run_ingot(train_arguments(run, run.directory("run")));
  expect_failure(result, 6, {"cannot create the folder", run.directory("run").string()});
  EXPECT_EQ(result.out.find("step 1/"), std::string::npos);
}

TEST(FullDisk, UnderTheConsoleLosesResultsLoudlyButNoTraining) {
  const TinyRun run;
  const auto shell = [](const std::string& command) {
    return run_ingot({"-c", command}, {.program = "/bin/sh"});
  };
  const std::string config = run.config_file();
  const ProcessResult plan = shell("tools/ingot plan " + config + " > /dev/full");
  expect_failure(plan, 6, {"writing the output failed", "stdout"});
  EXPECT_EQ(shell("tools/ingot train " + config + " > /dev/full").exit_code, 0);
  EXPECT_EQ(CheckpointReader::list(run.directory("run")).size(), 8u);
}

// `ingot train | head`: nobody listens any more. What was trained is saved.
TEST(ClosedPipe, UnderTheConsoleStopsARunAfterSaving) {
  const TinyRun run;
  const ProcessResult result =
      run_ingot({"-c", "{ tools/ingot train " + run.config_file().string() +
                           " --set checkpoint.every=0 --set schedule.steps=1000000;"
                           " echo $? >&2; } | head -n 5"},
                {.program = "/bin/sh"});
  EXPECT_EQ(result.err, "141\n");
  EXPECT_EQ(CheckpointReader::list(run.directory("run")).size(), 1u);
}

TEST(ReadOnlyFolder, AFileInItsPlaceIsRefusedAndKept) {
  const TinyRun run;
  put_file(run.folder() / "run", "precious");
  const ProcessResult result = run_ingot(train_arguments(run, run.directory("run")));
  expect_failure(result, 3, {"Not a directory", run.directory("run").string()});
  EXPECT_EQ(contents_of(run.directory("run")), "precious");
}

TEST(FreeSpace, IsCheckedBeforeTheFirstStep) {
  const TinyRun run;
  // 2 x 2^24 rows of 2^14 elements: 50 TB of weights and moments in eight checkpoints.
  std::string model = contents_of(run.folder() / "model.json");
  model.replace(model.find("\"vocab_size\": 64"), 16, "\"vocab_size\": 16777216");
  model.replace(model.find("\"hidden_size\": 32"), 17, "\"hidden_size\": 16384");
  put_file(run.folder() / "model.json", model);
  auto arguments = train_arguments(run, run.directory("run"));
  arguments.insert(arguments.end(), {"--set", "memory.budget=2000000GiB"});
  const ProcessResult result = run_ingot(arguments);
  expect_failure(result, 6, {"not enough space for 8 checkpoints"});
  EXPECT_EQ(result.out.find("step 1/"), std::string::npos);
}

}  // namespace
}  // namespace ingot
