#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::size_t kGatherBytes = std::size_t{1} << 18;
constexpr int kMostLinks = 40;
constexpr std::size_t kLargestWrite = std::size_t{1} << 30;  // Linux writes at most 2 GiB a call

std::string advice_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space or choose another folder";
    case EFBIG:
      return "the limit on file size is reached: raise it (ulimit -f) or use smaller shards";
    case EROFS:
    case EACCES:
    case EPERM:
      return "choose a folder that may be written to";
    case ENOENT:
      return "create the folder first";
    case ENOTDIR:
      return "a part of the path is a file: choose another folder";
    case EISDIR:
    case ENOTEMPTY:
    case EEXIST:
      return "a folder of this name is in the way: remove it or choose another name";
    default:
      return "check the disk";
  }
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// The file that a link names, whether it is there or not: a rename would replace the link.
std::filesystem::path followed(std::filesystem::path path) {
  std::error_code error;
  for (int links = 0; std::filesystem::is_symlink(path, error); ++links) {
    if (links == kMostLinks) throw_disk_error("cannot write", ELOOP, path);
    const std::filesystem::path next = std::filesystem::read_symlink(path, error);
    if (error) throw_disk_error("cannot write", error.value(), path);
    path = next.is_absolute() ? next : folder_of(path) / next;
  }
  return path;
}

}  // namespace

void throw_disk_error(std::string_view action, int error, const std::filesystem::path& path) {
  throw Error(ErrorCode::device, std::string(action) + ": " + describe_errno(error), path.string(),
              advice_for(error));
}

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  std::error_code ignored;
  const std::filesystem::file_status there = std::filesystem::status(target_, ignored);
  if (std::filesystem::is_directory(there)) throw_disk_error("cannot write", EISDIR, target_);
  // A rename would put a file in the place of /dev/null.
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there)) {
    throw Error(ErrorCode::device, "cannot write: a device or pipe, not a file", target_.string(),
                "choose another name");
  }
  target_ = followed(std::move(target_));
  // The number keeps apart the files of one process, and of two that had the same process id (in
  // containers that is always 1): a partial file that a killed run left behind is not reused.
  static std::atomic<unsigned> counter = 0;
  do {
    partial_ = target_;
    partial_ += "." + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".partial";
    file_ = FileDescriptor(::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  } while (!file_.is_open() && errno == EEXIST);
  if (!file_.is_open()) throw_disk_error("cannot write", errno, target_);
}

AtomicFile::~AtomicFile() {
  if (file_.is_open()) ::unlink(partial_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  if (gathered_.size() + bytes.size() > kGatherBytes) flush();
  if (bytes.size() >= kGatherBytes) return write_through(bytes);
  gathered_.reserve(kGatherBytes);
  gathered_.insert(gathered_.end(), bytes.begin(), bytes.end());
}

void AtomicFile::flush() {
  write_through(gathered_);
  gathered_.clear();
}

void AtomicFile::write_through(std::span<const std::byte> bytes) {
  hash_.update(bytes);
  while (!bytes.empty()) {
    const ssize_t count =
        ::write(file_.number(), bytes.data(), std::min(bytes.size(), kLargestWrite));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw_disk_error("cannot write", count < 0 ? errno : EIO, target_);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void AtomicFile::overwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (offset > size_ || bytes.size() > size_ - offset) {
    throw std::logic_error("overwrite beyond the end of a file");
  }
  flush();
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file_.number(), bytes.data(),
                                   std::min(bytes.size(), kLargestWrite), off_t(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw_disk_error("cannot write", count < 0 ? errno : EIO, target_);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void AtomicFile::commit() {
  flush();
  if (::fsync(file_.number()) != 0) throw_disk_error("cannot write", errno, target_);
  if (::rename(partial_.c_str(), target_.c_str()) != 0) {
    throw_disk_error("cannot rename to its final name", errno, target_);
  }
  if (const int error = file_.close()) throw_disk_error("cannot write", error, target_);
  sync_directory(folder_of(target_));
}

void write_text_file(const std::filesystem::path& target, std::string_view text) {
  AtomicFile file(target);
  file.write(text);
  file.commit();
}

void create_folder(const std::filesystem::path& folder) {
  // The first that is there already; those below it are new, and so are their names in it.
  std::filesystem::path existing = folder;
  std::vector<std::filesystem::path> changed;
  std::error_code error;
  while (!existing.empty() && !std::filesystem::exists(existing, error) &&
         existing != folder_of(existing)) {
    existing = folder_of(existing);
    changed.push_back(existing);
  }
  std::filesystem::create_directories(folder, error);
  if (error) throw_disk_error("cannot create the folder", error.value(), folder);
  for (const std::filesystem::path& each : changed) sync_directory(each);
}

void sync_directory(const std::filesystem::path& directory) {
  const FileDescriptor folder(
      ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) throw_disk_error("cannot open the folder", errno, directory);
  if (::fsync(folder.number()) == 0) return;
  // This file system does not sync folders, and offers nothing else.
  const bool is_unknown_here = errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS;
  if (!is_unknown_here) throw_disk_error("cannot sync the folder", errno, directory);
}

std::uint64_t available_bytes(const std::filesystem::path& path) {
  std::filesystem::path existing = path.empty() ? "." : path;
  struct statvfs status;
  while (::statvfs(existing.c_str(), &status) != 0) {
    if (errno != ENOENT || existing == folder_of(existing)) {
      throw_disk_error("cannot find its free space", errno, path);
    }
    existing = folder_of(existing);
  }
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace ingot
