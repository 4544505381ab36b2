#include "backends/host/system_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <span>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "io/hash.h"

namespace ingot {
namespace {

// A line of /proc such as "VmRSS:	    1768 kB" for key "VmRSS:", in bytes.
std::optional<std::int64_t> kilobytes_of(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return std::nullopt;
  line.remove_prefix(key.size());
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  std::int64_t kilobytes = 0;
  const auto end = std::from_chars(line.data(), line.data() + line.size(), kilobytes);
  if (end.ec != std::errc() || kilobytes < 0 || kilobytes > (std::int64_t{1} << 50)) {
    return std::nullopt;
  }
  return kilobytes * 1024;
}

// The value of a key of /proc/self/status; 0 if there is none. Allocates nothing. Reads on through
// the file: the line of groups before the sizes has no bound.
std::int64_t status_bytes(std::string_view key) {
  const int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  std::array<char, 1024> buffer;
  std::size_t held = 0;
  bool cut = false;  // the line's head is lost, as it is longer than the buffer
  std::optional<std::int64_t> found;
  while (!found) {
    const ssize_t got = read(file, buffer.data() + held, buffer.size() - held);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    held += static_cast<std::size_t>(got);
    std::string_view rest(buffer.data(), held);
    for (auto end = rest.find('\n'); end != rest.npos && !found; end = rest.find('\n')) {
      if (!cut) found = kilobytes_of(rest.substr(0, end), key);
      cut = false;
      rest.remove_prefix(end + 1);
    }
    if (rest.size() == buffer.size()) {
      cut = true;
      rest = {};
    }
    std::memmove(buffer.data(), rest.data(), rest.size());
    held = rest.size();
  }
  close(file);
  return found.value_or(0);
}

// The number a control file starts with; nothing for "max", a missing or an unreadable file.
std::optional<std::int64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (!(file >> value) || value < 0) return std::nullopt;
  return value;
}

// The value of a line "KEY VALUE" of a control group's memory.stat; 0 if missing.
std::int64_t stat_value(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string name;
  for (std::int64_t value = 0; file >> name >> value;) {
    if (name == key) return std::max<std::int64_t>(value, 0);
  }
  return 0;
}

// The file names in which the two versions of control groups keep the same facts.
struct Dialect {
  const char *limit, *current, *file_cache;
};
constexpr Dialect kV1 = {"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file"};
constexpr Dialect kV2 = {"/memory.max", "/memory.current", "inactive_file"};

// A mounted hierarchy that may limit memory, and this process' place in it.
struct Hierarchy {
  Dialect dialect;
  std::string mount;  // its folder
  std::string group;  // this process' group below mount: "" or "/a/b"
};

bool has_word(const std::string& list, std::string_view word) {
  std::istringstream words(list);
  for (std::string one; std::getline(words, one, ',');) {
    if (one == word) return true;
  }
  return false;
}

// The path of this process' group in /proc/self/cgroup: lines "ID:CONTROLLERS:PATH", with no
// controllers for version 2.
std::string group_path(const std::string& root, bool version_2) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const auto controllers = line.substr(first + 1, second - first - 1);
    if (version_2 ? controllers.empty() : has_word(controllers, "memory")) {
      return line.substr(second + 1);
    }
  }
  return "/";
}

// A container may see only a part of the hierarchy (mounted from mount_root) while /proc names the
// whole path, or may be told a path from outside its view ("/.."): then only the mount is left.
std::string below(const std::string& mount_root, std::string group) {
  if (mount_root != "/" && (group + "/").starts_with(mount_root + "/")) {
    group.erase(0, mount_root.size());
  }
  if (group == "/" || group.starts_with("/..")) return "";
  return group;
}

// /proc/self/mountinfo: ID PARENT DEVICE ROOT MOUNT OPTIONS... - TYPE SOURCE SUPER_OPTIONS
std::vector<Hierarchy> memory_hierarchies(const std::string& root) {
  std::vector<Hierarchy> found;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const auto dash = line.find(" - ");
    if (dash == line.npos) continue;
    std::string skip, mount_root, mount, type, source, options;
    std::istringstream(line) >> skip >> skip >> skip >> mount_root >> mount;
    std::istringstream(line.substr(dash + 3)) >> type >> source >> options;
    const bool version_2 = type == "cgroup2";
    if (!version_2 && !(type == "cgroup" && has_word(options, "memory"))) continue;
    found.push_back(
        {version_2 ? kV2 : kV1, root + mount, below(mount_root, group_path(root, version_2))});
  }
  return found;
}

// The folders of this process' group and those above it: each may have the tightest limit.
std::vector<std::string> folders_of(const Hierarchy& hierarchy) {
  std::vector<std::string> folders;
  for (std::string group = hierarchy.group;; group.erase(group.rfind('/'))) {
    folders.push_back(hierarchy.mount + group);
    if (group.empty() || group.rfind('/') == group.npos) return folders;
  }
}

void apply_limits(const Hierarchy& hierarchy, SystemMemory& memory) {
  for (const std::string& folder : folders_of(hierarchy)) {
    const auto limit = number_in(folder + hierarchy.dialect.limit);
    // "No limit" in version 1 is a number near 2^63.
    if (limit && *limit < (std::int64_t{1} << 60)) {
      const std::int64_t used = number_in(folder + hierarchy.dialect.current).value_or(0);
      const std::int64_t cache = stat_value(folder + "/memory.stat", hierarchy.dialect.file_cache);
      const std::int64_t current = std::max<std::int64_t>(used - cache, 0);
      if (!memory.cgroup_limit || *limit - current < *memory.cgroup_limit - memory.cgroup_current) {
        memory.cgroup_limit = limit;
        memory.cgroup_current = current;
      }
    }
  }
}

// Of a file's contents, on from `hash`; allocates nothing, as it is asked between any two steps.
std::uint64_t hash_on(std::uint64_t hash, const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return hash;
  std::array<std::byte, 4096> block;  // the hash so far, then what was read
  const std::span read_to = std::span(block).subspan(sizeof hash);
  while (true) {
    const ssize_t got = read(file, read_to.data(), read_to.size());
    if (got < 0 && errno == EINTR) continue;
    std::memcpy(block.data(), &hash, sizeof hash);
    const auto bytes = static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    hash = hash_of(std::span(block).first(sizeof hash + bytes));
    if (got <= 0) break;
  }
  close(file);
  return hash;
}

std::uint64_t hash_of_files(const std::vector<std::string>& paths) {
  std::uint64_t hash = 0;
  for (const std::string& path : paths) hash = hash_on(hash, path);
  return hash;
}

}  // namespace

std::int64_t SystemMemory::room() const {
  const std::int64_t group = cgroup_limit ? *cgroup_limit - cgroup_current : available;
  return std::max<std::int64_t>(std::min(available, group), 0);
}

std::int64_t SystemMemory::limit() const { return std::min(total, cgroup_limit.value_or(total)); }

SystemMemory read_system_memory(const std::string& root) {
  SystemMemory memory;
  std::ifstream file(root + "/proc/meminfo");
  bool complete = false;
  for (std::string line; std::getline(file, line);) {
    if (const auto bytes = kilobytes_of(line, "MemTotal:")) memory.total = *bytes;
    if (const auto bytes = kilobytes_of(line, "MemAvailable:")) {
      memory.available = *bytes;
      complete = true;
    }
  }
  if (!complete || memory.total == 0) {
    throw Error(ErrorCode::device, "the system does not say how much memory it has",
                root + "/proc/meminfo", "mount /proc, or set memory.budget in bytes");
  }
  for (const Hierarchy& hierarchy : memory_hierarchies(root)) apply_limits(hierarchy, memory);
  return memory;
}

MemoryLimit::MemoryLimit(std::string root) : root_(std::move(root)) { look(); }

void MemoryLimit::look() {
  files_ = {root_ + "/proc/self/cgroup"};  // where this process may be moved
  for (const Hierarchy& hierarchy : memory_hierarchies(root_)) {
    for (const std::string& folder : folders_of(hierarchy)) {
      files_.push_back(folder + hierarchy.dialect.limit);
    }
  }
  fingerprint_ = hash_of_files(files_);
  bytes_ = read_system_memory(root_).limit();
}

std::int64_t MemoryLimit::bytes() {
  if (hash_of_files(files_) != fingerprint_) look();
  return bytes_;
}

std::int64_t resident_bytes() { return status_bytes("VmRSS:"); }
std::int64_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

}  // namespace ingot
