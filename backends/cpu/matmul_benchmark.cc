// matmul_benchmark [THREADS [TEXT]]   GFLOP/s of matmuls as in training and decoding, and their
// share of the machine's measured peak. Fastest of many runs; INGOT_ISA chooses the level. With one
// thread its CPU time is measured, so that neighbours on the machine count less. TEXT: only lines
// that begin with it, such as "bf16 tokens".
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "backends/cpu/kernel_clock.h"
#include "backends/cpu/matmul.h"
#include "backends/cpu/peak.h"

namespace ingot::cpu {
namespace {

class Benchmark {
 public:
  Benchmark(int threads, std::string text)
      : pool_(threads), text_(std::move(text)), clock_(threads), read_(kReadBytes / 4, 1.0f) {
    for (const DType type : {DType::f32, DType::bf16}) {
      std::printf("peak %s: %.0f GFLOP/s\n", std::string(name_of(type)).c_str(), peak(type));
    }
    std::printf("read: %.1f GB/s\n\n", bandwidth());
  }

  // One line: forward, gradient of the input, gradient of the weights; y = x W^T, W [out, in].
  void layer(DType type, std::int64_t tokens, std::int64_t out, std::int64_t in, int groups) {
    MatmulSpec forward{
        .rows = tokens, .columns = out, .depth = in, .a = type, .b = type, .c = type};
    forward.b_transposed = true;
    MatmulSpec input = forward;
    std::swap(input.columns, input.depth);
    input.b_transposed = false;
    MatmulSpec weight{.rows = out, .columns = in, .depth = tokens, .a = type, .b = type};
    weight.a_transposed = weight.accumulate = true;
    MatmulSpec packed = forward;
    packed.b_packed = true;
    const std::string label = std::string(name_of(type)) + " tokens " + std::to_string(tokens) +
                              " out " + std::to_string(out) + " in " + std::to_string(in) +
                              " groups " + std::to_string(groups);
    if (!label.starts_with(text_)) return;
    const double most = peak(type);
    std::printf("%-47s |", label.c_str());
    for (MatmulSpec* spec : {&forward, &input, &weight, &packed}) {
      spec->groups = groups;
      const double rate = gflops(*spec, tokens);
      std::printf(" %5.0f %3.0f %% |", rate, 100 * rate / most);
    }
    std::printf("\n");
  }

  // Few rows: GB/s of weights, which should come from memory.
  void decode(DType type, std::int64_t rows, std::int64_t out, std::int64_t in) {
    MatmulSpec spec{.rows = rows, .columns = out, .depth = in, .a = type, .b = type, .c = type};
    spec.b_transposed = true;
    const std::string label = std::string(name_of(type)) + " rows " + std::to_string(rows) +
                              " out " + std::to_string(out) + " in " + std::to_string(in);
    if (!label.starts_with(text_)) return;
    const double time = fastest(spec, rows);
    const double rate = static_cast<double>(out * in * size_of(type)) / time * 1e-9;
    std::printf("%-47s | %.1f GB/s, %.0f %% of reading\n", label.c_str(), rate,
                100 * rate / bandwidth());
  }

 private:
  static constexpr std::int64_t kReadBytes = 256 << 20;

  double peak(DType type) { return measured_peak_gflops(type, pool_); }
  double bandwidth() { return measured_read_gigabytes(std::as_bytes(std::span(read_)), pool_); }

  double gflops(const MatmulSpec& spec, std::int64_t a_rows) {
    return Matmul(spec).flops(a_rows) / fastest(spec, a_rows) * 1e-9;
  }

  double fastest(MatmulSpec spec, std::int64_t a_rows) {
    spec.threads = pool_.threads();
    const Matmul matmul(spec);
    std::vector<std::int32_t> offsets;
    for (int g = 0; spec.groups > 1 && g <= spec.groups; ++g) {
      offsets.push_back(static_cast<std::int32_t>(a_rows * g / spec.groups));
    }
    const std::int64_t b_size = spec.b_packed
                                    ? matmul.packed_bytes()
                                    : spec.columns * spec.depth * size_of(spec.b) * spec.groups;
    std::vector<std::byte> a(spec.rows * spec.depth * size_of(spec.a)), b(b_size),
        c(spec.rows * spec.columns * size_of(spec.c) * (spec.a_transposed ? spec.groups : 1)),
        memory(matmul.workspace_bytes() + 64);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    const std::span<std::byte> workspace(memory.data() + (64 - address % 64) % 64,
                                         matmul.workspace_bytes());
    double best = 1e9;
    const double end = clock_.seconds() + 0.4;
    do {
      const double start = clock_.seconds();
      matmul.run(pool_, {.a = a.data(),
                         .b = b.data(),
                         .c = c.data(),
                         .workspace = workspace,
                         .a_rows = a_rows,
                         .offsets = offsets});
      best = std::min(best, clock_.seconds() - start);
    } while (clock_.seconds() < end);
    return best;
  }

  ThreadPool pool_;
  std::string text_;
  KernelClock clock_;
  std::vector<float> read_;
};

void run(int threads, const std::string& text) {
  Benchmark benchmark(threads, text);
  std::printf("%-47s |   forward    |    input     |   weights    | fwd, packed  |\n", "");
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const auto& [out, in] :
         {std::pair{512, 512}, {1536, 512}, {2816, 512}, {512, 1408}, {8192, 512}}) {
      benchmark.layer(type, 2048, out, in, 1);
    }
    for (const auto& [out, in] : {std::pair{512, 512}, {512, 256}}) {
      benchmark.layer(type, 16 * 512, out, in, 16);
    }
  }
  std::printf("\n");
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const int rows : {1, 2, 4, 8, 16, 32}) benchmark.decode(type, rows, 16384, 4096);
    for (const int rows : {1, 2, 4, 8, 16, 32}) benchmark.decode(type, rows, 65536, 768);
  }
}

}  // namespace
}  // namespace ingot::cpu

int main(int argc, char** argv) {
  ingot::cpu::run(argc > 1 ? std::atoi(argv[1]) : ingot::cpu::default_threads(),
                  argc > 2 ? argv[2] : "");
}
