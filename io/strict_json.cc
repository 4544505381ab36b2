#include "io/strict_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/error.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

class Builder : public Json::json_sax_t {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  Json root;
  std::string problem;

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(Json::number_integer_t value) override { return add(value); }
  bool number_unsigned(Json::number_unsigned_t value) override { return add(value); }
  bool number_float(Json::number_float_t value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(Json::binary_t&) override { return fail("holds binary data"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& value) override {
    const auto [place, is_new] = open_.back()->emplace(value, nullptr);
    if (!is_new) return fail("has the key \"" + value.substr(0, 200) + "\" twice");
    member_ = &*place;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    return fail("is not valid JSON at byte " + std::to_string(position));
  }

 private:
  bool fail(std::string what) {
    problem = std::move(what);
    return false;
  }

  // Where the next value goes: the member just named, the end of the array, or the root. The
  // pointers in open_ stay valid: a container grows only while it is the innermost open one.
  Json* place(Json value) {
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    if (open_.back()->is_object()) {
      *member_ = std::move(value);
      return member_;
    }
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }

  bool add(Json value) {
    if (++values_ > limits_.values) return fail("holds too many values");
    place(std::move(value));
    return true;
  }

  bool open(Json container) {
    if (++values_ > limits_.values) return fail("holds too many values");
    if (open_.size() >= limits_.depth) return fail("is nested too deeply");
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits limits_;
  std::vector<Json*> open_;
  Json* member_ = nullptr;
  std::size_t values_ = 0;
};

}  // namespace

nlohmann::json parse_strict_json(std::string_view text, const std::filesystem::path& file,
                                 const JsonLimits& limits) {
  Builder builder(limits);
  if (text.find('\0') != text.npos) {
    builder.problem = "holds a zero byte";  // which the parser takes for the end
  } else if (Json::sax_parse(text.begin(), text.end(), &builder)) {
    return std::move(builder.root);
  }
  throw Error(ErrorCode::data, builder.problem, file.string(),
              "the file is damaged or is not what its name says");
}

}  // namespace ingot
