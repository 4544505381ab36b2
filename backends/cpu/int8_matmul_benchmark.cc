// int8_matmul_benchmark [THREADS [BLOCK]]   int8 products beside the bf16 ones of matmul.h, same
// operands (bf16), quantization included: GFLOP/s of both, measured in turns, and the ratio; then
// with the first operand, x or dy, in codes already (Int8MatmulSpec::a_coded), as most products of
// a step have it (compress/passes/int8_compute.h), its quantization not included. Fastest of many
// runs; with one thread its CPU time. BLOCK: of the depth; 0 is one scale for all of it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "backends/cpu/int8_matmul.h"
#include "backends/cpu/kernel_clock.h"
#include "backends/cpu/matmul.h"

namespace ingot::cpu {
namespace {

std::vector<std::uint16_t> random_values(std::int64_t count) {
  std::vector<std::uint16_t> values(count);
  std::uint64_t state = 1;
  for (std::uint16_t& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = float_to_bf16(static_cast<float>(state >> 40) * 0x1p-24f - 0.5f);
  }
  return values;
}

class Benchmark {
 public:
  Benchmark(int threads, std::int64_t block) : pool_(threads), block_(block), clock_(threads) {}

  // y = x W^T, dx = dy W (dy rounded stochastically), dW = dy^T x (likewise).
  void layer(std::int64_t tokens, std::int64_t out, std::int64_t in) {
    MatmulSpec forward{.rows = tokens, .columns = out, .depth = in};
    forward.a = forward.b = forward.c = DType::bf16;
    forward.b_transposed = true;
    MatmulSpec input = forward;
    std::swap(input.columns, input.depth);
    input.b_transposed = false;
    MatmulSpec weight{.rows = out, .columns = in, .depth = tokens};
    weight.a = weight.b = DType::bf16;
    weight.a_transposed = true;
    std::printf("%5ld x %5ld x %5ld |", static_cast<long>(tokens), static_cast<long>(in),
                static_cast<long>(out));
    compare(forward, false);
    compare(input, true);
    compare(weight, true);
    std::printf("\n");
    std::fflush(stdout);
  }

 private:
  void compare(MatmulSpec spec, bool stochastic) {
    spec.threads = pool_.threads();
    const Matmul matmul(spec);
    const Int8Matmul int8({.product = spec, .block = block_, .stochastic = stochastic});
    const Int8Matmul coded({.product = spec, .a_coded = true});
    const std::int64_t a_rows = spec.a_transposed ? spec.depth : spec.rows;
    const auto a = random_values(spec.rows * spec.depth);
    const auto b = random_values(spec.columns * spec.depth);
    std::vector<float> c(spec.rows * spec.columns);
    const std::vector<std::int8_t> codes(a.size(), 77);
    const std::vector<float> scales(a_rows, 0.01f);
    std::vector<std::byte> memory(
        std::max({matmul.workspace_bytes(), int8.workspace_bytes(), coded.workspace_bytes()}) + 64);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    const auto workspace = std::span(memory).subspan((64 - address % 64) % 64);
    double best = 1e9, best_int8 = 1e9, best_coded = 1e9;
    for (const double end = clock_.seconds() + 0.5; clock_.seconds() < end;) {
      const double start = clock_.seconds();
      matmul.run(
          pool_,
          {.a = a.data(), .b = b.data(), .c = c.data(), .workspace = workspace, .a_rows = a_rows});
      const double middle = clock_.seconds();
      int8.run(
          pool_,
          {.a = a.data(), .b = b.data(), .c = c.data(), .workspace = workspace, .a_rows = a_rows});
      best = std::min(best, middle - start);
      const double end_int8 = clock_.seconds();
      best_int8 = std::min(best_int8, end_int8 - middle);
      coded.run(pool_, {.a = codes.data(),
                        .b = b.data(),
                        .c = c.data(),
                        .workspace = workspace,
                        .a_rows = a_rows,
                        .scales = scales.data()});
      best_coded = std::min(best_coded, clock_.seconds() - end_int8);
    }
    const double flops = matmul.flops(a_rows) * 1e-9;
    std::printf(" %5.0f %5.0f  %.2f  %5.0f  %.2f |", flops / best, flops / best_int8,
                best / best_int8, flops / best_coded, best / best_coded);
  }

  ThreadPool pool_;
  std::int64_t block_;
  KernelClock clock_;
};

void run(int threads, std::int64_t block) {
  Benchmark benchmark(threads, block);
  std::puts(
      "tokens x   in  x  out | y: bf16, int8, x coded        | dx: bf16, int8, dy coded      |"
      " dW: bf16, int8, dy coded      |");
  benchmark.layer(2048, 2048, 2048);
  benchmark.layer(512, 512, 1408);
  benchmark.layer(512, 512, 512);
  for (const auto& [out, in] : {std::pair{512, 512},
                                {1536, 512},
                                {2816, 512},
                                {512, 1408},
                                {1024, 128},
                                {768, 192},
                                {352, 512}}) {
    benchmark.layer(2048, out, in);
  }
}

}  // namespace
}  // namespace ingot::cpu

int main(int argc, char** argv) {
  ingot::cpu::run(argc > 1 ? std::atoi(argv[1]) : ingot::cpu::default_threads(),
                  argc > 2 ? std::atoi(argv[2]) : 0);
}
