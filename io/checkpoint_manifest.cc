#include "io/checkpoint_manifest.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/base/read_text.h"
#include "io/companion_files.h"
#include "io/hash.h"

namespace ingot {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::uint64_t kFormatVersion = 1;
constexpr std::uint64_t kLargestManifest = 16 << 20;
constexpr std::uint64_t kLargestCount = std::uint64_t{1} << 53;  // of steps and of saves
constexpr std::size_t kHashDigits = 16;
constexpr std::string_view kOwnKeys[] = {"manifest_xxh3", "format_version", "step", "sequence",
                                         "files"};
// The hash covers every byte that is not in this prefix or the hash itself.
constexpr std::string_view kBeforeHash = "{\n \"manifest_xxh3\": \"";

[[noreturn]] void throw_damaged(const std::string& what, const std::filesystem::path& file) {
  throw Error(ErrorCode::data, what, file.string(), "use another checkpoint");
}

std::uint64_t unsigned_at(const Json& object, const char* key, const std::filesystem::path& file) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) {
    throw_damaged(std::string("has no valid \"") + key + '"', file);
  }
  return found->get<std::uint64_t>();
}

WrittenFile file_at(const Json& entry, const std::filesystem::path& file) {
  if (!entry.is_object()) throw_damaged("lists something that is not a file", file);
  const Json name = entry.value("name", Json()), hash = entry.value("xxh3", Json());
  if (!name.is_string() || !is_file_beside_model(name.get_ref<const std::string&>())) {
    throw_damaged("lists a file that is not in its own folder", file);
  }
  const auto xxh3 = hash.is_string() ? from_hex(hash.get_ref<const std::string&>()) : std::nullopt;
  if (!xxh3) throw_damaged("lists a file without a valid hash", file);
  return {name.get<std::string>(), unsigned_at(entry, "bytes", file), *xxh3};
}

}  // namespace

std::string format_manifest(const CheckpointManifest& manifest, std::string_view state_json) {
  OrderedJson state = OrderedJson::parse(state_json, nullptr, false);
  if (!state.is_object()) {
    throw Error(ErrorCode::usage, "the state of a checkpoint is not a JSON object");
  }
  OrderedJson json;
  json["format_version"] = kFormatVersion;
  json["step"] = manifest.step;
  json["sequence"] = manifest.sequence;
  for (const std::string_view key : kOwnKeys) {
    if (!state.contains(key)) continue;
    throw Error(ErrorCode::usage, "the state of a checkpoint has a reserved key", std::string(key));
  }
  for (auto& [key, value] : state.items()) json[key] = std::move(value);
  json["files"] = OrderedJson::array();
  for (const WrittenFile& file : manifest.files) {
    json["files"].push_back(
        {{"name", file.name}, {"bytes", file.bytes}, {"xxh3", to_hex(file.xxh3)}});
  }
  const std::string rest = "\",\n" + json.dump(1).substr(2) + "\n";
  return std::string(kBeforeHash) + to_hex(hash_of(rest)) + rest;
}

CheckpointManifest parse_manifest(std::string text, const std::filesystem::path& file) {
  const std::string_view whole = text;
  const std::size_t behind_hash = kBeforeHash.size() + kHashDigits;
  if (whole.size() < behind_hash || !whole.starts_with(kBeforeHash) ||
      from_hex(whole.substr(kBeforeHash.size(), kHashDigits)) !=
          hash_of(whole.substr(behind_hash))) {
    throw_damaged("the manifest is damaged or was edited", file);
  }
  const Json json = parse_json(text, file.string(), ErrorCode::data);
  if (const auto version = unsigned_at(json, "format_version", file); version != kFormatVersion) {
    throw Error(ErrorCode::data, "has format version " + std::to_string(version), file.string(),
                "this ingot reads version " + std::to_string(kFormatVersion));
  }
  CheckpointManifest manifest;
  const std::uint64_t step = unsigned_at(json, "step", file);
  manifest.sequence = unsigned_at(json, "sequence", file);
  if (step > kLargestCount || manifest.sequence > kLargestCount) {
    throw_damaged("has an impossible step or sequence", file);
  }
  manifest.step = static_cast<std::int64_t>(step);
  const auto files = json.find("files");
  if (files == json.end() || !files->is_array()) throw_damaged("lists no files", file);
  std::set<std::string> names = {kManifestFile};
  for (const Json& entry : *files) {
    manifest.files.push_back(file_at(entry, file));
    if (!names.insert(manifest.files.back().name).second) throw_damaged("lists a file twice", file);
  }
  manifest.text = std::move(text);
  return manifest;
}

CheckpointManifest read_manifest(const std::filesystem::path& checkpoint) {
  const std::filesystem::path file = checkpoint / kManifestFile;
  return parse_manifest(read_text(file, ErrorCode::data, kLargestManifest), file);
}

}  // namespace ingot
