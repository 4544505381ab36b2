#include "data/prepare/tokenize_command.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "data/prepare/text_source.h"
#include "data/tokenizer/tokenizer.h"
#include "engine/base/error.h"
#include "engine/base/json_reader.h"
#include "engine/base/utf8.h"

namespace ingot {
namespace {

using Ids = std::vector<std::uint32_t>;

// As in data/prepare/text_source_jsonl.cc.
constexpr JsonRules kRules = {.python_numbers = true, .any_bytes = true};

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
  JsonReader reader(json, where, ErrorCode::data, kRules);
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

// A part of the input file at a time.
class TextLines {
 public:
  explicit TextLines(const TextFile& file) : bytes_(file) {}

  bool next(std::string& line) {
    std::size_t newline;
    while ((newline = rest_.find('\n')) == std::string::npos && fill()) {
    }
    if (rest_.empty()) return false;
    const std::size_t size = newline == std::string::npos ? rest_.size() : newline + 1;
    line = rest_.substr(0, size);
    rest_.erase(0, size);
    return true;
  }

  std::string whole() {
    while (fill()) {
    }
    return std::move(rest_);
  }

 private:
  bool fill() {
    std::string block(std::size_t{1} << 16, '\0');
    block.resize(bytes_.read_at(offset_, block));
    offset_ += block.size();
    rest_ += block;
    return !block.empty();
  }

  TextBytes bytes_;
  std::uint64_t offset_ = 0;
  std::string rest_;
};

// What `ingot prepare` would take the file for; ids to decode are never an array of objects.
TextFile input_file(const TokenizeOptions& options) {
  const std::string path = options.input->string();
  if (!options.decode) {
    const std::string paths[] = {path};
    return find_text(paths, {}, options.field).files.front();
  }
  return {.path = path, .jsonl = is_json_lines(path)};
}

Ids encode(const Tokenizer& tokenizer, const TokenizeOptions& options, const std::string& text) {
  if (!options.special) return tokenizer.encode(text);
  const auto begin = tokenizer.begin_ids(), end = tokenizer.end_ids();
  Ids ids(begin.begin(), begin.end());
  tokenizer.encode(text, ids);
  ids.insert(ids.end(), end.begin(), end.end());
  return ids;
}

void convert(const Tokenizer& tokenizer, const TokenizeOptions& options, const std::string& input,
             const std::string& where, std::ostream& out) {
  if (!options.decode) {
    const Ids ids = encode(tokenizer, options, input);
    if (options.json) return write_json_ids(ids, out);
    write_ids(ids, " ", out);
    out << '\n';
    return;
  }
  const std::string text = tokenizer.decode(parse_ids(input, where));
  if (options.json) return write_json_text(text, out);
  out << text;
}

void convert_lines(const Tokenizer& tokenizer, const TokenizeOptions& options, const TextFile& file,
                   std::ostream& out) {
  TextLines lines(file);
  std::size_t number = 0;
  for (std::string line; lines.next(line);) {
    const std::string place = file.path + ":" + std::to_string(++number);
    if (line.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    if (options.decode) {
      write_json_text(tokenizer.decode(ids_of_json(line, place)), out);
    } else {
      write_json_ids(encode(tokenizer, options, text_of_json(line, options.field, place)), out);
    }
  }
}

void convert_file(const Tokenizer& tokenizer, const TokenizeOptions& options, std::ostream& out) {
  const TextFile file = input_file(options);
  if (file.jsonl) return convert_lines(tokenizer, options, file, out);
  std::string text = TextLines(file).whole();
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  convert(tokenizer, options, text, file.path, out);
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
    convert_file(tokenizer, options, out);
  }
  if (!out.flush())
    throw Error(ErrorCode::device, "writing the output failed", "stdout",
                "check the disk or the pipe");
  return 0;
}

}  // namespace ingot
