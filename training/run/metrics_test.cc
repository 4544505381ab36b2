#include "training/run/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace ingot {
namespace {

std::filesystem::path fresh_folder(const char* name) {
  const auto folder = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

std::vector<nlohmann::json> lines_of(const std::filesystem::path& folder) {
  std::ifstream in(folder / "metrics.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(Metrics, WritesTheContractsFieldsAndNullForWhatIsNoNumber) {
  const auto folder = fresh_folder("metrics_fields");
  MetricsLog log(folder, 0);
  StepMetrics m{.step = 3, .loss = 2.5, .grad_norm = NAN};
  log.step(m);
  m.expert_load_max_over_mean = 1.5;
  m.auxiliary_loss = 1.1;
  m.mtp_loss = 3;
  log.step(m);
  log.validation(4, 2.25);
  const auto lines = lines_of(folder);
  ASSERT_EQ(lines.size(), 3u);
  for (const char* key :
       {"step", "loss", "grad_norm", "learning_rate", "tokens", "tokens_per_second", "step_seconds",
        "mfu", "arena_bytes", "peak_rss_bytes", "loss_scale"}) {
    EXPECT_TRUE(lines[0].contains(key)) << key;
  }
  EXPECT_TRUE(lines[0]["grad_norm"].is_null());
  EXPECT_FALSE(lines[0].contains("mtp_loss"));
  EXPECT_EQ(lines[1]["mtp_loss"], 3);
  EXPECT_EQ(lines[1]["expert_load_max_over_mean"], 1.5);
  EXPECT_EQ(lines[2], (nlohmann::json{{"step", 4}, {"validation_loss", 2.25}}));
}

TEST(Metrics, TheFirstLineSaysWhichBuildWritesAndStaysWhereARunResumes) {
  const auto folder = fresh_folder("metrics_build");
  {
    MetricsLog log(folder, 0);
    EXPECT_TRUE(log.start(0, "0.1.0 (commit 12ab)", "cpu \"odd\""));
    log.step({.step = 1});
  }
  MetricsLog log(folder, 1);
  log.start(1, "0.2.0", "cpu");
  const auto lines = lines_of(folder);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(
      lines[0],
      (nlohmann::json{{"step", 0}, {"build", "0.1.0 (commit 12ab)"}, {"backend", "cpu \"odd\""}}));
  EXPECT_EQ(lines[2]["build"], "0.2.0");
}

TEST(Metrics, AResumedRunReplacesTheLinesAfterItsCheckpointAndATornLine) {
  const auto folder = fresh_folder("metrics_resume");
  {
    MetricsLog log(folder, 0);
    for (std::int64_t step = 1; step <= 5; ++step) log.step({.step = step});
  }
  std::ofstream(folder / "metrics.jsonl", std::ios::app) << "{\"step\":6,\"lo";
  MetricsLog log(folder, 3);
  log.step({.step = 4});
  const auto lines = lines_of(folder);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[3]["step"], 4);
}

TEST(Metrics, TheConsoleLineIsTheDesignsAndNeverOverrunsItsBuffer) {
  StepMetrics m{.step = 1200,
                .steps = 20000,
                .loss = 2.8431,
                .loss_z = -0.3,
                .grad_norm = 0.412,
                .learning_rate = 2.9e-4,
                .tokens_per_second = 40300,
                .step_seconds = 0.812,
                .mfu = 0.46,
                .peak_rss_bytes = 12025908429,
                .budget_bytes = 12884901888,
                .remaining_seconds = 15120};
  char line[256];
  format_console_line(line, sizeof line, m);
  EXPECT_STREQ(line,
               "step 1200/20000 6.0% | loss 2.8431 (-0.3z) | norm 0.412 | lr 2.9e-4 | 812 ms | "
               "40.3k tok/s | 46% peak | mem 11.2/12.0G | eta 4h12m");
  char small[16];
  EXPECT_EQ(format_console_line(small, sizeof small, m), 15);  // cut, never overrun
}

}  // namespace
}  // namespace ingot
