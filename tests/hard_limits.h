// Trains a shipped config within what `ingot plan` promised for it, and has the kernel hold it to
// that: RLIMIT_DATA of the training process is predicted_peak_rss_bytes, to the byte.
//
// Why RLIMIT_DATA: it counts all private memory that can be written (arena, heap, stacks of
// threads, data of libraries), used or only reserved, so what the process takes for itself can't
// exceed the promise by a page. What it leaves out are pages of files: program text, and the shards
// and the checkpoint that are being read, which the kernel drops when it needs them. (RLIMIT_AS
// would count those files at their whole length, 100 GB of shards for a run that holds a window of
// one; a control group may not be ours to make.) So the promise is held against the resident peak
// too, file pages included, once the run is over. On two threads: the half MiB of stack that each
// thread reserves counts here, though hardly any of it is ever resident.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace ingot {

struct LimitedRun {
  std::string program = "tools/ingot";
  std::string allocation_counter;  // libcount_allocations.so; empty: nobody counts
  std::filesystem::path config;    // configs/runs/NAME.json
  std::filesystem::path data;      // of prepare_text() or write_one_token()
  std::filesystem::path folder;    // of the run: made, and removed before it
  std::int64_t steps = 1000;
  std::int64_t stop_after = 500;  // step at which the first process is sent SIGTERM
  std::int64_t save_every = 250;  // and log.sample_every, where data has a tokenizer
  std::int64_t validate_every = 100;
  std::vector<std::string> settings;   // further --set
  std::int64_t below_the_promise = 0;  // bytes: a limit that must be broken
};

struct LimitedResult {
  std::string failure;        // empty: both processes ended as they should
  std::int64_t promised = 0;  // bytes: the limit
  std::int64_t peak = 0;      // resident at most, VmHWM of either process
  std::int64_t steps = 0;     // logged, of both processes
  std::int64_t validations = 0, saves = 0, samples = 0, resumes = 0;
  // From the end of each process' first step: in steps, their lines and validation; and around
  // saves and samples.
  std::int64_t allocations = 0, allocations_saving = 0;
  double least_load = -1;  // min over steps of expert_load_max_over_mean; -1: no experts
};

// Two processes: one is stopped by SIGTERM in the middle, the next resumes and goes on to the end.
LimitedResult train_within_promise(const LimitedRun& run);

// Shards of the Eigen headers (Debian's libeigen3-dev) with a tokenizer of that many entries.
void prepare_text(const std::string& program, const std::filesystem::path& folder,
                  std::int64_t vocabulary);

// Shards of one token over and over: every position has the same hidden state, so every router
// sends all of a batch to the same experts, the worst load there is.
void write_one_token(const std::filesystem::path& folder, std::int64_t vocabulary);

}  // namespace ingot
