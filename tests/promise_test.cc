// What `ingot plan` predicts of random configs, with every switch, is what `ingot train` takes at
// most: one step each, and the kernel allows no more. A sample of tests/bench/promise.py --configs.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/random_model.h"
#include "tests/subprocess.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

using nlohmann::json;

constexpr std::uint64_t kConfigs = 20;

class Promise : public testing::Test {
 protected:
  // Into run.json, whose data the model fits.
  void write_config(std::uint64_t seed) const {
    Dice dice(seed);
    json run = json::parse(contents_of(run_.config_file()));
    run["model"] = json::parse(random_model(dice));
    const bool in_backward = dice.below(4) == 0;
    const std::string compute = dice.one_of({"fp32", "bf16", "fp16", "int8"});
    const bool in_bf16 = compute == "bf16" || compute == "int8";
    run["batch"] = {{"tokens_per_step", 64},
                    {"micro_batch", in_backward ? 4 : dice.one_of({1, 2, 4})}};
    run["optimizer"] = {{"type", dice.one_of({"adamw", "muon"})},
                        {"state", dice.one_of({"fp32", "bf16", "int8", "auto"})},
                        {"update_in_backward", in_backward}};
    run["schedule"] = {{"warmup_steps", 0}, {"steps", 1}};
    run["precision"] = {{"compute", compute},
                        {"master", in_bf16 ? dice.one_of({"fp32", "int8", "bf16", "bf16_residual"})
                                           : dice.one_of({"fp32", "int8"})},
                        {"gradient", dice.one_of({"fp32", "bf16", "bf16_residual"})},
                        {"wgrad", dice.one_of({"bf16", "int8"})},
                        {"head", dice.one_of({"bf16", "int8"})},
                        {"int8_scales", dice.one_of({"row", "1x512", "1x128"})}};
    run["memory"] = {{"budget", "2GiB"},
                     {"activations", dice.one_of({"auto", "keep", "int8", "compact", "recompute"})},
                     {"offload", dice.one_of({"none", "states", "masters", "all"})}};
    run["log"] = {{"every", 1}, {"validate_every", dice.below(2)}};
    run["checkpoint"] = {
        {"directory",
         (std::filesystem::current_path() / "promise" / std::to_string(seed)).string()},
        {"every", dice.below(2)}};
    put_file(run_.config_file(), run.dump(1));
  }

  ProcessResult ingot(const std::string& command, const std::vector<std::string>& more = {},
                      ProcessOptions options = {}) const {
    options.environment.emplace_back("INGOT_THREADS=2");
    options.environment.push_back("XDG_CACHE_HOME=" + run_.directory("cache").string());
    std::vector<std::string> words = {command, run_.config_file()};
    words.insert(words.end(), more.begin(), more.end());
    return run_ingot(words, options);
  }

  TinyRun run_;
};

TEST_F(Promise, IsKeptByRandomConfigsWithEverySwitch) {
  for (std::uint64_t seed = 0; seed < kConfigs; ++seed) {
    SCOPED_TRACE("config " + std::to_string(seed));
    write_config(seed);
    const ProcessResult planned = ingot("plan", {"--json"});
    ASSERT_EQ(planned.exit_code, 0) << planned.err;
    const std::int64_t promise = json::parse(planned.out)["predicted_peak_rss_bytes"];
    const ProcessResult trained =
        ingot("train", {}, {.private_bytes = static_cast<std::uint64_t>(promise)});
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    EXPECT_LE(trained.peak_bytes, promise);
  }
}

// The smallest budget that is named is one that fits, and the one below it is not.
TEST_F(Promise, NamesTheSmallestBudgetThereIs) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    SCOPED_TRACE("config " + std::to_string(seed));
    write_config(seed);
    const ProcessResult refused = ingot("plan", {"--json", "--budget", "1MiB"});
    ASSERT_EQ(refused.exit_code, 4) << refused.err;
    const std::int64_t smallest = json::parse(refused.out)["predicted_peak_rss_bytes"];
    EXPECT_EQ(ingot("plan", {"--budget", std::to_string(smallest)}).exit_code, 0);
    EXPECT_EQ(ingot("plan", {"--budget", std::to_string(smallest - 1)}).exit_code, 4);
  }
}

}  // namespace
}  // namespace ingot
