#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "backends/host/system_memory.h"
#include "engine/base/build_text.h"
#include "planning/budget.h"
#include "tools/command.h"
#include "tools/flag_checks.h"
#include "training/trainer.h"

namespace ingot {

void add_train(CLI::App& app, Command& command) {
  struct Flags {
    std::string config, resume = "auto", trace_file;
    CLI::Option* profile = nullptr;
    std::vector<std::string> overrides;
    std::int64_t steps = 0;
    bool quiet = false;
  };
  const auto flags = std::make_shared<Flags>();
  CLI::App* train = app.add_subcommand("train", "Train a model");
  add_run_config(*train, flags->config, flags->overrides);
  train->add_option("--resume", flags->resume, "auto, none, or a checkpoint's folder")
      ->capture_default_str();
  train->add_option("--steps", flags->steps, "Stop after this step")
      ->check(integer_between(1, std::int64_t{1} << 40));
  flags->profile =
      train
          ->add_option("--profile", flags->trace_file,
                       "Time by op of the first steps after the warm-up; FILE gets a Chrome trace")
          ->expected(0, 1)
          ->type_name("[FILE]");
  train->add_flag("--quiet", flags->quiet, "Print errors only");
  train->callback([&command, flags] {
    command = [flags] {
      const RunConfig config = load_run_config(flags->config, flags->overrides);
      TrainOptions options{
          .resume = flags->resume, .threads = thread_count(config.threads), .quiet = flags->quiet};
      options.reread_budget = [flags] {
        return load_run_config(flags->config, flags->overrides).memory.budget;
      };
      if (flags->steps > 0) options.steps = flags->steps;
      const auto backend = make_backend(config.device, options.threads);
      if (flags->profile->count() > 0) {
        const std::int64_t room = budget_bytes(config.memory.budget) - resident_bytes();
        options.profile = {.peaks = backend->peaks(room / 2), .trace_file = flags->trace_file};
      }
      if (!flags->quiet) {
        std::printf("ingot %s; %s\n%s\n", build_text().c_str(), backend->traits().name.c_str(),
                    to_json(config).dump().c_str());
      }
      return ingot::train(config, options, *backend, measured_peak_flops(config, *backend));
    };
  });
}

}  // namespace ingot
