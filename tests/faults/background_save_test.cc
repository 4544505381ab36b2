// The background write of a checkpoint at each of its system calls: killed there, without space, or
// with a broken disk, nothing that was saved is lost. And what a power cut may leave, by the order
// in which it was synced.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "data/shards/shard_testing.h"
#include "data/tokenizer/tokenizer.h"
#include "tests/faults/crash_simulator.h"
#include "tests/subprocess.h"
#include "tests/tiny_run.h"
#include "weights/checkpoint.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kBefore = 4, kFaulty = 6, kSteps = 8;  // saves at 2, 4, 6, 8

class BackgroundSave : public testing::Test {
 protected:
  void SetUp() override {
    give_tokenizer();
    ASSERT_EQ(train("whole", {"--set", "checkpoint.keep=0"}).exit_code, 0);
    ASSERT_EQ(train("before", {"--steps", std::to_string(kBefore)}).exit_code, 0);
    for (const std::int64_t step : {kBefore, kFaulty, kSteps}) {
      expected_[step] = checkpoint_contents(run_.directory("whole") / checkpoint_name(step));
    }
  }

  // A checkpoint has companions beside its tensors: they must be as safe.
  void give_tokenizer() const {
    nlohmann::json vocabulary = nlohmann::json::object();
    for (int token = 0; token < 26; ++token) vocabulary[std::string(1, char('a' + token))] = token;
    const nlohmann::json tokenizer = {
        {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
        {"decoder", {{"type", "ByteLevel"}}},
        {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", nlohmann::json::array()}}}};
    const fs::path path = run_.folder() / "data/tokenizer.json";
    put_file(path, tokenizer.dump());
    const std::uint64_t hash = Tokenizer::load(path).hash();
    std::uint64_t seed = 0;
    for (const char* name : {"train-00000", "train-00001", "validation-00000"}) {
      write_shard(run_.folder() / "data" / name, learnable_tokens(190, 64, ++seed), 64, hash);
    }
  }

  ProcessResult train(const std::string& name, std::vector<std::string> more = {},
                      std::vector<std::string> environment = {}) const {
    std::vector<std::string> arguments = {"train", run_.config_file(), "--set",
                                          "checkpoint.directory=" + run_.directory(name).string()};
    for (const char* setting :
         {"checkpoint.every=2", "checkpoint.keep=2", "log.validate_every=0"}) {
      arguments.insert(arguments.end(), {"--set", setting});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    ProcessResult result = run_ingot(arguments, {.environment = std::move(environment)});
    // That the tiny run's validation has no effect here is said, and not what these tests are
    // about.
    while (result.err.starts_with("ingot: warning: "))
      result.err.erase(0, result.err.find('\n') + 1);
    return result;
  }

  // What makes call number `at` of the save at kFaulty, and those behind it, fail.
  std::vector<std::string> fault(const std::string& name, std::int64_t at, int error,
                                 std::int64_t calls = 1) const {
    return {"LD_PRELOAD=tests/faults/libfault_shim.so",
            "INGOT_FAULT_DIRECTORY=" + run_.directory(name).string(),
            "INGOT_FAULT_AT=" + std::to_string(at), "INGOT_FAULT_ERROR=" + std::to_string(error),
            "INGOT_FAULT_CALLS=" + std::to_string(calls)};
  }

  void begin_from_before(const std::string& name) const {
    fs::remove_all(run_.directory(name));
    fs::copy(run_.directory("before"), run_.directory(name), fs::copy_options::recursive);
  }

  // The calls of a run from kBefore until `last`, as they were, and what it said.
  std::vector<RecordedCall> record(const std::string& name, std::int64_t last, std::string& said,
                                   const std::vector<std::string>& more = {}) const {
    auto environment = fault(name, 0, 0);
    const fs::path file = run_.directory(name + ".record");
    fs::remove(file);
    environment.push_back("INGOT_FAULT_RECORD=" + file.string());
    auto arguments = more;
    arguments.insert(arguments.end(), {"--steps", std::to_string(last)});
    const ProcessResult result = train(name, arguments, environment);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    said = result.out;
    return read_record(file);
  }

  // System calls of the save at kFaulty.
  std::int64_t calls_of_a_save() const {
    begin_from_before("counted");
    std::string said;
    const auto calls = record("counted", kFaulty, said);
    return std::count_if(calls.begin(), calls.end(),
                         [](const RecordedCall& call) { return call.what != 'S'; });
  }

  // The step of the newest good checkpoint, whose contents must be as ever.
  std::int64_t newest_good(const fs::path& directory) const {
    const auto found =
        CheckpointReader::find_newest_good(directory, [](const auto&, const auto&) {});
    if (!found) return -1;
    EXPECT_EQ(checkpoint_contents(found->path()), expected_.at(found->step()));
    return found->step();
  }

  void expect_the_same_end(const std::string& name) const {
    EXPECT_EQ(checkpoint_contents(run_.directory(name) / checkpoint_name(kSteps)),
              expected_.at(kSteps));
    EXPECT_EQ(timeless_metrics(run_.directory(name)), timeless_metrics(run_.directory("whole")));
    for (const auto& entry : fs::directory_iterator(run_.directory(name))) {
      EXPECT_NE(entry.path().extension(), ".partial") << entry.path();
    }
  }

  TinyRun run_;
  std::map<std::int64_t, std::map<std::string, std::string>> expected_;
};

TEST_F(BackgroundSave, KilledAtAnyCallTheRunResumesAndGetsToTheSameEnd) {
  const std::int64_t calls = calls_of_a_save();
  EXPECT_GT(calls, 30);
  std::int64_t newer = 0;
  for (std::int64_t at = 1; at <= calls; ++at) {
    SCOPED_TRACE("call " + std::to_string(at));
    begin_from_before("killed");
    ASSERT_EQ(train("killed", {}, fault("killed", at, 0)).signal, SIGKILL);
    const std::int64_t found = newest_good(run_.directory("killed"));
    EXPECT_TRUE(found == kBefore || found == kFaulty) << found;
    newer += found == kFaulty;
    ASSERT_EQ(train("killed").exit_code, 0);
    expect_the_same_end("killed");
  }
  EXPECT_GT(newer, 0);
  EXPECT_LT(newer, calls / 2);
}

// One failed call, and a disk that is full for a while.
TEST_F(BackgroundSave, ThatFailsAtAnyCallIsAWarningAndTheNextOneIsThere) {
  const std::int64_t calls = calls_of_a_save();
  const struct {
    int error;
    std::int64_t calls;
  } kinds[] = {{EIO, 1}, {ENOSPC, 2}};
  for (const auto& kind : kinds) {
    std::int64_t warned = 0;
    for (std::int64_t at = 1; at <= calls; ++at) {
      SCOPED_TRACE("call " + std::to_string(at) + ", errno " + std::to_string(kind.error));
      begin_from_before("failed");
      const ProcessResult result = train("failed", {}, fault("failed", at, kind.error, kind.calls));
      ASSERT_EQ(result.exit_code, 0) << result.err;
      const bool failed = result.out.find("warning: step 6 is not saved") != std::string::npos;
      const bool said =
          result.out.find("saved " +
                          (run_.directory("failed") / checkpoint_name(kFaulty)).string()) !=
          std::string::npos;
      EXPECT_NE(failed, said) << result.out;
      warned += failed;
      EXPECT_EQ(newest_good(run_.directory("failed")), kSteps);
      expect_the_same_end("failed");
    }
    EXPECT_GT(warned, calls / 3);  // what comes behind the new name is no failure
  }
}

TEST_F(BackgroundSave, ThatFailsAtTheEndOfTheRunEndsItWithTheDisksErrorAndKeepsTheOneBefore) {
  for (const int error : {ENOSPC, EDQUOT, EROFS}) {
    begin_from_before("last");
    const ProcessResult result =
        train("last", {"--steps", std::to_string(kFaulty)}, fault("last", 5, error, 1'000'000));
    expect_failure(result, 6, {run_.directory("last").string()});
    EXPECT_EQ(newest_good(run_.directory("last")), kBefore);
    ASSERT_EQ(train("last").exit_code, 0);
    expect_the_same_end("last");
  }
}

// What a power cut behind each of the calls leaves, and in how many of these folders something is
// missing of what was said to be saved.
struct Cuts {
  std::int64_t states = 0, lost = 0;
};
Cuts cut_power(const fs::path& before, const std::vector<RecordedCall>& calls,
               const std::string& said, const fs::path& run, bool all_stay, const fs::path& state) {
  CrashSimulator disk(run);
  std::vector<std::int64_t> promised;
  for (const std::string& name : CheckpointReader::list(before)) {
    promised.push_back(CheckpointReader::open(before / name).step());
  }
  Cuts cuts;
  const auto look = [&] {
    for (int mask = 0; mask < 4; ++mask) {
      fs::remove_all(state);
      disk.leave(state, {.keeps_last_names_on_top = (mask & 1) != 0,
                         .keeps_last_names_below = (mask & 2) != 0});
      ++cuts.states;
      bool kept = true;
      try {
        const auto found =
            CheckpointReader::find_newest_good(state, [](const auto&, const auto&) {});
        kept = found && found->step() >= promised.back();
        for (const std::int64_t step : promised) {
          if (!all_stay) continue;
          const auto reader = CheckpointReader::open(state / checkpoint_name(step));
          const auto is_tokenizer = [](const auto& file) { return file.name == "tokenizer.json"; };
          kept = kept && std::ranges::any_of(reader.files(), is_tokenizer);
        }
      } catch (const Error&) {
        kept = false;
      }
      cuts.lost += !kept;
    }
  };
  for (const RecordedCall& call : calls) {
    disk.play(call);
    if (call.what == 'S') {
      promised.resize(1);
      for (const std::int64_t step : {kBefore, kFaulty, kSteps}) {
        const std::string line = "saved " + (run / checkpoint_name(step)).string();
        const bool is_said = said.find(line) < static_cast<std::size_t>(call.number);
        if (is_said || step == kBefore) promised.push_back(step);
      }
    }
    if (call.what != 'R' && call.what != 'X' && call.what != 'O') look();
  }
  return cuts;
}

TEST_F(BackgroundSave, SurvivesAPowerCutAtAnyMomentOnceItIsSaidToBeSaved) {
  for (const std::string keep : {"0", "1"}) {
    begin_from_before("cut");
    begin_from_before("cut.before");
    std::string said;
    auto calls = record("cut", kSteps, said, {"--set", "checkpoint.keep=" + keep});
    begin_from_before("cut");  // what the record begins with
    const auto count = [&](const std::vector<RecordedCall>& of) {
      return cut_power(run_.directory("cut.before"), of, said, run_.directory("cut"), keep == "0",
                       run_.directory("state"));
    };
    const Cuts cuts = count(calls);
    EXPECT_GT(cuts.states, 100);
    EXPECT_EQ(cuts.lost, 0) << "keep " << keep;
    // And it would be seen if one kind of sync were missing.
    const auto without = [&](bool folders) {
      std::map<std::int64_t, bool> is_folder;
      std::vector<RecordedCall> some;
      for (const RecordedCall& call : calls) {
        if (call.what == 'C') is_folder[call.number] = false;
        if (call.what == 'O') is_folder[call.number] = true;
        if (call.what != 'F' || is_folder[call.number] != folders) some.push_back(call);
      }
      return some;
    };
    EXPECT_GT(count(without(true)).lost, 0);
    EXPECT_GT(count(without(false)).lost, 0);
  }
}

TEST_F(BackgroundSave, GoesOnAlthoughTheLogHasNoRoomForAWhile) {
  const auto full = [&](std::int64_t calls) {
    begin_from_before("log");
    auto environment = fault("log", 2, ENOSPC, calls);
    environment.push_back("INGOT_FAULT_NAME=/metrics.jsonl");
    return train("log", {"--set", "log.every=1"}, environment);
  };
  const ProcessResult later = full(3);
  EXPECT_EQ(later.exit_code, 0) << later.err;
  EXPECT_NE(later.out.find("metrics.jsonl: No space left"), std::string::npos) << later.out;
  EXPECT_NE(later.out.find("no line is missing"), std::string::npos) << later.out;
  expect_the_same_end("log");
  const ProcessResult never = full(1'000'000);
  EXPECT_EQ(never.exit_code, 0) << never.err;
  EXPECT_NE(never.out.find("the last lines of metrics.jsonl are missing"), std::string::npos);
  EXPECT_EQ(newest_good(run_.directory("log")), kSteps);
}

}  // namespace
}  // namespace ingot
