#include "training/run/resume_check.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "data/tokenizer/tokenizer.h"
#include "engine/base/error.h"
#include "io/hash.h"
#include "weights/manifest.h"

namespace ingot {
namespace {

using nlohmann::json;

// Keys of config.json that say how weights are used, not which there are.
const std::set<std::string, std::less<>> kMayDiffer = {
    "architectures",  "attention_dropout", "bos_token_id",         "dtype",
    "eos_token_id",   "initializer_range", "pad_token_id",         "rope_parameters",
    "rope_scaling",   "rope_theta",        "torch_dtype",          "max_position_embeddings",
    "aux_loss_alpha", "seq_aux",           "transformers_version", "use_cache",
};

json token_or_null(std::optional<std::uint32_t> token) { return token ? json(*token) : json(); }

std::optional<std::uint32_t> token_of(const json& value) {
  if (value.is_null()) return std::nullopt;
  return value.get<std::uint32_t>();
}

std::string text_of(std::optional<std::uint32_t> token) {
  return token ? "token " + std::to_string(*token) : "no token";
}

std::int64_t tokens_of(const DataRecord& record) {
  std::int64_t tokens = 0;
  for (const DataRecord::Shard& shard : record.shards) tokens += shard.tokens;
  return tokens;
}

bool begins_with(const std::vector<DataRecord::Shard>& all,
                 const std::vector<DataRecord::Shard>& first) {
  return first.size() <= all.size() && std::equal(first.begin(), first.end(), all.begin());
}

[[noreturn]] void refuse_data(const CheckpointReader& reader, const std::string& what) {
  throw Error(ErrorCode::data, what, reader.path().string(),
              "prepare the data with the checkpoint's tokenizer, or begin a new run");
}

}  // namespace

DataRecord record_of(const Dataset& data, const RunConfig& config) {
  DataRecord record{.tokenizer_hash = data.tokenizer_hash(),
                    .end_of_text = data.end_of_text(),
                    .begin_of_text = data.begin_of_text(),
                    .sequence_length = data.sequence_length(),
                    .seed = config.seed};
  for (const Shard& shard : data.shards()) {
    record.shards.push_back({.tokens = static_cast<std::int64_t>(shard.header().token_count),
                             .hash = shard.header().payload_hash});
  }
  return record;
}

json to_json(const DataRecord& record) {
  json shards = json::array();
  for (const DataRecord::Shard& shard : record.shards) {
    shards.push_back({{"tokens", shard.tokens}, {"xxh3", to_hex(shard.hash)}});
  }
  return {{"tokenizer_hash", to_hex(record.tokenizer_hash)},
          {"end_of_text", token_or_null(record.end_of_text)},
          {"begin_of_text", token_or_null(record.begin_of_text)},
          {"sequence_length", record.sequence_length},
          {"seed", record.seed},
          {"shards", std::move(shards)}};
}

std::optional<DataRecord> load_data_record(const CheckpointReader& reader) {
  const json manifest = read_manifest(reader);
  const auto section = manifest.find("data");
  if (section == manifest.end()) return std::nullopt;
  const auto number = [](const json& text) { return from_hex(text.get<std::string>()).value(); };
  try {
    DataRecord record{.tokenizer_hash = number(section->at("tokenizer_hash")),
                      .end_of_text = token_of(section->at("end_of_text")),
                      .begin_of_text = token_of(section->at("begin_of_text")),
                      .sequence_length = section->at("sequence_length").get<std::int64_t>(),
                      .seed = section->at("seed").get<std::int64_t>()};
    if (record.sequence_length < 1) throw std::invalid_argument("sequence_length");
    for (const json& shard : section->at("shards")) {
      record.shards.push_back(
          {.tokens = shard.at("tokens").get<std::int64_t>(), .hash = number(shard.at("xxh3"))});
    }
    return record;
  } catch (const Error&) {
    throw;
  } catch (const std::exception&) {
    throw Error(ErrorCode::data, "what it says of its data is missing or malformed",
                manifest_path(reader), "use another checkpoint");
  }
}

std::vector<std::string> compare_models(const CheckpointReader& reader, const RunConfig& config) {
  const json then = to_hf_json(config_of_checkpoint(reader).model);
  const json now = to_hf_json(config.model);
  std::set<std::string> keys;
  for (const json* model : {&then, &now}) {
    for (const auto& [key, value] : model->items()) keys.insert(key);
  }
  std::vector<std::string> lines;
  for (const std::string& key : keys) {
    const json was = then.value(key, json()), is = now.value(key, json());
    if (was == is) continue;
    if (!kMayDiffer.contains(key)) {
      throw Error(ErrorCode::data,
                  "model." + key + " is " + is.dump() + ", the checkpoint has " + was.dump(),
                  reader.path().string(),
                  "use the model that the weights are of, or another checkpoint.directory");
    }
    lines.push_back("model." + key + " is " + is.dump() + " from here on; it was " + was.dump());
  }
  return lines;
}

std::vector<std::string> changed_settings(const RunConfig& then, const RunConfig& now) {
  const json was = to_json(then), is = to_json(now);
  std::vector<std::string> lines;
  for (const char* const section :
       {"batch", "optimizer", "schedule", "precision", "loss", "spike"}) {
    for (const auto& [key, value] : is.at(section).items()) {
      const json& before = was.at(section).at(key);
      if (value == before || key == "micro_batch") continue;
      const std::string name = std::string(section) + "." + key;
      lines.push_back(name + " is " + value.dump() + " from here on; it was " + before.dump());
    }
  }
  if (then.optimizer.type != now.optimizer.type) {
    lines.emplace_back("the averages of the other optimizer.type are not used: they begin anew");
  }
  return lines;
}

void compare_tokenizers(const CheckpointReader& reader, const std::optional<DataRecord>& then,
                        const DataRecord& now) {
  if (then) {
    const auto compare = [&](std::optional<std::uint32_t> was, std::optional<std::uint32_t> is,
                             const char* what) {
      if (was == is || !was || !is) return;  // older shards do not say
      refuse_data(reader, std::string("documents ") + what + " with " + text_of(is) +
                              ", in the checkpoint's data with " + text_of(was));
    };
    compare(then->end_of_text, now.end_of_text, "end");
    compare(then->begin_of_text, now.begin_of_text, "begin");
  }
  const std::optional<std::uint64_t> hash =
      then ? then->tokenizer_hash : tokenizer_hash_in(reader.path());
  if (hash && *hash != now.tokenizer_hash) {
    refuse_data(reader, "the data were made with tokenizer " + to_hex(now.tokenizer_hash) +
                            ", the checkpoint has " + to_hex(*hash));
  }
}

ResumedPosition resumed_position(const DataRecord& then, DataPosition position,
                                 const DataRecord& now) {
  if (then == now) return {position, ""};
  if (!begins_with(now.shards, then.shards)) {
    return {{}, "data.train holds other tokens than before: begun with the first sample"};
  }
  const std::int64_t taken = position.sample * then.sequence_length;
  std::string line;
  const auto add = [&line](const std::string& what) { line += (line.empty() ? "" : ", ") + what; };
  if (now.sequence_length != then.sequence_length) {
    add("data.sequence_length was " + std::to_string(then.sequence_length));
    position.sample = (taken + now.sequence_length - 1) / now.sequence_length;
  }
  if (now.shards != then.shards) {
    add("data.train has " + std::to_string(tokens_of(now) - tokens_of(then)) + " tokens more");
  }
  if (now.seed != then.seed) add("seed was " + std::to_string(then.seed));
  if (line.empty()) return {position, ""};  // what shards say of their documents, no more
  const std::int64_t samples = (tokens_of(now) - 1) / now.sequence_length;
  if (position.sample >= samples) position = {.epoch = position.epoch + 1, .sample = 0};
  return {position, line + ": goes on behind " + std::to_string(taken) + " tokens of epoch " +
                        std::to_string(position.epoch) +
                        ", in another order: some of them may come again"};
}

}  // namespace ingot
