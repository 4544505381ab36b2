// A training run from start to end: plan, weights or checkpoint, the loop over steps, validation,
// samples, checkpoints, another plan when the budget changes, and a clean stop on signals.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/config/config.h"
#include "engine/config/given_keys.h"
#include "engine/execution/backend.h"
#include "engine/execution/communicator.h"
#include "training/run/step_profile.h"

namespace ingot {

struct TrainOptions {
  std::string resume = "auto";        // "auto": the newest good checkpoint of the run, if there is
                                      // one; "none": refuse to continue; else a checkpoint's folder
  std::optional<std::int64_t> steps;  // stop after this step of the schedule instead of its end
  int threads = 1;
  bool quiet = false;  // no console lines besides errors
  // memory.budget as the config file says it now, asked for at SIGUSR1; none: signals are ignored.
  std::function<MemoryBudget()> reread_budget;
  std::optional<ProfileOptions> profile;  // time a few steps after the warm-up op by op
  // Of config.model, the keys that were given: the others are the checkpoint's, or the tokenizer's.
  // None: all were.
  std::optional<GivenKeys> model_keys;
  std::string system_root;         // as for read_system_memory(): a test's made-up limits
  Communicators* ranks = nullptr;  // with whom; null: alone
};

// On several ranks every one calls it, with a config whose parallel.data is their number; rank 0
// speaks, plans and saves, and all go on from what it found. A signal to any of them stops all
// after the step; memory budgets do not change meanwhile.
//
// Returns 0 when done or asked by SIGUSR2, 128 + the signal when one stopped the run after saving.
// Throws Error: diverged when the loss or norm was not finite for config.nonfinite_limit steps in a
// row; budget when the system's limit on memory was lowered below what any plan needs (after
// saving). peak_flops: this machine's matmul rate per second, for the "peak" column; 0: not
// measured.
int train(const RunConfig& config, const TrainOptions& options, Backend& backend,
          double peak_flops);

}  // namespace ingot
