// Speed of the tokenizer on real text: training a vocabulary, encoding on one and on all threads,
// loading.
//
//   bazel run //tests/bench:tokenizer_bench -- FOLDER [TOKENIZER.json]
//
// FOLDER: all its files are read, each one a document. Without a tokenizer, one of 8192 tokens is
// trained on them and written to stdout; the report goes to stderr. Times are the best of several;
// on a busy machine look at those of the CPU.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/tokenizer.h"

namespace {

struct Time {
  double wall, cpu;  // seconds; cpu: of all threads together
};

Time best_of(int repeats, const std::function<void()>& work) {
  Time best{1e30, 1e30};
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t cpu_begin = std::clock();
    work();
    best.cpu = std::min(best.cpu, static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC);
    best.wall = std::min(
        best.wall, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

std::vector<std::string> read_folder(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> documents;
  for (const auto& path : paths) {
    std::ifstream stream(path, std::ios::binary);
    documents.emplace_back(std::istreambuf_iterator<char>(stream),
                           std::istreambuf_iterator<char>());
  }
  return documents;
}

void encode_all(const ingot::Tokenizer& tokenizer, const std::vector<std::string>& documents,
                int threads) {
  const auto work = [&](int thread) {
    std::vector<std::uint32_t> ids;
    for (std::size_t i = thread; i < documents.size(); i += threads) {
      ids.clear();
      tokenizer.encode(documents[i], ids);
    }
  };
  std::vector<std::thread> pool;
  for (int thread = 1; thread < threads; ++thread) pool.emplace_back(work, thread);
  work(0);
  for (std::thread& thread : pool) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: tokenizer_bench FOLDER [TOKENIZER.json]\n"), 2;
  const std::vector<std::string> documents = read_folder(argv[1]);
  double megabytes = 0;
  for (const std::string& document : documents)
    megabytes += 1e-6 * static_cast<double>(document.size());
  std::fprintf(stderr, "%zu documents, %.2f MB\n", documents.size(), megabytes);

  ingot::TokenizerSpec spec;
  if (argc > 2) {
    std::ifstream stream(argv[2], std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(stream), {});
    const Time time = best_of(5, [&] { ingot::Tokenizer::parse(text, argv[2]); });
    std::fprintf(stderr, "load     %8.3f s\n", time.wall);
    spec = ingot::parse_tokenizer_json(text, argv[2]);
  } else {
    const Time time = best_of(5, [&] {
      ingot::BpeTrainer trainer({.vocabulary_size = 8192});
      for (const std::string& document : documents) trainer.add(document);
      spec = trainer.train();
    });
    std::fprintf(stderr, "train    %8.3f s, %.3f s of CPU\n", time.wall, time.cpu);
    std::fputs(ingot::write_tokenizer_json(spec).c_str(), stdout);
  }

  const ingot::Tokenizer tokenizer(spec);
  std::size_t tokens = 0;
  for (const std::string& document : documents) tokens += tokenizer.encode(document).size();
  std::fprintf(stderr, "tokens   %8zu, hash %016llx\n", tokens,
               static_cast<unsigned long long>(tokenizer.hash()));
  for (const int threads :
       {1, static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))}) {
    const Time time = best_of(9, [&] { encode_all(tokenizer, documents, threads); });
    std::fprintf(stderr, "encode   %8.1f MB/s with %d thread(s), %.1f MB per second of CPU\n",
                 megabytes / time.wall, threads, megabytes / time.cpu);
  }
}
