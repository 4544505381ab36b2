#include "inference/generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

#include "backends/cpu/cpu_backend.h"
#include "engine/base/error.h"
#include "inference/inference_model.h"
#include "ops/cpu_kernels.h"

namespace ingot {
namespace {

using Tokens = std::vector<std::int32_t>;

// A golden model with room for `texts` texts, read in chunks of `prompt`.
struct Model {
  Model(const std::string& name, std::int64_t texts, std::int64_t prompt, int threads,
        ComputeType compute = ComputeType::fp32, bool int8_weights = false,
        std::int64_t prompts = 0)
      : backend(threads, cpu::all_cpu_kernels()),
        source(find_model("tests/golden/" + name + "/model")) {
    source.config.precision.compute = compute;
    model = std::make_unique<InferenceModel>(source,
                                             InferenceOptions{.texts = texts,
                                                              .prompts = prompts,
                                                              .capacity = 200,
                                                              .prompt = prompt,
                                                              .int8_weights = int8_weights,
                                                              .keep_logits = true},
                                             backend);
    generator = std::make_unique<Generator>(model->executor(), model->generation(),
                                            model->config().vocab_size);
  }

  std::vector<Tokens> write(const std::vector<Tokens>& prompts, std::int64_t count,
                            SamplingOptions sampling = {}) {
    return generate(*generator, prompts, count, sampling, {});
  }

  cpu::CpuBackend backend;
  ModelSource source;
  std::unique_ptr<InferenceModel> model;
  std::unique_ptr<Generator> generator;
};

// Lengths on both sides of a chunk of 64, one token among them.
std::vector<Tokens> eight_prompts() {
  std::vector<Tokens> prompts;
  for (const int length : {5, 1, 64, 70, 130, 9, 63, 65}) {
    Tokens& prompt = prompts.emplace_back();
    for (int i = 0; i < length; ++i) prompt.push_back((7 * i + 13 * length) % 90);
  }
  return prompts;
}

class Generation : public testing::TestWithParam<const char*> {};

TEST_P(Generation, OfEightTextsGivesWhatEachGivesAlone) {
  Model eight(GetParam(), 8, 64, 2), one(GetParam(), 1, 64, 2);
  const auto prompts = eight_prompts();
  const auto together = eight.write(prompts, 12);
  ASSERT_EQ(together.size(), prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(together[i].size(), 12u);
    EXPECT_EQ(together[i], one.write({prompts[i]}, 12)[0]) << "prompt " << i;
  }
}

// Samples that share a prompt, whose tokens are computed once, are those that each would be with a
// prompt of its own: their numbers count on over all.
TEST_P(Generation, OfSamplesThatShareAPromptGivesWhatEachGivesWithItsOwn) {
  const std::vector<Tokens> all = eight_prompts();
  const std::vector<Tokens> three = {all[0], all[4], all[7]};  // short; over chunks; over a border
  const std::vector<std::int64_t> prompt_of = {0, 0, 0, 1, 1, 2, 2};
  std::vector<Tokens> repeated;
  for (const std::int64_t p : prompt_of) repeated.push_back(three[p]);
  Model own(GetParam(), 8, 64, 2);
  Model shared(GetParam(), 8, 64, 2, ComputeType::fp32, false, 3);
  for (const double temperature : {0.0, 1.5}) {
    const SamplingOptions sampling{.temperature = temperature, .seed = 5};
    const auto expected = generate(*own.generator, repeated, 12, sampling, {});
    const auto texts = generate(*shared.generator, three, 12, sampling, {}, {}, prompt_of);
    EXPECT_EQ(texts, expected);
    // In rounds of fewer at a time, too.
    SamplingOptions later = sampling;
    later.first_text = 3;
    const std::vector<std::int64_t> rest = {0, 0, 1, 1};
    EXPECT_EQ(generate(*shared.generator, std::span(three).subspan(1), 12, later, {}, {}, rest),
              std::vector<Tokens>(expected.begin() + 3, expected.end()));
  }
}

TEST_P(Generation, GivesTheSameLogitsForAnyNumberOfThreads) {
  std::vector<Tokens> texts[2];
  std::vector<float> logits[2];
  for (const int threads : {1, 3}) {
    Model model(GetParam(), 8, 64, threads, ComputeType::bf16);
    texts[threads / 2] = model.write(eight_prompts(), 8);
    for (int i = 0; i < 8; ++i) {
      const auto row = model.generator->logits(i);
      logits[threads / 2].insert(logits[threads / 2].end(), row.begin(), row.end());
    }
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(logits[0], logits[1]);
}

// Reading in one chunk, in two and in three is the same text.
TEST_P(Generation, DoesNotDependOnTheChunk) {
  const Tokens prompt = eight_prompts()[4];
  const auto small = Model(GetParam(), 1, 64, 2).write({prompt}, 12);
  EXPECT_EQ(Model(GetParam(), 1, 128, 2).write({prompt}, 12), small);
  EXPECT_EQ(Model(GetParam(), 1, 130, 2).write({prompt}, 12), small);
}

// Logits after eight prompts and after ten given tokens more, one after the other.
std::vector<float> logits_of(Model& model) {
  std::vector<float> all;
  const auto add = [&] {
    for (int i = 0; i < 8; ++i) {
      const auto row = model.generator->logits(i);
      all.insert(all.end(), row.begin(), row.end());
    }
  };
  model.generator->start(eight_prompts());
  add();
  for (std::int32_t step = 0; step < 10; ++step) {
    model.generator->next(Tokens(8, step * 7 % 90));
    add();
  }
  return all;
}

// `verify --dtype int8` allows 3 %; here the embedding and the head are in 8 bits too. The same for
// any number of threads.
TEST_P(Generation, WithInt8WeightsStaysWithinFivePercent) {
  Model exact(GetParam(), 8, 64, 2);
  const std::vector<float> expected = logits_of(exact);
  for (const ComputeType compute : {ComputeType::fp32, ComputeType::bf16}) {
    Model coded(GetParam(), 8, 64, 1, compute, true), again(GetParam(), 8, 64, 3, compute, true);
    const std::vector<float> logits = logits_of(coded);
    EXPECT_EQ(logits_of(again), logits);
    const std::int64_t vocabulary = exact.model->config().vocab_size;
    std::vector<double> errors;  // of each token's logits
    for (auto row = expected.begin(); row != expected.end(); row += vocabulary) {
      double error = 0, norm = 0;
      for (auto i = row; i != row + vocabulary; ++i) {
        error += std::pow(logits[i - expected.begin()] - *i, 2);
        norm += std::pow(*i, 2);
      }
      errors.push_back(std::sqrt(error / norm));
    }
    // The median: a token near the border between two experts may go to the other one.
    std::ranges::nth_element(errors, errors.begin() + std::ssize(errors) / 2);
    const double median = errors[errors.size() / 2];
    EXPECT_LT(median, 0.05);
    EXPECT_GT(median, 0);
    EXPECT_LT(coded.model->executor().arena_bytes(), exact.model->executor().arena_bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Generation, testing::Values("llama", "deepseek_v3"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Generator, EndsEachTextByItself) {
  Model model("llama", 3, 64, 2);
  const std::vector<Tokens> prompts = {{1, 2, 3}, {4, 5}, Tokens(250, 7)};
  const auto plain = model.write(prompts, 20);
  EXPECT_EQ(plain[0].size(), 20u);
  EXPECT_EQ(plain[2].size(), model.generator->capacity() - 250u + 1);  // its cache is full

  const std::int64_t stop[] = {plain[0][4]};
  const auto stopped = generate(*model.generator, prompts, 20, {}, stop,
                                [](std::size_t text, std::int32_t) { return text != 1; });
  Tokens first = plain[0];
  first.resize(std::ranges::find(first, static_cast<std::int32_t>(stop[0])) - first.begin() + 1);
  EXPECT_EQ(stopped[0], first);
  EXPECT_EQ(stopped[1].size(), 1u);
}

// Samples of one prompt differ; each is the same text every time.
TEST(Generator, DrawsForEachTextOnItsOwn) {
  Model model("llama", 2, 64, 2);
  const std::vector<Tokens> prompts(2, {1, 2, 3});
  const SamplingOptions sampling{.temperature = 2, .seed = 3};
  const auto texts = model.write(prompts, 16, sampling);
  EXPECT_NE(texts[0], texts[1]);
  EXPECT_EQ(model.write(prompts, 16, sampling), texts);
}

TEST(Generator, RefusesPromptsThatDoNotFit) {
  Model model("llama", 2, 64, 1);
  EXPECT_THROW(model.write({{}}, 4), Error);
  EXPECT_THROW(model.write({Tokens(model.generator->capacity(), 1)}, 4), Error);
  EXPECT_THROW(model.write({{1}, {1}, {1}}, 4), std::logic_error);
  for (const auto& bad : {std::vector<std::int64_t>{1, 1}, {0, 0}, {1, 0}}) {
    const std::vector<Tokens> prompts = {{1}, {2}};
    EXPECT_THROW(model.generator->start(prompts, {}, bad), std::logic_error);
  }
}

// Before anything is loaded, and before tables of all positions are made.
TEST(Generator, NeedsNoMoreMemoryThanThereIs) {
  for (const auto& [texts, capacity] :
       {std::pair<std::int64_t, std::int64_t>{1, std::int64_t{1} << 40}, {1 << 20, 1 << 20}}) {
    cpu::CpuBackend backend(1, cpu::all_cpu_kernels());
    const ModelSource source = find_model("tests/golden/llama/model");
    try {
      const InferenceModel model(source, {.texts = texts, .capacity = capacity, .prompt = 8},
                                 backend);
      FAIL() << "was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::budget) << error.what();
    }
  }
}

}  // namespace
}  // namespace ingot
