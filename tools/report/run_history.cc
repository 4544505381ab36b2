#include "tools/report/run_history.h"

#include <cmath>
#include <limits>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/base/read_text.h"
#include "io/checkpoint_files.h"

namespace ingot {
namespace {

using nlohmann::json;

constexpr const char* kMend = "give a run's folder: its checkpoint.directory";
constexpr std::size_t kMostBytes = std::size_t{1} << 30;

void add_line(RunHistory& run, const json& line, const std::string& where) {
  const auto step = line.is_object() ? line.find("step") : line.end();
  if (!line.is_object() || step == line.end() || !step->is_number()) {
    throw Error(ErrorCode::data, "a line has no \"step\"", where, kMend);
  }
  for (const auto& [field, value] : line.items()) {
    if (field == "step" || !(value.is_number() || value.is_null())) continue;
    const double number =
        value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
    run.curves[field].push_back({step->get<double>(), number});
  }
  if (const auto build = line.find("build"); build != line.end() && build->is_string()) {
    std::string text = build->get<std::string>();
    if (const auto backend = line.find("backend"); backend != line.end() && backend->is_string()) {
      text += "; " + backend->get<std::string>();
    }
    if (run.builds.empty() || run.builds.back() != text) run.builds.push_back(text);
  }
}

void read_metrics(RunHistory& run) {
  const std::filesystem::path path = run.folder / "metrics.jsonl";
  if (!std::filesystem::exists(path)) {
    throw Error(ErrorCode::data, "no metrics.jsonl: not the folder of a run", run.folder.string(),
                kMend);
  }
  const std::string all = read_text(path, ErrorCode::data, kMostBytes);
  std::size_t number = 0;
  for (std::size_t first = 0; first < all.size();) {
    const std::size_t end = all.find('\n', first);
    if (end == std::string::npos) break;
    const std::string where = path.string() + ":" + std::to_string(++number);
    add_line(run, parse_json(all.substr(first, end - first), where, ErrorCode::data), where);
    first = end + 1;
  }
  if (run.curve("loss").empty()) {
    throw Error(ErrorCode::data, "no step of the run is logged yet", path.string(),
                "wait for its first line");
  }
}

void read_newest_checkpoint(RunHistory& run) {
  const std::vector<std::string> names = CheckpointReader::list(run.folder);
  if (names.empty()) return;
  const auto reader = CheckpointReader::open(run.folder / names.back(), Verify::structure);
  run.checkpoint = reader.path();
  const json manifest = parse_json(reader.manifest_text(), reader.path().string(), ErrorCode::data);
  if (const auto config = manifest.find("config"); config != manifest.end()) run.config = *config;
  const auto build = manifest.find("build");
  if (run.builds.empty() && build != manifest.end() && build->is_string()) {
    run.builds.push_back(build->get<std::string>());
  }
}

}  // namespace

const std::vector<Point>& RunHistory::curve(const std::string& field) const {
  static const std::vector<Point> kNone;
  const auto found = curves.find(field);
  return found == curves.end() ? kNone : found->second;
}

RunHistory read_run_history(const std::filesystem::path& folder) {
  RunHistory run;
  run.folder = folder;
  const auto whole = std::filesystem::absolute(folder).lexically_normal();
  run.name = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  read_metrics(run);
  read_newest_checkpoint(run);
  return run;
}

}  // namespace ingot
