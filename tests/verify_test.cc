// Reference runs of real Hugging Face models, with the tolerances of tests/golden/README.md.
#include "engine/verify.h"

#include <gtest/gtest.h>

#include <string>

#include "backends/cpu/cpu_backend.h"
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
  EXPECT_GE(report.comparisons.size(), compute == ComputeType::fp32 ? 50u : 2u);
}

TEST_P(Golden, AgreesInFp32) { expect_agreement(GetParam(), ComputeType::fp32); }
TEST_P(Golden, AgreesInBf16) { expect_agreement(GetParam(), ComputeType::bf16); }
TEST_P(Golden, AgreesInFp16) { expect_agreement(GetParam(), ComputeType::fp16); }

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         testing::Values("deepseek_v3", "deepseek_v3_yarn", "deepseek_v2_lite",
                                         "deepseek_v2_group", "llama", "qwen2_tied",
                                         "deepseek_v3_odd", "deepseek_v2_biases",
                                         "llama_yarn_biases", "qwen3_tied"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace ingot
