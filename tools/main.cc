// ingot: one program, a command each for preparing data, planning, training and using models.
// Errors become one line on stderr and an exit code (engine/error.h).

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "engine/error.h"
#include "engine/mistakes.h"
#include "tools/command.h"

namespace ingot {
namespace {

void print_error(const char* line) { std::fprintf(stderr, "ingot: error: %s\n", line); }

int run(int argc, char** argv) {
  CLI::App app{"ingot: trains DeepSeek-style transformers in the memory you have", "ingot"};
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help for all commands");
  Command command;
  for (const auto add : {add_prepare, add_tokenize, add_plan, add_train, add_eval, add_generate,
                         add_import, add_export, add_verify, add_bench}) {
    add(app, command);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    print_error(
        Error(ErrorCode::usage, error.what(), "command line", "see ingot --help-all").what());
    return static_cast<int>(ErrorCode::usage);
  }
  return command();
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
