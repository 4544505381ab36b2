#include "tools/report/run_history.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/base/error.h"
#include "io/test_folder.h"

namespace ingot {
namespace {

std::string refusal(const std::filesystem::path& folder) {
  try {
    read_run_history(folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::data);
    return error.what();
  }
  return "";
}

TEST(RunHistory, HasACurveForEachNumberAndTheBuildsThatWroteThem) {
  const TestFolder folder;
  put_file(folder / "metrics.jsonl",
           "{\"step\":0,\"build\":\"0.1.0\",\"backend\":\"cpu\"}\n"
           "{\"step\":1,\"loss\":5.5,\"mfu\":0.25}\n"
           "{\"step\":2,\"loss\":null}\n"
           "{\"step\":2,\"validation_loss\":5.25}\n"
           "{\"step\":2,\"build\":\"0.2.0\",\"backend\":\"cpu\"}\n"
           "{\"step\":3,\"loss\":5.0}\n"
           "{\"step\":4,\"lo");  // a run at work
  const RunHistory run = read_run_history(folder / "");
  EXPECT_EQ(run.name, (folder / "x").parent_path().filename());
  ASSERT_EQ(run.curve("loss").size(), 3u);
  EXPECT_EQ(run.curve("loss")[0].value, 5.5);
  EXPECT_TRUE(std::isnan(run.curve("loss")[1].value));
  EXPECT_EQ(run.curve("loss")[2].step, 3);
  EXPECT_EQ(run.curve("validation_loss").size(), 1u);
  EXPECT_TRUE(run.curve("mtp_loss").empty());
  EXPECT_EQ(run.builds, (std::vector<std::string>{"0.1.0; cpu", "0.2.0; cpu"}));
  EXPECT_TRUE(run.config.is_null());
}

TEST(RunHistory, RefusesWhatIsNoRun) {
  const TestFolder folder;
  EXPECT_NE(refusal(folder / "nowhere").find("no metrics.jsonl"), std::string::npos);
  put_file(folder / "metrics.jsonl", "");
  EXPECT_NE(refusal(folder / "").find("no step of the run is logged yet"), std::string::npos);
  put_file(folder / "metrics.jsonl", "{\"step\":1,\"loss\":5}\n[1]\n");
  EXPECT_NE(refusal(folder / "").find("metrics.jsonl:2"), std::string::npos);
  put_file(folder / "metrics.jsonl", "{\"step\":1,\"loss\":5}\n{\"loss\":\n");
  EXPECT_NE(refusal(folder / "").find("metrics.jsonl:2"), std::string::npos);
}

}  // namespace
}  // namespace ingot
