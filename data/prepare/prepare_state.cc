#include "data/prepare/prepare_state.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/base/read_text.h"
#include "io/atomic_file.h"
#include "io/companion_files.h"
#include "io/hash.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr std::uint64_t kLargestState = 64 << 20;
constexpr const char* kStateName = "prepare.json";
constexpr const char* kStartAnew = "choose another --output, or start anew with --overwrite";

std::uint64_t hash_from(const Json& json) {
  const auto hash = from_hex(json.get<std::string>());
  if (!hash) throw std::runtime_error("not a hash");
  return *hash;
}

// A whole number that fits: get_to() would cut others to size.
template <class Number>
void read(const Json& json, Number& number) {
  if (!json.is_number_unsigned()) throw std::runtime_error("not a whole number");
  const auto value = json.get<std::uint64_t>();
  if (value > std::numeric_limits<Number>::max()) throw std::runtime_error("too large a number");
  number = static_cast<Number>(value);
}

OrderedJson json_of(const PrepareSettings& s) {
  return {
      {"inputs", s.inputs},
      {"files", s.files},
      {"bytes", s.bytes},
      {"fingerprint", to_hex(s.fingerprint)},
      {"tokenizer", s.tokenizer},
      {"trained_vocabulary", s.trained_vocabulary},
      {"sample_bytes", s.sample_bytes},
      {"field", s.field},
      {"validation", s.validation},
      {"shard_tokens", s.shard_tokens},
      {"tokenizer_hash", to_hex(s.tokenizer_hash)},
      {"vocabulary_size", s.vocabulary_size},
      {"end_of_text", s.end_of_text},
      {"begin_of_text", s.begin_of_text ? OrderedJson(*s.begin_of_text) : OrderedJson(nullptr)}};
}

PrepareSettings settings_from(const Json& json) {
  PrepareSettings s;
  json.at("inputs").get_to(s.inputs);
  read(json.at("files"), s.files);
  read(json.at("bytes"), s.bytes);
  s.fingerprint = hash_from(json.at("fingerprint"));
  json.at("tokenizer").get_to(s.tokenizer);
  read(json.at("trained_vocabulary"), s.trained_vocabulary);
  read(json.at("sample_bytes"), s.sample_bytes);
  json.at("field").get_to(s.field);
  json.at("validation").get_to(s.validation);
  read(json.at("shard_tokens"), s.shard_tokens);
  s.tokenizer_hash = hash_from(json.at("tokenizer_hash"));
  read(json.at("vocabulary_size"), s.vocabulary_size);
  read(json.at("end_of_text"), s.end_of_text);
  const Json begin = json.value("begin_of_text", Json());  // not in those of earlier versions
  if (!begin.is_null()) read(begin, s.begin_of_text.emplace());
  return s;
}

OrderedJson json_of(const PreparedPart& part) {
  OrderedJson shards = OrderedJson::array();
  for (const PreparedShard& shard : part.shards) {
    const ShardHeader& header = shard.header;
    shards.push_back({{"name", shard.name},
                      {"tokens", header.token_count},
                      {"documents", header.document_count},
                      {"empty_documents", shard.empty_documents},
                      {"hash", to_hex(header.payload_hash)},
                      {"end", {shard.end.file, shard.end.offset}}});
  }
  return {{"done", part.done}, {"shards", std::move(shards)}};
}

PreparedPart part_from(const Json& json, const PrepareSettings& settings) {
  PreparedPart part;
  json.at("done").get_to(part.done);
  for (const Json& entry : json.at("shards")) {
    PreparedShard shard{.header = header_of(settings)};
    entry.at("name").get_to(shard.name);
    if (!is_shard_name(shard.name + ".bin")) throw std::runtime_error("not a shard's name");
    read(entry.at("tokens"), shard.header.token_count);
    read(entry.at("documents"), shard.header.document_count);
    read(entry.at("empty_documents"), shard.empty_documents);
    shard.header.payload_hash = hash_from(entry.at("hash"));
    read(entry.at("end").at(0), shard.end.file);
    read(entry.at("end").at(1), shard.end.offset);
    part.shards.push_back(std::move(shard));
  }
  return part;
}

std::string changed(const std::string& name, const std::string& before, const std::string& now) {
  return name + " was " + before + ", is now " + now;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

template <class Number>
std::string text_of(Number number) {
  return Json(number).dump();
}

bool is_intact(const fs::path& output, const PreparedShard& recorded) {
  try {
    const Shard shard(output / (recorded.name + ".bin"));
    ShardHeader expected = recorded.header;
    if (!shard.header().end_of_text) {  // made by an earlier version, which did not say
      expected.end_of_text = expected.begin_of_text = std::nullopt;
    }
    if (shard.header() != expected) return false;
    shard.verify();
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::optional<PrepareState> load_state(const fs::path& output) {
  const fs::path path = output / kStateName;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  return parse_state(read_text(path, ErrorCode::data, kLargestState), path.string());
}

PrepareState parse_state(const std::string& text, const std::string& where) {
  try {
    const Json json = parse_json(text, where, ErrorCode::data);
    if (json.at("format") != kFormat) throw std::runtime_error("another format");
    PrepareState state;
    state.settings = settings_from(json.at("settings"));
    json.at("tokenizer_ready").get_to(state.tokenizer_ready);
    state.train = part_from(json.at("train"), state.settings);
    state.validation = part_from(json.at("validation"), state.settings);
    return state;
  } catch (const Error& error) {
    throw Error(ErrorCode::data, error.problem(), error.where(), kStartAnew);
  } catch (const std::exception& error) {  // nlohmann's, and the ones above
    throw Error(ErrorCode::data, "not a state of `ingot prepare`: " + std::string(error.what()),
                where, kStartAnew);
  }
}

void save_state(const fs::path& output, const PrepareState& state) {
  const OrderedJson json = {{"format", kFormat},
                            {"settings", json_of(state.settings)},
                            {"tokenizer_ready", state.tokenizer_ready},
                            {"train", json_of(state.train)},
                            {"validation", json_of(state.validation)}};
  // File names may be any bytes.
  write_text_file(output / kStateName,
                  json.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

std::string difference(const PrepareSettings& before, const PrepareSettings& now,
                       bool with_tokenizer) {
  if (before.fingerprint != now.fingerprint) {
    if (joined(before.inputs) != joined(now.inputs)) {
      return changed("--input", joined(before.inputs), joined(now.inputs));
    }
    return "the input was " + text_of(before.files) + " files of " + text_of(before.bytes) +
           " bytes, is now " + text_of(now.files) + " of " + text_of(now.bytes) +
           ", or some have changed";
  }
  if (before.tokenizer != now.tokenizer) return "--tokenizer is another";
  if (before.trained_vocabulary != now.trained_vocabulary) {
    return changed("--vocab", text_of(before.trained_vocabulary), text_of(now.trained_vocabulary));
  }
  if (before.sample_bytes != now.sample_bytes) return "the size of the training sample is another";
  if (before.field != now.field) return changed("--field", before.field, now.field);
  if (before.validation != now.validation) {
    return changed("--validation", text_of(before.validation), text_of(now.validation));
  }
  if (before.shard_tokens != now.shard_tokens) {
    return changed("--shard-tokens", text_of(before.shard_tokens), text_of(now.shard_tokens));
  }
  if (!with_tokenizer) return "";
  if (before.tokenizer_hash != now.tokenizer_hash) return "--tokenizer is another";
  if (before.end_of_text != now.end_of_text) {
    return changed("--eos", "token " + text_of(before.end_of_text),
                   "token " + text_of(now.end_of_text));
  }
  if (before.begin_of_text != now.begin_of_text) {
    const auto named = [](const std::optional<std::uint32_t>& token) {
      return token ? "token " + text_of(*token) : std::string("not given");
    };
    return changed("--begin-of-text", named(before.begin_of_text), named(now.begin_of_text));
  }
  return "";
}

ShardHeader header_of(const PrepareSettings& settings) {
  return {.token_bytes = token_bytes_for(settings.vocabulary_size),
          .tokenizer_hash = settings.tokenizer_hash,
          .vocabulary_size = settings.vocabulary_size,
          .end_of_text = settings.end_of_text,
          .begin_of_text = settings.begin_of_text};
}

std::size_t keep_intact_shards(const fs::path& output, PreparedPart& part) {
  const auto bad = std::ranges::find_if_not(
      part.shards, [&](const PreparedShard& shard) { return is_intact(output, shard); });
  if (bad != part.shards.end()) part.done = false;
  part.shards.erase(bad, part.shards.end());
  return part.shards.size();
}

bool is_shard_name(const std::string& name) {
  std::string_view rest = name;
  for (const std::string_view part : {"train-", "validation-"}) {
    if (rest.starts_with(part)) rest.remove_prefix(part.size());
  }
  const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  return rest.size() < name.size() && digits >= 5 &&
         (rest.substr(digits) == ".bin" || rest.substr(digits) == ".idx");
}

void clean(const fs::path& output, bool everything) {
  const auto is_ours = [](const std::string& name) {
    return is_shard_name(name) || name == kStateName || companion_of(name) == Companion::tokenizer;
  };
  std::vector<fs::path> doomed;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(output, error)) {
    const std::string name = entry.path().filename().string();
    // NAME.PROCESS-NUMBER.partial, see io/atomic_file.h
    const bool partial =
        entry.path().extension() == ".partial" && is_ours(entry.path().stem().stem().string());
    // The state goes first: without it no half of the shards is taken for a whole.
    if (everything && name == kStateName) fs::remove(entry.path(), error);
    if (partial || (everything && is_shard_name(name))) doomed.push_back(entry.path());
  }
  for (const fs::path& path : doomed) {
    if (!fs::remove(path, error) && error) {
      throw_disk_error("cannot remove", error.value(), path);
    }
  }
}

}  // namespace ingot
