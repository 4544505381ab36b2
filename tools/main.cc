// ingot: one program, a command each for preparing data, planning, training and using models.
// Errors become one line on stderr and an exit code (engine/base/error.h).

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/mistakes.h"
#include "tools/command.h"
#include "tools/manual/manual.h"
#include "tools/manual/version.h"

namespace ingot {
namespace {

void print_error(const char* line) { std::fprintf(stderr, "ingot: error: %s\n", line); }

int print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

// What the parser says, with the word that is wrong where it only says that one is missing.
Error usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const std::string word = argc > 1 ? argv[1] : "-";
  std::vector<std::string_view> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  if (word.starts_with('-') || std::find(names.begin(), names.end(), word) != names.end()) {
    return {ErrorCode::usage, error.what(), "command line", "see ingot --help-all"};
  }
  const std::string_view near = nearest(word, names);
  return {ErrorCode::usage, "unknown command '" + clipped(word) + "'", "command line",
          near.empty() ? "see ingot --help-all" : "did you mean '" + std::string(near) + "'?"};
}

// What install.sh writes into files; --help does not list it.
void add_manual(CLI::App& app, Command& command) {
  app.add_subcommand("manual", "Prints the manual page")->group("")->callback([&] {
    command = [&app] { return print(manual_page(app)); };
  });
  const auto shell = std::make_shared<std::string>();
  CLI::App* completing = app.add_subcommand("completion", "Prints a shell's completion");
  completing->group("")->add_option("SHELL", *shell, "bash or zsh")->required();
  completing->callback([&app, &command, shell] {
    command = [&app, shell] { return print(completion(app, *shell)); };
  });
}

int run(int argc, char** argv) {
  CLI::App app{"ingot: trains DeepSeek-style transformers in the memory you have", "ingot"};
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help for all commands");
  app.set_version_flag("--version", version_text, "Version, commit, compiler and kernels");
  Command command;
  for (const auto add : {add_prepare, add_tokenize, add_plan, add_train, add_eval, add_generate,
                         add_report, add_import, add_export, add_verify, add_bench}) {
    add(app, command);
  }
  add_manual(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // for help or the version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    print_error(usage_error(app, error, argc, argv).what());
    return static_cast<int>(ErrorCode::usage);
  }
  const int result = command();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw Error(ErrorCode::device, "writing the output failed", "stdout",
                "check the disk or the pipe");
  }
  return result;
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  // A file over the process' size limit is a failed write, told like a full disk, not a death.
  std::signal(SIGXFSZ, SIG_IGN);
  using ingot::ErrorCode;
  try {
    return ingot::run(argc, argv);
  } catch (const ingot::ConfigError& error) {
    for (const std::string& mistake : error.mistakes()) ingot::print_error(mistake.c_str());
    return static_cast<int>(error.code());
  } catch (const ingot::Error& error) {
    ingot::print_error(error.what());
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    ingot::print_error(
        "out of memory (outside the arena): free some memory or lower memory.budget");
    return static_cast<int>(ErrorCode::budget);
  } catch (const std::exception& error) {
    ingot::print_error(
        (std::string("internal error: ") + error.what() + ": please report it").c_str());
    return static_cast<int>(ErrorCode::device);
  }
}
