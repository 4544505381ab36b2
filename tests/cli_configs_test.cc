// Every config of configs/runs trains as it stands, on data that the program itself prepared.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "io/test_folder.h"
#include "tests/subprocess.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

TEST(RunConfigs, TrainAsTheyStandOnWhatPrepareMakes) {
  const TestFolder folder(fast_temporary_folder());
  const fs::path root = folder / "";
  fs::copy("configs", root / "configs", fs::copy_options::recursive);
  std::ofstream text(root / "text.txt");
  for (int line = 0; line < 3000; ++line) text << "line " << line << " of " << line * line << '\n';
  text.close();
  for (const char* name : {"data-tiny", "data-quickstart"}) {
    const ProcessResult prepared =
        run_ingot({"prepare", "--input", (root / "text.txt").string(), "--tokenizer", "train",
                   "--vocab", "300", "--output", (root / name).string()});
    ASSERT_EQ(prepared.exit_code, 0) << prepared.err;
  }
  int trained = 0;
  for (const auto& entry : fs::directory_iterator(root / "configs/runs")) {
    const ProcessResult result = run_ingot({"train", entry.path().string(), "--steps", "1"});
    EXPECT_EQ(result.exit_code, 0) << entry.path() << ": " << result.err;
    ++trained;
  }
  EXPECT_GE(trained, 6);
}

}  // namespace
}  // namespace ingot
