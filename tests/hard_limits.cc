#include "tests/hard_limits.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "data/shards/shard_testing.h"
#include "io/test_folder.h"
#include "tests/subprocess.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<json> lines_of(const fs::path& path) {
  std::vector<json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
  return lines;
}

std::int64_t occurrences(const std::string& text, const std::string& part) {
  std::int64_t count = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class Trial {
 public:
  explicit Trial(const LimitedRun& run)
      : run_(run), samples_(fs::exists(run.data / "tokenizer.json")) {}

  LimitedResult result() {
    fs::remove_all(run_.folder);
    fs::create_directories(run_.folder);
    const ProcessResult planned = call("plan", {"--json"}, {.program = run_.program});
    if (planned.exit_code != 0) return failed("plan", planned);
    const json plan = json::parse(planned.out);
    result_.promised = plan["predicted_peak_rss_bytes"];
    // Costs that were measured on a busy machine are measured again: the choice must not follow.
    micro_batch_ = "batch.micro_batch=" + plan["choices"]["micro_batch"].dump();
    if (!train("first", 128 + SIGTERM) || !train("second", 0)) return result_;
    ++result_.resumes;
    read_metrics();
    return result_;
  }

 private:
  std::vector<std::string> settings() const {
    const std::string train = (run_.data / "train-*.bin").string();
    const std::string validation = (run_.data / "validation-*.bin").string();
    std::vector<std::string> settings = {
        "data.train=[\"" + train + "\"]",
        "data.validation=[\"" + validation + "\"]",
        "schedule.steps=" + std::to_string(run_.steps),
        "schedule.warmup_steps=" + std::to_string(run_.steps / 20),
        "checkpoint.directory=" + run_.folder.string(),
        "checkpoint.every=" + std::to_string(run_.save_every),
        "log.every=1",
        "log.validate_every=" + std::to_string(run_.validate_every),
        "log.sample_every=" + std::to_string(samples_ ? run_.save_every : 0)};
    settings.insert(settings.end(), run_.settings.begin(), run_.settings.end());
    if (!micro_batch_.empty()) settings.push_back(micro_batch_);
    return settings;
  }

  ProcessResult call(const std::string& command, std::vector<std::string> words,
                     ProcessOptions options) const {
    options.environment.emplace_back("INGOT_THREADS=2");
    words.insert(words.begin(), {command, run_.config.string()});
    for (const std::string& setting : settings()) words.insert(words.end(), {"--set", setting});
    return run_ingot(words, options);
  }

  // One process under the limit. The first is stopped when it has logged enough steps.
  bool train(const std::string& name, int exit_code) {
    const fs::path counts = run_.folder / (name + ".counts");
    ProcessOptions options{
        .program = run_.program,
        .private_bytes = static_cast<std::uint64_t>(result_.promised - run_.below_the_promise)};
    if (!run_.allocation_counter.empty()) {
      options.environment = {"LD_PRELOAD=" + run_.allocation_counter,
                             "INGOT_ALLOCATION_COUNTS=" + counts.string()};
    }
    if (exit_code != 0) {
      options.while_running = [this](pid_t child) { stop_in_the_middle(child); };
    }
    const std::int64_t before = last_step();
    const ProcessResult ended = call("train", {}, options);
    result_.peak = std::max(result_.peak, ended.peak_bytes);
    result_.saves += occurrences(ended.out, "saved " + run_.folder.string());
    result_.samples += occurrences(ended.out, "--- sample at step");
    if (ended.exit_code != exit_code) {
      failed(name + " process", ended);
      return false;
    }
    if (!run_.allocation_counter.empty()) count(counts, before + 1);
    return true;
  }

  std::int64_t last_step() const {
    std::int64_t last = 0;
    for (const json& line : lines_of(run_.folder / "metrics.jsonl")) last = line["step"];
    return last;
  }

  void stop_in_the_middle(pid_t child) const {
    const auto logged = [this] {
      std::ifstream file(run_.folder / "metrics.jsonl");
      std::int64_t steps = 0;
      for (std::string line; std::getline(file, line);) steps += line.find("\"loss\"") != line.npos;
      return steps;
    };
    siginfo_t ended{};
    while (logged() < run_.stop_after) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      // It may have failed: seen, but left for the one who waits.
      ::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT);
      if (ended.si_pid == child) return;
    }
    ::kill(child, SIGTERM);
  }

  // counts: of the whole process at each of its steps' lines. What lies between two lines is the
  // end of one step (validation, sample, save) and all of the next.
  void count(const fs::path& path, std::int64_t step) {
    const std::string bytes = contents_of(path);
    std::vector<std::uint64_t> counts(bytes.size() / sizeof(std::uint64_t));
    std::memcpy(counts.data(), bytes.data(), counts.size() * sizeof(std::uint64_t));
    if (counts.empty() || counts.front() == 0) result_.failure = "allocations were not counted";
    for (std::size_t i = 1; i < counts.size(); ++i, ++step) {
      const auto made = static_cast<std::int64_t>(counts[i] - counts[i - 1]);
      (step % run_.save_every == 0 ? result_.allocations_saving : result_.allocations) += made;
    }
  }

  void read_metrics() {
    for (const json& line : lines_of(run_.folder / "metrics.jsonl")) {
      if (line.contains("validation_loss")) ++result_.validations;
      if (!line.contains("loss")) continue;
      ++result_.steps;
      result_.peak = std::max<std::int64_t>(result_.peak, line["peak_rss_bytes"]);
      if (!line["loss"].is_number()) result_.failure = "a loss is not finite";
      const double load = line.value("expert_load_max_over_mean", -1.0);
      result_.least_load = result_.steps == 1 ? load : std::min(result_.least_load, load);
    }
    if (result_.steps != run_.steps) result_.failure = "steps are missing in metrics.jsonl";
  }

  LimitedResult& failed(const std::string& what, const ProcessResult& result) {
    result_.failure = what + ": exit code " + std::to_string(result.exit_code) + ", signal " +
                      std::to_string(result.signal) + ": " + result.err;
    return result_;
  }

  const LimitedRun& run_;
  const bool samples_;
  std::string micro_batch_;  // the setting that the plan chose, once there is one
  LimitedResult result_;
};

}  // namespace

LimitedResult train_within_promise(const LimitedRun& run) { return Trial(run).result(); }

void prepare_text(const std::string& program, const fs::path& folder, std::int64_t vocabulary) {
  const ProcessResult prepared =
      run_ingot({"prepare", "--input", "/usr/include/eigen3", "--tokenizer", "train", "--vocab",
                 std::to_string(vocabulary), "--output", folder.string()},
                {.program = program});
  if (prepared.exit_code != 0) throw std::runtime_error("prepare: " + prepared.err);
}

void write_one_token(const fs::path& folder, std::int64_t vocabulary) {
  fs::create_directories(folder);
  const std::vector<std::uint32_t> tokens(100'000, 7);
  for (const char* name : {"train-00000", "validation-00000"}) {
    write_shard(folder / name, tokens, static_cast<std::uint64_t>(vocabulary));
  }
}

}  // namespace ingot
