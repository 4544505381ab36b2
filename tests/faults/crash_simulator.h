// What a power cut can leave of a folder: plays a record of libfault_shim.so back on a copy in
// memory, where whatever was not synced may be lost.
//
// A file's bytes survive once it was synced; a name in a folder, new or gone, once the folder was.
// Until then a crash may have kept either: a disk writes what it likes in the order it likes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

// A call of the record, see fault_shim.cc.
struct RecordedCall {
  char what = 0;  // M mkdir, C open or create, O open, W write, P pwrite, F fsync, N rename,
                  // E exchange, U unlink or rmdir, X close, R read, S the console has so many bytes
  std::int64_t number = 0;  // a file descriptor, or the bytes of S
  std::string path, to, data;
};
std::vector<RecordedCall> read_record(const std::filesystem::path& file);

// Which names a crash leaves in a folder: those that were synced, or those that were there last.
struct Crash {
  bool keeps_last_names_on_top = false;  // in the folder itself
  bool keeps_last_names_below = false;   // in those inside of it
};

class CrashSimulator {
 public:
  // Everything in `folder` as it is now is safe.
  explicit CrashSimulator(std::filesystem::path folder);

  // Throws std::runtime_error for a call that does not fit what was there.
  void play(const RecordedCall& call);
  // Writes what a crash now may leave into `target`, which must not exist.
  void leave(const std::filesystem::path& target, const Crash& crash) const;

 private:
  struct Node {
    bool is_folder = false;
    std::string bytes, synced_bytes;
    std::map<std::string, int> names, synced_names;
  };
  int add(bool is_folder);
  int load(const std::filesystem::path& path);
  // The folder that a path of the record is in, and its last name.
  Node& parent_of(const std::string& path, std::string& name);
  void leave(int node, const std::filesystem::path& target, const Crash& crash, bool top) const;

  std::filesystem::path folder_;
  std::vector<Node> nodes_;           // the first is the folder
  std::map<std::int64_t, int> open_;  // by descriptor
};

}  // namespace ingot
