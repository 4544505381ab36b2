// Checkpoints on disk: DIRECTORY/step_00000500/ with manifest.json and safetensors shards.
//
// A checkpoint is there whole or not at all. It is written as step_00000500.partial, synced, read
// back and verified, and only then renamed; old ones go last. One of the same step that is replaced
// is step_00000500.replaced for a moment, on file systems that cannot exchange two names at once.
// Killed at any moment, the newest good checkpoint is the old one or the new one. Tensors keep
// their raw types (int8 codes stay codes). One process writes to a directory at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint_manifest.h"
#include "io/safetensors.h"
#include "io/sharded_writer.h"

namespace ingot {

// Bytes of tensors in one file of a checkpoint.
inline constexpr std::uint64_t kCheckpointShardBytes = std::uint64_t{2} << 30;

// Checkpoints that this process has seen to be good to the last byte, by the hash of their
// manifests: they need not be read again to be counted on.
using GoodCheckpoints = std::set<std::uint64_t>;

struct CheckpointOptions {
  std::uint64_t shard_limit = kCheckpointShardBytes;
  // Good checkpoints that stay, the new one included; 0 keeps all.
  std::size_t keep = 3;
  // False: as on a file system that cannot exchange two names (NFS). For tests.
  bool exchange_names = true;
  // What is known to be good, and gets what is found to be; none: each save reads all that stay.
  GoodCheckpoints* known_good = nullptr;
  // Told, in one line, about what could not be done but did not prevent the save.
  std::function<void(const std::string&)> warn = {};
};

// Writes one checkpoint.
//
//   CheckpointWriter writer("runs/tiny", step, tensors, {.keep = 3, .warn = print});
//   for (const TensorDeclaration& tensor : writer.order()) writer.append(tensor.name, bytes...);
//   writer.add_file("tokenizer.json", text);
//   writer.commit(R"({"config": {...}, "data": {...}})");
//
// Any disk failure is Error(device); the partial folder is then removed with this object and the
// checkpoints before stay as they were.
class CheckpointWriter {
 public:
  // Creates the directory if need be and removes what killed saves left in it.
  CheckpointWriter(std::filesystem::path directory, std::int64_t step,
                   std::vector<TensorDeclaration> tensors, CheckpointOptions options = {});
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // The order in which bytes must come.
  std::span<const TensorDeclaration> order() const { return shards_->order(); }
  // As SafetensorsWriter::append.
  void append(std::string_view name, std::span<const std::byte> bytes);
  // Any other file that belongs to the checkpoint.
  void add_file(const std::string& name, std::string_view contents);

  // Verifies, publishes, prunes. `state_json` is an object whose keys go into the manifest as they
  // are: config, mesh, seed, data position. A checkpoint of the same step is replaced.
  void commit(std::string_view state_json);

 private:
  void publish();
  void warn(const std::string& line) const;

  std::filesystem::path directory_;
  std::string name_;
  std::filesystem::path partial_;
  CheckpointOptions options_;
  CheckpointManifest manifest_;
  std::unique_ptr<ShardedWriter> shards_;
  bool published_ = false;
};

enum class Verify {
  structure,  // the manifest, and every file's presence and size
  hashes      // and every byte
};

// An open checkpoint, memory-mapped.
class CheckpointReader {
 public:
  // Error(data) naming what is missing or damaged.
  static CheckpointReader open(const std::filesystem::path& checkpoint,
                               Verify verify = Verify::hashes);

  // Folder names of the committed checkpoints in a directory, by ascending step; among them one
  // that a killed replacement left as step_00000500.replaced. Empty when there is no such
  // directory.
  static std::vector<std::string> list(const std::filesystem::path& directory);

  // The one saved last of those that are good to the last byte. `on_bad` gets the name of each
  // newer one that is not, and why; nothing is returned when none is good.
  static std::optional<CheckpointReader> find_newest_good(
      const std::filesystem::path& directory,
      const std::function<void(const std::string& name, const std::string& reason)>& on_bad);

  const std::filesystem::path& path() const { return path_; }
  std::int64_t step() const { return manifest_.step; }
  std::uint64_t sequence() const { return manifest_.sequence; }
  // What GoodCheckpoints knows it by.
  std::uint64_t identity() const;
  // The whole manifest.json; the keys given to commit() are at its top level.
  const std::string& manifest_text() const { return manifest_.text; }
  // Names, sizes and hashes of its files.
  std::span<const WrittenFile> files() const { return manifest_.files; }

  // All tensors, by name. They live as long as this object, wherever it is moved.
  const std::map<std::string_view, const SafetensorsEntry*>& tensors() const { return tensors_; }
  // nullptr when there is none.
  const SafetensorsEntry* find(std::string_view name) const;
  // Error(data) naming the tensor and the checkpoint when there is none.
  const SafetensorsEntry& at(std::string_view name) const;
  // Drops a tensor's pages from this process' memory; its values stay readable.
  void release(const SafetensorsEntry& tensor) const;

 private:
  std::filesystem::path path_;
  CheckpointManifest manifest_;
  std::vector<SafetensorsFile> shards_;
  std::map<std::string_view, const SafetensorsEntry*> tensors_;
};

// "step_00000500".
std::string checkpoint_name(std::int64_t step);
// Whether checkpoint_name() gives it for some step.
bool is_checkpoint_name(std::string_view name);
// "step_00000500.replaced", where the checkpoint of that name waits to be replaced, and back.
std::string replaced_name(const std::string& name);
std::optional<std::string> replaced_checkpoint(std::string_view name);

// Error(device) when the disk of `directory`, which need not exist yet, has less than `required`
// bytes free. `purpose` completes "not enough space for ...".
void require_free_space(const std::filesystem::path& directory, std::uint64_t required,
                        std::string_view purpose);

}  // namespace ingot
