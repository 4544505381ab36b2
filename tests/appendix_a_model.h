// The models of the project's model reference, Appendix A: small ones of every family, with weights
// by a rule, so that a few printed numbers (appendix_a_test.cc) check all of a training step.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tiny_run.h"
#include "training/steps/training_engine.h"

namespace ingot::appendix_a {

inline constexpr std::int64_t kBatch = 2, kSequence = 12, kVocabulary = 256;

// The rule: what hash and number generator give, and an element of a tensor.
std::uint64_t splitmix64(std::uint64_t x);
std::uint64_t fnv1a(std::string_view name);
float fill_value(const std::string& name, std::uint64_t index);
void fill_weights(Executor& executor);

// ids[b][t] = (37 (12 b + t) + 11) mod 256; the last token of a sequence has no target.
struct Data {
  std::vector<std::int32_t> tokens, targets;
  Data();
};

// v3, v3+mtp, v3yarn, v2lite, v2group, llama, qwen2, qwen3.
nlohmann::json model_json(const std::string& id);

// A training step's program with the weights of the rule.
class Reference {
 public:
  explicit Reference(const nlohmann::json& model);

  // The numbers of valid targets are those of this data, whose last tokens have none.
  TrainingEngine::MicroStepLosses micro_step();

  std::vector<float> gradient(const std::string& name) const;
  // L2 norm of the gradient of one tensor of the checkpoint, or of all.
  double gradient_norm(const std::string& name = "") const;
  // Of each router.
  std::vector<double> balances() const;
  std::vector<std::vector<std::int32_t>> loads() const;

  TrainingEngine& engine() { return *engine_; }
  const RunConfig& config() const { return config_; }
  const Data& data() const { return data_; }

 private:
  cpu::CpuBackend backend_;
  RunConfig config_;
  std::unique_ptr<TrainingEngine> engine_;
  Data data_;
};

}  // namespace ingot::appendix_a
