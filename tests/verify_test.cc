// Reference runs of real Hugging Face models, with the tolerances of tests/golden/README.md.
#include "tools/verify/verify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "io/safetensors.h"
#include "io/test_folder.h"
#include "ops/cpu_kernels.h"

namespace ingot {
namespace {

class Golden : public testing::TestWithParam<const char*> {};

void expect_agreement(const std::string& name, ComputeType compute) {
  const std::string folder = "tests/golden/" + name;
  cpu::CpuBackend backend(2, cpu::all_cpu_kernels());
  const VerifyReport report =
      verify(folder + "/model", folder + "/golden.safetensors", compute, backend);
  EXPECT_TRUE(report.passed()) << report.to_table();
  // Logits, hidden states and gradients are there at any precision.
  EXPECT_GE(report.comparisons.size(), compute == ComputeType::fp32 ? 50u : 25u);
}

TEST_P(Golden, AgreesInFp32) { expect_agreement(GetParam(), ComputeType::fp32); }
TEST_P(Golden, AgreesInBf16) { expect_agreement(GetParam(), ComputeType::bf16); }
TEST_P(Golden, AgreesInFp16) { expect_agreement(GetParam(), ComputeType::fp16); }
TEST_P(Golden, AgreesInInt8) { expect_agreement(GetParam(), ComputeType::int8); }

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         testing::Values("deepseek_v3", "deepseek_v3_yarn", "deepseek_v2_lite",
                                         "deepseek_v2_group", "llama", "qwen2_tied",
                                         "deepseek_v3_odd", "deepseek_v2_biases",
                                         "llama_yarn_biases", "qwen3_tied"),
                         [](const auto& info) { return std::string(info.param); });

// A copy of a reference run in which `change` was made to one tensor.
template <class T, class Change>
void write_changed(const std::string& from, const std::string& to, const std::string& name,
                   Change change) {
  const SafetensorsFile original(from);
  std::vector<TensorDeclaration> declarations(original.entries().begin(), original.entries().end());
  SafetensorsWriter writer(to, declarations);
  for (const TensorDeclaration& tensor : writer.order()) {
    const SafetensorsEntry& entry = original.at(tensor.name);
    std::vector<std::byte> bytes(entry.bytes.begin(), entry.bytes.end());
    if (tensor.name == name) {
      std::vector<T> values(bytes.size() / sizeof(T));
      std::memcpy(values.data(), bytes.data(), bytes.size());
      change(values);
      std::memcpy(bytes.data(), values.data(), bytes.size());
    }
    writer.append(tensor.name, bytes);
  }
  writer.commit();
}

// A gradient that is 12 % too large, logits that are off by 6 %: neither can hide in few bits.
TEST(Verify, FewBitsHideNoWrongGradientAndNoWrongLogits) {
  const std::string folder = "tests/golden/llama";
  const TestFolder temporary{fast_temporary_folder()};
  const std::string changed = temporary / "golden.safetensors";
  const std::map<std::string, float> factors = {
      {"grad.model.layers.1.mlp.down_proj.weight", 1.12f}, {"logits", 1.06f}, {"hidden.2", 0.94f}};
  for (const auto& [name, factor] : factors) {
    write_changed<float>(folder + "/golden.safetensors", changed, name,
                         [factor = factor](auto& values) {
                           for (float& value : values) value *= factor;
                         });
    cpu::CpuBackend backend(2, cpu::all_cpu_kernels());
    const VerifyReport report = verify(folder + "/model", changed, ComputeType::bf16, backend);
    for (const Comparison& c : report.comparisons) EXPECT_EQ(c.passed(), c.name != name) << c.name;
  }
}

TEST(Verify, FailsInWhatDiffersAndInNothingElse) {
  const std::string folder = "tests/golden/llama";
  const TestFolder temporary{fast_temporary_folder()};
  const std::string changed = temporary / "golden.safetensors";
  const auto expect_failure = [&](const std::string& name) {
    cpu::CpuBackend backend(2, cpu::all_cpu_kernels());
    const VerifyReport report = verify(folder + "/model", changed, ComputeType::fp32, backend);
    EXPECT_FALSE(report.passed()) << name;
    for (const Comparison& c : report.comparisons) EXPECT_EQ(c.passed(), c.name != name) << c.name;
  };
  const auto largest = [](const std::vector<float>& values) {
    float most = 0;
    for (const float value : values) most = std::max(most, std::fabs(value));
    return most;
  };
  // One element, by twice the tolerance.
  const std::map<std::string, float> tolerances = {
      {"logits", 2e-5f},
      {"hidden.1", 2e-5f},
      {"grad.model.layers.1.self_attn.k_proj.weight", 1e-4f},
      {"train.losses", 1e-4f}};
  for (const auto& [name, tolerance] : tolerances) {
    write_changed<float>(folder + "/golden.safetensors", changed, name, [&](auto& values) {
      values[values.size() / 2] += 2 * tolerance * largest(values);
    });
    expect_failure(name);
  }
  write_changed<std::int32_t>(folder + "/golden.safetensors", changed, "greedy",
                              [](auto& values) { values.back() ^= 1; });
  expect_failure("greedy");
  // As if it had not decayed by 2e-3 * 0.1 in each of 20 steps.
  const std::string weight = "final.model.layers.0.mlp.up_proj.weight";
  write_changed<float>(folder + "/golden.safetensors", changed, weight, [](auto& values) {
    for (float& value : values) value *= 1.004f;
  });
  expect_failure(weight);
}

}  // namespace
}  // namespace ingot
