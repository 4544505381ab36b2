#include "io/safetensors_header.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "engine/base/error.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::size_t kMostDimensions = 32;
constexpr std::size_t kMostMetadata = 100'000;

// Accepts exactly {"__metadata__": {string: string}, NAME: {"dtype": string, "shape": [n...],
// "data_offsets": [n, n]}, ...} and refuses at the first event that does not fit.
class HeaderReader : public Json::json_sax_t {
 public:
  SafetensorsHeader header;
  std::string problem;

  bool null() override { return misplaced("null"); }
  bool boolean(bool) override { return misplaced("a boolean"); }
  bool number_integer(Json::number_integer_t) override { return misplaced("a negative number"); }
  bool number_float(Json::number_float_t, const std::string&) override {
    return misplaced("a number that is not a whole one, or too large,");
  }
  bool binary(Json::binary_t&) override { return misplaced("binary data"); }

  bool number_unsigned(Json::number_unsigned_t value) override {
    if (at_ == At::shape) return add_dimension(value);
    if (at_ == At::offsets) return add_offset(value);
    return misplaced("a number");
  }

  bool string(std::string& value) override {
    if (at_ == At::metadata_value) {
      at_ = At::metadata;
      if (header.metadata.size() >= kMostMetadata) return fail("has too many metadata entries");
      if (header.metadata.emplace(std::move(key_), std::move(value)).second) return true;
      return fail("has a metadata key twice");
    }
    if (at_ != At::dtype_value) return misplaced("a string");
    at_ = At::tensor;
    const auto type = stored_type_named(value);
    if (!type) return fail("has the unknown dtype " + quoted_name(value) + of_tensor());
    tensor().declaration.type = *type;
    return true;
  }

  bool key(std::string& value) override {
    if (at_ == At::top) {
      at_ = value == kMetadataKey ? At::metadata_object : At::tensor_object;
      key_ = std::move(value);
      return true;
    }
    if (at_ == At::metadata) {
      at_ = At::metadata_value;
      key_ = std::move(value);
      return true;
    }
    if (value == "dtype" && !std::exchange(has_dtype_, true)) return go(At::dtype_value);
    if (value == "shape" && !std::exchange(has_shape_, true)) return go(At::shape_array);
    if (value == "data_offsets" && !std::exchange(has_offsets_, true)) return go(At::offsets_array);
    return fail("has the unknown or repeated key " + quoted_name(value) + of_tensor());
  }

  bool start_object(std::size_t) override {
    switch (at_) {
      case At::start:
        return go(At::top);
      case At::metadata_object:
        if (std::exchange(has_metadata_, true)) return fail("has two __metadata__ entries");
        return go(At::metadata);
      case At::tensor_object:
        header.tensors.emplace_back().declaration.name = std::move(key_);
        has_dtype_ = has_shape_ = has_offsets_ = false;
        return go(At::tensor);
      default:
        return misplaced("an object");
    }
  }

  bool end_object() override {
    if (at_ == At::tensor && !(has_dtype_ && has_shape_ && has_offsets_)) {
      return fail("lacks dtype, shape or data_offsets" + of_tensor());
    }
    return go(at_ == At::top ? At::finished : At::top);
  }

  bool start_array(std::size_t) override {
    if (at_ == At::shape_array) return go(At::shape);
    if (at_ == At::offsets_array) return go(At::offsets);
    return misplaced("an array");
  }

  bool end_array() override {
    if (at_ == At::offsets && offset_count_ != 2) {
      return fail("has data_offsets that are not two numbers" + of_tensor());
    }
    offset_count_ = 0;
    return go(At::tensor);
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    return fail("is not valid JSON at byte " + std::to_string(position));
  }

 private:
  enum class At {
    start,
    top,
    metadata_object,
    metadata,
    metadata_value,
    tensor_object,
    tensor,
    dtype_value,
    shape_array,
    shape,
    offsets_array,
    offsets,
    finished
  };

  bool go(At next) {
    at_ = next;
    return true;
  }
  bool fail(std::string what) {
    problem = std::move(what);
    return false;
  }
  bool misplaced(const char* what) {
    return fail(std::string("has ") + what + " where it does not belong" + of_tensor());
  }
  SafetensorsHeader::Tensor& tensor() { return header.tensors.back(); }
  std::string of_tensor() const {
    if (at_ == At::metadata || at_ == At::metadata_value) return " in its metadata";
    if (header.tensors.empty()) return "";
    return " in tensor " + quoted_name(header.tensors.back().declaration.name);
  }

  bool add_dimension(std::uint64_t value) {
    auto& shape = tensor().declaration.shape;
    if (shape.size() >= kMostDimensions) return fail("has too many dimensions" + of_tensor());
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return fail("has an impossible dimension" + of_tensor());
    }
    shape.push_back(static_cast<std::int64_t>(value));
    return true;
  }
  bool add_offset(std::uint64_t value) {
    if (offset_count_ > 1) return fail("has data_offsets that are not two numbers" + of_tensor());
    (offset_count_++ == 0 ? tensor().begin : tensor().end) = value;
    return true;
  }

  At at_ = At::start;
  std::string key_;
  bool has_metadata_ = false, has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  int offset_count_ = 0;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json,
                                           const std::filesystem::path& file) {
  HeaderReader reader;
  if (!json.starts_with('{')) {
    reader.problem = "does not begin with {";
  } else if (json.find('\0') != json.npos) {
    reader.problem = "holds a zero byte";  // which the JSON parser takes for the end
  } else if (Json::sax_parse(json.begin(), json.end(), &reader)) {
    return std::move(reader.header);
  }
  throw Error(ErrorCode::data, "the safetensors header " + reader.problem, file.string(),
              "the file is damaged or is not safetensors: fetch it again");
}

std::string format_safetensors_header(std::span<const TensorDeclaration> tensors,
                                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[std::string(kMetadataKey)] = metadata;
  std::set<std::string_view> names = {kMetadataKey};
  std::int64_t offset = 0;
  const auto refuse = [](const TensorDeclaration& tensor, const char* why) {
    throw Error(ErrorCode::usage, std::string("a tensor to be saved ") + why, tensor.name);
  };
  std::string text;
  const auto dump = [](const nlohmann::ordered_json& json) {
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::strict);
  };
  try {
    // One entry at a time: assigning by key is a linear search in an ordered_json.
    text = dump(header);
    text.pop_back();
    for (const TensorDeclaration& tensor : tensors) {
      if (!names.insert(tensor.name).second) refuse(tensor, "has the name of another");
      const auto bytes = checked_product(tensor.shape, size_of(tensor.type));
      std::int64_t end = 0;
      if (!bytes || __builtin_add_overflow(offset, *bytes, &end)) {
        refuse(tensor, "has an impossible shape");
      }
      if (text.size() > 1) text += ',';
      text += dump(tensor.name) + ':' +
              dump({{"dtype", name_of(tensor.type)},
                    {"shape", tensor.shape},
                    {"data_offsets", {offset, end}}});
      offset = end;
    }
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorCode::usage, "a name or metadata to be saved is not UTF-8");
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > kLargestSafetensorsHeader) {
    throw Error(ErrorCode::usage, "too many tensors for one safetensors file", "",
                "use smaller shards");
  }
  std::string prefix(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) prefix[i] = static_cast<char>(text.size() >> (8 * i) & 255);
  return prefix + text;
}

}  // namespace ingot
