// Files of an earlier build that every later one must read: tests/golden/formats/BUILD_N/.
//
//   text/                 what was prepared
//   killed/               what `ingot prepare` leaves when it is killed behind its first shard
//   data/                 what it comes to in the end
//   RUN/run.json          a run on data/, for each RUN of golden_runs()
//   RUN/step_00000004/    its checkpoint
//   RUN/values.json       what the checkpoint's tensors stand for, and how the run went on
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/prepare/prepare.h"
#include "io/checkpoint_files.h"

namespace ingot {

inline constexpr std::int64_t kGoldenStep = 4, kGoldenEnd = 8;

// The runs whose checkpoints are kept, and the text of their run.json: together they hold every
// form of values and moments, routers' biases, MTP, blocks of 128 and what is left of them.
std::map<std::string, std::string> golden_runs();

// `ingot prepare` in the folder that holds text/, which becomes the current one: paths and times of
// the text are a part of the state.
PrepareOptions golden_preparation(const std::filesystem::path& folder, const std::string& output);

// Of one tensor in fp32: {"elements", "sum", "squares", "some"}, exact in fp64.
nlohmann::json described(std::span<const float> values);

// The same of every state in a checkpoint, by name, read from its files alone.
nlohmann::json described_states(const CheckpointReader& reader);

// The loss of an evaluation of a checkpoint on one batch.
double evaluation_loss(const std::filesystem::path& checkpoint);

// Trains the run in the folder, which holds its run.json, to this step; losses of all steps logged.
std::vector<double> train_golden(const std::filesystem::path& run, std::int64_t steps);

}  // namespace ingot
