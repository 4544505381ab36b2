#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/build_text.h"
#include "io/atomic_file.h"
#include "tools/command.h"
#include "tools/flag_checks.h"
#include "tools/report/report_page.h"

namespace ingot {

void add_report(CLI::App& app, Command& command) {
  struct Flags {
    std::vector<std::string> folders;
    std::string output = "report.html";
  };
  const auto flags = std::make_shared<Flags>();
  CLI::App* report = app.add_subcommand("report", "Runs side by side as one HTML page");
  report->add_option("RUN_DIR", flags->folders, "Folders of runs (checkpoint.directory)")
      ->required();
  report->add_option("--output", flags->output, "The page to write")
      ->capture_default_str()
      ->type_name("FILE")
      ->check(not_empty());
  report->callback([&command, flags] {
    command = [flags] {
      std::vector<ReportedRun> runs;
      for (const std::string& folder : flags->folders) {
        runs.push_back({.history = read_run_history(folder), .memory = {}});
      }
      for (ReportedRun& run : runs) run.memory = run_memory(run.history);
      write_text_file(flags->output, report_page(std::move(runs), build_text()));
      std::printf("wrote %s\n", flags->output.c_str());
      return 0;
    };
  });
}

}  // namespace ingot
