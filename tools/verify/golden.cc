#include "tools/verify/golden.h"

#include <span>

#include "engine/base/error.h"
#include "io/convert.h"

namespace ingot {
namespace {

template <class T>
std::vector<T> numbers_of(const SafetensorsEntry& entry) {
  std::vector<T> values(rows_of(entry) * elements_per_row(entry));
  read_tensor({.values = &entry}, std::span(values));
  return values;
}

}  // namespace

std::vector<float> Golden::floats(const std::string& name) const {
  return numbers_of<float>(file_.at(name));
}

std::vector<std::int32_t> Golden::integers(const std::string& name) const {
  return numbers_of<std::int32_t>(file_.at(name));
}

std::vector<std::int32_t> Golden::tokens(const std::string& name, std::int64_t vocabulary) const {
  std::vector<std::int32_t> ids = integers(name);
  for (const std::int32_t id : ids) {
    require(id >= 0 && id < vocabulary, "'" + name + "' has ids outside the model's vocabulary");
  }
  return ids;
}

void Golden::require(bool condition, const std::string& otherwise) const {
  if (condition) return;
  throw Error(ErrorCode::data, otherwise, file_.file().path().string(),
              "use the reference run that belongs to this model");
}

}  // namespace ingot
