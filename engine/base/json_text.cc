#include "engine/base/json_text.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace ingot {
namespace {

using Json = nlohmann::json;

// As nlohmann's dump(), which has no word for these numbers.
class TreeWriter {
 public:
  explicit TreeWriter(int indent) : indent_(indent) {}

  std::string take() { return std::move(text_); }

  void write(const Json& json) {
    if (json.is_number_float() && !std::isfinite(json.get<double>())) {
      const double number = json.get<double>();
      text_ += std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
    } else if (!json.is_structured() || json.empty()) {
      text_ += json.dump(-1, ' ', false, Json::error_handler_t::replace);
    } else {
      list(json);
    }
  }

 private:
  void list(const Json& json) {
    text_ += json.is_object() ? '{' : '[';
    ++depth_;
    bool first = true;
    for (const auto& [key, value] : json.items()) {
      if (!first) text_ += ',';
      first = false;
      new_line();
      if (json.is_object()) {
        write(Json(key));
        text_ += indent_ < 0 ? ":" : ": ";
      }
      write(value);
    }
    --depth_;
    new_line();
    text_ += json.is_object() ? '}' : ']';
  }

  void new_line() {
    if (indent_ < 0) return;
    text_ += '\n';
    text_.append(static_cast<std::size_t>(indent_ * depth_), ' ');
  }

  const int indent_;
  int depth_ = 0;
  std::string text_;
};

}  // namespace

std::string dump_json(const Json& json, int indent) {
  TreeWriter writer(indent);
  writer.write(json);
  return writer.take();
}

}  // namespace ingot
