// The parts of `ingot bench` that have files of their own.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "engine/execution/profile.h"
#include "tools/command.h"

namespace ingot {

// bench gemm: matmuls as layers have them, by shape and type.
void add_bench_gemm(CLI::App& bench, Command& command);
// bench ops: every op kind of training steps, against the roofline.
void add_bench_ops(CLI::App& bench, Command& command);

// {"fp32_gflops", "bf16_gflops", "int8_gflops", "gigabytes_per_second"}.
nlohmann::json peaks_json(const MachinePeaks& peaks);

}  // namespace ingot
