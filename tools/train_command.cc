#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "backends/host/system_memory.h"
#include "engine/base/build_text.h"
#include "engine/base/error.h"
#include "engine/config/given_keys.h"
#include "parallel/communicators/mpi/mpi_ranks.h"
#include "planning/budget.h"
#include "tools/command.h"
#include "tools/flag_checks.h"
#include "training/run/run_ranks.h"
#include "training/trainer.h"

namespace ingot {
namespace {

struct Flags {
  std::string config, resume = "auto", trace_file;
  CLI::Option* profile = nullptr;
  std::vector<std::string> overrides;
  std::int64_t steps = 0;
  bool quiet = false;
};

// The file's, with what follows from the ranks that were started: how many split the batch, and
// each one's part of its machine's memory.
RunConfig config_of(const RunRanks& ranks, const Flags& flags) {
  const RunConfig config = load_run_config(flags.config, flags.overrides);
  const std::int64_t named = config.parallel.data.value_or(ranks.size());
  if (named != ranks.size()) {
    throw Error(ErrorCode::usage,
                "\"parallel.data\" is " + std::to_string(named) + ", and " +
                    std::to_string(ranks.size()) +
                    (ranks.alone() ? " process was started" : " were started"),
                flags.config, "start it with mpirun -np " + std::to_string(named));
  }
  if (ranks.alone()) return config;
  std::vector<std::string> overrides = flags.overrides;
  overrides.push_back("parallel.data=" + std::to_string(ranks.size()));
  const bool of_machine = !config.memory.budget.bytes;
  const std::int64_t budget =
      budget_bytes(config.memory.budget) / (of_machine ? ranks.ranks_here() : 1);
  overrides.push_back("memory.budget=" + std::to_string(ranks.least(budget)));
  return load_run_config(flags.config, overrides);
}

int train_on(const RunRanks& ranks, Communicators* others, const Flags& flags) {
  const RunConfig config = config_of(ranks, flags);
  if (!flags.quiet && ranks.leads()) {
    warn_of_settings(config);
    if (flags.steps > config.schedule.steps) {
      warn("--steps has no effect: schedule.steps is " + std::to_string(config.schedule.steps));
    }
  }
  if (flags.quiet && flags.profile->count() > 0 && flags.trace_file.empty() && ranks.leads()) {
    warn("--profile has no effect with --quiet and no FILE");
  }
  const int cores = thread_count(config.threads);
  TrainOptions options{
      .resume = flags.resume,
      .threads = config.threads > 0 ? cores : std::max(1, cores / ranks.ranks_here()),
      .quiet = flags.quiet,
      .ranks = others};
  options.model_keys = given_model_keys(flags.config, flags.overrides);
  options.reread_budget = [&flags] {
    return load_run_config(flags.config, flags.overrides).memory.budget;
  };
  if (flags.steps > 0) options.steps = flags.steps;
  const auto backend = make_backend(config.device, options.threads, others);
  if (flags.profile->count() > 0) {
    const std::int64_t room = budget_bytes(config.memory.budget) - resident_bytes();
    options.profile = {.peaks = backend->peaks(room / 2), .trace_file = flags.trace_file};
  }
  if (!flags.quiet && ranks.leads()) {
    std::printf("ingot %s; %s", build_text().c_str(), backend->traits().name.c_str());
    if (!ranks.alone()) std::printf("; %d ranks", ranks.size());
    std::printf("\n%s\n", to_json(config).dump().c_str());
  }
  const double peak_flops = ranks.leads() ? measured_peak_flops(config, *backend) : 0;
  return train(config, options, *backend, peak_flops);
}

// A rank that fails ends the job: others would wait for it for ever. Where all fail for the same
// reason, one line is enough: the others leave rank 0 the time to say it.
int ending_all(Communicators& ranks, const std::function<int()>& train) {
  try {
    return train();
  } catch (const std::exception& error) {
    constexpr std::chrono::milliseconds kLeaderFirst{500};
    if (ranks.rank() > 0) std::this_thread::sleep_for(kLeaderFirst);
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    std::fprintf(stderr, "ingot: error: rank %d on %s: %s\n", ranks.rank(), host, error.what());
    const auto* const known = dynamic_cast<const Error*>(&error);
    const int code = static_cast<int>(known != nullptr ? known->code() : ErrorCode::device);
    ranks.abort(code);
    return code;  // not reached
  }
}

}  // namespace

void add_train(CLI::App& app, Command& command) {
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
      const std::unique_ptr<Communicators> others = start_ranks();
      const RunRanks ranks(others.get());
      const auto train = [&] { return train_on(ranks, others.get(), *flags); };
      return others ? ending_all(*others, train) : train();
    };
  });
}

}  // namespace ingot
