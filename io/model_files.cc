#include "io/model_files.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/base/read_text.h"
#include "io/file_name.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kLargestConfig = 16 << 20;
constexpr std::uint64_t kLargestIndex = 64 << 20;  // DeepSeek V3's 92,000 tensors take 10 MB
constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";
constexpr const char* kIndexFile = "model.safetensors.index.json";
// Behind a weight's name; "inverse" says from where one looks: both are multiplied with.
constexpr std::string_view kBlockScaleSuffix = "_scale_inv", kScaleSuffix = "_scale";

Json parse_config(const std::string& config_text, const std::filesystem::path& path) {
  Json config = parse_json(config_text, path.string(), ErrorCode::data, {.python_numbers = true});
  if (!config.is_object()) {
    throw Error(ErrorCode::data, "is not a JSON object", path.string(), "use a model's config");
  }
  return config;
}

// quantization_config.weight_block_size, {128, 128} when absent.
std::pair<std::int64_t, std::int64_t> block_size_of(const Json& config,
                                                    const std::filesystem::path& path) {
  const Json quantization = config.value("quantization_config", Json());
  Json block = quantization.is_object() ? quantization.value("weight_block_size", Json()) : Json();
  if (quantization.is_object() && quantization.contains("config_groups")) {  // compressed-tensors
    for (const Json& group : quantization["config_groups"]) {
      const Json weights = group.is_object() ? group.value("weights", Json()) : Json();
      if (weights.is_object() && block.is_null()) block = weights.value("block_structure", Json());
    }
  }
  if (block.is_null()) return {128, 128};
  const auto is_size = [](const Json& size) {
    return size.is_number_unsigned() && size.get<std::uint64_t>() > 0 &&
           size.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max();
  };
  if (!block.is_array() || block.size() != 2 || !is_size(block[0]) || !is_size(block[1])) {
    throw Error(ErrorCode::data, "quantization_config.weight_block_size is not two sizes",
                path.string(), "DeepSeek's is [128, 128]");
  }
  return {block[0].get<std::int64_t>(), block[1].get<std::int64_t>()};
}

void check_has_weights(const std::filesystem::path& folder) {
  const auto has = [&](const char* name) {
    std::error_code ignored;
    return std::filesystem::exists(folder / name, ignored);
  };
  if (has(kSingleFile) || has(kIndexFile)) return;
  const bool has_torch_file = has("pytorch_model.bin") || has("pytorch_model.bin.index.json");
  throw Error(ErrorCode::data, std::string("has neither ") + kSingleFile + " nor " + kIndexFile,
              folder.string(),
              has_torch_file ? "pytorch_model.bin is not supported: convert it to safetensors"
                             : "name a Hugging Face model folder");
}

}  // namespace

std::map<std::string, std::string> parse_weight_map(std::string_view text,
                                                    const std::filesystem::path& path) {
  const Json index = parse_json(text, path.string(), ErrorCode::data);
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::data, what, path.string(), "the index is damaged: fetch it again");
  };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    refuse("has no weight_map");
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [name, file] : index["weight_map"].items()) {
    if (!file.is_string()) refuse("weight_map of " + quoted_name(name) + " is not a file name");
    const auto& file_name = file.get_ref<const std::string&>();
    if (!is_plain_file_name(file_name) || !file_name.ends_with(".safetensors")) {
      refuse("weight_map of " + quoted_name(name) + " is " + quoted_name(file_name) +
             ", which is not a safetensors file of this folder");
    }
    shard_of.emplace(name, file_name);
  }
  return shard_of;
}

ModelFiles ModelFiles::open(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    throw Error(ErrorCode::data, "is not a folder", folder.string(),
                "name a Hugging Face model folder");
  }
  if (std::filesystem::exists(folder / kUnfinishedModelMark, ignored)) {
    throw Error(ErrorCode::data, "writing this model was interrupted", folder.string(),
                "export or import it again");
  }
  check_has_weights(folder);
  ModelFiles model;
  model.folder_ = folder;
  model.config_text_ = read_text(folder / "config.json", ErrorCode::data, kLargestConfig);
  std::map<std::string, std::string> shard_of;
  if (std::filesystem::exists(folder / kSingleFile, ignored)) {
    const auto& file =
        model.shards_.emplace(kSingleFile, SafetensorsFile(folder / kSingleFile)).first->second;
    for (const auto& entry : file.entries()) shard_of.emplace(entry.name, kSingleFile);
  } else {
    shard_of = parse_weight_map(read_text(folder / kIndexFile, ErrorCode::data, kLargestIndex),
                                folder / kIndexFile);
  }
  model.open_shards(shard_of);
  const Json config = parse_config(model.config_text_, folder / "config.json");
  model.resolve_names(config.value("tie_word_embeddings", Json()) == true);
  const auto [block_rows, block_columns] = block_size_of(config, folder / "config.json");
  model.attach_scales(block_rows, block_columns);
  return model;
}

void ModelFiles::open_shards(const std::map<std::string, std::string>& shard_of) {
  for (const auto& [name, file] : shard_of) {
    if (shards_.contains(file)) continue;
    std::error_code ignored;
    if (!std::filesystem::exists(folder_ / file, ignored)) {
      throw Error(ErrorCode::data, "the shard " + file + " is missing", folder_.string(),
                  "the index names it: fetch it");
    }
    shards_.emplace(file, SafetensorsFile(folder_ / file));
  }
  std::map<std::string_view, std::string_view> seen;
  for (const auto& [file, shard] : shards_) {
    for (const SafetensorsEntry& entry : shard.entries()) {
      const auto [other, is_new] = seen.emplace(entry.name, file);
      if (!is_new) {
        throw Error(
            ErrorCode::data,
            quoted_name(entry.name) + " is in " + std::string(other->second) + " and in " + file,
            folder_.string(), "the shards are not of one model: fetch them again");
      }
      const auto indexed = shard_of.find(entry.name);
      if (indexed == shard_of.end()) {
        unreferenced_.push_back(entry.name);
      } else if (indexed->second == file) {
        tensors_.emplace(entry.name, StoredTensor{&entry});
      }
    }
  }
  for (const auto& [name, file] : shard_of) {
    if (tensors_.contains(name)) continue;
    throw Error(ErrorCode::data, quoted_name(name) + " is not in its shard " + file,
                folder_.string(), "index and shards do not belong together: fetch them again");
  }
}

void ModelFiles::resolve_names(bool tied) {
  // safetensors.torch.save_model() writes one of the tensors that share their memory, and which
  // others there were.
  for (const auto& [file, shard] : shards_) {
    for (const auto& [name, stored_as] : shard.metadata()) {
      const auto stored = tensors_.find(stored_as);
      if (stored != tensors_.end()) tensors_.try_emplace(name, stored->second);
    }
  }
  if (!tensors_.contains(kEmbedding) && tensors_.contains("embed_tokens.weight")) {
    std::map<std::string, StoredTensor, std::less<>> named;
    for (auto& [name, tensor] : tensors_) {
      named.emplace(name.starts_with("lm_head.") ? name : "model." + name, tensor);
    }
    tensors_ = std::move(named);
  }
  if (tied && !tensors_.contains(kEmbedding) && tensors_.contains(kHead)) {
    auto head = tensors_.extract(kHead);
    head.key() = kEmbedding;
    tensors_.insert(std::move(head));
  }
}

namespace {

bool is_fp8(StoredType type) { return type == StoredType::f8_e4m3 || type == StoredType::f8_e5m2; }

// Of "weight_scale": one for all, one a row, or one a block.
void set_blocks_by_shape(StoredTensor& tensor, std::int64_t block_rows,
                         std::int64_t block_columns) {
  const auto& shape = tensor.values->shape;
  if (shape.size() != 2) return;  // check_scales says so
  const auto count = checked_product(tensor.scales->shape);
  tensor.block_rows = block_rows;
  tensor.block_columns = block_columns;
  const auto& scales = tensor.scales->shape;
  const bool a_column = scales.size() < 2 || scales[1] == 1;
  if (count == 1) {
    tensor.block_rows = std::max<std::int64_t>(shape[0], 1);
    tensor.block_columns = std::max<std::int64_t>(shape[1], 1);
  } else if (count == shape[0] && a_column) {
    tensor.block_rows = 1;
    tensor.block_columns = std::max<std::int64_t>(shape[1], 1);
  }
}

}  // namespace

void ModelFiles::attach_scales(std::int64_t block_rows, std::int64_t block_columns) {
  std::vector<std::string> attached;
  for (auto& [name, tensor] : tensors_) {
    const auto in_blocks = tensors_.find(name + std::string(kBlockScaleSuffix));
    const auto plain = is_fp8(tensor.values->type) ? tensors_.find(name + std::string(kScaleSuffix))
                                                   : tensors_.end();
    if (in_blocks == tensors_.end() && plain == tensors_.end()) continue;
    if (in_blocks != tensors_.end() && plain != tensors_.end()) {
      throw Error(ErrorCode::data,
                  quoted_name(name) + " has scales of two kinds, " + quoted_name(plain->first) +
                      " and " + quoted_name(in_blocks->first),
                  folder_.string(), "remove those that are not meant");
    }
    const auto& scales = in_blocks != tensors_.end() ? in_blocks : plain;
    tensor.scales = scales->second.values;
    tensor.block_rows = block_rows;
    tensor.block_columns = block_columns;
    if (scales == plain) set_blocks_by_shape(tensor, block_rows, block_columns);
    check_scales(tensor);
    attached.push_back(scales->first);
  }
  for (const std::string& name : attached) tensors_.erase(name);
}

const StoredTensor* ModelFiles::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return nullptr;
  const StoredTensor& tensor = found->second;
  if (is_fp8(tensor.values->type) && !tensor.scales) {
    throw Error(ErrorCode::data,
                quoted_name(name) + " is " + std::string(name_of(tensor.values->type)) +
                    " and has no scale: neither " +
                    quoted_name(std::string(name) + std::string(kScaleSuffix)) + " nor " +
                    quoted_name(std::string(name) + std::string(kBlockScaleSuffix)),
                folder_.string(), "fetch the model with its scales, or convert it to BF16");
  }
  return &tensor;
}

const StoredTensor& ModelFiles::at(std::string_view name) const {
  if (const StoredTensor* tensor = find(name)) return *tensor;
  throw Error(ErrorCode::data, "has no tensor " + quoted_name(name), folder_.string(),
              "the weights do not fit config.json, or are incomplete");
}

void ModelFiles::release(const StoredTensor& tensor) const {
  for (const auto& [name, shard] : shards_) shard.release(*tensor.values);
}

}  // namespace ingot
