#include "data/prepare/text_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>

#include "data/prepare/text_source_jsonl.h"
#include "io/compressed_testing.h"
#include "io/test_folder.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_of(const TextInputs& inputs, const fs::path& root) {
  std::vector<std::string> names;
  for (const TextFile& file : inputs.files) {
    names.push_back(fs::path(file.path).lexically_relative(root).string());
  }
  return names;
}

TextInputs find(const std::vector<std::string>& paths) { return find_text(paths); }

std::vector<TextPiece> pieces_of(TextSource& source) {
  std::vector<TextPiece> pieces;
  for (TextPiece piece; source.next(piece);) pieces.push_back(piece);
  return pieces;
}

std::vector<TextPiece> pieces_of(const TextInputs& inputs, TextSourceOptions options,
                                 TextPosition begin, TextPosition end) {
  TextSource source(inputs, options, begin, end);
  return pieces_of(source);
}

bool same(const TextPiece& a, const TextPiece& b) {
  if (a.bytes != b.bytes || !(a.begin == b.begin) || !(a.end == b.end)) return false;
  if (a.segments.size() != b.segments.size()) return false;
  for (std::size_t i = 0; i < a.segments.size(); ++i) {
    const auto &x = a.segments[i], &y = b.segments[i];
    if (x.begin != y.begin || x.size != y.size || !(x.from == y.from) || x.first != y.first ||
        x.last != y.last) {
      return false;
    }
  }
  return true;
}

// Lines of words; every fifth line is empty or begins with a space.
std::string prose(std::size_t size, std::uint64_t seed) {
  fuzz::Rng rng(seed);
  std::string text;
  while (text.size() < size) {
    const std::size_t words = rng.below(12);
    if (rng.one_in(5)) text += " ";
    for (std::size_t i = 0; i < words; ++i) {
      if (i > 0) text += " ";
      text.append(1 + rng.below(9), static_cast<char>('a' + rng.below(26)));
    }
    text += "\n";
  }
  text.resize(size);
  return text;
}

TEST(FindText, WalksFoldersInByteOrderAndLeavesOutWhatIsNoText) {
  TestFolder folder;
  fs::create_directories(folder / "b/deep");
  fs::create_directories(folder / ".git");
  put_file(folder / "b/deep/z.txt", "z");
  put_file(folder / "b/a.jsonl", "{}");
  put_file(folder / "b.txt", "b");
  put_file(folder / "B.txt", "B");
  put_file(folder / "a", "a");
  put_file(folder / "empty.txt", "");
  put_file(folder / "binary.o", std::string_view("\x7f"
                                                 "ELF\0\0",
                                                 6));
  put_file(folder / ".git/config", "hidden");
  ::mkfifo((folder / "pipe").c_str(), 0600);
  fs::create_directory_symlink(folder.path(), folder / "b/loop");
  fs::create_symlink(folder / "nowhere", folder / "dangling");
  fs::create_symlink(folder / "a", folder / "link.txt");
  const TextInputs inputs = find({folder.path()});
  EXPECT_EQ(
      names_of(inputs, folder.path()),
      (std::vector<std::string>{"B.txt", "a", "b/a.jsonl", "b/deep/z.txt", "b.txt", "link.txt"}));
  EXPECT_EQ(inputs.bytes, 7u);
  EXPECT_EQ(inputs.empty_files, 1u);
  EXPECT_EQ(inputs.binary_files, 1u);
  EXPECT_EQ(inputs.notes.size(), 3u);
  EXPECT_TRUE(inputs.files[2].jsonl);
  // A folder given by name twice is read twice: the user's will.
  EXPECT_EQ(find({folder.path(), folder / "a"}).files.size(), 7u);
}

TEST(FindText, TheFolderOfTheResultIsNotItsOwnInput) {
  TestFolder folder;
  fs::create_directory(folder / "out");
  put_file(folder / "out/prepare.json", "{}");
  put_file(folder / "a", "a");
  const std::vector<std::string> paths = {folder.path()};
  EXPECT_EQ(find_text(paths, folder / "out").files.size(), 1u);
}

TEST(FindText, RefusesWhatCannotBeText) {
  TestFolder folder;
  put_file(folder / "binary", std::string_view("a\0b", 3));
  put_file(folder / "empty", "");
  fs::create_directory(folder / "none");
  expect_error(
      ErrorCode::data, [&] { find({folder / "binary"}); }, "NUL", "binary");
  expect_error(
      ErrorCode::data, [&] { find({folder / "missing"}); }, "missing");
  expect_error(
      ErrorCode::data, [&] { find({folder / "none"}); }, "no text");
  expect_error(
      ErrorCode::data, [&] { find({folder / "empty"}); }, "1 empty");
  expect_error(
      ErrorCode::data, [&] { find({folder.path()}); }, "1 empty, 1 binary");
  put_file(folder / "table.parquet", std::string("PAR1\x15\0\x15", 7));
  expect_error(
      ErrorCode::data, [&] { find({folder / "table.parquet"}); }, "Parquet file", "JSON lines");
  expect_error(
      ErrorCode::data, [&] { find({"/dev/null"}); }, "neither a file nor a folder");
}

TEST(FindText, WhatIsLeftOutIsCountedByKindWithAdvice) {
  TestFolder folder;
  for (const char* name : {"a.parquet", "b.parquet", "c.parquet"}) {
    put_file(folder / name, std::string("PAR1\x15\0\x15", 7));
  }
  put_file(folder / "d.txt", "text");
  put_file(folder / "package.json", "{\"name\": \"tool\"}");
  const TextInputs inputs = find({folder.path()});
  EXPECT_EQ(names_of(inputs, folder.path()), (std::vector<std::string>{"d.txt", "package.json"}));
  EXPECT_FALSE(inputs.files[1].jsonl);  // a source like others
  EXPECT_EQ(inputs.binary_files, 3u);
  ASSERT_EQ(inputs.notes.size(), 2u);
  EXPECT_NE(inputs.notes[0].find("3 files, "), std::string::npos) << inputs.notes[0];
  EXPECT_NE(inputs.notes[0].find("a.parquet the first: left out, a Parquet file: export"),
            std::string::npos)
      << inputs.notes[0];
  EXPECT_NE(inputs.notes[1].find("no field \"text\", taken as plain text"), std::string::npos);
}

// C4, LLaMA-Factory and many others call their lines .json; editors write byte order marks.
TEST(FindText, JsonIsKnownByItsContentAndByEndingsInAnyCase) {
  TestFolder folder;
  const std::string line = "{\"text\": \"a\"}\n";
  put_file(folder / "a.json", line + line);
  put_file(folder / "b.json", "[" + line + "," + line + "]");
  put_file(folder / "c.JSONL", "\xEF\xBB\xBF" + line);
  put_file(folder / "d.Ndjson.gz", gzipped("{\"body\": 1}"));
  put_file(folder / "e.txt.zst", zstd_compressed("{ a plain text"));
  put_file(folder / "part-00000", line);
  put_file(folder / "f.jsonl", "[" + line + "]");
  put_file(folder / "g.json", "[1, 2]");
  std::string kinds;
  for (const TextFile& file : find({folder.path()}).files) {
    kinds += file.spread ? 's' : file.jsonl ? 'l' : 't';
  }
  EXPECT_EQ(kinds, "lslltstl");
  expect_error(
      ErrorCode::data, [&] { find_text(std::vector<std::string>{folder / "a.json"}, {}, "body"); },
      "no field \"body\"", "--field", "a.json");
  EXPECT_TRUE(
      find_text(std::vector<std::string>{folder / "part-00000"}, {}, "text").files[0].jsonl);
}

TEST(FindText, SizesAreThoseOfTheText) {
  TestFolder folder;
  const std::string text = prose(500'000, 9);
  put_file(folder / "a.gz", gzipped(text));
  put_file(folder / "b.zst", zstd_compressed(text));
  put_file(folder / "c.gz", gzipped(""));
  put_file(folder / "d.txt", "\xEF\xBB\xBF");
  const TextInputs inputs = find({folder.path()});
  EXPECT_EQ(inputs.bytes, 1'000'000u);
  EXPECT_EQ(inputs.empty_files, 2u);
  put_file(folder / "e.gz", gzipped(text).substr(0, 1000));
  expect_error(
      ErrorCode::data, [&] { find({folder.path()}); }, "ends too early", "e.gz");
  put_file(folder / "e.gz", gzipped(std::string("a\0b", 3)));
  expect_error(
      ErrorCode::data, [&] { find({folder / "e.gz"}); }, "NUL", "e.gz");
}

TEST(FindText, FingerprintSeesNamesSizesAndTimes) {
  TestFolder folder;
  put_file(folder / "a", "text");
  const auto before = find({folder / "a"}).fingerprint();
  EXPECT_EQ(find({folder / "a"}).fingerprint(), before);
  fs::last_write_time(folder / "a", fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_NE(find({folder / "a"}).fingerprint(), before);
  fs::rename(folder / "a", folder / "b");
  EXPECT_NE(find({folder / "b"}).fingerprint(), before);
}

TEST(LastPlaceToCut, PrefersPlacesThatEveryPretokenizerSeparates) {
  const auto cut = [](std::string_view text) { return text.substr(0, last_place_to_cut(text)); };
  EXPECT_EQ(cut("aaaa\nbb\ncc dd"), "aaaa\nbb\n");
  EXPECT_EQ(cut("aaaa\n\nbb cc dd"), "aaaa\n\nbb cc");  // an empty line joins its newlines
  EXPECT_EQ(cut("aaaa\n  bb cc dd"), "aaaa\n  bb cc");
  EXPECT_EQ(cut("aaaa\r\nbb cc 1"), "aaaa\r\nbb");
  EXPECT_EQ(cut("(a, (b, c  d"), "(a, (b,");
  EXPECT_EQ(cut("12 34 aa\xe3\x80\x80\nbb"),
            "12 34 aa\xe3\x80\x80\n");  // a wide space: the last resort
  EXPECT_EQ(cut("1234567\n123\n123"), "1234567\n123\n");
  EXPECT_EQ(cut("\xc3\xa4\xc3\xa4\xc3\xa4"), "\xc3\xa4\xc3\xa4");
  EXPECT_EQ(cut(std::string(8, '\x80')), std::string(7, '\x80'));
  EXPECT_EQ(cut("ab"), "a");
}

class Streams : public ::testing::Test {
 protected:
  Streams() {
    put_file(folder_ / "a.txt", prose(3000, 1));
    put_file(folder_ / "b.txt", "short");
    put_file(folder_ / "c.txt", prose(499, 2));
    std::string lines;
    for (int i = 0; i < 200; ++i) lines += "{\"text\": \"" + std::string(i % 40, 'x') + "\"}\n";
    put_file(folder_ / "d.jsonl", lines);
    put_file(folder_ / "e.txt", std::string(1000, 'y'));
    put_file(folder_ / "f.jsonl", "{\"text\": \"no newline at the end\"}");
    put_file(folder_ / "g.gz", gzipped(prose(3000, 5)));
    put_file(folder_ / "h.jsonl.zst", zstd_compressed(lines));
    inputs_ = find({folder_.path()});
  }
  TestFolder folder_;
  TextInputs inputs_;
  TextSourceOptions options_{.piece_bytes = 500, .longest_line = 2000};
};

TEST_F(Streams, PiecesAreTheFilesInOrderWithinTheBound) {
  std::map<std::uint64_t, std::string> files;
  std::map<std::uint64_t, int> firsts, lasts;
  TextPosition at;
  for (const TextPiece& piece : pieces_of(inputs_, options_, {}, end_of(inputs_))) {
    EXPECT_LE(piece.bytes.size(), 500u);
    EXPECT_EQ(piece.begin, at);
    at = piece.end;
    std::size_t size = 0;
    for (const TextSegment& segment : piece.segments) {
      EXPECT_EQ(segment.begin, size);
      size += segment.size;
      EXPECT_EQ(segment.from.offset, files[segment.from.file].size());
      files[segment.from.file] += piece.bytes.substr(segment.begin, segment.size);
      firsts[segment.from.file] += segment.first;
      lasts[segment.from.file] += segment.last;
      if (inputs_.files[segment.from.file].jsonl && segment.from.file == 3) {
        EXPECT_EQ(piece.bytes[segment.begin + segment.size - 1], '\n');
      }
    }
    EXPECT_EQ(size, piece.bytes.size());
  }
  EXPECT_EQ(at, end_of(inputs_));
  for (std::size_t i = 0; i < inputs_.files.size(); ++i) {
    std::string text(inputs_.files[i].size, '\0');
    EXPECT_EQ(TextBytes(inputs_.files[i]).read_at(0, text), text.size());
    EXPECT_EQ(files[i], text);
    EXPECT_EQ(firsts[i], inputs_.files[i].jsonl ? 0 : 1);
    EXPECT_EQ(lasts[i], inputs_.files[i].jsonl ? 0 : 1);
  }
}

TEST_F(Streams, TakenUpAtAnyPieceTheRestIsTheSame) {
  for (const double fraction : {0.0, 0.3, 0.75}) {
    const TextPosition cut = validation_start(inputs_, fraction);
    for (const bool second : {false, true}) {
      const TextPosition begin = second ? cut : TextPosition{};
      const TextPosition end = second ? end_of(inputs_) : cut;
      const auto pieces = pieces_of(inputs_, options_, begin, end);
      for (std::size_t from = 0; from < pieces.size(); ++from) {
        TextSource source(inputs_, options_, begin, end);
        source.seek(pieces[from].begin);
        const auto rest = pieces_of(source);
        ASSERT_EQ(rest.size(), pieces.size() - from);
        for (std::size_t i = 0; i < rest.size(); ++i) ASSERT_TRUE(same(rest[i], pieces[from + i]));
      }
    }
  }
}

TEST_F(Streams, TwoPartsHoldEveryByteOnce) {
  for (double fraction = 0; fraction <= 1; fraction += 0.01) {
    const TextPosition cut = validation_start(inputs_, fraction);
    std::uint64_t parts[2] = {0, 0};
    for (const bool second : {false, true}) {
      const auto pieces = pieces_of(inputs_, options_, second ? cut : TextPosition{},
                                    second ? end_of(inputs_) : cut);
      for (const TextPiece& piece : pieces) parts[second] += piece.bytes.size();
      if (!pieces.empty() && !inputs_.files[pieces.front().begin.file].jsonl) {
        EXPECT_TRUE(pieces.front().segments.front().first);
      }
      if (!pieces.empty() && !inputs_.files[pieces.back().segments.back().from.file].jsonl) {
        EXPECT_TRUE(pieces.back().segments.back().last);
      }
    }
    EXPECT_EQ(parts[0] + parts[1], inputs_.bytes);
    // Half of the part, or a line or cut window.
    EXPECT_NEAR(double(parts[1]), fraction * double(inputs_.bytes),
                0.5 * fraction * double(inputs_.bytes) + 60);
  }
}

TEST_F(Streams, ALineBeyondTheLimitIsNamed) {
  put_file(folder_ / "long.jsonl", "{}\n{}\n{\"text\": \"" + std::string(5000, 'x') + "\"}\n");
  const TextInputs inputs = find({folder_ / "long.jsonl"});
  expect_error(
      ErrorCode::data, [&] { pieces_of(inputs, options_, {}, end_of(inputs)); },
      "more than 2000 bytes", "long.jsonl, line 3");
  options_.longest_line = 6000;
  const auto pieces = pieces_of(inputs, options_, {}, end_of(inputs));
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].bytes, "{}\n{}\n");
}

TEST_F(Streams, AFileThatShrinksIsNamed) {
  fs::resize_file(folder_ / "c.txt", 100);
  expect_error(
      ErrorCode::data, [&] { pieces_of(inputs_, options_, {}, end_of(inputs_)); }, "c.txt",
      "shorter");
  fs::remove(folder_ / "c.txt");
  expect_error(
      ErrorCode::data, [&] { pieces_of(inputs_, options_, {}, end_of(inputs_)); }, "c.txt");
}

TEST(ValidationStart, CutsWhereThePartsMakeSense) {
  TestFolder folder;
  put_file(folder / "a.txt", prose(10'000, 3));
  const TextInputs one = find({folder / "a.txt"});
  const TextPosition cut = validation_start(one, 0.02);
  EXPECT_EQ(cut.file, 0u);
  EXPECT_GE(cut.offset, 9800u);
  EXPECT_LT(cut.offset, 9900u);
  EXPECT_EQ(contents_of(folder / "a.txt")[cut.offset - 1], '\n');
  EXPECT_EQ(validation_start(one, 0), end_of(one));
  EXPECT_EQ(validation_start(one, 1), TextPosition{});

  for (int i = 0; i < 10; ++i) {
    put_file(folder / ("b" + std::to_string(i)), prose(1000, 4));
  }
  fs::remove(folder / "a.txt");
  const TextInputs ten = find({folder.path()});
  EXPECT_EQ(validation_start(ten, 0.1), (TextPosition{9, 0}));
  EXPECT_EQ(validation_start(ten, 0.14), (TextPosition{9, 0}));  // 0.4 of a document given up
  EXPECT_EQ(validation_start(ten, 0.02).file, 9u);               // within the last
}

TEST(ValidationStart, NeverCutsALineOfJsonl) {
  TestFolder folder;
  const std::string line = "{\"text\": \"some words\"}\n";
  put_file(folder / "a.jsonl", line);
  EXPECT_EQ(validation_start(find({folder / "a.jsonl"}), 0.5), end_of(find({folder / "a.jsonl"})));
  put_file(folder / "a.jsonl", line + line + line);
  for (double fraction = 0.01; fraction < 1; fraction += 0.01) {
    const TextPosition cut = validation_start(find({folder / "a.jsonl"}), fraction);
    EXPECT_EQ(cut.offset % line.size(), 0u);
    EXPECT_GT(cut.offset, 0u);
    EXPECT_EQ(cut.file, 0u);
  }
}

JsonTextStatus read(std::string_view line, std::string& text, std::string_view field = "text") {
  return text_of_json_line(line, field, text);
}

TEST(TextOfJsonLine, FindsTheFieldAndResolvesEscapes) {
  std::string text;
  const std::pair<const char*, const char*> good[] = {
      {R"({"text": "plain"})", "plain"},
      {R"( {"a":[1,-2.5e+3,{"text":"no"},[]],"b":{},"text":"yes","c":null,"d":true} )", "yes"},
      {R"({"text":"\"\\\/\b\f\n\r\t"})", "\"\\/\b\f\n\r\t"},
      {R"({"text":"\u0041\u00e4\u20AC\ud83d\ude00"})", "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
      {R"({"text":"\ud83dx\ude00\ud83d\u0041"})",
       "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd"
       "A"},
      {R"({"\u0074ext":"escaped key"})", "escaped key"},
      {R"({"text":"first","text":"last"})", "last"},
      {"{\"text\":\"\xff\xfe raw \xc3\"}", "\xff\xfe raw \xc3"},
  };
  for (const auto& [line, expected] : good) {
    EXPECT_EQ(read(line, text), JsonTextStatus::found) << line;
    EXPECT_EQ(text, expected) << line;
  }
  EXPECT_EQ(read(R"({"text":"\u0000"})", text), JsonTextStatus::found);
  EXPECT_EQ(text, std::string(1, '\0'));
  EXPECT_EQ(read(R"({"body":"b"})", text, "body"), JsonTextStatus::found);
}

// Python's json.dump writes them, pandas' and datasets' exports hold them.
TEST(TextOfJsonLine, NumbersOfPythonInOtherFieldsAreNoMatter) {
  std::string text;
  const char* line = R"({"score": NaN, "a": [Infinity, -Infinity], "text": "yes"})";
  EXPECT_EQ(read(line, text), JsonTextStatus::found);
  EXPECT_EQ(text, "yes");
  EXPECT_EQ(read(R"({"text": NaN})", text), JsonTextStatus::not_text);
  EXPECT_EQ(read(R"({"a": Nan, "text": "yes"})", text), JsonTextStatus::malformed);
}

TEST(TextOfJsonLine, TellsEmptyMissingAndWrongKindsApart) {
  std::string text;
  EXPECT_EQ(read(R"({"text":""})", text), JsonTextStatus::empty);
  EXPECT_EQ(read(R"({"text":null})", text), JsonTextStatus::empty);
  EXPECT_EQ(read(R"({})", text), JsonTextStatus::missing);
  EXPECT_EQ(read(R"({"a":{"text":"inner"}})", text), JsonTextStatus::missing);
  EXPECT_EQ(read(R"({"text":["a"]})", text), JsonTextStatus::not_text);
  EXPECT_EQ(read(R"({"text":1})", text), JsonTextStatus::not_text);
  EXPECT_EQ(text, "");
}

TEST(TextOfJsonLine, RefusesWhatIsNotOneObject) {
  std::string text;
  for (const char* line : {"",
                           "text",
                           "[]",
                           "{",
                           "}",
                           "{\"text\"}",
                           "{\"text\":}",
                           "{\"text\":\"a\"",
                           "{\"text\":\"a",
                           "{\"text\":\"a\"}}",
                           "{\"text\":\"a\"} {}",
                           "{\"text\":\"a\",}",
                           "{text:\"a\"}",
                           "{\"text\":\"\\x\"}",
                           "{\"text\":\"\\u12\"}",
                           "{\"text\":\"\\u12g4\"}",
                           "{\"text\":\"\\",
                           "{\"text\":nul}",
                           "{\"a\":1.}",
                           "{\"a\":-}",
                           "{\"a\":1e}",
                           "{\"a\":[1,]}",
                           "{\"a\":[1}",
                           "{\"a\":{\"b\":1]}",
                           "{\"a\":{1:2}}",
                           "{\"a\":[",
                           "{\"a\" 1}"}) {
    EXPECT_EQ(read(line, text), JsonTextStatus::malformed) << line;
  }
  const auto nested = [](std::size_t depth) {
    return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_EQ(read(nested(1000), text), JsonTextStatus::missing);
  EXPECT_EQ(read(nested(1001), text), JsonTextStatus::malformed);
  EXPECT_EQ(read("{\"a\":" + std::string(1 << 20, '['), text), JsonTextStatus::malformed);
}

TEST(TextOfJsonLine, SurvivesMutatedLines) {
  const std::string seed =
      R"({"a":[1,-2.5e+3,{"text":"no"},[]],"text":"\u00e4\ud83d\ude00 \n yes","c":null,"d":true})";
  fuzz::Rng rng(5);
  std::string text;
  int malformed = 0;
  for (int i = 0; i < 20'000; ++i) {
    malformed += read(fuzz::mutate(seed, rng), text) == JsonTextStatus::malformed;
  }
  EXPECT_GT(malformed, 5'000);
  EXPECT_LT(malformed, 20'000);
}

}  // namespace
}  // namespace ingot
