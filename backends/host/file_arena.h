// Memory that lies in a file: where offloaded tensors live on the CPU (spec/memory.md E2). The file
// has no name, so it is gone with the process, however that ends, and all its blocks are reserved
// at the start, so that a disk cannot become full under it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace ingot {

class FileArena {
 public:
  FileArena() = default;  // empty
  // Zero-filled, in a file on the disk that holds `folder`. Errors: device if the folder is
  // missing, read-only, in memory (tmpfs), or the disk has no room.
  FileArena(std::int64_t bytes, const std::filesystem::path& folder);
  FileArena(FileArena&& other) noexcept;
  FileArena& operator=(FileArena&& other) noexcept;
  ~FileArena();

  std::byte* data() const { return data_; }
  std::int64_t size() const { return size_; }
  bool contains(const std::byte* address) const {
    return address >= data_ && address < data_ + size_;
  }

 private:
  std::byte* data_ = nullptr;
  std::int64_t size_ = 0;
};

// Lets go of the pages of a file arena that these bytes touch: their contents stay in the file.
void release_pages(std::span<const std::byte> bytes);
// Has them read while other work goes on.
void read_ahead(std::span<const std::byte> bytes);

}  // namespace ingot
