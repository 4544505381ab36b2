// Hugging Face model folders: config.json and model.safetensors, or shards with
// model.safetensors.index.json; tokenizer files beside them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/companion_files.h"
#include "io/convert.h"
#include "io/safetensors.h"
#include "io/sharded_writer.h"

namespace ingot {

// An open model folder, memory-mapped. Everything is checked on opening: each indexed tensor is in
// its shard and in no other, shards are whole, names in the index stay inside the folder, fp8
// scales fit their weights. Error(data) names what is wrong and where.
class ModelFiles {
 public:
  static ModelFiles open(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  // config.json as it stands.
  const std::string& config_text() const { return config_text_; }

  // By the names of a model with its head. Tensors that a file holds under another name, as
  // transformers reads them too, are listed so: of a model saved without its head (no "model." in
  // front), of tied ones that are stored once, as lm_head.weight, and of shared ones, which the
  // file's metadata name.
  // Fp8 weights with their scales attached (those are not listed by themselves). Scales of
  // activations are listed as tensors of their own: ingot has no use for them.
  const std::map<std::string, StoredTensor, std::less<>>& tensors() const { return tensors_; }
  // nullptr when there is none. Error(data) for an fp8 tensor without a scale: its codes alone are
  // not its values.
  const StoredTensor* find(std::string_view name) const;
  // Error(data) naming the tensor and the folder when there is none.
  const StoredTensor& at(std::string_view name) const;

  // Tensors in shards that the index does not mention. Legal, but worth a warning.
  const std::vector<std::string>& unreferenced() const { return unreferenced_; }

  // Drops a tensor's pages from this process' memory; its values stay readable.
  void release(const StoredTensor& tensor) const;

 private:
  void open_shards(const std::map<std::string, std::string>& shard_of);
  void resolve_names(bool tied);
  void attach_scales(std::int64_t block_rows, std::int64_t block_columns);

  std::filesystem::path folder_;
  std::string config_text_;
  std::map<std::string, SafetensorsFile> shards_;  // by file name
  std::map<std::string, StoredTensor, std::less<>> tensors_;
  std::vector<std::string> unreferenced_;
};

// Writes a model folder. The index comes last, so a folder that was not finished is not taken for a
// model. A folder with anything in it is refused, unless it is what an interrupted ModelWriter
// left.
//
//   ModelWriter writer(folder, tensors, {.companions = read_companions(source)});
//   for (const TensorDeclaration& tensor : writer.order()) writer.append(tensor.name, bytes...);
//   writer.commit(config_json);
class ModelWriter {
 public:
  struct Options {
    std::uint64_t shard_limit = 5'000'000'000;  // bytes of values in one file
    CompanionFiles companions = {};             // written beside the weights
  };

  // Error(usage) when the folder is not empty, Error(device) when it can't be written.
  ModelWriter(std::filesystem::path folder, std::vector<TensorDeclaration> tensors,
              const Options& options);
  // Removes what was written unless committed.
  ~ModelWriter();
  ModelWriter(const ModelWriter&) = delete;
  ModelWriter& operator=(const ModelWriter&) = delete;

  // The order in which bytes must come.
  std::span<const TensorDeclaration> order() const { return shards_->order(); }
  // As SafetensorsWriter::append.
  void append(std::string_view name, std::span<const std::byte> bytes);
  // Writes config.json, the companions, then the index.
  void commit(std::string_view config_json);

 private:
  void write_index();

  std::filesystem::path folder_;
  Options options_;
  std::unique_ptr<ShardedWriter> shards_;
  bool committed_ = false;
};

// What the text of model.safetensors.index.json says: tensor name -> file name. Error(data) naming
// `file` for anything but names of safetensors files in the same folder.
std::map<std::string, std::string> parse_weight_map(std::string_view text,
                                                    const std::filesystem::path& file);

// Stands in a folder from ModelWriter's first byte to its last: ModelFiles does not open it, and
// ModelWriter may overwrite it.
inline constexpr const char* kUnfinishedModelMark = ".unfinished";

}  // namespace ingot
