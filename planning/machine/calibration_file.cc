#include "planning/machine/calibration_file.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "engine/base/json.h"
#include "io/atomic_file.h"
#include "io/hash.h"

namespace ingot {
namespace {

constexpr int kMostMeasurements = 4;

std::filesystem::path cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != 0) return cache;
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != 0) return std::filesystem::path(home) / ".cache";
  return std::filesystem::temp_directory_path();
}

// Parts of a file that is null, or anything but damaged where `measured_for` is.
int times_measured(const nlohmann::json& file) {
  const auto found = file.find("measurements");
  if (found == file.end() || !found->is_number_integer()) return 0;
  return static_cast<int>(std::clamp<std::int64_t>(*found, 0, kMostMeasurements));
}
bool is_doubtful(const nlohmann::json& file) {
  const auto found = file.find("doubtful");
  return found != file.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

CalibrationFile::CalibrationFile(const std::string& name, std::string measured_for)
    : measured_for_(std::move(measured_for)),
      path_(cache_folder() / "ingot" /
            (name + "-" + std::to_string(hash_of(measured_for_)) + ".json")) {}

nlohmann::json CalibrationFile::read_whole() const {
  try {
    nlohmann::json file = read_json(path_, ErrorCode::data);
    if (file.at("measured_for") == measured_for_ && file.contains("measured")) return file;
  } catch (const std::exception&) {
    // Missing or damaged: measured again, and mended.
  }
  return nullptr;
}

nlohmann::json CalibrationFile::read() const {
  nlohmann::json file = read_whole();
  return file.is_null() ? file : std::move(file["measured"]);
}

bool CalibrationFile::doubtful() const { return is_doubtful(read_whole()); }

bool CalibrationFile::wants_another() const {
  const nlohmann::json file = read_whole();
  return !file.is_null() && is_doubtful(file) && times_measured(file) < kMostMeasurements;
}

void CalibrationFile::write_whole(const nlohmann::json& file) const {
  try {
    std::filesystem::create_directories(path_.parent_path());
    AtomicFile written(path_);
    written.write(file.dump(1));
    written.commit();
  } catch (const std::exception&) {
    // A read-only home: this process has what it measured all the same.
  }
}

void CalibrationFile::write(const nlohmann::json& measured, bool disturbed) const {
  write_whole({{"measured_for", measured_for_},
               {"measured", measured},
               {"measurements", times_measured(read_whole()) + 1},
               {"doubtful", disturbed}});
}

bool CalibrationFile::doubt() const {
  nlohmann::json file = read_whole();
  if (file.is_null()) return false;
  file["doubtful"] = true;
  write_whole(file);
  return wants_another();
}

}  // namespace ingot
