#include "tests/formats/format_golden.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "inference/inference_model.h"
#include "tests/learnable_batch.h"
#include "tests/tiny_run.h"
#include "weights/checkpoint_states.h"
#include "weights/stored_state.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Small, but with rows of more than one group of 128 and a last group that is not full.
json model(const std::string& family) {
  json model = json::parse(tiny_model(family));
  model.update({{"vocab_size", 320},
                {"hidden_size", 16},
                {"intermediate_size", 136},
                {"moe_intermediate_size", 8},
                {"n_routed_experts", 4},
                {"q_lora_rank", 8},
                {"kv_lora_rank", 8},
                {"num_attention_heads", 2},
                {"num_key_value_heads", 2}});
  if (family == "deepseek_v3") model.update({{"n_group", 2}, {"topk_group", 1}});
  if (family == "llama") model["num_hidden_layers"] = 1;
  return model;
}

json run(const std::string& family, const json& precision, const std::string& state) {
  return {{"model", model(family)},
          {"data",
           {{"train", {"../data/train-*.bin"}},
            {"validation", {"../data/validation-*.bin"}},
            {"sequence_length", 16},
            {"validation_batches", 1}}},
          {"batch", {{"tokens_per_step", 64}, {"micro_batch", 2}}},
          {"optimizer", {{"learning_rate", 1e-2}, {"state", state}}},
          {"schedule", {{"warmup_steps", 2}, {"steps", kGoldenEnd}}},
          {"precision", precision},
          {"memory", {{"activations", "keep"}, {"offload", "none"}}},
          {"loss", {{"balance_weight", 0.01}, {"mtp_weight", 0.3}}},
          {"checkpoint", {{"directory", "."}, {"every", kGoldenStep}, {"keep", 0}}},
          {"log", {{"every", 1}, {"validate_every", 0}}}};
}

}  // namespace

std::map<std::string, std::string> golden_runs() {
  const std::map<std::string, json> runs = {
      {"fp32", run("llama", {{"compute", "fp32"}}, "fp32")},
      {"small", run("deepseek_v3", {{"compute", "bf16"}, {"master", "bf16_residual"}}, "int8")},
      {"int8", run("llama", {{"compute", "bf16"}, {"master", "int8"}}, "bf16")},
      {"masters", run("llama", {{"compute", "bf16"}, {"master", "fp32"}}, "int8")}};
  std::map<std::string, std::string> texts;
  for (const auto& [name, text] : runs) texts[name] = text.dump(1) + "\n";
  return texts;
}

PrepareOptions golden_preparation(const fs::path& folder, const std::string& output) {
  for (const auto& entry : fs::directory_iterator(folder / "text")) {
    const timespec times[2] = {{1'750'000'000, 0}, {1'750'000'000, 0}};
    if (::utimensat(AT_FDCWD, entry.path().c_str(), times, 0) != 0) {
      throw std::runtime_error("cannot set the time of " + entry.path().string());
    }
  }
  fs::current_path(folder);
  return {.inputs = {"text"},
          .tokenizer = "train",
          .vocabulary_size = 320,
          .output = output,
          .validation = 0.004,
          .shard_tokens = 600,
          .progress = false};
}

json described(std::span<const float> values) {
  double sum = 0, squares = 0;
  for (const float value : values) {
    sum += value;
    squares += double(value) * value;
  }
  json some = json::array();
  for (std::size_t i = 0; i < values.size(); i += values.size() / 5 + 1) some.push_back(values[i]);
  return {{"elements", values.size()}, {"sum", sum}, {"squares", squares}, {"some", some}};
}

json described_states(const CheckpointReader& reader) {
  const CheckpointStates states(reader);
  json all = json::object();
  for (const auto& [key, entry] : reader.tensors()) {
    const std::string name(key);
    if (name.ends_with(".scale") || name.ends_with(".bounds") || name.ends_with(".residual")) {
      continue;  // beside another
    }
    const CheckpointState state = states.at(name);
    std::vector<float> values(state.whole.elements());
    read_part(state, WeightPart{.name = name, .shape = state.whole, .whole = state.whole}, values);
    all[name] = described(values);
  }
  return all;
}

double evaluation_loss(const fs::path& checkpoint) {
  cpu::CpuBackend backend = tiny_backend(2);
  InferenceModel model(find_model(checkpoint), {.batch = 2, .sequence = 16}, backend);
  std::vector<std::int32_t> tokens(32), targets(32);
  learnable_batch(5, tokens, targets);
  return model.evaluate(tokens, targets).loss;
}

std::vector<double> train_golden(const fs::path& run, std::int64_t steps) {
  const RunConfig config =
      load_run_config(run / "run.json", {"checkpoint.directory=" + run.string()});
  cpu::CpuBackend backend = tiny_backend(2);
  if (train(config, {.steps = steps, .threads = 2, .quiet = true}, backend, 0) != 0) {
    throw std::runtime_error("the run did not end well");
  }
  return metric(run, "loss");
}

}  // namespace ingot
