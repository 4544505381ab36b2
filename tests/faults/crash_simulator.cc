#include "tests/faults/crash_simulator.h"

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "io/test_folder.h"

namespace ingot {

namespace fs = std::filesystem;

std::vector<RecordedCall> read_record(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::vector<RecordedCall> calls;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    RecordedCall call;
    words >> call.what;
    std::int64_t count = 0;
    switch (call.what) {
      case 'M':
      case 'U':
        words >> call.path;
        break;
      case 'N':
      case 'E':
        words >> call.path >> call.to;
        break;
      case 'C':
      case 'O':
        words >> call.number >> call.path;
        break;
      case 'W':
        words >> call.number >> count;
        call.data.resize(static_cast<std::size_t>(count));
        in.read(call.data.data(), count);
        break;
      default:
        words >> call.number;
    }
    calls.push_back(std::move(call));
  }
  return calls;
}

CrashSimulator::CrashSimulator(fs::path folder) : folder_(std::move(folder)) { load(folder_); }

int CrashSimulator::add(bool is_folder) {
  nodes_.push_back({.is_folder = is_folder});
  return static_cast<int>(nodes_.size()) - 1;
}

int CrashSimulator::load(const fs::path& path) {
  const int index = add(fs::is_directory(path));
  if (!nodes_[index].is_folder) {
    nodes_[index].bytes = nodes_[index].synced_bytes = contents_of(path);
    return index;
  }
  for (const auto& entry : fs::directory_iterator(path)) {
    const int inside = load(entry.path());
    nodes_[index].names[entry.path().filename()] = inside;
  }
  nodes_[index].synced_names = nodes_[index].names;
  return index;
}

CrashSimulator::Node& CrashSimulator::parent_of(const std::string& path, std::string& name) {
  int node = 0;
  name.clear();
  for (const fs::path& part : fs::path(path).lexically_relative(folder_)) {
    if (!name.empty()) node = nodes_[node].names.at(name);
    name = part;
  }
  return nodes_[node];
}

void CrashSimulator::play(const RecordedCall& call) {
  std::string name, to_name;
  switch (call.what) {
    case 'M': {
      const int created = add(true);  // before the reference: it may move the nodes
      parent_of(call.path, name).names[name] = created;
      return;
    }
    case 'C':
    case 'O': {
      if (fs::path(call.path) == folder_) {
        open_[call.number] = 0;
        return;
      }
      const bool is_there = parent_of(call.path, name).names.count(name) > 0;
      if (!is_there) {
        if (call.what == 'O') throw std::runtime_error("opened what is not there: " + call.path);
        const int created = add(false);
        parent_of(call.path, name).names[name] = created;
      }
      open_[call.number] = parent_of(call.path, name).names.at(name);
      return;
    }
    case 'W':
      nodes_[open_.at(call.number)].bytes += call.data;
      return;
    case 'F': {
      Node& node = nodes_[open_.at(call.number)];
      node.synced_bytes = node.bytes;
      node.synced_names = node.names;
      return;
    }
    case 'N':
    case 'E': {
      Node &from = parent_of(call.path, name), &to = parent_of(call.to, to_name);
      const int moved = from.names.at(name);
      if (call.what == 'E') {
        from.names[name] = to.names.at(to_name);
      } else {
        from.names.erase(name);
      }
      to.names[to_name] = moved;
      return;
    }
    case 'U':
      if (parent_of(call.path, name).names.erase(name) == 0) {
        throw std::runtime_error("removed what is not there: " + call.path);
      }
      return;
    case 'X':
      open_.erase(call.number);
      return;
    case 'R':
    case 'S':
      return;
    default:
      throw std::runtime_error(std::string("a call that nobody simulates: ") + call.what);
  }
}

void CrashSimulator::leave(const fs::path& target, const Crash& crash) const {
  leave(0, target, crash, true);
}

void CrashSimulator::leave(int index, const fs::path& target, const Crash& crash, bool top) const {
  const Node& node = nodes_[index];
  if (!node.is_folder) {
    std::ofstream(target, std::ios::binary) << node.synced_bytes;
    return;
  }
  fs::create_directory(target);
  const bool last = top ? crash.keeps_last_names_on_top : crash.keeps_last_names_below;
  for (const auto& [name, inside] : last ? node.names : node.synced_names) {
    leave(inside, target / name, crash, false);
  }
}

}  // namespace ingot
