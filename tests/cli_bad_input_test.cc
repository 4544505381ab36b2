// Whatever is wrong with what the program is given: one line on stderr that names it, the right
// exit code, and nothing overwritten.
#include <gtest/gtest.h>

#include <algorithm>

#include "data/shards/shard_testing.h"
#include "io/checkpoint_files.h"
#include "io/directory_lock.h"
#include "tests/subprocess.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

using Words = std::vector<std::string>;

class BadInput : public testing::Test {
 protected:
  // `train` of the tiny run with more arguments.
  ProcessResult train(const Words& more = {}) const {
    Words words = {"train", run_.config_file()};
    if (std::find(more.begin(), more.end(), "--steps") == more.end()) {
      words.insert(words.end(), {"--steps", "1"});
    }
    words.insert(words.end(), more.begin(), more.end());
    return run_ingot(words);
  }
  ProcessResult train_with(const std::string& setting) const { return train({"--set", setting}); }

  std::string path(const std::string& name) const { return run_.folder() / name; }

  void replace_in(const std::string& file, const std::string& from, const std::string& to) const {
    std::string text = contents_of(path(file));
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    put_file(path(file), text);
  }

  TinyRun run_;
};

TEST_F(BadInput, OfTheCommandLine) {
  expect_failure(run_ingot({}), 2, {"subcommand"});
  expect_failure(run_ingot({"trian"}), 2, {"unknown command 'trian'", "did you mean 'train'?"});
  expect_failure(run_ingot({"train"}), 2, {"RUN.json is required"});
  expect_failure(train({"--resmue", "none"}), 2, {"--resmue"});
  expect_failure(train({"--set"}), 2, {"--set"});
  for (const char* steps : {"0", "-1", "x", "1.5", "99999999999999999999"}) {
    expect_failure(run_ingot({"train", run_.config_file(), "--steps", steps}), 2,
                   {std::string("'") + steps + "' is not an integer from 1"});
  }
  expect_failure(run_ingot({"plan", run_.config_file(), "--world", "3"}), 2,
                 {"batch.tokens_per_step", "parallel.data * "});
  expect_failure(run_ingot({"plan", run_.config_file(), "--budget", "many"}), 2, {"many", "12GiB"});
  for (const char* flag : {"--budget", "--svg"}) {
    expect_failure(run_ingot({"plan", run_.config_file(), flag, ""}), 2, {flag, "is empty"});
  }
  expect_failure(run_ingot({"export", "a", "b", "--dtype", "int3"}), 2, {"int3"});
  for (const char* number : {"nan", "-1", "2x", ""}) {
    expect_failure(run_ingot({"generate", "--checkpoint", "x", "--prompt", "a", "--top-p", number}),
                   2, {std::string("'") + number + "' is not a number from 0 to 1"});
  }
  EXPECT_EQ(run_ingot({"--help"}).exit_code, 0);
}

TEST_F(BadInput, OfTheRunConfig) {
  expect_failure(run_ingot({"train", path("no.json")}), 2, {"no such file", "no.json"});
  expect_failure(run_ingot({"train", path("data")}), 2, {"not a file"});
  put_file(path("empty.json"), "");
  expect_failure(run_ingot({"train", path("empty.json")}), 2, {"not valid JSON", "empty.json:1"});
  put_file(path("utf8.json"), "{\"seed\": \"\xff\"}");
  expect_failure(run_ingot({"train", path("utf8.json")}), 2, {"UTF-8"});
  expect_failure(train_with("optimizer.learning_rat=1"), 2, {"did you mean \"learning_rate\"?"});
  expect_failure(train_with("seed=x"), 2, {"\"seed\" is \"x\""});
  expect_failure(train_with("precision.compute=fp17"), 2, {"fp17", "fp16"});
  expect_failure(train_with("parallel.tensor=2"), 2, {"not available in this version"});
  expect_failure(train_with("batch.tokens_per_step=33"), 2, {"multiple of"});
  expect_failure(train({"--set", "data.sequence_length=65", "--set", "batch.tokens_per_step=130"}),
                 2, {"max_position_embeddings"});
  expect_failure(train_with("device=cuda"), 6, {"\"device\": \"cpu\""});
  expect_failure(train({"--device", "cuda"}), 6, {"no CUDA backend"});
  expect_failure(train({"--device", "tpu"}), 2, {"tpu", "cuda"});
  for (const Words& command :
       {Words{"plan", run_.config_file()}, Words{"bench", "step", run_.config_file()},
        Words{"bench", "gemm"}, Words{"verify", "nothing", "nothing"}}) {
    Words words = command;
    words.insert(words.end(), {"--device", "cuda"});
    expect_failure(run_ingot(words), 6, {"no CUDA backend"});
  }
  replace_in("model.json", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3");
  expect_failure(train(), 2, {"model.json:", "num_key_value_heads"});
}

TEST_F(BadInput, AllMistakesOfAConfigAreToldAtOnce) {
  put_file(path("bad.json"), "{\"modle\": 1,\n \"seed\": -1,\n \"batch\": {\"size\": 3}}");
  const ProcessResult result = run_ingot({"train", path("bad.json")});
  EXPECT_EQ(result.exit_code, 2);
  for (const char* part : {"bad.json:1", "bad.json:2", "bad.json:3", "did you mean \"model\"?"}) {
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
  EXPECT_GE(std::count(result.err.begin(), result.err.end(), '\n'), 3);
}

TEST_F(BadInput, ShardsThatAreMissingTruncatedOrForeign) {
  expect_failure(train_with("data.train=[\"/nowhere/*.bin\"]"), 3, {"/nowhere/*.bin", "prepare"});
  expect_failure(train_with("data.train=[]"), 3, {"no token shards"});
  expect_failure(train_with("data.validation=[\"/nowhere/v.bin\"]"), 3, {"/nowhere/v.bin"});

  const std::string shard = path("data/train-00001.bin");
  const std::string good = contents_of(shard);
  put_file(shard, good.substr(0, good.size() - 1));
  expect_failure(train(), 3, {"train-00001.bin"});
  put_file(shard, good.substr(0, 100));
  expect_failure(train(), 3, {"not a token shard", "train-00001.bin"});
  std::string lying = good;
  lying[16] ^= 1;  // the token count
  put_file(shard, lying);
  expect_failure(train(), 3, {"train-00001.bin"});
  put_file(shard, "");
  expect_failure(train(), 3, {"train-00001.bin"});
  put_file(shard, good);

  write_shard(run_.folder() / "data/train-00002", learnable_tokens(50, 64, 4), 64,
              /*tokenizer_hash=*/78);
  expect_failure(train(), 3, {"train-00002.bin", "tokenizer"});
  write_shard(run_.folder() / "data/train-00002", learnable_tokens(50, 65, 4), 65);
  expect_failure(train(), 3, {"train-00002.bin", "65"});
  EXPECT_TRUE(CheckpointReader::list(run_.directory("run")).empty());
}

// Its header is right: only the hash of the tokens tells.
TEST_F(BadInput, AShardWhoseTokensAreDamagedIsNamedBeforeTheFirstStep) {
  const std::filesystem::path shard = run_.folder() / "data/train-00000.bin";
  std::string bytes = contents_of(shard);
  bytes[bytes.size() - 2] ^= 1;
  put_file(shard, bytes);
  expect_failure(train(), 3, {"train-00000.bin", "damaged", "hash"});
}

TEST_F(BadInput, DataShorterThanASequence) {
  write_shard(run_.folder() / "short", learnable_tokens(16, 64, 4), 64);
  expect_failure(train_with("data.train=[\"" + path("short.bin") + "\"]"), 3,
                 {"16 + 1 tokens", "the data has 16"});
}

TEST_F(BadInput, AnotherTokenizerThanTheDatas) {
  put_file(path("text.txt"), "some text to make a tokenizer of");
  ASSERT_EQ(run_ingot({"prepare", "--input", path("text.txt"), "--tokenizer", "train", "--vocab",
                       "257", "--output", path("other")})
                .exit_code,
            0);
  expect_failure(train_with("data.tokenizer=" + path("other/tokenizer.json")), 3,
                 {"not the one that made the training data", "other/tokenizer.json"});
  expect_failure(train_with("log.sample_every=1"), 3, {"samples need a tokenizer"});
  put_file(path("broken.json"), "{\"model\": 3}");
  expect_failure(train_with("data.tokenizer=" + path("broken.json")), 3, {"broken.json"});
}

TEST_F(BadInput, ABudgetTooSmallNamesTheSmallestThatFits) {
  const ProcessResult result = train_with("memory.budget=\"2MiB\"");
  expect_failure(result, 4, {"the smallest budget that fits is "});
  const std::string said = "the smallest budget that fits is ";
  const std::size_t first = result.err.find(said) + said.size();
  const std::string smallest = result.err.substr(first, result.err.find("iB", first) + 2 - first);
  std::string budget = smallest;
  budget.erase(budget.find(' '), 1);
  const ProcessResult again = train_with("memory.budget=\"" + budget + "\"");
  EXPECT_EQ(again.exit_code, 0) << budget << ": " << again.err;
}

TEST_F(BadInput, CheckpointsAndModels) {
  ASSERT_EQ(train().exit_code, 0);
  const std::string run = run_.directory("run");
  expect_failure(train({"--resume", "/nowhere"}), 3, {"/nowhere"});
  expect_failure(train({"--resume", "none"}), 2, {"--resume auto"});
  expect_failure(run_ingot({"export", path("data"), path("out")}), 3, {"no checkpoint"});
  expect_failure(run_ingot({"import", path("data"), path("in")}), 3, {"model.safetensors"});
  expect_failure(run_ingot({"eval", "--checkpoint", run, "--data", path("no.bin")}), 3, {"no.bin"});
  expect_failure(run_ingot({"eval", "--checkpoint", path("no"), "--data", path("no.bin")}), 3,
                 {"no checkpoint"});
  expect_failure(run_ingot({"eval", "--checkpoint", run, "--data",
                            path("data/validation-00000.bin"), "--sequence", "1000"}),
                 3, {"1000 + 1 tokens"});
  expect_failure(run_ingot({"generate", "--checkpoint", run, "--prompt", "a"}), 3,
                 {"tokenizer.json"});
  expect_failure(run_ingot({"verify", path("no"), path("no.safetensors")}), 3, {});
}

TEST_F(BadInput, ADirectoryThatAnotherRunWritesTo) {
  ASSERT_EQ(train().exit_code, 0);
  const std::filesystem::path run = run_.directory("run");
  const std::string metrics = contents_of(run / "metrics.jsonl");
  DirectoryLock other;
  ASSERT_TRUE(other.take(run));
  expect_failure(train(), 2, {"another run", run.string(), "wait until it has ended"});
  EXPECT_EQ(contents_of(run / "metrics.jsonl"), metrics);
  EXPECT_EQ(CheckpointReader::list(run), std::vector<std::string>{checkpoint_name(1)});
}

TEST_F(BadInput, ADamagedCheckpointIsNamedWhereAnOlderOneIsTaken) {
  ASSERT_EQ(train({"--steps", "2"}).exit_code, 0);
  const std::filesystem::path run = run_.directory("run");
  put_file(run / checkpoint_name(2) / "manifest.json", "");
  for (const Words& words :
       {Words{"eval", "--checkpoint", run, "--data", path("data/validation-00000.bin")},
        Words{"export", run, path("hf")}}) {
    const ProcessResult result = run_ingot(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(result.err.starts_with("ingot: warning: damaged checkpoint step_00000002"))
        << result.err;
  }
}

TEST_F(BadInput, AnEmptyPrompt) {
  ASSERT_EQ(train().exit_code, 0);
  put_file(path("text.txt"), "some text to make a tokenizer of");
  ASSERT_EQ(run_ingot({"prepare", "--input", path("text.txt"), "--tokenizer", "train", "--vocab",
                       "257", "--output", path("other")})
                .exit_code,
            0);
  expect_failure(run_ingot({"generate", "--checkpoint", run_.directory("run"), "--tokenizer",
                            path("other/tokenizer.json"), "--prompt", ""}),
                 2, {"the prompt is empty"});
  expect_failure(run_ingot({"generate", "--checkpoint", run_.directory("run"), "--tokenizer",
                            path("other/tokenizer.json"), "--prompt", "\xff"}),
                 3, {"more tokens than the model"});
}

TEST_F(BadInput, NothingIsOverwritten) {
  ASSERT_EQ(train().exit_code, 0);
  const std::string run = run_.directory("run");
  ASSERT_EQ(run_ingot({"export", run, path("hf")}).exit_code, 0);
  const std::string weights = contents_of(path("hf/model.safetensors"));
  expect_failure(run_ingot({"export", run, path("hf")}), 2, {"not empty", path("hf")});
  EXPECT_EQ(contents_of(path("hf/model.safetensors")), weights);

  const auto before = checkpoint_contents(run + "/" + checkpoint_name(1));
  expect_failure(run_ingot({"import", path("hf"), run}), 2, {"checkpoints of a run", run});
  EXPECT_EQ(CheckpointReader::list(run), std::vector<std::string>{checkpoint_name(1)});
  EXPECT_EQ(checkpoint_contents(run + "/" + checkpoint_name(1)), before);
}

TEST_F(BadInput, WeightsWithLyingHeaders) {
  ASSERT_EQ(train().exit_code, 0);
  ASSERT_EQ(run_ingot({"export", run_.directory("run"), path("hf")}).exit_code, 0);
  const std::string file = path("hf/model.safetensors");
  const std::string good = contents_of(file);
  const auto expect_refused = [&](const std::string& bytes, const std::string& part) {
    put_file(file, bytes);
    expect_failure(run_ingot({"import", path("hf"), path("in")}), 3, {part});
    EXPECT_TRUE(CheckpointReader::list(path("in")).empty());
  };
  expect_refused("", "model.safetensors");
  expect_refused(good.substr(0, good.size() - 1), "model.safetensors");
  expect_refused(std::string(8, '\xff') + good.substr(8), "model.safetensors");
  std::string missing = good;
  missing.replace(missing.find("\"model.norm.weight\""), 19, "\"model.norn.weight\"");
  expect_refused(missing, "model.norm.weight");
  std::string shape = good;
  shape.replace(shape.find("\"shape\":[64,32]"), 15, "\"shape\":[32,64]");
  expect_refused(shape, "shape of");
  put_file(file, good);
  replace_in("hf/config.json", "\"hidden_size\": 32", "\"hidden_size\": 64");
  expect_failure(run_ingot({"import", path("hf"), path("in")}), 3, {"shape of"});
}

}  // namespace
}  // namespace ingot
