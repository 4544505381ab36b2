#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/base/error.h"
#include "io/atomic_file.h"
#include "io/model_files.h"

namespace ingot {
namespace {

std::string shard_name(std::size_t index, std::size_t count) {
  if (count == 1) return "model.safetensors";
  return fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

// What a ModelWriter may have put into a folder that was empty.
bool is_ours(const std::string& name) {
  return companion_of(name) != Companion::none || is_companion_folder(name) ||
         name == kUnfinishedModelMark || name.ends_with(".partial") ||
         (name.starts_with("model") &&
          (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")));
}

// All of it, or all but the mark: it must outlive the rest, for a kill in between.
void remove_our_files(const std::filesystem::path& folder, bool keep_mark) {
  std::error_code error;
  std::vector<std::filesystem::path> ours;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name != kUnfinishedModelMark && is_ours(name)) ours.push_back(entry.path());
  }
  if (!keep_mark) ours.push_back(folder / kUnfinishedModelMark);
  for (const auto& path : ours) std::filesystem::remove_all(path, error);
}

// An empty folder with the mark in it, or an error.
void claim_folder(const std::filesystem::path& folder) {
  create_folder(folder);
  std::error_code error;
  const bool is_empty = std::filesystem::is_empty(folder, error);
  if (error) throw_disk_error("cannot read the folder", error.value(), folder);
  if (!is_empty && !std::filesystem::exists(folder / kUnfinishedModelMark, error)) {
    throw Error(ErrorCode::usage, "the output folder is not empty", folder.string(),
                "nothing is overwritten: name a new folder");
  }
  write_text_file(folder / kUnfinishedModelMark, "ingot is writing a model here.\n");
  remove_our_files(folder, true);
}

}  // namespace

ModelWriter::ModelWriter(std::filesystem::path folder, std::vector<TensorDeclaration> tensors,
                         const Options& options)
    : folder_(std::move(folder)), options_(options) {
  claim_folder(folder_);
  try {
    shards_ = std::make_unique<ShardedWriter>(
        folder_, std::move(tensors), options_.shard_limit, shard_name,
        std::map<std::string, std::string>{{"format", "pt"}});  // transformers asks for it
  } catch (...) {
    remove_our_files(folder_, false);
    throw;
  }
}

ModelWriter::~ModelWriter() {
  if (committed_) return;
  shards_.reset();
  remove_our_files(folder_, false);
}

void ModelWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  shards_->append(name, bytes);
}

void ModelWriter::write_index() {
  std::map<std::string, std::string> file_of;
  for (std::size_t i = 0; i < order().size(); ++i) file_of[order()[i].name] = shards_->file_of(i);
  nlohmann::ordered_json index;
  index["metadata"]["total_size"] = shards_->tensor_bytes();
  index["weight_map"] = file_of;
  write_text_file(folder_ / "model.safetensors.index.json", index.dump(2) + "\n");
}

void ModelWriter::commit(std::string_view config_json) {
  shards_->commit();
  write_text_file(folder_ / kConfigFile, config_json);
  for (const auto& [name, contents] : options_.companions) {
    if (name == kConfigFile) continue;
    create_folder((folder_ / name).parent_path());
    write_text_file(folder_ / name, contents);
  }
  if (shards_->files().size() > 1) write_index();
  std::error_code error;
  std::filesystem::remove(folder_ / kUnfinishedModelMark, error);
  if (error) throw_disk_error("cannot finish the folder", error.value(), folder_);
  committed_ = true;
  sync_directory(folder_);
}

}  // namespace ingot
