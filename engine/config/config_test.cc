#include "engine/config/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace ingot {
namespace {

using Json = nlohmann::json;
using Lines = std::vector<std::string>;

constexpr const char* kModel =
    R"("model": {"model_type": "llama", "vocab_size": 256, "hidden_size": 64, "num_attention_heads": 4})";

// A run config with kModel and `fields` behind it.
std::string with(const std::string& fields) {
  return "{" + std::string(kModel) + (fields.empty() ? "" : ",\n" + fields) + "}";
}

RunConfig parsed(const std::string& fields, const std::vector<std::string>& overrides = {}) {
  return parse_run_config(with(fields), "run.json", "configs", overrides);
}

Lines mistakes_in(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    parse_run_config(text, "run.json", "configs", overrides);
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    return error.mistakes();
  }
  return {};
}

Lines mistakes(const std::string& fields, const std::vector<std::string>& overrides = {}) {
  return mistakes_in(with(fields), overrides);
}

TEST(RunConfig, EveryKeyHasADefault) {
  EXPECT_EQ(to_json(parsed(""))["optimizer"], to_json(RunConfig())["optimizer"]);
  const RunConfig config = parsed("");
  EXPECT_EQ(config.optimizer.learning_rate, 3e-4);
  EXPECT_EQ(config.schedule.steps, 2000);
  EXPECT_EQ(config.batch.micro_batch, std::nullopt);
  EXPECT_EQ(config.precision.loss_scale, std::nullopt);
  EXPECT_EQ(config.memory.budget, MemoryBudget());
  EXPECT_EQ(config.checkpoint.directory, "runs/run");  // from run.json
  EXPECT_TRUE(config.data.train.empty());
}

TEST(RunConfig, ReadsEveryKeyOfTheDesign) {
  const RunConfig config = parsed(R"(
    "device": "cuda",
    "data": {"train": ["a-*.bin", "/b.bin"], "validation": "v.bin", "sequence_length": 128},
    "batch": {"tokens_per_step": 4096, "micro_batch": 8},
    "optimizer": {"type": "adamw", "learning_rate": 1e-3, "betas": [0.8, 0.9], "epsilon": 1e-9,
                  "weight_decay": 0, "clip_norm": 2, "state": "fp32"},
    "schedule": {"type": "multi_step", "warmup_steps": 10, "steps": 1e3, "final_ratio": 0.2,
                 "milestones": [0.5, 900], "factors": [0.3, 0.1]},
    "precision": {"compute": "fp16", "master": "fp32", "loss_scale": 1024},
    "memory": {"budget": "12GiB", "activations": "keep", "weights": "keep", "offload": "none"},
    "parallel": {"data": 1, "tensor": 1, "pipeline": 1, "expert": 1, "zero": 2},
    "loss": {"mtp_weight": [[0, 0.3], [500, 0.1]], "balance_type": "batch"},
    "spike": {"z_score": 6},
    "checkpoint": {"directory": "out", "every": 50, "keep": 1},
    "log": {"every": 1, "validate_every": 20, "sample_every": 5, "sample_prompt": "a \"b\""},
    "nonfinite_limit": 3, "threads": 2, "seed": 7)");
  EXPECT_EQ(config.device, Device::cuda);
  EXPECT_EQ(config.data.train, (Lines{"configs/a-*.bin", "/b.bin"}));
  EXPECT_EQ(config.data.validation, (Lines{"configs/v.bin"}));
  EXPECT_EQ(config.batch.micro_batch, 8);
  EXPECT_EQ(config.optimizer.betas[1], 0.9);
  EXPECT_EQ(config.schedule.type, ScheduleType::multi_step);
  EXPECT_EQ(config.schedule.steps, 1000);
  EXPECT_EQ(config.schedule.milestones, (std::vector<double>{0.5, 900}));
  EXPECT_EQ(config.precision.compute, ComputeType::fp16);
  EXPECT_EQ(config.precision.loss_scale, 1024);
  EXPECT_EQ(config.memory.budget.bytes, std::int64_t{12} << 30);
  EXPECT_EQ(config.memory.activations, ActivationPolicy::keep);
  EXPECT_EQ(config.parallel.zero, 2);
  EXPECT_EQ(config.loss.mtp_weight.at(499), 0.3);
  EXPECT_EQ(config.loss.mtp_weight.at(500), 0.1);
  EXPECT_EQ(config.loss.balance_type, BalanceType::batch);
  EXPECT_EQ(config.spike.z_score, 6);
  EXPECT_EQ(config.checkpoint.directory, "configs/out");
  EXPECT_EQ(config.log.sample_prompt, "a \"b\"");
  EXPECT_EQ(config.seed, 7);
}

TEST(RunConfig, ListsAllMistakesWithTheirLines) {
  const Lines expected = {
      "run.json:2: unknown key \"warmup_step\" in \"schedule\": did you mean \"warmup_steps\"?",
      "run.json:3: \"schedule.final_ratio\" is 1.5: a number from 0 to 1",
      "run.json:4: unknown key \"learning_rate\": did you mean \"optimizer.learning_rate\"?",
      "run.json:5: \"seed\" is given twice: it stands on line 4 already",
      "run.json:6: \"data\" is 3: an object",
      "run.json:7: \"optimizer.type\" is \"sgd\": one of \"adamw\" or \"muon\""};
  const std::string fields =
      "\"schedule\": {\"warmup_step\": 3,\n\"final_ratio\": 1.5},\n"
      "\"learning_rate\": 1, \"seed\": 1,\n\"seed\": 2,\n\"data\": 3,\n"
      "\"optimizer\": {\"type\": \"sgd\"}";
  EXPECT_EQ(mistakes(fields), expected);
  try {
    parsed(fields);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "unknown key \"warmup_step\" in \"schedule\" (run.json:2): did you mean "
                 "\"warmup_steps\"? (and 5 more)");
  }
}

TEST(RunConfig, RefusesValuesOfTheWrongTypeOrRange) {
  for (const char* const fields : {R"("seed": "1")",
                                   R"("seed": -1)",
                                   R"("seed": 1.5)",
                                   R"("seed": null)",
                                   R"("seed": 1e30)",
                                   R"("seed": 18446744073709551615)",
                                   R"("threads": true)",
                                   R"("device": "gpu")",
                                   R"("data": {"sequence_length": 0})",
                                   R"("data": {"train": [1]})",
                                   R"("data": {"train": {}})",
                                   R"("batch": {"micro_batch": 0})",
                                   R"("batch": {"micro_batch": "all"})",
                                   R"("optimizer": {"betas": [0.9]})",
                                   R"("optimizer": {"betas": [0.9, 1]})",
                                   R"("optimizer": {"learning_rate": -1})",
                                   R"("optimizer": {"clip_norm": "off"})",
                                   R"("schedule": {"type": "exponential"})",
                                   R"("schedule": {"milestones": [0]})",
                                   R"("precision": {"compute": "int4"})",
                                   R"("precision": {"wgrad": "fp8"})",
                                   R"("precision": {"loss_scale": 0})",
                                   R"("memory": {"budget": 0})",
                                   R"("loss": {"mtp_weight": []})",
                                   R"("loss": {"mtp_weight": [[1, 0.3]]})",
                                   R"("loss": {"mtp_weight": [[0, 0.3], [0, 1]]})",
                                   R"("parallel": {"zero": 4})",
                                   R"("parallel": {"tensor": 2})",
                                   R"("nonfinite_limit": 0)"}) {
    EXPECT_EQ(mistakes(fields).size(), 1u) << fields;
  }
}

// Settings end in fp32: what it holds as 0, as infinity or as the bound itself is not what was
// said.
TEST(RunConfig, RefusesNumbersThatFp32CannotHold) {
  const Lines settings = {"optimizer.learning_rate=1e-50",
                          "optimizer.muon_learning_rate=1e-39",
                          "optimizer.betas=[0.9,0.999999999]",
                          "optimizer.betas=[1e-45,0.9]",
                          "optimizer.epsilon=1e-60",
                          "optimizer.weight_decay=1e-41",
                          "optimizer.clip_norm=1e40",
                          "optimizer.clip_norm=1e-40",
                          "schedule.final_ratio=1e-50",
                          "schedule.factors=[0.5,1e-50]",
                          "precision.loss_scale=1e-40",
                          "loss.mtp_weight=1e-40",
                          "loss.mtp_weight=[[0,0.3],[5,1e-50]]",
                          "loss.balance_weight=1e-44",
                          "loss.bias_update_rate=1e-100",
                          "spike.z_score=1e-300",
                          "model.rms_norm_eps=1e-50",
                          "model.initializer_range=1e-50"};
  for (const std::string& setting : settings) {
    const Lines found = mistakes("", {setting});
    ASSERT_EQ(found.size(), 1u) << setting;
    EXPECT_NE(found[0].find("fp32"), std::string::npos) << found[0];
  }
  for (const char* const good : {"optimizer.learning_rate=0", "optimizer.learning_rate=1e-37",
                                 "optimizer.clip_norm=1e38", "optimizer.betas=[0,0.9999999]"}) {
    EXPECT_EQ(mistakes("", {good}), Lines()) << good;
  }
}

TEST(RunConfig, RefusesWhatContradictsItself) {
  EXPECT_EQ(mistakes(R"("batch": {"tokens_per_step": 1000})"),
            Lines{"run.json:2: \"batch.tokens_per_step\" is 1000: a multiple of sequence_length "
                  "(512)"});
  EXPECT_EQ(mistakes(R"("batch": {"micro_batch": 3})"),
            Lines{"run.json: \"batch.tokens_per_step\" is 32768: a multiple of micro_batch * "
                  "sequence_length (1536)"});
  EXPECT_EQ(mistakes(R"("schedule": {"steps": 50})"),
            Lines{"run.json: \"schedule.warmup_steps\" is 100: at most \"schedule.steps\" (50)"});
  EXPECT_EQ(mistakes(R"("data": {"sequence_length": 4096})"),
            Lines{"run.json:2: \"data.sequence_length\" is 4096: at most the model's "
                  "\"max_position_embeddings\" (2048)"});
  EXPECT_EQ(mistakes(R"("schedule": {"type": "wsd", "decay_steps": 1950})").size(), 1u);
  EXPECT_EQ(mistakes(R"("schedule": {"type": "wsd", "decay_steps": 1900})").size(), 0u);
  EXPECT_EQ(mistakes(R"("schedule": {"type": "wsd", "decay_fraction": 0.96})"),
            Lines{"run.json:2: \"schedule.decay_fraction\" is 0.96: at most 0.95, the steps after "
                  "the warm-up (1900) of 2000"});
  EXPECT_EQ(mistakes(R"("schedule": {"type": "wsd", "decay_fraction": 0.95})").size(), 0u);
  EXPECT_EQ(mistakes(R"("schedule": {"decay_fraction": 0.96})").size(), 0u);  // cosine
  EXPECT_EQ(mistakes(R"("schedule": {"type": "multi_step", "milestones": [0.04, 0.9]})").size(),
            1u);  // within the warm-up, in both spellings
  EXPECT_EQ(mistakes(R"("schedule": {"type": "multi_step", "milestones": [99, 0.9]})").size(), 1u);
  EXPECT_EQ(mistakes(R"("schedule": {"type": "multi_step", "milestones": [100, 0.9]})").size(), 0u);
  EXPECT_EQ(mistakes(R"("data": {"validation_tokens": 0, "validation_batches": 4})").size(), 1u);
  EXPECT_EQ(mistakes(R"("schedule": {"type": "multi_step", "factors": [0.5]})").size(), 1u);
  EXPECT_EQ(mistakes(R"("schedule": {"type": "multi_step", "milestones": [0.9, 0.8]})").size(), 1u);
  EXPECT_EQ(mistakes(R"("schedule": {"type": "multi_step", "milestones": [0.9, 2001]})").size(),
            1u);
  EXPECT_EQ(mistakes(R"("batch": {"micro_batch": 1048576})").size(), 1u);
  EXPECT_EQ(mistakes(R"("batch": {"tokens_per_step": 1073741824}, "schedule": {"steps": 1e12})"),
            Lines{"run.json:2: \"schedule.steps\" is 1000000000000: with these \"tokens_per_step\" "
                  "at most 1073741824"});
}

TEST(RunConfig, ValidationIsCountedInTokensAndInOlderConfigsInBatches) {
  EXPECT_EQ(parsed("").data.validation_sequences(), 65536 / 512);
  EXPECT_EQ(parsed("", {"data.validation_tokens=0"}).data.validation_sequences(), 0);
  EXPECT_EQ(parsed("", {"data.validation_tokens=1"}).data.validation_sequences(), 1);
  EXPECT_EQ(parsed("", {"data.validation_tokens=1025"}).data.validation_sequences(), 3);
  EXPECT_EQ(parsed("", {"data.validation_batches=16"}).data.validation_sequences(), 128);
  EXPECT_EQ(parsed("", {"data.validation_batches=0"}).data.validation_sequences(), 0);
}

TEST(RunConfig, NamesSettingsThatOthersKeepFromHavingAnEffect) {
  const auto lines = [](const std::vector<std::string>& overrides) {
    return settings_without_effect(parsed("", overrides));
  };
  EXPECT_EQ(lines({}), Lines());
  EXPECT_EQ(lines({"schedule.decay_steps=5", "optimizer.muon_learning_rate=0.1"}),
            (Lines{"optimizer.muon_learning_rate has no effect without optimizer.type \"muon\"",
                   "schedule.decay_steps has no effect without schedule.type \"wsd\""}));
  EXPECT_EQ(lines({"schedule.type=wsd", "schedule.decay_steps=5"}), Lines());
  EXPECT_EQ(lines({"schedule.type=wsd", "schedule.decay_steps=5", "schedule.decay_fraction=0.5"}),
            Lines{"schedule.decay_fraction has no effect with schedule.decay_steps"});
  for (const char* const alone :
       {"schedule.milestones=[0.5,0.6]", "schedule.factors=[0.5,0.1]", "precision.head=int8",
        "precision.loss_scale=512", "precision.int8_scales=1x128", "parallel.zero=2",
        "data.validation_tokens=0", "data.validation_batches=3", "log.validate_every=7",
        "log.sample_prompt=x", "log.sample_tokens=3", "spike.window=50", "spike.limit=3",
        "loss.mtp_weight=0.1", "loss.balance_weight=0.1", "loss.balance_type=batch",
        "loss.bias_update_rate=0.1", "loss.bias_update_until=9"}) {
    EXPECT_EQ(lines({alone}).size(), 1u) << alone;
  }
  EXPECT_EQ(lines({"memory.offload=none", "memory.offload_directory=/x"}).size(), 1u);
  EXPECT_EQ(lines({"memory.offload_directory=/x"}), Lines());
  EXPECT_EQ(lines({"spike.z_score=3", "spike.window=50"}), Lines());
  EXPECT_EQ(lines({"log.validate_every=0", "loss.balance_weight=0"}), Lines());  // there is none
}

TEST(RunConfig, OfACheckpointIsNotJudgedAgain) {
  const std::string text = with(R"("schedule": {"type": "wsd", "decay_fraction": 0.99})");
  EXPECT_EQ(mistakes_in(text).size(), 1u);
  EXPECT_EQ(parse_recorded_config(text, "manifest.json", "").schedule.decay_fraction, 0.99);
}

TEST(RunConfig, ModelIsAPathBesideTheFileOrAnObject) {
  const RunConfig from_file =
      parse_run_config(R"({"model": "models/llama_tiny.json", "data": {"sequence_length": 64}})",
                       "x.json", "configs");
  EXPECT_EQ(from_file.model_path, "configs/models/llama_tiny.json");
  EXPECT_EQ(from_file.model.hidden_size, 128);
  EXPECT_EQ(parsed("").model_path, "");
  EXPECT_EQ(parsed("").model.hidden_size, 64);

  EXPECT_EQ(mistakes_in("{}"), Lines{"run.json: \"model\" is missing: a path to a config.json, or "
                                     "an object with its fields"});
  EXPECT_EQ(mistakes_in(R"({"model": 3})"),
            Lines{"run.json:1: \"model\" is 3: a path or an object"});
  EXPECT_EQ(mistakes_in(R"({"model": "nowhere.json"})"),
            Lines{"configs/nowhere.json: model: no such file: check the path"});
}

TEST(RunConfig, MistakesInTheModelNameTheirOwnLine) {
  EXPECT_EQ(mistakes_in("{\"model\": {\"model_type\": \"llama\",\n\"hiden_size\": 4,\n"
                        "\"num_key_value_heads\": 0}}"),
            (Lines{"run.json:2: unknown key \"hiden_size\" in the model: did you mean "
                   "\"hidden_size\"?",
                   "run.json:3: \"num_key_value_heads\" is 0: an integer from 1 to 2048 or null"}));
  EXPECT_EQ(mistakes_in("[1]"), (Lines{"run.json:1: a run config is an object, not [1]",
                                       "run.json: \"model\" is missing: a path to a config.json, "
                                       "or an object with its fields"}));
}

TEST(RunConfig, OverridesReplaceAnyKey) {
  const RunConfig config =
      parsed(R"("optimizer": {"learning_rate": 1, "epsilon": 1e-6})",
             {"optimizer.learning_rate=2e-3", "device=cuda", "model.num_hidden_layers=3", "seed=5",
              "data.train=[\"x.bin\"]", "log={\"every\": 7}", "model.rope_scaling.type=linear",
              "model.rope_scaling.factor=2", "seed=6", "log.sample_prompt=a=b"});
  EXPECT_EQ(config.optimizer.learning_rate, 2e-3);
  EXPECT_EQ(config.optimizer.epsilon, 1e-6);
  EXPECT_EQ(config.device, Device::cuda);
  EXPECT_EQ(config.model.num_hidden_layers, 3);
  EXPECT_EQ(config.model.hidden_size, 64);
  EXPECT_EQ(config.model.rope.factor, 2);
  EXPECT_EQ(config.seed, 6);                     // the last one counts
  EXPECT_EQ(config.data.train, Lines{"x.bin"});  // relative to the current folder
  EXPECT_EQ(config.log.every, 7);
  EXPECT_EQ(config.log.sample_prompt, "a=b");
}

TEST(RunConfig, OverridesReachIntoAModelFile) {
  const RunConfig config = parse_run_config(R"({"model": "models/deepseek_v3_tiny.json"})",
                                            "x.json", "configs", {"model.q_lora_rank=null"});
  EXPECT_EQ(config.model.mla->q_lora_rank, std::nullopt);
  EXPECT_EQ(config.model.hidden_size, 128);
  EXPECT_EQ(config.model_path, "configs/models/deepseek_v3_tiny.json");
  const RunConfig other = parse_run_config(R"({"model": "models/deepseek_v3_tiny.json"})", "x.json",
                                           "configs", {"model=configs/models/llama_tiny.json"});
  EXPECT_EQ(other.model.family, ModelFamily::llama);
}

TEST(RunConfig, MistakesInOverridesNameTheOverride) {
  EXPECT_EQ(mistakes("", {"schedule.stepz=4"}),
            Lines{"--set schedule.stepz=4: unknown key \"stepz\" in \"schedule\": did you mean "
                  "\"steps\"?"});
  EXPECT_EQ(mistakes("", {"model.hiden_size=4"}).size(), 1u);
  EXPECT_EQ(mistakes("", {"batch.tokens_per_step=7"}),
            Lines{"--set batch.tokens_per_step=7: \"batch.tokens_per_step\" is 7: a multiple of "
                  "sequence_length (512)"});
  for (const char* const bad : {"", "seed", "=1", ".seed=1", "seed.=1", "data=1", "seed.x=1"}) {
    EXPECT_EQ(mistakes("", {bad}).size(), 1u) << bad;
  }
  EXPECT_EQ(mistakes("", {std::string(10000, '.') + "=1"}).size(), 1u);
}

TEST(RunConfig, ReadsMemoryBudgets) {
  const auto budget = [](const std::string& text) {
    return parsed("", {"memory.budget=" + text}).memory.budget;
  };
  EXPECT_EQ(budget("auto"), MemoryBudget());
  EXPECT_EQ(budget("1000000").bytes, 1'000'000);
  EXPECT_EQ(budget("1.5GiB").bytes, 1'610'612'736);
  EXPECT_EQ(budget("2 GB").bytes, 2'000'000'000);
  EXPECT_EQ(budget("75%").fraction, 0.75);
  EXPECT_EQ(budget("12.5%").fraction, 0.125);
  for (const char* const bad :
       {"-1", "0", "12", "12Gb", "GiB", "101%", "nan%", "1e30TiB", "5GiBs"}) {
    if (std::string(bad) == "12") continue;  // twelve bytes is a number of bytes
    EXPECT_EQ(mistakes("", {std::string("memory.budget=") + bad}).size(), 1u) << bad;
  }
}

TEST(RunConfig, TextOfEveryKeyReadsBackEqual) {
  std::vector<RunConfig> configs = {
      parsed("", {"memory.budget=33.3%", "precision.loss_scale=512", "batch.micro_batch=2",
                  "loss.mtp_weight=[[0,0.3],[10,0.1]]", "data.train=[\"a*.bin\"]"})};
  for (const char* const folder : {"configs/runs", "configs/bench"}) {
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      configs.push_back(load_run_config(file.path()));
    }
  }
  EXPECT_EQ(configs.size(), 1u + 6 + 3);  // tiny ones and the quickstart, three benchmarks
  for (const RunConfig& config : configs) {
    const Json json = to_json(config);
    const RunConfig again = parse_run_config(json.dump(1), "copy.json", "elsewhere");
    EXPECT_EQ(to_json(again), json);
    EXPECT_EQ(again.model, config.model);
  }
}

TEST(RunConfig, BenchmarksHaveTheSizesOfTheirNames) {
  const auto count = [](const char* name) {
    const auto path = std::filesystem::path("configs/bench") / name;
    return count_parameters(load_run_config(path).model);
  };
  EXPECT_EQ(count("dense_34m.json").total, 34'087'424);
  EXPECT_EQ(count("dense_124m.json").total, 123'551'232);
  EXPECT_EQ(count("moe_48m.json").total, 48'349'648);
  EXPECT_EQ(count("moe_48m.json").active, 24'756'688);
}

TEST(RunConfig, FileThatCantBeReadIsAnError) {
  EXPECT_THROW(load_run_config("nowhere/run.json"), Error);
  EXPECT_THROW(load_run_config("configs"), Error);
  EXPECT_THROW(parse_run_config("{", "run.json", ""), Error);
  EXPECT_THROW(parse_run_config(std::string(2'000'000, ' '), "run.json", ""), Error);
}

TEST(StepValues, HoldFromTheirStepOn) {
  const StepValues values = {{{0, 0.3}, {10, 0.1}, {20, 0}}};
  EXPECT_EQ(values.at(0), 0.3);
  EXPECT_EQ(values.at(9), 0.3);
  EXPECT_EQ(values.at(10), 0.1);
  EXPECT_EQ(values.at(1'000'000), 0);
}

TEST(ConfigReference, CommittedFileIsTheGeneratedOne) {
  std::ostringstream committed;
  committed << std::ifstream("docs/config.md").rdbuf();
  EXPECT_EQ(committed.str(), config_reference())
      << "mend: bazel run //engine:print_config_reference > docs/config.md";
}

TEST(ConfigReference, HasTheExampleThatLoads) {
  const std::string text = config_reference();
  const auto begin = text.find("```json\n") + 8, end = text.find("```", begin);
  std::string example = text.substr(begin, end - begin);
  const RunConfig config = parse_run_config(example, "run.json", "configs/runs");
  EXPECT_EQ(config.schedule.steps, 1000);
}

}  // namespace
}  // namespace ingot
