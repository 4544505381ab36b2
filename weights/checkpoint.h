// What a checkpoint holds and how it gets in and out of the executor: every weight of each set that
// learns, by its Hugging Face name in the form it is trained in, and its moments. Names and not
// places in fused tensors, so that a checkpoint outlives changes of layout; a program that holds
// rectangles of such tensors writes blocks (weights/stored_state.h), and any cut reads any other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/execution/executor.h"
#include "io/checkpoint_files.h"
#include "io/model_files.h"

namespace ingot {

// Reads weights and, if the program trains, moments (zero when the checkpoint has none). Throws
// Error(data) when a tensor is missing or has another shape. set: the one whose weights are read;
// without it those that save_checkpoint() writes, or the model where nothing learns. Moments::none:
// they are zero whatever the checkpoint has: those of another update rule.
enum class Moments { saved, none };
void load_checkpoint(const CheckpointReader& reader, Executor& executor,
                     std::optional<int> set = {}, Moments moments = Moments::saved);

// Fills every weight of a set from a Hugging Face folder. Throws Error(data) naming missing tensors
// and wrong shapes. Returns the tensors of the folder that the model does not use (MTP copies of
// the embedding are known and left out).
std::vector<std::string> load_model_files(const ModelFiles& files, const ModelConfig& config,
                                          Executor& executor, int set = 0);

}  // namespace ingot
