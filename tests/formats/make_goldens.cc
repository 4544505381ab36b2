// make_goldens FOLDER: writes tests/golden/formats/BUILD_N as this build has it. FOLDER/text is
// there already, nothing else.
#include <cstdio>
#include <cstdlib>

#include "data/prepare/prepare_state.h"
#include "io/test_folder.h"
#include "tests/formats/format_golden.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

// What is left of a finished folder when the process is killed behind its first shard.
void kill_behind_first_shard(const fs::path& output) {
  PrepareState state = load_state(output).value();
  if (state.train.shards.size() < 2) throw std::runtime_error("the text is too short");
  state.train.shards.resize(1);
  state.train.done = false;
  state.validation = {};
  save_state(output, state);
  for (const auto& entry : fs::directory_iterator(output)) {
    const std::string stem = entry.path().stem().string();
    if (is_shard_name(entry.path().filename().string()) && stem != "train-00000") {
      fs::remove(entry.path());
    }
  }
}

void make(const fs::path& folder) {
  prepare(golden_preparation(folder, "data"));
  fs::copy(folder / "data", folder / "killed");
  kill_behind_first_shard(folder / "killed");
  for (const auto& [name, text] : golden_runs()) {
    const fs::path run = folder / name;
    fs::create_directory(run);
    put_file(run / "run.json", text);
    train_golden(run, kGoldenStep);
    const std::string checkpoint = checkpoint_name(kGoldenStep);
    // It goes on elsewhere.
    const TestFolder elsewhere("/tmp");
    fs::copy(folder / "data", elsewhere / "data");
    fs::copy(run, elsewhere / name, fs::copy_options::recursive);
    const auto losses = train_golden(elsewhere / name, kGoldenEnd);
    fs::remove(run / "metrics.jsonl");
    const nlohmann::json values = {
        {"states", described_states(CheckpointReader::open(run / checkpoint))},
        {"evaluation", evaluation_loss(run / checkpoint)},
        {"losses", std::vector(losses.begin() + kGoldenStep, losses.end())}};
    put_file(run / "values.json", values.dump(1) + "\n");
  }
}

}  // namespace
}  // namespace ingot

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "make_goldens FOLDER\n");
    return EXIT_FAILURE;
  }
  ingot::make(std::filesystem::absolute(arguments[1]));
}
