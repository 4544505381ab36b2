#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "tools/command.h"
#include "tools/unused_tensors.h"
#include "tools/verify/verify.h"

namespace ingot {

void add_verify(CLI::App& app, Command& command) {
  struct Flags {
    std::string folder, golden, dtype = "fp32";
    std::optional<Device> device;
    bool json = false;
  };
  const auto flags = std::make_shared<Flags>();
  CLI::App* verify = app.add_subcommand("verify", "Compare with a reference run of a model");
  verify->add_option("HF_DIR", flags->folder, "Hugging Face model folder")->required();
  verify->add_option("GOLDEN", flags->golden, "Reference run (golden.safetensors)")->required();
  verify->add_option("--dtype", flags->dtype, "Compute in this format")
      ->check(CLI::IsMember({"fp32", "bf16", "fp16", "int8"}));
  add_device_flag(*verify, flags->device);
  verify->add_flag("--json", flags->json, "Print every comparison as JSON");
  verify->callback([&command, flags] {
    command = [flags] {
      const ComputeType compute = flags->dtype == "bf16"   ? ComputeType::bf16
                                  : flags->dtype == "fp16" ? ComputeType::fp16
                                  : flags->dtype == "int8" ? ComputeType::int8
                                                           : ComputeType::fp32;
      const auto backend = make_backend(flags->device.value_or(Device::cpu), thread_count(0));
      const VerifyReport report = ingot::verify(flags->folder, flags->golden, compute, *backend);
      warn_of_unused(report.unused_tensors);
      std::puts((flags->json ? report.to_json() : report.to_table()).c_str());
      return report.passed() ? 0 : static_cast<int>(ErrorCode::diverged);
    };
  });
}

}  // namespace ingot
