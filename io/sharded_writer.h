// Tensors streamed into as many safetensors files as a limit on their size asks for.
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

#include "io/safetensors.h"

namespace ingot {

struct WrittenFile {
  std::string name;  // in its folder
  std::uint64_t bytes = 0;
  std::uint64_t xxh3 = 0;
};

// Tensors dealt to files in the order given, those of each file in the order of their bytes. A file
// is closed before it would exceed `shard_limit` bytes of values, but has one tensor at least.
// Error(usage) when two have one name, or a shape is impossible.
std::vector<std::vector<TensorDeclaration>> deal_to_shards(std::vector<TensorDeclaration> tensors,
                                                           std::uint64_t shard_limit);

class ShardedWriter {
 public:
  // The file name of shard `index` (from 0) of `count`.
  using ShardName = std::function<std::string(std::size_t index, std::size_t count)>;

  // Tensors go where deal_to_shards() says. The folder must exist.
  ShardedWriter(std::filesystem::path folder, std::vector<TensorDeclaration> tensors,
                std::uint64_t shard_limit, const ShardName& name_of,
                std::map<std::string, std::string> metadata = {});

  // The order in which bytes must come, over all shards.
  std::span<const TensorDeclaration> order() const { return order_; }
  // As SafetensorsWriter::append. Each shard gets its final name as soon as it is complete.
  void append(std::string_view name, std::span<const std::byte> bytes);
  // Completes the last shard. Error(usage) when tensors are missing.
  void commit();

  // One for each shard, complete after commit().
  std::span<const WrittenFile> files() const { return files_; }
  // The shard that holds order()[i].
  const std::string& file_of(std::size_t i) const { return files_[shard_of_[i]].name; }
  // The sum of all tensors' bytes.
  std::uint64_t tensor_bytes() const { return tensor_bytes_; }

 private:
  void open_shard();
  void close_shard();

  std::filesystem::path folder_;
  std::map<std::string, std::string> metadata_;
  std::vector<TensorDeclaration> order_;
  std::vector<std::size_t> shard_of_;     // of each tensor in order_
  std::vector<std::size_t> shard_begin_;  // first tensor of each shard, and the end
  std::vector<WrittenFile> files_;
  std::uint64_t tensor_bytes_ = 0;
  std::size_t closed_ = 0;  // shards with their final name
  std::unique_ptr<SafetensorsWriter> writer_;
};

}  // namespace ingot
