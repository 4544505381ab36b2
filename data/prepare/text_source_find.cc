// find_text(): which files a list of paths stands for.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include "data/prepare/text_source.h"
#include "engine/base/error.h"
#include "io/hash.h"

namespace ingot {
namespace {

constexpr std::size_t kFirstBlock = 4096;
constexpr std::size_t kMostNotes = 5;
using Identity = std::pair<dev_t, ino_t>;

Identity identity_of(const struct stat& status) { return {status.st_dev, status.st_ino}; }

bool is_jsonl(const std::string& path) {
  return path.ends_with(".jsonl") || path.ends_with(".ndjson");
}

bool is_binary(const std::string& path) {
  const FileDescriptor file = open_for_reading(path);
  std::string block(kFirstBlock, '\0');
  const std::size_t count = read_some(file, std::as_writable_bytes(std::span(block)), path);
  return std::string_view(block).substr(0, count).find('\0') != std::string_view::npos;
}

std::vector<std::string> names_in(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), &::closedir);
  if (!stream) {
    throw Error(ErrorCode::data, "cannot read the folder: " + describe_errno(errno), folder,
                "check its permissions");
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::ranges::sort(names);
  return names;
}

class Finder {
 public:
  explicit Finder(const std::filesystem::path& excluded) {
    struct stat status;
    if (!excluded.empty() && ::stat(excluded.c_str(), &status) == 0) {
      excluded_ = identity_of(status);
    }
  }

  // A path the user named.
  void add_named(const std::string& path) {
    struct stat status;
    if (::stat(path.c_str(), &status) != 0) {
      throw Error(ErrorCode::data, "cannot read the input: " + describe_errno(errno), path,
                  "check --input");
    }
    if (S_ISDIR(status.st_mode)) {
      seen_.clear();
      return add_folder(path, status);
    }
    if (!S_ISREG(status.st_mode)) {
      throw Error(ErrorCode::data, "neither a file nor a folder", path,
                  "write the text to a file first: prepare reads its input more than once");
    }
    if (status.st_size > 0 && is_binary(path)) {
      throw Error(ErrorCode::data, "not a text: it has NUL bytes in its first block", path,
                  "convert it to UTF-8 text");
    }
    add_file(path, status);
  }

  TextInputs take() { return std::move(inputs_); }

 private:
  void add_folder(const std::string& folder, const struct stat& status) {
    // Links may make a folder its own descendant.
    if (identity_of(status) == excluded_ || !seen_.insert(identity_of(status)).second) return;
    for (const std::string& name : names_in(folder)) {
      const std::string path = folder.ends_with('/') ? folder + name : folder + "/" + name;
      struct stat entry;
      if (::stat(path.c_str(), &entry) != 0) {
        note(path, describe_errno(errno));
      } else if (S_ISDIR(entry.st_mode)) {
        add_folder(path, entry);
      } else if (!S_ISREG(entry.st_mode)) {
        note(path, "not a regular file");
      } else if (entry.st_size > 0 && is_binary(path)) {
        ++inputs_.binary_files;
        note(path, "binary");
      } else {
        add_file(path, entry);
      }
    }
  }

  void add_file(const std::string& path, const struct stat& status) {
    if (status.st_size == 0) {
      ++inputs_.empty_files;
      return;
    }
    inputs_.files.push_back(
        {path, static_cast<std::uint64_t>(status.st_size),
         std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec,
         is_jsonl(path)});
    inputs_.bytes += inputs_.files.back().size;
  }

  void note(const std::string& path, const std::string& why) {
    if (inputs_.notes.size() < kMostNotes) inputs_.notes.push_back(path + ": " + why);
  }

  TextInputs inputs_;
  Identity excluded_ = {};
  std::set<Identity> seen_;
};

}  // namespace

std::uint64_t TextInputs::fingerprint() const {
  Hash hash;
  for (const TextFile& file : files) {
    hash.update(std::as_bytes(std::span(file.path.c_str(), file.path.size() + 1)));
    const std::uint64_t numbers[] = {file.size, static_cast<std::uint64_t>(file.modified_ns)};
    hash.update(std::as_bytes(std::span(numbers)));
  }
  return hash.value();
}

TextInputs find_text(std::span<const std::string> paths, const std::filesystem::path& excluded) {
  Finder finder(excluded);
  for (const std::string& path : paths) finder.add_named(path);
  TextInputs inputs = finder.take();
  if (inputs.files.empty()) {
    throw Error(ErrorCode::data,
                "no text in the input (" + std::to_string(inputs.empty_files) + " empty, " +
                    std::to_string(inputs.binary_files) + " binary files)",
                paths.empty() ? "" : paths.front(), "name files or folders with text by --input");
  }
  return inputs;
}

}  // namespace ingot
