#include "data/prepare/text_probe.h"

#include "engine/base/error.h"
#include "engine/base/json_reader.h"
#include "engine/base/utf8.h"

namespace ingot {
namespace {

struct Signature {
  std::string_view bytes;
  BinaryKind kind;
  std::size_t at = 0;
};

constexpr const char* kExport = "export its texts as JSON lines (.jsonl, one object a line)";
constexpr const char* kUnpack = "unpack it first";
constexpr const char* kCompress = "decompress it first, or compress it with gzip or zstd instead";
constexpr const char* kConvert = "convert it to UTF-8 text";

constexpr Signature kSignatures[] = {
    {"PAR1", {"Parquet file", kExport}},
    {"ARROW1", {"Arrow file", kExport}},
    {"FEA1", {"Feather file", kExport}},
    {"ORC", {"ORC file", kExport}},
    {"Obj\x01", {"Avro file", kExport}},
    {"SQLite format 3", {"SQLite database", kExport}},
    {"\x89HDF\r\n", {"HDF5 file", kExport}},
    {"\x93NUMPY", {"NumPy array", kExport}},
    {"PK\x03\x04", {"zip archive (or a .docx, .xlsx or .npz)", kUnpack}},
    {"7z\xBC\xAF\x27\x1C", {"7z archive", kUnpack}},
    {"Rar!\x1A", {"RAR archive", kUnpack}},
    {"ustar", {"tar archive", kUnpack}, 257},
    {"BZh", {"bzip2 file", kCompress}},
    {"\xFD"
     "7zXZ",
     {"xz file", kCompress}},
    {"\x04\x22\x4D\x18", {"lz4 file", kCompress}},
    {"%PDF-", {"PDF file", "extract its text (pdftotext)"}},
    {"\xFF\xFE", {"UTF-16 text", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"}},
    {"\xFE\xFF", {"UTF-16 text", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"}},
};

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// Where the first object begins: at the start, or as the first element of an array.
std::string_view from_first_object(std::string_view block, bool& in_array) {
  if (block.starts_with(kByteOrderMark)) block.remove_prefix(kByteOrderMark.size());
  for (const char opening : {'[', '{'}) {
    const std::size_t at = block.find_first_not_of(" \t\r\n");
    if (at == std::string_view::npos) return {};
    block.remove_prefix(at);
    if (block[0] == '{') return block;
    if (block[0] != opening) return {};
    in_array = true;
    block.remove_prefix(1);
  }
  return {};
}

}  // namespace

BinaryKind binary_kind(std::string_view block) {
  for (const Signature& signature : kSignatures) {
    if (block.size() > signature.at && block.substr(signature.at).starts_with(signature.bytes)) {
      // "ORC", "BZh" and their like may begin a text: a format has bytes that texts don't.
      const bool readable =
          valid_utf8_prefix(block) + 4 > block.size() && block.find('\0') == std::string_view::npos;
      if (!readable || signature.kind.mend == kUnpack || signature.bytes == "%PDF-") {
        return signature.kind;
      }
    }
  }
  if (block.find('\0') == std::string_view::npos) return {};
  return {"binary file (it has NUL bytes in its first block)", kConvert};
}

JsonKind json_kind(std::string_view block, std::string_view field) {
  bool in_array = false;
  const std::string_view rest = from_first_object(block, in_array);
  if (rest.empty()) return {};
  JsonKind kind{.objects = true, .spread = in_array};
  JsonReader reader(rest, "", ErrorCode::data, {.python_numbers = true, .any_bytes = true});
  std::string key;
  try {
    reader.begin_object();
    while (reader.next_key(key)) {
      const char c = reader.peek();
      if (key == field) kind.has_field = c == '"' || c == 'n';
      reader.skip();
    }
    const std::string_view behind = rest.substr(reader.position());
    kind.spread = in_array ||
                  rest.substr(0, reader.position()).find('\n') != std::string_view::npos ||
                  !is_blank(behind.substr(0, behind.find('\n')));
  } catch (const Error&) {
    // Longer than the block, or malformed: taken for a line, which an error can then name.
  }
  return kind;
}

std::string text_ending(std::string_view path) {
  std::string name(path.substr(path.rfind('/') + 1));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  for (const std::string_view compressed : {".gz", ".gzip", ".zst", ".zstd"}) {
    if (name.ends_with(compressed)) name.resize(name.size() - compressed.size());
  }
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(dot + 1);
}

}  // namespace ingot
