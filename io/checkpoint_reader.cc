#include <algorithm>
#include <cstdio>
#include <limits>
#include <tuple>
#include <utility>

#include "engine/base/error.h"
#include "io/checkpoint_files.h"
#include "io/file_descriptor.h"
#include "io/hash.h"

namespace ingot {
namespace {

constexpr std::string_view kPrefix = "step_", kReplacedSuffix = ".replaced";
constexpr std::size_t kFewestDigits = 8;

// Nothing for names that checkpoint_name does not make, such as step_00000500.partial.
std::optional<std::int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::int64_t step = 0;
  for (const char c : name.substr(kPrefix.size())) {
    if (c < '0' || c > '9') return std::nullopt;
    if (step > (std::numeric_limits<std::int64_t>::max() - 9) / 10) return std::nullopt;
    step = step * 10 + (c - '0');
  }
  return checkpoint_name(step) == name ? std::optional(step) : std::nullopt;
}

void check_file(const std::filesystem::path& path, const WrittenFile& expected, Verify verify) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::data, what, path.string(), "use another checkpoint");
  };
  const std::uint64_t size = size_of_file(open_for_reading(path), path);
  if (size != expected.bytes) {
    refuse("has " + std::to_string(size) + " bytes instead of " + std::to_string(expected.bytes));
  }
  if (verify == Verify::hashes && hash_of_file(path, ReadFrom::disk) != expected.xxh3) {
    refuse("is damaged: its hash is not that of the manifest");
  }
}

}  // namespace

std::string checkpoint_name(std::int64_t step) {
  const std::string digits = std::to_string(step);
  return std::string(kPrefix) +
         std::string(kFewestDigits - std::min(kFewestDigits, digits.size()), '0') + digits;
}

bool is_checkpoint_name(std::string_view name) { return step_of(name).has_value(); }

std::string replaced_name(const std::string& name) { return name + std::string(kReplacedSuffix); }

std::optional<std::string> replaced_checkpoint(std::string_view name) {
  if (!name.ends_with(kReplacedSuffix)) return std::nullopt;
  name.remove_suffix(kReplacedSuffix.size());
  return is_checkpoint_name(name) ? std::optional<std::string>(name) : std::nullopt;
}

CheckpointReader CheckpointReader::open(const std::filesystem::path& checkpoint, Verify verify) {
  CheckpointReader reader;
  reader.path_ = checkpoint;
  reader.manifest_ = read_manifest(checkpoint);
  for (const WrittenFile& file : reader.manifest_.files) {
    check_file(checkpoint / file.name, file, verify);
    if (file.name.ends_with(".safetensors")) reader.shards_.emplace_back(checkpoint / file.name);
  }
  for (const SafetensorsFile& shard : reader.shards_) {
    for (const SafetensorsEntry& entry : shard.entries()) {
      if (reader.tensors_.emplace(entry.name, &entry).second) continue;
      throw Error(ErrorCode::data, "has tensor " + quoted_name(entry.name) + " twice",
                  checkpoint.string(), "use another checkpoint");
    }
  }
  return reader;
}

std::vector<std::string> CheckpointReader::list(const std::filesystem::path& directory) {
  std::vector<std::pair<std::int64_t, std::string>> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    const std::string original = replaced_checkpoint(name).value_or(name);
    const auto step = step_of(original);
    const bool is_superseded =
        original != name && std::filesystem::exists(directory / original, ignored);
    if (step && !is_superseded && entry->is_directory(ignored)) found.emplace_back(*step, name);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw Error(ErrorCode::data, "cannot read the folder: " + error.message(), directory.string(),
                "name another folder for checkpoints");
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> names;
  for (auto& [step, name] : found) names.push_back(std::move(name));
  return names;
}

std::optional<CheckpointReader> CheckpointReader::find_newest_good(
    const std::filesystem::path& directory,
    const std::function<void(const std::string& name, const std::string& reason)>& on_bad) {
  // By order of saving, not by step: a run that went back to step 500 and on from there must not
  // come back to the step 2000 it left.
  std::vector<std::tuple<std::uint64_t, std::int64_t, std::string>> candidates;
  for (const std::string& name : list(directory)) {
    try {
      const CheckpointManifest manifest = read_manifest(directory / name);
      candidates.emplace_back(manifest.sequence, manifest.step, name);
    } catch (const Error& error) {
      on_bad(name, error.what());
    }
  }
  std::sort(candidates.rbegin(), candidates.rend());
  for (const auto& [sequence, step, name] : candidates) {
    try {
      return open(directory / name);
    } catch (const Error& error) {
      on_bad(name, error.what());
    }
  }
  return std::nullopt;
}

std::uint64_t CheckpointReader::identity() const { return hash_of(manifest_.text); }

const SafetensorsEntry* CheckpointReader::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

const SafetensorsEntry& CheckpointReader::at(std::string_view name) const {
  if (const SafetensorsEntry* entry = find(name)) return *entry;
  throw Error(ErrorCode::data, "has no tensor " + quoted_name(name), path_.string(),
              "the checkpoint is of another model or configuration");
}

void CheckpointReader::release(const SafetensorsEntry& tensor) const {
  for (const SafetensorsFile& shard : shards_) shard.release(tensor);
}

}  // namespace ingot
