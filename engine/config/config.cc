#include "engine/config/config.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>

#include "engine/base/json.h"
#include "engine/base/read_text.h"
#include "engine/config/config_fields.h"
#include "engine/model/model_config_fields.h"

namespace ingot {
namespace {

// A run config is read within this; the shipped ones have 1 KiB.
constexpr JsonLimits kLimits = {.bytes = 1 << 20, .depth = 32};
// Of a config.json that transformers wrote.
constexpr JsonLimits kModelLimits = {.bytes = 1 << 20, .depth = 32, .python_numbers = true};

std::string in_quotes(std::string_view text) { return "\"" + clipped(text) + "\""; }

// Objects are joined, anything else replaces; unlike a JSON merge patch, null is a value.
void merge(Json& into, const Json& from) {
  if (!into.is_object() || !from.is_object()) {
    into = from;
    return;
  }
  for (const auto& [key, value] : from.items()) merge(into[key], value);
}

// Reads one or more documents, each over the ones before, then the model they name.
class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  void read(std::string_view text, const std::filesystem::path& folder) {
    JsonLines lines;
    const Json json = parse_json(text, name_, ErrorCode::usage, kLimits, &lines);
    const Locate locate = [&](const std::string& pointer) {
      const int line = lines.line_of(pointer);
      return Place{name_ + ":" + std::to_string(line), line};
    };
    const std::size_t first = mistakes_.size();
    add_duplicates(lines, locate, mistakes_);
    read_document(json, locate, {folder});
    std::stable_sort(mistakes_.begin() + static_cast<std::ptrdiff_t>(first), mistakes_.end(),
                     [](const Mistake& a, const Mistake& b) { return a.line < b.line; });
  }

  // "a.b=c" is read as the document {"a": {"b": c}}.
  void read_override(const std::string& text) {
    const std::string where = "--set " + clipped(text);
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      mistakes_.push_back(
          {"no key and value", where, "write KEY=VALUE, such as schedule.steps=100"});
      return;
    }
    Json json = value_of(text.substr(equals + 1));
    std::string_view key = std::string_view(text).substr(0, equals);
    int depth = 1;
    for (;;) {
      const auto dot = key.rfind('.');
      const std::string_view last = dot == std::string_view::npos ? key : key.substr(dot + 1);
      if (last.empty() || ++depth > kLimits.depth) {
        mistakes_.push_back({"not a key", where, "write KEY=VALUE, such as schedule.steps=100"});
        return;
      }
      json = Json::object({{std::string(last), std::move(json)}});
      if (dot == std::string_view::npos) break;
      key = key.substr(0, dot);
    }
    read_document(json, [&](const std::string&) { return Place{where, 0}; }, {});
  }

  RunConfig finish(bool recorded = false) {
    read_model();
    if (mistakes_.empty() && !recorded) {
      for (const Contradiction& each : contradictions(config_)) {
        mistakes_.push_back({each.what, where_of(each.key), each.mend, 0});
      }
    }
    if (!mistakes_.empty()) throw ConfigError(ErrorCode::usage, mistakes_);
    if (config_.checkpoint.directory.empty()) {
      const std::string stem = std::filesystem::path(name_).stem().string();
      config_.checkpoint.directory = "runs/" + (stem.empty() ? "run" : stem);
    }
    return std::move(config_);
  }

 private:
  void add(const Locate& locate, const std::string& pointer, std::string what, std::string mend) {
    Place place = locate(pointer);
    mistakes_.push_back({std::move(what), std::move(place.where), std::move(mend), place.line});
  }

  // JSON if it reads as such, else text: --set device=cpu needs no quotes.
  static Json value_of(const std::string& text) {
    try {
      return parse_json(text, "", ErrorCode::usage, kLimits);
    } catch (const Error&) {
      return text;
    }
  }

  void read_document(const Json& json, const Locate& locate, const ReadContext& context) {
    if (!json.is_object()) {
      add(locate, "", "a run config is an object, not " + shown(json), "");
      return;
    }
    const auto& sections = config_sections();
    for (const auto& [key, value] : json.items()) {
      const std::string pointer = pointer_step(key);
      const auto found = std::find_if(sections.begin(), sections.end(), [&](const auto& section) {
        return !section.name.empty() && section.name == key;
      });
      if (key == "model") {
        take_model(value, locate, context);
      } else if (found == sections.end()) {
        read_field(sections.front(), key, value, pointer, locate, context);
      } else if (!value.is_object()) {
        add(locate, pointer, in_quotes(key) + " is " + shown(value), "an object");
      } else {
        for (const auto& [inner, each] : value.items()) {
          read_field(*found, inner, each, pointer + pointer_step(inner), locate, context);
        }
      }
    }
  }

  void read_field(const ConfigSection& section, const std::string& key, const Json& value,
                  const std::string& pointer, const Locate& locate, const ReadContext& context) {
    for (const auto& each : section.fields) {
      if (each.key != key) continue;
      const std::string name = section.name.empty() ? key : section.name + "." + key;
      where_[name] = locate(pointer).where;
      const std::string expected = each.read(value, context, config_);
      if (!expected.empty())
        add(locate, pointer, in_quotes(name) + " is " + shown(value), expected);
      return;
    }
    const std::string in = section.name.empty() ? "" : " in " + in_quotes(section.name);
    add(locate, pointer, "unknown key " + in_quotes(key) + in, known_key_near(section, key));
  }

  // The nearest key of the section; else the section that has this very key.
  static std::string known_key_near(const ConfigSection& section, const std::string& key) {
    std::vector<std::string_view> keys;
    for (const auto& each : section.fields) keys.push_back(each.key);
    const bool top = section.name.empty();
    if (top) {
      keys.push_back("model");
      for (const auto& each : config_sections()) keys.push_back(each.name);
    }
    if (const auto near = nearest(key, keys); !near.empty()) {
      return "did you mean " + in_quotes(near) + "?";
    }
    for (const auto& other : config_sections()) {
      for (const auto& each : other.fields) {
        if (each.key != key) continue;
        if (other.name.empty()) return in_quotes(key) + " stands at the top";
        return "did you mean " + in_quotes(other.name + "." + key) + "?";
      }
    }
    return "see docs/config.md for the keys there are";
  }

  // A path replaces the model, an object is laid over the one before.
  void take_model(const Json& value, const Locate& locate, const ReadContext& context) {
    if (value.is_string()) {
      std::string path;
      if (!ingot::path().read(value, context, path).empty() || path.empty()) {
        add(locate, "/model", "\"model\" is " + shown(value), "a path or an object");
        model_failed_ = true;
        return;
      }
      load_model(path);
    } else if (value.is_object()) {
      merge(model_, value);
      note_places(value, "", locate);
    } else {
      add(locate, "/model", "\"model\" is " + shown(value), "a path or an object");
      model_failed_ = true;
    }
  }

  // Remembers where each field of an object came from that was laid over the model.
  void note_places(const Json& value, const std::string& pointer, const Locate& locate) {
    Place place = locate("/model" + pointer);
    place.ours = true;
    if (!value.is_object()) {
      model_places_[pointer] = std::move(place);
      return;
    }
    model_places_.try_emplace(pointer, std::move(place));  // the rest of it stays where it was
    for (const auto& [key, each] : value.items()) {
      note_places(each, pointer + pointer_step(key), locate);
    }
  }

  void load_model(const std::string& path) {
    std::error_code ignored;
    const bool folder = std::filesystem::is_directory(path, ignored);
    model_path_ = folder ? (std::filesystem::path(path) / "config.json").string() : path;
    model_ = nullptr;
    model_places_.clear();
    try {
      JsonLines lines;
      model_ = read_json(model_path_, ErrorCode::usage, kModelLimits, &lines);
      const Locate locate = [&](const std::string& pointer) {
        const int line = lines.line_of(pointer);
        return Place{model_path_ + ":" + std::to_string(line), line};
      };
      add_duplicates(lines, locate, mistakes_);
      model_places_.clear();
      for (const auto& [pointer, line] : lines.lines) model_places_[pointer] = locate(pointer);
    } catch (const Error& error) {
      mistakes_.push_back({"model: " + error.problem(), error.where(), error.mend()});
      model_failed_ = true;
    }
  }

  void read_model() {
    if (model_failed_) return;
    if (model_.is_null()) {
      mistakes_.push_back(
          {"\"model\" is missing", name_, "a path to a config.json, or an object with its fields"});
      return;
    }
    const Locate locate = [&](const std::string& pointer) {
      for (std::string_view at = pointer;;) {
        const auto found = model_places_.find(std::string(at));
        if (found != model_places_.end()) return found->second;
        if (at.empty()) return Place{model_path_.empty() ? name_ : model_path_, 0};
        at = at.substr(0, at.rfind('/'));
      }
    };
    const std::size_t first = mistakes_.size();
    const auto model = read_model_config(model_, locate, mistakes_);
    std::stable_sort(mistakes_.begin() + static_cast<std::ptrdiff_t>(first), mistakes_.end(),
                     [](const Mistake& a, const Mistake& b) { return a.line < b.line; });
    if (model) config_.model = *model;
    config_.model_path = model_path_;
  }

  std::string where_of(const std::string& key) const {
    const auto found = where_.find(key);
    return found == where_.end() ? name_ : found->second;
  }

  const std::string name_;
  RunConfig config_;
  std::vector<Mistake> mistakes_;
  std::map<std::string, std::string> where_;  // of each key that was given

  Json model_;  // null until one was given
  std::string model_path_;
  bool model_failed_ = false;
  std::map<std::string, Place> model_places_;
};

RunConfig read_config(Reader& reader, const std::vector<std::string>& overrides) {
  for (const std::string& each : overrides) reader.read_override(each);
  return reader.finish();
}

}  // namespace

RunConfig load_run_config(const std::filesystem::path& path,
                          const std::vector<std::string>& overrides) {
  Reader reader(path.string());
  reader.read(read_text(path, ErrorCode::usage, kLimits.bytes), path.parent_path());
  return read_config(reader, overrides);
}

RunConfig parse_run_config(std::string_view text, const std::string& name,
                           const std::filesystem::path& folder,
                           const std::vector<std::string>& overrides) {
  Reader reader(name);
  reader.read(text, folder);
  return read_config(reader, overrides);
}

RunConfig parse_recorded_config(std::string_view text, const std::string& name,
                                const std::filesystem::path& folder) {
  Reader reader(name);
  reader.read(text, folder);
  return reader.finish(/*recorded=*/true);
}

Json to_json(const RunConfig& config) {
  Json json = {{"model", to_hf_json(config.model)}};
  for (const ConfigSection& section : config_sections()) {
    Json& target = section.name.empty() ? json : json[section.name];
    for (const auto& each : section.fields) target[each.key] = each.write(config);
  }
  return json;
}

std::int64_t DataConfig::validation_sequences() const {
  if (validation_batches) return *validation_batches * kValidationBatch;
  return (validation_tokens + sequence_length - 1) / sequence_length;
}

std::string_view name_of(OptimizerState state) {
  constexpr std::string_view kNames[] = {"fp32", "bf16", "int8", "auto"};
  return kNames[static_cast<int>(state)];
}

DType storage_dtype(ComputeType compute) {
  switch (compute) {
    case ComputeType::fp32:
      return DType::f32;
    case ComputeType::bf16:
    case ComputeType::int8:
      return DType::bf16;
    case ComputeType::fp16:
      return DType::f16;
  }
  return DType::f32;
}

}  // namespace ingot
