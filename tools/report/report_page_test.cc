#include "tools/report/report_page.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ingot {
namespace {

ReportedRun run_named(const std::string& name, double loss) {
  ReportedRun run;
  run.history.name = name;
  run.history.folder = "/runs/" + name;
  run.history.curves["loss"] = {{1, loss}, {2, NAN}, {3, loss / 2}};
  run.history.config = {{"seed", loss}, {"model", {{"hidden_size", 64}}}};
  run.memory.problem = "no plan was recorded";
  return run;
}

TEST(ReportPage, NeedsNothingFromElsewhere) {
  const std::string page = report_page({run_named("one", 4)}, "0.1.0");
  EXPECT_EQ(page.find("src="), std::string::npos);
  EXPECT_EQ(page.find("href="), std::string::npos);
  EXPECT_EQ(page.find("@import"), std::string::npos);
  EXPECT_EQ(page.find("url("), std::string::npos);
}

TEST(ReportPage, ShowsWhatTheRunHasAndNoEmptyChart) {
  const std::string page = report_page({run_named("one", 4)}, "0.1.0");
  EXPECT_NE(page.find("Training loss"), std::string::npos);
  EXPECT_NE(page.find("1 not finite"), std::string::npos);
  EXPECT_EQ(page.find("Expert load"), std::string::npos);
  EXPECT_NE(page.find("no plan was recorded"), std::string::npos);
  EXPECT_NE(page.find("model.hidden_size"), std::string::npos);
  EXPECT_EQ(page.find("What differs"), std::string::npos);
}

TEST(ReportPage, ComparesRunsAndTellsThoseOfOneNameApart) {
  ReportedRun other = run_named("one", 5);
  other.history.folder = "/elsewhere/one";
  const std::string page = report_page({run_named("one", 4), other}, "0.1.0");
  EXPECT_NE(page.find("What differs"), std::string::npos);
  EXPECT_NE(page.find("</i>/elsewhere/one"), std::string::npos);
  EXPECT_NE(page.find("</i>/runs/one"), std::string::npos);
}

// Names and configs come from files: nothing in them may become part of the page.
TEST(ReportPage, EscapesWhatFilesSay) {
  ReportedRun run = run_named("<b>&</script>", 4);
  run.history.config["x"] = "<script>alert(1)</script>\xff";
  run.memory.problem = "<i>";
  const std::string page = report_page({run}, "<0>");
  EXPECT_EQ(page.find("<b>&"), std::string::npos);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_EQ(page.find("shown: <i>"), std::string::npos);
  EXPECT_EQ(page.find("<0>"), std::string::npos);
  EXPECT_EQ(page.find("</script>"), page.rfind("</script>"));
}

}  // namespace
}  // namespace ingot
