// find_text(): which files a list of paths stands for.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include "data/prepare/text_probe.h"
#include "data/prepare/text_source.h"
#include "engine/base/error.h"
#include "engine/base/utf8.h"
#include "io/hash.h"

namespace ingot {
namespace {

using Identity = std::pair<dev_t, ino_t>;

Identity identity_of(const struct stat& status) { return {status.st_dev, status.st_ino}; }

bool may_be_json(std::string_view block) {
  if (block.starts_with(kByteOrderMark)) block.remove_prefix(kByteOrderMark.size());
  const std::size_t at = block.find_first_not_of(" \t\r\n");
  return at == std::string_view::npos || block[at] == '{' || block[at] == '[';
}

// The first bytes of the text.
std::string first_block(const TextFile& file, std::size_t size) {
  std::string block(size, '\0');
  block.resize(TextBytes(file).read_at(0, block));
  return block;
}

// Decompresses all of it.
std::uint64_t decompressed_size(const TextFile& file) {
  Decompressor stream(file.path, file.compression);
  std::string buffer(std::size_t{1} << 18, '\0');
  std::uint64_t size = 0;
  for (std::size_t count = buffer.size(); count == buffer.size();) {
    count = stream.read(buffer);
    size += count;
  }
  return size;
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
  Finder(const std::filesystem::path& excluded, std::string_view field) : field_(field) {
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
    add_file(path, status, /*named=*/true);
  }

  TextInputs take() {
    for (const Note& note : notes_) {
      const bool one = note.count == 1;
      inputs_.notes.push_back(
          (one ? note.first : std::to_string(note.count) + " files, " + note.first + " the first") +
          ": " + note.what);
    }
    return std::move(inputs_);
  }

 private:
  struct Note {
    std::string what, first;
    std::uint64_t count = 0;
  };

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
      } else {
        add_file(path, entry, /*named=*/false);
      }
    }
  }

  void add_file(const std::string& path, const struct stat& status, bool named) {
    TextFile file{.path = path,
                  .size = static_cast<std::uint64_t>(status.st_size),
                  .modified_ns =
                      std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
    std::string block = first_block(file, kBinaryProbe);
    file.compression = compression_of(block);
    if (file.compression != Compression::none) {
      block = first_block(file, kBinaryProbe);
      file.size = decompressed_size(file);
    }
    if (block.empty() || (block == kByteOrderMark && file.size == block.size())) {
      ++inputs_.empty_files;
      return;
    }
    if (const BinaryKind kind = binary_kind(block); kind.name) {
      return leave_out(path, kind, named);
    }
    file.jsonl = is_json_lines(path);
    if (may_be_json(block)) find_json(file, named);
    inputs_.bytes += file.size;
    inputs_.files.push_back(std::move(file));
  }

  void leave_out(const std::string& path, const BinaryKind& kind, bool named) {
    if (named)
      throw Error(ErrorCode::data, std::string("not a text: a ") + kind.name, path, kind.mend);
    ++inputs_.binary_files;
    note(path, std::string("left out, a ") + kind.name + ": " + kind.mend);
  }

  void find_json(TextFile& file, bool named) {
    const JsonKind kind = json_kind(first_block(file, kJsonProbe), field_);
    file.jsonl = file.jsonl || kind.has_field;
    file.spread = file.jsonl && kind.spread;
    if (file.jsonl || !kind.objects || text_ending(file.path) != "json") return;
    const std::string what = "JSON whose first object has no field \"" + std::string(field_) + '"';
    if (named) {
      throw Error(ErrorCode::data, what, file.path,
                  "name the field that holds the text by --field; to train on the JSON as it "
                  "stands, give its folder or another ending");
    }
    note(file.path, what + ", taken as plain text");
  }

  void note(const std::string& path, const std::string& what) {
    for (Note& each : notes_) {
      if (each.what != what) continue;
      ++each.count;
      return;
    }
    notes_.push_back({what, path, 1});
  }

  TextInputs inputs_;
  std::string_view field_;
  Identity excluded_ = {};
  std::set<Identity> seen_;
  std::vector<Note> notes_;
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

bool is_json_lines(std::string_view path) {
  const std::string ending = text_ending(path);
  return ending == "jsonl" || ending == "ndjson" || ending == "jsonlines";
}

TextInputs find_text(std::span<const std::string> paths, const std::filesystem::path& excluded,
                     std::string_view field) {
  Finder finder(excluded, field);
  for (const std::string& path : paths) finder.add_named(path);
  TextInputs inputs = finder.take();
  if (inputs.files.empty()) {
    throw Error(
        ErrorCode::data,
        "no text in the input (" + std::to_string(inputs.empty_files) + " empty, " +
            std::to_string(inputs.binary_files) + " binary files)",
        paths.empty() ? "" : paths.front(),
        inputs.notes.empty() ? "name files or folders with text by --input" : inputs.notes.front());
  }
  return inputs;
}

}  // namespace ingot
