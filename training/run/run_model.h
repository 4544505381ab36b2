// What a run's config leaves open of its model.
#pragma once

#include <string>

#include "data/shards/dataset.h"
#include "data/tokenizer/tokenizer.h"
#include "engine/config/config.h"
#include "engine/config/given_keys.h"
#include "io/checkpoint_files.h"

namespace ingot {

// What a run that goes on from a checkpoint takes from there: token ids and torch_dtype that are
// not among the keys its own config gives.
void take_model_of(const CheckpointReader& found, const GivenKeys& given, ModelConfig& model);

// The same of a fresh run: the ids are those of its data and their tokenizer, torch_dtype is what
// it computes in. tokenizer: may be null. Returns a line when the config says that texts end with
// other tokens than the data's documents do; else "".
std::string settle_fresh_model(const Tokenizer* tokenizer, const Dataset& data,
                               const GivenKeys& given, RunConfig& config);

}  // namespace ingot
