#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "parallel/communicators/planned_ranks.h"
#include "planning/pass_report.h"
#include "planning/plan_report.h"
#include "planning/planner.h"
#include "tools/command.h"
#include "tools/flag_checks.h"
#include "tools/plan/plan_drawing.h"

namespace ingot {
namespace {

// "quickstart: micro-batch 4 x 512 tokens, 393 ops".
std::string subtitle(const std::string& config, const PlannedTraining& plan) {
  return std::filesystem::path(config).stem().string() + ": micro-batch " +
         std::to_string(plan.compiled->batch) + " × " + std::to_string(plan.compiled->sequence) +
         " tokens, " + std::to_string(plan.compiled->program.ops().size()) + " ops";
}

}  // namespace

void add_plan(CLI::App& app, Command& command) {
  struct Flags {
    std::string config, budget, svg_file;
    std::vector<std::string> overrides;
    std::int64_t world = 1;
    bool json = false, passes = false, print_config = false;
  };
  const auto flags = std::make_shared<Flags>();
  CLI::App* plan = app.add_subcommand("plan", "What a run takes, before anything runs");
  add_run_config(*plan, flags->config, flags->overrides);
  plan->add_option("--budget", flags->budget, "Memory budget, e.g. 12GiB (memory.budget)")
      ->check(not_empty());
  plan->add_option("--world", flags->world, "Ranks")->check(count_from(1));
  plan->add_option("--svg", flags->svg_file, "Draw live bytes by role over the ops into FILE")
      ->type_name("FILE")
      ->check(not_empty());
  plan->add_flag("--passes", flags->passes,
                 "List what each pass of compilation made of the program");
  plan->add_flag("--json", flags->json, "Print one JSON object");
  plan->add_flag("--print-config", flags->print_config, "Print the resolved config and stop");
  plan->callback([&command, flags] {
    command = [flags] {
      std::vector<std::string> overrides = flags->overrides;
      if (flags->world > 1) overrides.push_back("parallel.data=" + std::to_string(flags->world));
      if (!flags->budget.empty()) overrides.push_back("memory.budget=" + flags->budget);
      const RunConfig config = load_run_config(flags->config, overrides);
      if (flags->print_config) {
        std::puts(to_json(config).dump(2).c_str());
        return 0;
      }
      warn_of_settings(config);
      const int threads = thread_count(config.threads);
      const auto ranks = planned_ranks(static_cast<int>(config.parallel.data_ranks()));
      const auto backend = make_backend(config.device, threads, ranks.get());
      const auto show = [&](const PlannedTraining& planned) {
        if (!flags->svg_file.empty()) {
          write_text_file(flags->svg_file,
                          memory_drawing(planned.compiled->program, *planned.bound, planned.memory,
                                         subtitle(flags->config, planned)));
        }
        std::vector<MeasuredPass> passes;
        if (flags->passes) {
          passes = measure_passes(config, record_of(*planned.compiled), *backend);
        }
        std::puts(
            (flags->json ? memory_report_json(planned, passes) : memory_report(planned)).c_str());
        if (flags->passes && !flags->json) std::puts(pass_report(passes).c_str());
      };
      try {
        show(plan_training(config, *backend, {.predict_time = true}));
        return 0;
      } catch (const DoesNotFit& refusal) {
        show(refusal.smallest());  // what it would need
        throw;
      }
    };
  });
}

}  // namespace ingot
