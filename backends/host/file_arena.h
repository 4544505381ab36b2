// Memory that lies in a file: where offloaded tensors live on the CPU (spec/memory.md E2). The file
// has no name, so it is gone with the process, however that ends, and all its blocks are reserved
// at the start, so that a disk cannot become full under it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "io/file_descriptor.h"

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
  FileDescriptor file_;
};

// Bytes at an address of a live file arena, by the file and not by the address: pages of a mapping
// that are touched stay resident, and with them what the kernel maps around them (64 KiB, or a
// whole large folio), so that a run would take more than was planned. From any thread. Of other
// memory: plain copies. Throw Error(device) when the disk fails.
void read_offloaded(const std::byte* from, std::span<std::byte> to);
void write_offloaded(std::byte* to, std::span<const std::byte> from);
// Has them read while other work goes on.
void read_ahead(std::span<const std::byte> bytes);

}  // namespace ingot
