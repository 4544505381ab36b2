// A file as read-only memory: pages come in when touched, and the kernel may drop them again.
// The file must not be truncated while it is mapped (a touched missing page is SIGBUS): ingot's own
// writers never truncate, they replace (io/atomic_file.h).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace ingot {

class MappedFile {
 public:
  // Error(data) when missing, unreadable, a folder or not a regular file. An empty file is fine.
  explicit MappedFile(std::filesystem::path path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::filesystem::path& path() const { return path_; }
  std::size_t size() const { return bytes_.size(); }
  // Valid as long as this object, wherever it is moved.
  std::span<const std::byte> bytes() const { return bytes_; }

  // Drops the pages that lie wholly inside `part` (a part of bytes()) from this process, so that
  // reading a large model once does not count as its resident memory. They stay readable.
  void release(std::span<const std::byte> part) const;

  // Hints. `part` is needed soon: the kernel starts to read it and does not wait.
  void prefetch(std::span<const std::byte> part) const;
  // No read-ahead around what is touched.
  void expect_random_access() const;

 private:
  void unmap();

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace ingot
