// Files that are there whole or not at all. Bytes go to a partial file beside the target; commit()
// syncs it, renames it over the target and syncs the folder. Killed at any moment, the target is
// the old file or the new one, never a mixture.
//
//   AtomicFile file("model/config.json");
//   file.write(text);
//   file.commit();
//
// Errors of the disk (full, read-only, folder missing) are Error(device) and name the target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "io/file_descriptor.h"
#include "io/hash.h"

namespace ingot {

class AtomicFile {
 public:
  // Creates NAME.PROCESS-NUMBER.partial in the target's folder, which must exist. A link is
  // followed; what is there and no file (a folder, a device, a pipe) is refused.
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(AtomicFile&&) noexcept = default;
  AtomicFile& operator=(AtomicFile&&) = delete;
  // Removes the partial file unless committed: the target stays as it was.
  ~AtomicFile();

  // Appends. Small pieces are gathered, so a disk that is full may show at a later call only;
  // commit() misses nothing.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  // Puts bytes over ones already written (a header whose counts are known only at the end).
  // hash() stays that of the bytes as first written.
  void overwrite(std::uint64_t offset, std::span<const std::byte> bytes);

  // Once, at the end. When it throws, the partial file is removed with this object.
  void commit();

  // Bytes written so far.
  std::uint64_t size() const { return size_; }
  // xxh3-64 of what was written; complete after commit().
  std::uint64_t hash() const { return hash_.value(); }
  const std::filesystem::path& target() const { return target_; }

 private:
  void flush();
  void write_through(std::span<const std::byte> bytes);

  std::filesystem::path target_, partial_;
  FileDescriptor file_;
  std::vector<std::byte> gathered_;
  std::uint64_t size_ = 0;
  Hash hash_;
};

// A small text file, whole and at once.
void write_text_file(const std::filesystem::path& target, std::string_view text);

// With its parents, where it is not there yet. Throws Error(device).
void create_folder(const std::filesystem::path& folder);

// Makes renames and new names in a folder survive a power failure.
void sync_directory(const std::filesystem::path& directory);

// Free bytes for this user on the disk that holds `path`, or would hold it: missing trailing
// folders are ignored. Error(device) when that cannot be found.
std::uint64_t available_bytes(const std::filesystem::path& path);

// The Error(device) for a failed system call on `path`, with advice that fits `error` (an errno).
[[noreturn]] void throw_disk_error(std::string_view action, int error,
                                   const std::filesystem::path& path);

}  // namespace ingot
