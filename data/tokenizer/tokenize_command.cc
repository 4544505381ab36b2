#include "data/tokenizer/tokenize_command.h"

#include <charconv>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <system_error>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "engine/base/error.h"
#include "engine/base/json_reader.h"

namespace ingot {
namespace {

using Ids = std::vector<std::uint32_t>;

void write_ids(std::span<const std::uint32_t> ids, std::string_view separator, std::ostream& out) {
  std::string text;
  for (const std::uint32_t id : ids) {
    if (!text.empty()) text += separator;
    text += std::to_string(id);
  }
  out << text;
}

void write_json_ids(std::span<const std::uint32_t> ids, std::ostream& out) {
  out << "{\"ids\": [";
  write_ids(ids, ", ", out);
  out << "]}\n";
}

// JSON has no bytes: what is not UTF-8 becomes U+FFFD.
void write_json_text(const std::string& text, std::ostream& out) {
  out << "{\"text\": "
      << nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
      << "}\n";
}

// The value of a field of the object that comes next, or the value itself if it is no object.
template <class Take>
auto take_field(JsonReader& reader, const std::string& field, Take&& take) {
  if (reader.peek() != '{') return take();
  std::optional<decltype(take())> found;
  std::string key;
  reader.begin_object();
  while (reader.next_key(key)) {
    if (key == field) {
      found = take();
    } else {
      reader.skip();
    }
  }
  if (!found) reader.fail("no field \"" + field + "\"");
  return std::move(*found);
}

std::string text_of_json(std::string_view json, const std::string& field,
                         const std::string& where) {
  JsonReader reader(json, where);
  std::string text = take_field(reader, field, [&] { return reader.string(); });
  reader.end();
  return text;
}

Ids ids_of_json(std::string_view json, const std::string& where) {
  JsonReader reader(json, where);
  Ids ids = take_field(reader, "ids", [&] {
    Ids list;
    reader.begin_array();
    while (reader.next_element()) list.push_back(reader.unsigned_integer());
    return list;
  });
  reader.end();
  return ids;
}

Ids parse_ids(std::string_view text, const std::string& where) {
  static constexpr std::string_view kBetween = " \t\r\n,";
  const std::size_t begin = text.find_first_not_of(kBetween);
  if (begin != std::string_view::npos && (text[begin] == '{' || text[begin] == '['))
    return ids_of_json(text, where);
  Ids ids;
  for (std::size_t at = begin; at < text.size(); at = text.find_first_not_of(kBetween, at)) {
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), id);
    const std::size_t next = std::min(text.find_first_of(kBetween, at), text.size());
    if (error != std::errc() || end != text.data() + next) {
      throw Error(ErrorCode::data,
                  "'" + std::string(text.substr(at, std::min<std::size_t>(next - at, 40))) +
                      "' is no token id",
                  where, "give natural numbers with spaces between");
    }
    ids.push_back(id);
    at = next;
  }
  return ids;
}

std::ifstream open(const std::filesystem::path& file) {
  std::error_code error;
  std::ifstream stream;
  if (std::filesystem::is_regular_file(file, error)) stream.open(file, std::ios::binary);
  if (!stream.is_open())
    throw Error(ErrorCode::data, "cannot read the input", file.string(), "give the path of a file");
  return stream;
}

void convert(const Tokenizer& tokenizer, const TokenizeOptions& options, const std::string& input,
             const std::string& where, std::ostream& out) {
  if (!options.decode) {
    const Ids ids = tokenizer.encode(input);
    if (options.json) return write_json_ids(ids, out);
    write_ids(ids, " ", out);
    out << '\n';
    return;
  }
  const std::string text = tokenizer.decode(parse_ids(input, where));
  if (options.json) return write_json_text(text, out);
  out << text;
}

void convert_lines(const Tokenizer& tokenizer, const TokenizeOptions& options, std::istream& input,
                   const std::string& where, std::ostream& out) {
  std::size_t number = 0;
  for (std::string line; std::getline(input, line);) {
    const std::string place = where + ":" + std::to_string(++number);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (options.decode) {
      write_json_text(tokenizer.decode(ids_of_json(line, place)), out);
    } else {
      write_json_ids(tokenizer.encode(text_of_json(line, options.field, place)), out);
    }
  }
}

}  // namespace

int tokenize_command(const TokenizeOptions& options, std::ostream& out) {
  if (options.input.has_value() == options.text.has_value()) {
    throw Error(ErrorCode::usage, "one of --input and --text is needed", "ingot tokenize",
                "give a file or a text");
  }
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  if (options.text) {
    convert(tokenizer, options, *options.text, "--text", out);
  } else {
    std::ifstream stream = open(*options.input);
    if (options.input->extension() == ".jsonl") {
      convert_lines(tokenizer, options, stream, options.input->string(), out);
    } else {
      const std::string text(std::istreambuf_iterator<char>(stream), {});
      convert(tokenizer, options, text, options.input->string(), out);
    }
    if (stream.bad())
      throw Error(ErrorCode::data, "reading failed", options.input->string(), "check the disk");
  }
  if (!out.flush())
    throw Error(ErrorCode::device, "writing the output failed", "stdout",
                "check the disk or the pipe");
  return 0;
}

}  // namespace ingot
