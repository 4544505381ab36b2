#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/execution/op_times.h"
#include "engine/numbers/random.h"
#include "memory/plan.h"
#include "ops/grouped_linear/grouped_linear.h"
#include "ops/linear/linear.h"
#include "tools/bench/bench.h"
#include "tools/flag_checks.h"

namespace ingot {
namespace {

using nlohmann::json;

// y [tokens, out] = x [tokens, in] W^T, or for each expert with its share of the tokens.
struct Layer {
  const char* what;
  std::int64_t tokens, out, in, experts = 1;
};
constexpr Layer kLayers[] = {
    {"square", 2048, 2048, 2048},
    {"small square", 512, 512, 512},
    {"q, k, v", 2048, 1536, 512},
    {"gate and up", 2048, 2816, 512},
    {"up", 512, 1408, 512},
    {"down", 2048, 512, 1408},
    {"head", 2048, 8192, 512},
    {"latent down", 2048, 352, 512},
    {"16 experts up", 8192, 512, 512, 16},
    {"16 experts down", 8192, 512, 256, 16},
    {"64 experts up", 8192, 512, 512, 64},
};

struct Compute {
  const char* name;
  DType dtype;  // of the operands
  double MachinePeaks::*peak;
  bool int8 = false;  // quantized on the way
};
constexpr Compute kComputes[] = {{"fp32", DType::f32, &MachinePeaks::f32_flops},
                                 {"bf16", DType::bf16, &MachinePeaks::bf16_flops},
                                 {"int8", DType::bf16, &MachinePeaks::int8_flops, true}};

constexpr const char* kProducts[] = {"y = x W^T", "dx = dy W", "dW += dy^T x"};

// The three products of a layer as a program: forward and both gradients.
struct Products {
  Program program;
  std::vector<Tensor> operands;  // to be filled with numbers
  Tensor offsets;                // of experts
};

Products make_products(const Layer& layer, const Compute& compute) {
  Products result;
  Program& program = result.program;
  const auto operand = [&](std::string_view name, Shape shape) {
    const Tensor tensor = program.persistent(name, shape, compute.dtype, Role::activation);
    result.operands.push_back(tensor);
    return tensor;
  };
  const bool grouped = layer.experts > 1;
  const Shape shape =
      grouped ? Shape{layer.experts, layer.out, layer.in} : Shape{layer.out, layer.in};
  const Tensor x = operand("x", {layer.tokens, layer.in});
  const Tensor dy = operand("dy", {layer.tokens, layer.out});
  const Tensor weight = operand("W", shape);
  const Tensor dx =
      program.persistent("dx", {layer.tokens, layer.in}, compute.dtype, Role::activation);
  const Tensor dw = program.persistent("dW", shape, DType::f32, Role::gradient);
  if (grouped) {
    result.offsets = program.persistent("offsets", {layer.experts + 1}, DType::i32, Role::input);
    grouped_linear(program, x, weight, result.offsets);
    program.append(kGroupedLinearDgrad, {dy, weight, result.offsets}, {dx});
    program.append(kGroupedLinearWgrad, {dy, x, result.offsets}, {dw});
  } else {
    linear(program, x, weight);
    program.append(kLinearDgrad, {dy, weight}, {dx});
    program.append(kLinearWgrad, {dy, x}, {dw});
  }
  if (compute.int8) {
    for (Op& op : program.ops()) {
      op.attributes.set("int8", 1);
      op.attributes.set("int8_block", 0);  // one scale for each row
    }
  }
  return result;
}

// Numbers in [-1, 1): zeros would be kinder to the multipliers than real work is.
void fill(Executor& executor, Tensor tensor) {
  constexpr std::int64_t kPattern = 1009;  // repeated; a prime, so that rows differ
  const TensorInfo& info = executor.program().info(tensor);
  std::vector<std::byte> values(static_cast<std::size_t>(info.bytes()));
  const std::int64_t size = size_of(info.dtype);
  for (std::int64_t i = 0; i < kPattern; ++i) {
    const auto value = static_cast<float>(2 * random_uniform(1, tensor.id, i) - 1);
    // bf16 is the upper half of the bits of a float.
    std::byte bytes[4];
    std::memcpy(bytes, &value, 4);
    std::memcpy(values.data() + i * size, bytes + 4 - size, size);
  }
  for (std::size_t i = kPattern * size; i < values.size(); ++i) {
    values[i] = values[i - kPattern * size];
  }
  executor.write(tensor, values);
}

void fill_offsets(Executor& executor, const Layer& layer, Tensor offsets) {
  std::vector<std::int32_t> values;
  for (std::int64_t expert = 0; expert <= layer.experts; ++expert) {
    values.push_back(static_cast<std::int32_t>(layer.tokens * expert / layer.experts));
  }
  executor.write(offsets, std::as_bytes(std::span(values)));
}

// Each op's fastest time.
std::vector<double> measure(const Layer& layer, const Compute& compute, Backend& backend,
                            double patience) {
  Products products = make_products(layer, compute);
  BoundProgram bound(products.program, backend);
  const MemoryPlan plan = plan_memory(products.program, bound);
  Executor executor(products.program, std::move(bound), plan.placement, backend);
  for (const Tensor tensor : products.operands) fill(executor, tensor);
  if (products.offsets) fill_offsets(executor, layer, products.offsets);
  OpTimes times(executor);
  executor.set_observer(&times);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(patience);
  do {
    executor.run(Part::micro_step, {});
    times.collect();
  } while (std::chrono::steady_clock::now() < end);
  std::vector<double> fastest;
  for (std::size_t op = 0; op < products.program.ops().size(); ++op) {
    fastest.push_back(times.fastest(op));
  }
  return fastest;
}

struct Flags {
  int threads = 0;
  double seconds = 0.3;
  bool json = false;
  std::optional<Device> device;
};

int bench_gemm(const Flags& flags) {
  const int threads = thread_count(flags.threads);
  const auto backend = make_backend(flags.device.value_or(Device::cpu), threads);
  const MachinePeaks peaks = backend->peaks();
  json rows = json::array();
  if (!flags.json) {
    std::printf("%-16s %6s %6s %6s %7s  %-5s", "layer", "tokens", "out", "in", "experts", "type");
    for (const char* product : kProducts) std::printf("  %14s", product);
    std::puts("   GFLOP/s and share of peak");
  }
  for (const Layer& layer : kLayers) {
    for (const Compute& compute : kComputes) {
      const std::vector<double> seconds = measure(layer, compute, *backend, flags.seconds);
      const double flops = 2.0 * static_cast<double>(layer.tokens * layer.out * layer.in);
      const double peak = peaks.*compute.peak;  // 0: not known
      const auto share = [peak](double rate) { return peak > 0 ? rate / peak : 0; };
      json row = {{"layer", layer.what}, {"tokens", layer.tokens},   {"out", layer.out},
                  {"in", layer.in},      {"experts", layer.experts}, {"type", compute.name}};
      for (std::size_t i = 0; i < seconds.size(); ++i) {
        const double rate = flops / seconds[i];
        row["products"].push_back(
            {{"product", kProducts[i]}, {"gflops", rate / 1e9}, {"share_of_peak", share(rate)}});
      }
      if (!flags.json) {
        std::printf("%-16s %6lld %6lld %6lld %7lld  %-5s", layer.what,
                    static_cast<long long>(layer.tokens), static_cast<long long>(layer.out),
                    static_cast<long long>(layer.in), static_cast<long long>(layer.experts),
                    compute.name);
        for (const double time : seconds) {
          std::printf("  %7.0f %5.1f%%", flops / time / 1e9, 100 * share(flops / time));
        }
        std::puts("");
      }
      rows.push_back(std::move(row));
    }
  }
  if (flags.json) {
    std::puts(
        json{{"threads", threads}, {"peaks", peaks_json(peaks)}, {"layers", rows}}.dump(2).c_str());
  }
  return 0;
}

}  // namespace

void add_bench_gemm(CLI::App& bench, Command& command) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* gemm = bench.add_subcommand("gemm", "Matmuls as layers have them, by shape and type");
  gemm->add_option("--threads", flags->threads, "0: all this process may use")
      ->check(count_from(0))
      ->capture_default_str();
  gemm->add_option("--seconds", flags->seconds, "For each line; the fastest run counts")
      ->check(number_between(0, 60))
      ->capture_default_str();
  gemm->add_flag("--json", flags->json, "Print JSON");
  add_device_flag(*gemm, flags->device);
  gemm->callback([&command, flags] { command = [flags] { return bench_gemm(*flags); }; });
}

}  // namespace ingot
