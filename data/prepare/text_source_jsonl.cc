#include "data/prepare/text_source_jsonl.h"

#include "engine/base/error.h"
#include "engine/base/json_reader.h"

namespace ingot {
namespace {

// The line's own object is one level.
constexpr JsonRules kRules = {.depth = 1001, .python_numbers = true, .any_bytes = true};

JsonTextStatus read_line(JsonReader& line, std::string_view field, std::string& text) {
  auto status = JsonTextStatus::missing;
  std::string key;
  line.begin_object();
  while (line.next_key(key)) {
    const char first = line.peek();
    if (key == field && first == '"') {
      line.string(text);
      status = text.empty() ? JsonTextStatus::empty : JsonTextStatus::found;
      continue;
    }
    line.skip();
    if (key == field) {
      status = first == 'n' ? JsonTextStatus::empty : JsonTextStatus::not_text;
    }
  }
  line.end();
  return status;
}

}  // namespace

JsonTextStatus text_of_json_line(std::string_view line, std::string_view field, std::string& text) {
  JsonReader reader(line, "", ErrorCode::data, kRules);
  auto status = JsonTextStatus::malformed;
  try {
    status = read_line(reader, field, text);
  } catch (const Error&) {
    // The caller knows file and line.
  }
  if (status != JsonTextStatus::found) text.clear();
  return status;
}

}  // namespace ingot
