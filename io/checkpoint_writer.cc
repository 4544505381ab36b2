#include <fcntl.h>
#include <stdio.h>

#include <fmt/format.h>
#include <algorithm>
#include <cerrno>
#include <tuple>
#include <utility>

#include "engine/base/error.h"
#include "io/atomic_file.h"
#include "io/checkpoint_files.h"
#include "io/companion_files.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPartialSuffix = ".partial";
// Earlier versions named the newest checkpoint in a file, which nothing read.
constexpr const char* kLatestOfOldVersions = "latest";

std::string shard_name(std::size_t index, std::size_t count) {
  return fmt::format("tensors-{:05}-of-{:05}.safetensors", index + 1, count);
}

// Files of ours that are being written: step_00000500.partial, and `latest` of earlier versions.
bool is_partial(const std::string& name) {
  if (!name.ends_with(kPartialSuffix)) return false;
  const std::string_view stem =
      std::string_view(name).substr(0, name.size() - kPartialSuffix.size());
  return is_checkpoint_name(stem) || stem.starts_with(kLatestOfOldVersions + std::string("."));
}

// What a killed save, replacement or removal left behind; nothing else that lies here. A replaced
// checkpoint goes once its successor has its name.
void remove_leftovers(const fs::path& directory) {
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    const auto original = replaced_checkpoint(name);
    if (is_partial(name) || (original && fs::exists(directory / *original, ignored))) {
      leftovers.push_back(entry->path());
    }
  }
  if (error) throw_disk_error("cannot read the folder", error.value(), directory);
  for (const fs::path& path : leftovers) fs::remove_all(path, error);
}

// Renamed first: a removal that is cut short leaves no folder that looks like a checkpoint.
void remove_checkpoint(const fs::path& checkpoint) {
  fs::path doomed = checkpoint;
  doomed += kPartialSuffix;
  fs::rename(checkpoint, doomed);
  fs::remove_all(doomed);
}

void rename_folder(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    throw_disk_error("cannot rename to its final name", errno, to);
  }
}

// Both names change in one step, so that there is no moment without `target`; where the file
// system cannot do that (NFS), the old one waits under a name that readers know until the new one
// has its place. Returns where the old one is now.
fs::path exchange_folders(const fs::path& partial, const fs::path& target, bool in_one_step) {
  if (in_one_step) {
    if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0)
      return partial;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
      throw_disk_error("cannot replace", errno, target);
    }
  }
  const fs::path between = target.parent_path() / replaced_name(target.filename().string());
  std::error_code ignored;
  fs::remove_all(between, ignored);
  rename_folder(target, between);
  rename_folder(partial, target);
  return between;
}

std::uint64_t next_sequence(const fs::path& directory) {
  std::uint64_t last = 0;
  for (const std::string& name : CheckpointReader::list(directory)) {
    try {
      last = std::max(last, read_manifest(directory / name).sequence);
    } catch (const Error&) {  // damaged: find_newest_good reports it
    }
  }
  return last + 1;
}

// Whether its files are there and have their sizes, and what is in them was right when this process
// looked last. Throws when not.
void check_good(const fs::path& checkpoint, GoodCheckpoints& good) {
  const auto structure = CheckpointReader::open(checkpoint, Verify::structure);
  if (good.count(structure.identity()) > 0) return;
  good.insert(CheckpointReader::open(checkpoint).identity());
}

// Removes all but `keep` checkpoints: `newest`, verified a moment ago, and those saved last before
// it. Only those that are intact count, so a damaged one never takes the place of a good one.
void prune(const fs::path& directory, const std::string& newest, std::size_t keep,
           GoodCheckpoints& known_good, const std::function<void(const std::string&)>& warn) {
  const std::vector<std::string> names = CheckpointReader::list(directory);
  if (keep == 0 || names.size() <= keep) return;
  std::vector<std::tuple<std::uint64_t, std::int64_t, std::string>> older;
  for (const std::string& name : names) {
    if (name == newest) continue;
    try {
      const CheckpointManifest manifest = read_manifest(directory / name);
      older.emplace_back(manifest.sequence, manifest.step, name);
    } catch (const Error& error) {
      warn("checkpoint " + name + " is damaged and stays until removed by hand: " + error.what());
    }
  }
  std::sort(older.rbegin(), older.rend());
  std::size_t good = 1;
  for (const auto& [sequence, step, name] : older) {
    try {
      if (good == keep) {
        remove_checkpoint(directory / name);
      } else {
        check_good(directory / name, known_good);
        ++good;
      }
    } catch (const std::exception& error) {
      warn("checkpoint " + name + " is damaged or cannot be removed: " + error.what());
    }
  }
}

}  // namespace

CheckpointWriter::CheckpointWriter(fs::path directory, std::int64_t step,
                                   std::vector<TensorDeclaration> tensors,
                                   CheckpointOptions options)
    : directory_(std::move(directory)),
      name_(checkpoint_name(step)),
      partial_(directory_ / (name_ + std::string(kPartialSuffix))),
      options_(std::move(options)) {
  if (step < 0) throw Error(ErrorCode::usage, "a checkpoint has a negative step");
  create_folder(directory_);
  remove_leftovers(directory_);
  create_folder(partial_);
  manifest_.step = step;
  try {
    shards_ = std::make_unique<ShardedWriter>(partial_, std::move(tensors), options_.shard_limit,
                                              shard_name);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(partial_, ignored);
    throw;
  }
}

CheckpointWriter::~CheckpointWriter() {
  if (published_) return;
  shards_.reset();
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

void CheckpointWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  shards_->append(name, bytes);
}

void CheckpointWriter::add_file(const std::string& name, std::string_view contents) {
  const auto is_same = [&](const WrittenFile& file) { return file.name == name; };
  if (!is_file_beside_model(name) || name.ends_with(".safetensors") || name == kManifestFile ||
      std::any_of(manifest_.files.begin(), manifest_.files.end(), is_same)) {
    throw Error(ErrorCode::usage, "a checkpoint cannot hold a file of this name", name);
  }
  const fs::path path = partial_ / name;
  create_folder(path.parent_path());
  AtomicFile file(path);
  file.write(contents);
  file.commit();
  manifest_.files.push_back({name, file.size(), file.hash()});
}

void CheckpointWriter::commit(std::string_view state_json) {
  shards_->commit();
  manifest_.files.insert(manifest_.files.end(), shards_->files().begin(), shards_->files().end());
  manifest_.sequence = next_sequence(directory_);
  write_text_file(partial_ / kManifestFile, format_manifest(manifest_, state_json));
  GoodCheckpoints known_to_nobody;
  GoodCheckpoints& good = options_.known_good ? *options_.known_good : known_to_nobody;
  try {
    good.insert(CheckpointReader::open(partial_).identity());
  } catch (const Error& error) {
    throw Error(ErrorCode::device,
                "a checkpoint does not read back as it was written: " + error.problem(),
                error.where(), "the disk may be failing: use another one");
  }
  publish();
  std::error_code ignored;
  fs::remove(directory_ / kLatestOfOldVersions, ignored);
  try {
    prune(directory_, name_, options_.keep, good, [this](const std::string& line) { warn(line); });
  } catch (const std::exception& error) {
    warn(std::string("old checkpoints could not be removed: ") + error.what());
  }
}

void CheckpointWriter::publish() {
  const fs::path target = directory_ / name_;
  std::error_code error;
  fs::path old;
  if (fs::exists(target, error)) {
    old = exchange_folders(partial_, target, options_.exchange_names);
  } else {
    rename_folder(partial_, target);
  }
  published_ = true;
  sync_directory(directory_);
  for (const fs::path& path : {old, directory_ / replaced_name(name_)}) {
    if (!path.empty()) fs::remove_all(path, error);
    if (error) warn("cannot remove " + path.string() + ": " + error.message());
  }
}

void CheckpointWriter::warn(const std::string& line) const {
  if (options_.warn) options_.warn(line);
}

void require_free_space(const fs::path& directory, std::uint64_t required,
                        std::string_view purpose) {
  const std::uint64_t available = available_bytes(directory);
  if (available >= required) return;
  const auto in_mib = [](std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; };
  throw Error(ErrorCode::device,
              "not enough space for " + std::string(purpose) + ": " + in_mib(required) +
                  " needed, " + in_mib(available) + " free",
              directory.string(), "free some space or choose another folder");
}

}  // namespace ingot
