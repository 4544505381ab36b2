// How fast a config's model reads prompts and writes texts, with random weights: prompts of 512
// tokens, then 128 greedy ones. Its peer is pytorch_generate.py.
//
//   generation_bench RUN.json BATCH [REPEATS] [--profile] [--int8]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "backends/cpu/peak.h"
#include "backends/host/arena.h"
#include "compress/passes/int8_weights.h"
#include "engine/execution/profile.h"
#include "engine/numbers/random.h"
#include "inference/generator.h"
#include "inference/inference_model.h"
#include "memory/plan.h"
#include "planning/compile/training_program.h"
#include "tools/command.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

constexpr std::int64_t kPrompt = 512, kGenerated = 128;

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

struct Times {
  double prefill = 1e30, decode = 1e30;  // milliseconds
};

// GB/s this machine reads memory with.
double read_gigabytes(int threads) {
  constexpr std::size_t kMemory = 256 << 20;  // more than caches hold
  cpu::ThreadPool pool(threads);
  const Arena arena(kMemory);
  std::fill_n(arena.data(), kMemory, std::byte{1});
  return cpu::measured_read_gigabytes({arena.data(), kMemory}, pool);
}

// Bytes a decode step has to read: weights that are used (of routed experts as many as `batch`
// random choices hit), not the embedding table but for its use as head, and the cache, half of the
// new tokens in it.
double bytes_of_decode_step(const ModelConfig& config, const Program& program, double batch,
                            bool int8) {
  const ParameterCount count = count_parameters(config);
  double weights = static_cast<double>(count.active);
  if (config.moe) {
    const double unused = 1 - static_cast<double>(config.moe->num_experts_per_tok) /
                                  static_cast<double>(config.moe->n_routed_experts);
    const double experts = static_cast<double>(count.total - count.active) / unused;
    weights += experts * (unused - std::pow(unused, batch));
  }
  if (!config.tie_word_embeddings) {
    weights -= static_cast<double>(config.vocab_size * config.hidden_size);
  }
  double bytes = (int8 ? 1 + 4.0 / 128 : 2) * weights;  // int8: a scale for each 128
  for (const TensorInfo& tensor : program.tensors()) {
    if (!tensor.name.ends_with("_cache")) continue;
    bytes += static_cast<double>(tensor.bytes()) * (kPrompt + kGenerated / 2) /
             static_cast<double>(tensor.shape[tensor.shape.rank() == 4 ? 2 : 1]);
  }
  return bytes;
}

// One round of reading and writing; keeps the shorter times.
void measure(Generator& generator, const std::vector<std::vector<std::int32_t>>& prompts,
             Times& best, Executor& executor, Profile* prefill, Profile* decode) {
  std::vector<std::int32_t> tokens(prompts.size());
  const auto pick = [&] {
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = generator.picked(i).token;
  };
  executor.set_observer(prefill);
  auto start = std::chrono::steady_clock::now();
  generator.start(prompts);
  pick();
  best.prefill = std::min(best.prefill, milliseconds_since(start));
  if (prefill != nullptr) prefill->end_step();
  executor.set_observer(decode);
  start = std::chrono::steady_clock::now();
  for (std::int64_t i = 1; i < kGenerated; ++i) {
    generator.next(tokens);
    pick();
    if (decode != nullptr) decode->end_step();
  }
  best.decode = std::min(best.decode, milliseconds_since(start));
  executor.set_observer(nullptr);
}

int run(const std::string& path, std::int64_t batch, int repeats, bool with_profile, bool int8) {
  const RunConfig config = load_run_config(path, {});
  const int threads = thread_count(0);
  const auto backend = make_backend(Device::cpu, threads);
  Program program;
  const GenerationParts parts = append_generation(
      program, config.model,
      generation_options({.texts = batch, .capacity = kPrompt + kGenerated, .prompt = kPrompt},
                         storage_dtype(config.precision.compute)));
  if (int8) store_weights_in_int8(program);
  BoundProgram bound(program, *backend);
  const MemoryPlan plan = plan_memory(program, bound);
  Executor executor(program, std::move(bound), plan.placement, *backend);
  initialize_weights(executor, 1, threads);

  std::vector<std::vector<std::int32_t>> prompts(batch, std::vector<std::int32_t>(kPrompt));
  std::uint64_t drawn = 0;
  for (auto& prompt : prompts) {
    for (std::int32_t& token : prompt) {
      token = static_cast<std::int32_t>(philox(1, 0, drawn++)[0] %
                                        static_cast<std::uint32_t>(config.model.vocab_size));
    }
  }
  Generator generator(executor, parts, config.model.vocab_size);
  Times best;
  for (int i = 0; i <= repeats; ++i) measure(generator, prompts, best, executor, nullptr, nullptr);
  const auto texts = static_cast<double>(batch);
  const double step = best.decode / (kGenerated - 1);
  const double bytes = bytes_of_decode_step(config.model, program, texts, int8);
  std::printf(
      "%s, batch %d: prefill %.1f ms, %.0f tokens/s; decode %.1f ms, %.1f tokens/s, %.2f ms a "
      "step, "
      "%.1f MB at %.1f of %.1f GB/s; arena %.0f MiB\n",
      path.c_str(), static_cast<int>(batch), best.prefill, texts * kPrompt / best.prefill * 1e3,
      best.decode, texts / step * 1e3, step, bytes / 1e6, bytes / step / 1e6,
      read_gigabytes(threads), static_cast<double>(executor.arena_bytes()) / (1 << 20));
  if (!with_profile) return 0;
  const MachinePeaks peaks = backend->peaks();
  Profile prefill(executor), decode(executor);
  Times ignored;
  measure(generator, prompts, ignored, executor, &prefill, &decode);
  std::printf("prefill\n%s\ndecode, a step\n%s\n",
              profile_table(prefill.by_kind(peaks), peaks).c_str(),
              profile_table(decode.fastest_by_kind(peaks), peaks).c_str());
  return 0;
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const bool profile = std::erase(words, "--profile") > 0;
  const bool int8 = std::erase(words, "--int8") > 0;
  if (words.size() < 2) {
    std::puts("generation_bench RUN.json BATCH [REPEATS] [--profile] [--int8]");
    return 2;
  }
  const int repeats = words.size() > 2 ? std::atoi(words[2].c_str()) : 3;
  return ingot::run(words[0], std::atoll(words[1].c_str()), repeats, profile, int8);
}
