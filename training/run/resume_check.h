// What a checkpoint, the data and a run's config each know of one another, compared when a run goes
// on: what cannot be meant is refused with both values, what can be meant is said in a line and
// done right.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/shards/dataset.h"
#include "data/shards/loader.h"
#include "engine/config/config.h"
#include "io/checkpoint_files.h"

namespace ingot {

// What a run trains on; section "data" of its checkpoints' manifests.
struct DataRecord {
  std::uint64_t tokenizer_hash = 0;
  std::optional<std::uint32_t> end_of_text, begin_of_text;
  std::int64_t sequence_length = 0;
  std::int64_t seed = 0;  // of the order of samples
  struct Shard {
    std::int64_t tokens = 0;
    std::uint64_t hash = 0;
    bool operator==(const Shard&) const = default;
  };
  std::vector<Shard> shards;

  bool operator==(const DataRecord&) const = default;
};

DataRecord record_of(const Dataset& data, const RunConfig& config);
nlohmann::json to_json(const DataRecord& record);
// Nothing where none was written: in an imported model. Throws Error(data) when it is malformed.
std::optional<DataRecord> load_data_record(const CheckpointReader& reader);

// Compares the models key by key, as a config.json has them. Returns a line for each difference
// that can be meant (rope, lengths, tokens, names). Throws Error(data) naming the first one that
// cannot: the weights are of the checkpoint's model.
std::vector<std::string> compare_models(const CheckpointReader& reader, const RunConfig& config);

// What else of a run's config makes other updates than before: "optimizer.learning_rate is 0.001
// from here on; it was 0.0003", a line for each key of optimizer, schedule, precision, batch, loss
// and spike.
std::vector<std::string> changed_settings(const RunConfig& then, const RunConfig& now);

// Throws Error(data) naming both when the data were made with another tokenizer, or begin or end
// documents with other tokens, than the checkpoint's: those of its run (`then`), or its
// tokenizer.json.
void compare_tokenizers(const CheckpointReader& reader, const std::optional<DataRecord>& then,
                        const DataRecord& now);

// Where a run that stood at `position` of the data it had goes on in the data it has now.
struct ResumedPosition {
  DataPosition position;
  std::string line;  // what changed; "" where nothing did
};
// Counted in tokens of the epoch: with another sequence length, another seed or shards added at the
// end it goes on behind as many tokens as were taken (in another order, so some may come twice).
// Other shards are begun with their first sample.
ResumedPosition resumed_position(const DataRecord& then, DataPosition position,
                                 const DataRecord& now);

}  // namespace ingot
