// An open file that closes itself, and the few system calls io/ reads with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace ingot {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  // Closes now; 0, or the errno of a delayed write error.
  int close();

 private:
  int number_ = -1;
};

// Error(data) naming the path when it is missing, unreadable, or not a regular file.
FileDescriptor open_for_reading(const std::filesystem::path& path);
// Error(data) when the size cannot be found.
std::uint64_t size_of_file(const FileDescriptor& file, const std::filesystem::path& path);
// As many bytes as fit, 0 at the end of the file. Error(data) on a read error.
std::size_t read_some(const FileDescriptor& file, std::span<std::byte> buffer,
                      const std::filesystem::path& path);
// The next reads come from the device. A hint: not every file system obeys.
void forget_cached_pages(const FileDescriptor& file);

// "No space left on device", without the thread-unsafe strerror.
std::string describe_errno(int error);

}  // namespace ingot
