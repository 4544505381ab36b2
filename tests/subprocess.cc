#include "tests/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "io/test_folder.h"

namespace ingot {
namespace {

// In the child, after fork: only what is safe there.
[[noreturn]] void become(char* const* arguments, char* const* environment, const char* out,
                         const char* err, const ProcessOptions& options) {
  const int out_file = ::open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err_file = ::open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(out_file, STDOUT_FILENO);
  ::dup2(err_file, STDERR_FILENO);
  ::signal(SIGINT, SIG_DFL);  // a test that was started in the background ignores it
  if (options.largest_file) {
    const rlimit limit{*options.largest_file, *options.largest_file};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (options.private_bytes) {
    const rlimit limit{*options.private_bytes, *options.private_bytes};
    ::setrlimit(RLIMIT_DATA, &limit);
  }
  ::execve(arguments[0], arguments, environment);
  ::_exit(127);
}

// Null at the end, as exec wants it.
std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

ProcessResult run_ingot(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  const TestFolder folder(fast_temporary_folder());
  const std::string out = folder / "out", err = folder / "err";
  std::vector<std::string> words = {options.program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables = options.environment;
  for (char** ours = environ; *ours != nullptr; ++ours) variables.emplace_back(*ours);
  const std::vector<char*> word_pointers = pointers_to(words),
                           variable_pointers = pointers_to(variables);

  const pid_t child = ::fork();
  if (child == 0) {
    become(word_pointers.data(), variable_pointers.data(), out.c_str(), err.c_str(), options);
  }
  if (options.while_running) options.while_running(child);
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  ProcessResult result{.out = contents_of(out),
                       .err = contents_of(err),
                       .peak_bytes = std::int64_t{usage.ru_maxrss} * 1024};
  if (WIFEXITED(status)) {
    result.exit_code = WEXITSTATUS(status);
  } else {
    result.signal = WTERMSIG(status);
  }
  return result;
}

void expect_failure(const ProcessResult& result, int exit_code,
                    const std::vector<std::string>& parts) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err << "signal " << result.signal;
  EXPECT_TRUE(result.err.starts_with("ingot: error: ")) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_TRUE(result.err.ends_with('\n')) << result.err;
  EXPECT_LT(result.err.size(), 1000u);
  for (const std::string& part : parts) {
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err << "lacks: " << part;
  }
}

}  // namespace ingot
