// What a system gets besides the program: its version, the manual page, completions, and where
// install.sh puts them.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "io/test_folder.h"
#include "tests/subprocess.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

std::string printed_by(const std::vector<std::string>& arguments) {
  const ProcessResult result = run_ingot(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

// Every "--flag" of a text.
std::vector<std::string> flags_in(const std::string& text) {
  std::vector<std::string> flags;
  for (std::size_t at = text.find("--"); at != std::string::npos; at = text.find("--", at + 2)) {
    const std::size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz-0123456789", at);
    if (end > at + 2) flags.push_back(text.substr(at, end - at));
  }
  return flags;
}

TEST(Version, SaysWhatTheProgramIs) {
  std::istringstream lines(printed_by({"--version"}));
  for (const char* begin : {"ingot ", "commit ", "compiler ", "kernels "}) {
    std::string line;
    std::getline(lines, line);
    EXPECT_TRUE(line.starts_with(begin)) << line;
  }
  const ProcessResult base = run_ingot({"--version"}, {.environment = {"INGOT_ISA=base"}});
  EXPECT_NE(base.out.find("kernels   base"), std::string::npos) << base.out;
}

TEST(Manual, HasEveryFlagThatHelpHas) {
  std::string page = printed_by({"manual"});
  EXPECT_TRUE(page.starts_with(".TH INGOT 1"));
  std::erase(page, '\\');
  const std::vector<std::string> flags = flags_in(printed_by({"--help-all"}));
  EXPECT_GT(flags.size(), 50);
  for (const std::string& flag : flags) {
    if (flag == "--version") continue;  // of the program, not of a command
    EXPECT_NE(page.find(flag), std::string::npos) << flag;
  }
}

TEST(Completion, KnowsCommandsAndTheFlagsOfEach) {
  const TestFolder folder;
  put_file(folder / "ingot.bash", printed_by({"completion", "bash"}));
  const auto completed = [&](const std::string& words, int current) {
    const std::string script = "source " + (folder / "ingot.bash").string() + "; COMP_WORDS=(" +
                               words + "); COMP_CWORD=" + std::to_string(current) +
                               "; _ingot; echo ${COMPREPLY[@]}";
    return run_ingot({"-c", script}, {.program = "/bin/bash"}).out;
  };
  EXPECT_EQ(completed("ingot tr", 1), "train\n");
  EXPECT_EQ(completed("ingot train --res", 2), "--resume\n");
  EXPECT_EQ(run_ingot({"completion", "tcsh"}).exit_code, 2);
}

TEST(Install, PutsTheProgramItsConfigsAndItsManualBelowAPrefix) {
  const TestFolder folder;
  const fs::path prefix = folder / "prefix with a space";
  const ProcessResult result =
      run_ingot({"install.sh", prefix},
                {.program = "/bin/bash",
                 .environment = {"INGOT_BINARY=" + fs::absolute("tools/ingot").string()}});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* file :
       {"bin/ingot", "share/ingot/configs/runs/quickstart.json",
        "share/ingot/configs/models/deepseek_v3.json", "share/doc/ingot/docs/config.md",
        "share/doc/ingot/LICENSE", "share/doc/ingot/NOTICE", "share/man/man1/ingot.1",
        "share/bash-completion/completions/ingot", "share/zsh/site-functions/_ingot"}) {
    EXPECT_TRUE(fs::is_regular_file(prefix / file)) << file;
  }
  // A run as installed: paths in it are relative to the file.
  const ProcessResult plan =
      run_ingot({"plan", prefix / "share/ingot/configs/runs/llama_tiny.json", "--print-config"},
                {.program = prefix / "bin/ingot"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_EQ(run_ingot({"install.sh", "relative"}, {.program = "/bin/bash"}).exit_code, 2);
}

}  // namespace
}  // namespace ingot
