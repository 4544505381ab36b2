// attention_benchmark [THREADS] [SECONDS] [NUMBER]   GFLOP/s of attention, forward and backward; of
// one line only, if its NUMBER is given.
// FLOPs of the causal half only: two products forward, five backward. Fastest of the runs that fit
// into SECONDS (default 1) for each number. The peak is measured in the same way, before each line.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/kernel_clock.h"
#include "engine/execution/executor.h"
#include "engine/numbers/dtype.h"
#include "ops/attention/attention.h"
#include "ops/attention/attention_cpu.h"
#include "ops/attention/peak_simd.h"

namespace ingot {
namespace {

struct Setting {
  const char* name;
  std::int64_t batch, sequence, query_heads, kv_heads, key_size, rope, value_size;
};

template <class Run>
double fastest(int threads, double seconds, Run run) {
  run();
  const cpu::KernelClock clock(threads);
  const double begin = clock.seconds();
  double best = 1e9;
  for (int n = 0; n < 3 || clock.seconds() - begin < seconds; ++n) {
    const double start = clock.seconds();
    run();
    best = std::min(best, clock.seconds() - start);
  }
  return best;
}

double peak(cpu::ThreadPool& pool, DType dtype) {
  const cpu::PeakKernels& kernels = cpu::peak_kernels(cpu::isa());
  double flops = 0;
  const double seconds = fastest(pool.threads(), 0.05, [&] {
    std::vector<double> done(pool.threads());
    pool.parallel_for(pool.threads(), [&](std::int64_t tile, int) {
      done[tile] = (dtype == DType::bf16 ? kernels.bf16 : kernels.f32)(500000);
    });
    flops = 0;
    for (const double d : done) flops += d;
  });
  return flops / seconds;
}

void benchmark(const Setting& s, DType dtype, int threads, double seconds) {
  Program program;
  const std::int64_t tokens = s.batch * s.sequence, query_size = s.key_size + s.rope;
  std::vector<Tensor> inputs;
  const auto input = [&](std::int64_t columns) {
    inputs.push_back(program.persistent("x", {tokens, columns}, dtype, Role::input));
    return inputs.back();
  };
  const auto heads = [&](std::int64_t count, std::int64_t size) {
    return AttentionHeads{.tensor = input(count * size), .stride = size, .size = size};
  };
  const AttentionHeads query = heads(s.query_heads, query_size),
                       key = heads(s.kv_heads, s.key_size), value = heads(s.kv_heads, s.value_size);
  const Tensor rope = s.rope > 0 ? input(s.rope) : Tensor{};
  const Tensor output = attention(program, query, key, value, rope,
                                  {.batch = s.batch,
                                   .sequence = s.sequence,
                                   .query_heads = s.query_heads,
                                   .key_value_heads = s.kv_heads,
                                   .scale = 0.1});
  const Op forward = program.ops()[0];
  const Tensor gradient = input(s.query_heads * s.value_size);
  program.begin(Part::update);
  std::vector<Tensor> targets;
  for (const Tensor t : {query.tensor, key.tensor, value.tensor}) {
    targets.push_back(program.activation("gradient", program.info(t).shape, dtype));
  }
  targets.push_back(rope ? program.activation("gradient", program.info(rope).shape, dtype) : rope);
  program.append(
      kAttentionBackward,
      {query.tensor, key.tensor, value.tensor, rope, output, forward.outputs[1], gradient}, targets,
      forward.attributes);

  cpu::CpuBackend backend(threads, cpu::attention_cpu_kernels());
  BoundProgram bound(program, backend);
  Placement placement = separate_places(program, bound);
  Executor executor(program, std::move(bound), std::move(placement), backend);
  std::uint64_t random = 1;
  for (const Tensor t : inputs) {
    std::vector<std::byte> host(program.info(t).bytes());
    for (std::int64_t i = 0; i < program.info(t).shape.elements(); ++i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const float number = static_cast<float>(random >> 40) / (1 << 23) - 1;
      if (dtype == DType::bf16) {
        reinterpret_cast<std::uint16_t*>(host.data())[i] = float_to_bf16(number);
      } else {
        reinterpret_cast<float*>(host.data())[i] = number;
      }
    }
    executor.write(t, host);
  }
  const StepState state;
  const double limit = peak(backend.pool(), dtype);
  const double forward_rate = program.ops()[0].flops / fastest(threads, seconds, [&] {
                                executor.run(Part::micro_step, state);
                              });
  const double backward_rate = program.ops()[1].flops / fastest(threads, seconds, [&] {
                                 executor.run(Part::update, state);
                               });
  std::printf("%-22s %-4s  peak %5.0f  forward %5.0f (%2.0f%%)  backward %5.0f (%2.0f%%)\n", s.name,
              name_of(dtype).data(), limit * 1e-9, forward_rate * 1e-9, 100 * forward_rate / limit,
              backward_rate * 1e-9, 100 * backward_rate / limit);
  std::fflush(stdout);
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  using namespace ingot;
  const int threads = argc > 1 ? std::atoi(argv[1]) : cpu::default_threads();
  const double seconds = argc > 2 ? std::atof(argv[2]) : 1;
  std::printf("%d threads, %s, GFLOP/s\n", threads, cpu::isa_name(cpu::isa()).data());
  const Setting settings[] = {{"4 x 512, 64/64", 4, 512, 8, 8, 64, 0, 64},
                              {"4 x 512, 64/64 gqa 4", 4, 512, 8, 2, 64, 0, 64},
                              {"4 x 512, 96/64 mla", 4, 512, 8, 8, 64, 32, 64},
                              {"1 x 4096, 64/64", 1, 4096, 8, 8, 64, 0, 64},
                              {"4 x 512, 192/128 mla", 4, 512, 8, 8, 128, 64, 128},
                              {"1 x 4096, 192/128 mla", 1, 4096, 8, 8, 128, 64, 128}};
  int number = 0;
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const Setting& setting : settings) {
      if (argc <= 3 || number == std::atoi(argv[3])) benchmark(setting, dtype, threads, seconds);
      ++number;
    }
  }
}
