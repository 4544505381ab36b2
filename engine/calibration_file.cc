#include "engine/calibration_file.h"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "engine/json.h"
#include "io/atomic_file.h"
#include "io/hash.h"

namespace ingot {
namespace {

std::filesystem::path cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != 0) return cache;
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != 0) return std::filesystem::path(home) / ".cache";
  return std::filesystem::temp_directory_path();
}

}  // namespace

CalibrationFile::CalibrationFile(const std::string& name, std::string measured_for)
    : measured_for_(std::move(measured_for)),
      path_(cache_folder() / "ingot" /
            (name + "-" + std::to_string(hash_of(measured_for_)) + ".json")) {}

nlohmann::json CalibrationFile::read() const {
  try {
    nlohmann::json file = read_json(path_, ErrorCode::data);
    if (file.at("measured_for") == measured_for_) return std::move(file.at("measured"));
  } catch (const std::exception&) {
    // Missing or damaged: measured again, and mended.
  }
  return nullptr;
}

void CalibrationFile::write(const nlohmann::json& measured) const {
  try {
    std::filesystem::create_directories(path_.parent_path());
    AtomicFile file(path_);
    file.write(nlohmann::json{{"measured_for", measured_for_}, {"measured", measured}}.dump(1));
    file.commit();
  } catch (const std::exception&) {
    // A read-only home: this process has what it measured all the same.
  }
}

std::string this_build() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return "";
  const auto size = std::filesystem::file_size(program, error);
  const auto time = std::filesystem::last_write_time(program, error).time_since_epoch().count();
  return std::to_string(size) + " " + std::to_string(time);
}

}  // namespace ingot
