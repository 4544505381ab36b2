// safetensors files: named tensors in one file, memory-mapped to read, streamed to write.
//
// Layout: 8 bytes little-endian header length N, N bytes of JSON, the tensors' bytes without gaps.
// Nothing in a file is believed: names, types, sizes and offsets are all checked when it is opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "io/stored_type.h"

namespace ingot {

struct SafetensorsEntry : TensorDeclaration {
  // Checked to be the product of the shape times the element size. No alignment is promised.
  std::span<const std::byte> bytes;
};

// What a file's bytes say they hold, fully checked. Points into those bytes.
class SafetensorsIndex {
 public:
  SafetensorsIndex() = default;
  // Error(data) naming `file` and, where there is one, the tensor.
  SafetensorsIndex(std::span<const std::byte> bytes, const std::filesystem::path& file);

  // In the order of their bytes.
  std::span<const SafetensorsEntry> entries() const { return entries_; }
  // nullptr when there is none.
  const SafetensorsEntry* find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::vector<SafetensorsEntry> entries_;
  std::vector<std::uint32_t> by_name_;
  std::map<std::string, std::string> metadata_;
};

// An open file. Entries stay valid as long as it lives, wherever it is moved.
class SafetensorsFile {
 public:
  // Error(data) when the file is missing or anything about it is not as it should be.
  explicit SafetensorsFile(std::filesystem::path path);

  std::span<const SafetensorsEntry> entries() const { return index_.entries(); }
  const SafetensorsEntry* find(std::string_view name) const { return index_.find(name); }
  // Error(data) naming the tensor and the file when it is not there.
  const SafetensorsEntry& at(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return index_.metadata(); }
  const MappedFile& file() const { return file_; }

  // Drops the tensor's pages from this process' memory; its values stay readable. Does nothing for
  // a tensor of another file.
  void release(const SafetensorsEntry& tensor) const;

 private:
  MappedFile file_;
  SafetensorsIndex index_;
};

// Writes a file tensor by tensor, in pieces, so that a save needs no copy of the model. What is
// not committed leaves no trace.
//
//   SafetensorsWriter writer(path, declarations, {{"format", "pt"}});
//   for (const TensorDeclaration& tensor : writer.order()) writer.append(tensor.name, bytes...);
//   writer.commit();
class SafetensorsWriter {
 public:
  // Error(usage) when the declarations contradict themselves, Error(device) when the disk refuses.
  SafetensorsWriter(std::filesystem::path path, std::vector<TensorDeclaration> tensors,
                    const std::map<std::string, std::string>& metadata = {});

  // The order in which bytes must come: wide types first, then by name, so that every tensor is
  // aligned to its element.
  std::span<const TensorDeclaration> order() const { return tensors_; }

  // The next bytes of the tensor `name`, any number of pieces. Error(usage) out of order.
  void append(std::string_view name, std::span<const std::byte> bytes);

  // Whether every tensor has all its bytes.
  bool is_complete() const { return current_ == tensors_.size(); }

  // Error(usage) when a tensor is not complete.
  void commit();

  std::uint64_t size() const { return file_.size(); }
  // xxh3-64 of the file, after commit().
  std::uint64_t hash() const { return file_.hash(); }

 private:
  void skip_complete();

  std::vector<TensorDeclaration> tensors_;
  AtomicFile file_;
  std::size_t current_ = 0;
  std::uint64_t missing_ = 0;  // bytes that tensors_[current_] still lacks
};

// Sorted as in SafetensorsWriter::order().
std::vector<TensorDeclaration> in_file_order(std::vector<TensorDeclaration> tensors);

// Bytes of a declared tensor. Error(usage) when its shape is impossible.
std::uint64_t bytes_of(const TensorDeclaration& tensor);

}  // namespace ingot
