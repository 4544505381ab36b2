#include "io/sharded_writer.h"

#include <algorithm>
#include <set>
#include <utility>

#include "engine/base/error.h"

namespace ingot {

std::vector<std::vector<TensorDeclaration>> deal_to_shards(std::vector<TensorDeclaration> tensors,
                                                           std::uint64_t shard_limit) {
  std::set<std::string> names;
  std::vector<std::vector<TensorDeclaration>> shards(1);
  std::uint64_t filled = 0;
  for (TensorDeclaration& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      throw Error(ErrorCode::usage, "a tensor to be saved has the name of another", tensor.name);
    }
    const std::uint64_t bytes = bytes_of(tensor);
    if (!shards.back().empty() && (bytes > shard_limit || filled > shard_limit - bytes)) {
      shards.emplace_back();
      filled = 0;
    }
    filled += bytes;
    shards.back().push_back(std::move(tensor));
  }
  for (std::vector<TensorDeclaration>& shard : shards) shard = in_file_order(std::move(shard));
  return shards;
}

ShardedWriter::ShardedWriter(std::filesystem::path folder, std::vector<TensorDeclaration> tensors,
                             std::uint64_t shard_limit, const ShardName& name_of,
                             std::map<std::string, std::string> metadata)
    : folder_(std::move(folder)), metadata_(std::move(metadata)) {
  std::vector<std::vector<TensorDeclaration>> shards =
      deal_to_shards(std::move(tensors), shard_limit);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    files_.push_back({.name = name_of(i, shards.size())});
    shard_begin_.push_back(order_.size());
    for (TensorDeclaration& tensor : shards[i]) {
      tensor_bytes_ += bytes_of(tensor);
      order_.push_back(std::move(tensor));
      shard_of_.push_back(i);
    }
  }
  shard_begin_.push_back(order_.size());
  open_shard();
}

void ShardedWriter::open_shard() {
  const auto begin = order_.begin();
  writer_ = std::make_unique<SafetensorsWriter>(
      folder_ / files_[closed_].name,
      std::vector(begin + static_cast<std::ptrdiff_t>(shard_begin_[closed_]),
                  begin + static_cast<std::ptrdiff_t>(shard_begin_[closed_ + 1])),
      metadata_);
}

void ShardedWriter::close_shard() {
  writer_->commit();
  files_[closed_].bytes = writer_->size();
  files_[closed_].xxh3 = writer_->hash();
  ++closed_;
  writer_.reset();
}

void ShardedWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  while (writer_ && writer_->is_complete() && closed_ + 1 < files_.size()) {
    close_shard();
    open_shard();
  }
  writer_->append(name, bytes);
}

void ShardedWriter::commit() {
  close_shard();
  while (closed_ < files_.size()) {  // shards of empty tensors only
    open_shard();
    close_shard();
  }
}

}  // namespace ingot
