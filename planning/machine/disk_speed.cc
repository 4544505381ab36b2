#include "planning/machine/disk_speed.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "io/file_descriptor.h"
#include "planning/machine/calibration_file.h"

namespace ingot {
namespace {

constexpr std::size_t kPiece = 4 << 20;
constexpr int kPieces = 16;

// Seconds since `start`.
double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The disk as the system numbers it: "" where there is none to measure.
std::string disk_of(const std::filesystem::path& folder) {
  struct stat status;
  struct statfs system;
  if (stat(folder.c_str(), &status) != 0 || statfs(folder.c_str(), &system) != 0 ||
      system.f_type == TMPFS_MAGIC) {
    return "";
  }
  return std::to_string(status.st_dev) + " " + std::to_string(system.f_type) + " " +
         std::to_string(system.f_fsid.__val[0]) + " " + std::to_string(system.f_fsid.__val[1]) +
         " " + std::to_string(system.f_blocks);
}

bool plausible(double seconds_per_byte) {
  return std::isfinite(seconds_per_byte) && seconds_per_byte > 0 && seconds_per_byte < 1e-3;
}
bool plausible(const DiskSpeed& speed) {
  return plausible(speed.read_seconds_per_byte) && plausible(speed.write_seconds_per_byte);
}

// None where the file is missing or damaged.
std::optional<DiskSpeed> speed_of(const nlohmann::json& kept) {
  if (!kept.is_array() || kept.size() != 2 || !kept[0].is_number() || !kept[1].is_number()) {
    return std::nullopt;
  }
  const DiskSpeed speed{kept[0], kept[1]};
  return plausible(speed) ? std::optional(speed) : std::nullopt;
}

}  // namespace

std::filesystem::path offload_folder(const RunConfig& config) {
  return config.memory.offload_directory.empty() ? config.checkpoint.directory
                                                 : config.memory.offload_directory;
}

std::filesystem::path existing_part(std::filesystem::path folder) {
  std::error_code error;
  folder = std::filesystem::absolute(folder, error);
  while (!std::filesystem::is_directory(folder, error) && folder.has_relative_path()) {
    folder = folder.parent_path();
  }
  return folder;
}

DiskSpeed measure_disk(const std::filesystem::path& folder) {
  const DiskSpeed common;
  const FileDescriptor file(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.is_open()) return common;
  const auto bytes = static_cast<double>(kPiece) * kPieces;
  // Not zeros: some disks do not store those.
  std::vector<unsigned> words(kPiece / sizeof(unsigned));
  unsigned word = 1;
  for (unsigned& w : words) w = word = word * 1664525u + 1013904223u;
  auto start = std::chrono::steady_clock::now();
  for (int piece = 0; piece < kPieces; ++piece) {
    if (write(file.number(), words.data(), kPiece) != static_cast<ssize_t>(kPiece)) return common;
  }
  if (fdatasync(file.number()) != 0) return common;
  const double write_seconds = since(start);
  forget_cached_pages(file);
  start = std::chrono::steady_clock::now();
  for (int piece = 0; piece < kPieces; ++piece) {
    const auto place = static_cast<off_t>(kPiece) * piece;
    if (pread(file.number(), words.data(), kPiece, place) != static_cast<ssize_t>(kPiece)) {
      return common;
    }
  }
  const DiskSpeed speed{since(start) / bytes, write_seconds / bytes};
  return plausible(speed) ? speed : common;
}

DiskSpeed machine_disk(const std::filesystem::path& folder) {
  const std::filesystem::path existing = existing_part(folder);
  const std::string disk = disk_of(existing);
  if (disk.empty()) return {};
  const CalibrationFile file("disk", disk);
  const std::optional<DiskSpeed> kept = speed_of(file.read());
  if (kept && !file.wants_another()) return *kept;
  DiskSpeed speed = measure_disk(existing);
  if (speed == DiskSpeed()) return kept.value_or(speed);
  if (kept) {
    speed.read_seconds_per_byte =
        std::min(speed.read_seconds_per_byte, kept->read_seconds_per_byte);
    speed.write_seconds_per_byte =
        std::min(speed.write_seconds_per_byte, kept->write_seconds_per_byte);
  }
  file.write({speed.read_seconds_per_byte, speed.write_seconds_per_byte});
  return speed;
}

bool doubt_disk(const std::filesystem::path& folder) {
  const std::string disk = disk_of(existing_part(folder));
  return !disk.empty() && CalibrationFile("disk", disk).doubt();
}

}  // namespace ingot
