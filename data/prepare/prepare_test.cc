#include "data/prepare/prepare.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "data/prepare/text_source.h"
#include "data/shards/dataset.h"
#include "data/shards/shard.h"
#include "data/shards/shard_testing.h"
#include "data/tokenizer/tokenizer.h"
#include "io/compressed_testing.h"
#include "io/test_folder.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kVocabulary = 600;

// Prose and code of made-up words: frequent ones are short, as in a language. Always the same.
const std::string& real_text() {
  static const std::string text = [] {
    fuzz::Rng rng(11);
    std::vector<std::string> words(800);
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::size_t size = 1 + rng.below(2 + i / 80);
      for (std::size_t k = 0; k < size; ++k) words[i] += static_cast<char>('a' + rng.below(26));
      if (i % 50 == 49) words[i] += "\u00e4\u4e2d";
    }
    const auto word = [&] { return words[rng.below(1 + rng.below(words.size()))]; };
    static constexpr const char* kMarks[] = {", ", ". ", " ",  " ",   " ",  " ",
                                             " (", ") ", "->", " = ", "; ", ": \""};
    std::string all;
    while (all.size() < 400'000) {
      all.append(2 * rng.below(4), ' ');
      for (std::size_t count = 1 + rng.below(14); count > 0; --count) {
        all += rng.one_in(12) ? std::to_string(rng.below(5000)) : word();
        if (count > 1) all += kMarks[rng.below(std::size(kMarks))];
      }
      all += rng.one_in(8) ? "\n\n" : rng.one_in(3) ? " {\n" : ".\n";
    }
    return all;
  }();
  return text;
}

// A part of the real text that is not the same for two numbers.
std::string real_text(std::size_t number, std::size_t size) {
  const std::size_t from = number * 7919 % (real_text().size() - size);
  return real_text().substr(from, size);
}

std::map<std::string, std::string> shards_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".bin") || name.ends_with(".idx")) files[name] = contents_of(entry.path());
  }
  return files;
}

// All tokens of train-*.bin or validation-*.bin.
std::vector<std::uint32_t> tokens_in(const fs::path& folder, const std::string& part) {
  std::vector<std::uint32_t> tokens;
  const Dataset data({.patterns = {folder / (part + "-*.bin")}, .sequence_length = 1});
  for (const Shard& shard : data.shards()) {
    shard.verify();
    for (const std::int32_t token : tokens_of(shard)) tokens.push_back(std::uint32_t(token));
  }
  return tokens;
}

class Prepare : public ::testing::Test {
 protected:
  Prepare() {
    fs::create_directory(folder_ / "in");
    // A tokenizer trained once for all tests.
    static const TestFolder trained;
    tokenizer_ = trained / "out/tokenizer.json";
    if (!fs::exists(tokenizer_)) {
      put_file(trained / "text", real_text().substr(0, 200'000));
      prepare({.inputs = {trained / "text"},
               .tokenizer = "train",
               .vocabulary_size = kVocabulary,
               .output = trained / "out",
               .progress = false});
    }
  }

  PrepareOptions options(const std::string& output = "out") const {
    return {.inputs = {folder_ / "in"},
            .tokenizer = tokenizer_,
            .output = folder_ / output,
            .shard_tokens = 100'000,
            .threads = 2,
            .progress = false};
  }

  // Folders, files, JSONL and one file of several pieces.
  void put_mixed_text() {
    fs::create_directories(folder_ / "in/deep");
    for (std::size_t i = 0; i < 30; ++i) {
      put_file(folder_ / "in/deep" / ("f" + std::to_string(i)), real_text(i, 100 + 700 * i));
    }
    std::ofstream lines(folder_ / "in/lines.jsonl");
    for (std::size_t i = 0; i < 2000; ++i) {
      lines << "{\"id\": " << i << ", \"text\": \"words of line " << i << " \\u00e4 \\n";
      lines << std::string(i % 300, 'x') << "\"}\n";
      if (i % 100 == 0) lines << "{\"text\": \"\"}\n\n";
    }
    std::string large;
    for (std::size_t i = 0; i < 6; ++i) large += real_text(i + 40, 90'000);
    put_file(folder_ / "in/large.txt", large);
    put_file(folder_ / "in/tail.txt", real_text(3, 40'000));
  }

  TestFolder folder_;
  fs::path tokenizer_;
};

TEST_F(Prepare, TokensAreThoseOfTheDocumentsWithAnEndAfterEach) {
  std::vector<std::string> documents;
  for (std::size_t i = 0; i < 20; ++i) {
    documents.push_back(real_text(i, 500 + 100 * i));
    put_file(folder_ / "in" / ("d" + std::string(1, char('a' + i))), documents.back());
  }
  PrepareOptions asked = options();
  asked.validation = 0.15;
  const PrepareResult result = prepare(asked);
  const Tokenizer tokenizer = Tokenizer::load(folder_ / "out/tokenizer.json");
  const std::uint32_t end = *tokenizer.token_id("<|endoftext|>");
  std::vector<std::uint32_t> expected, documents_at;
  for (const std::string& document : documents) {
    documents_at.push_back(std::uint32_t(expected.size()));
    tokenizer.encode(document, expected);
    expected.push_back(end);
  }
  auto tokens = tokens_in(folder_ / "out", "train");
  const auto validation = tokens_in(folder_ / "out", "validation");
  EXPECT_EQ(result.train_tokens, tokens.size());
  EXPECT_EQ(result.validation_tokens, validation.size());
  EXPECT_EQ(result.documents, 20u);
  const ShardIndex index{Shard(folder_ / "out/train-00000.bin")};
  for (std::uint64_t i = 0; i < index.document_count(); ++i) {
    EXPECT_EQ(index.first_token(i), documents_at[i]);
  }
  // Whole documents are kept back, near the part asked for.
  EXPECT_EQ(validation.size(), expected.size() - documents_at[index.document_count()]);
  EXPECT_NEAR(double(validation.size()) / double(expected.size()), 0.15, 0.075);
  tokens.insert(tokens.end(), validation.begin(), validation.end());
  EXPECT_EQ(tokens, expected);
  EXPECT_EQ(Shard(folder_ / "out/train-00000.bin").header().tokenizer_hash, tokenizer.hash());
  EXPECT_NE(summary_of(result).find("20 documents"), std::string::npos);
}

TEST_F(Prepare, AHugeDocumentGivesTheTokensOfTheWhole) {
  std::string text;
  while (text.size() < 1'500'000) text += real_text();
  put_file(folder_ / "in/huge.txt", text);
  PrepareOptions asked = options();
  asked.validation = 0;
  const PrepareResult result = prepare(asked);
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_);
  std::vector<std::uint32_t> expected = tokenizer.encode(text);
  expected.push_back(*tokenizer.token_id("<|endoftext|>"));
  EXPECT_TRUE(tokens_in(folder_ / "out", "train") == expected);
  EXPECT_EQ(result.documents, 1u);
  EXPECT_GT(result.train_shards, 3u);
}

// What data/prepare/text_source.h promises of last_place_to_cut(), on places chosen all over real
// text.
TEST_F(Prepare, CutsKeepTheTokensOfEveryKindOfTokenizer) {
  for (const char* kind : {"gpt2", "llama3", "qwen2", "deepseek_v2", "deepseek_v3"}) {
    const Tokenizer tokenizer =
        Tokenizer::load("data/tokenizer/testdata/" + std::string(kind) + ".json");
    int promised = 0;
    for (std::size_t i = 0; i < 300; ++i) {
      const std::string text = real_text(i * 31, 1500);
      const std::size_t cut = last_place_to_cut(std::string_view(text).substr(0, 1200));
      // Anything else is the last resort, which promises nothing.
      const bool at_line = text[cut - 1] == '\n' && std::isalpha(text[cut]);
      const bool at_space = text[cut] == ' ' && std::isalpha(text[cut + 1]);
      if (!(at_line || at_space) || !std::isgraph(text[cut - (at_line ? 2 : 1)])) continue;
      ++promised;
      auto parts = tokenizer.encode(text.substr(0, cut));
      tokenizer.encode(text.substr(cut), parts);
      ASSERT_EQ(parts, tokenizer.encode(text)) << kind << ": " << text.substr(cut - 20, 40);
    }
    EXPECT_GT(promised, 250);
  }
}

TEST_F(Prepare, TheNumberOfThreadsChangesNothing) {
  put_mixed_text();
  prepare(options("two"));
  const auto two = shards_in(folder_ / "two");
  EXPECT_GT(two.size(), 8u);
  for (const int threads : {1, 7}) {
    PrepareOptions asked = options("other" + std::to_string(threads));
    asked.threads = threads;
    prepare(asked);
    EXPECT_EQ(shards_in(asked.output), two);
  }
}

TEST_F(Prepare, DocumentsCountOnceHoweverManyShardsHoldThem) {
  put_mixed_text();
  const PrepareResult result = prepare(options());
  // 30 files, 2000 lines, two texts; the large or the last one is cut for validation.
  EXPECT_EQ(result.documents, 2033u);
  EXPECT_EQ(result.empty_documents, 20u);
  std::uint64_t ends = 0;
  const std::uint32_t end = *Tokenizer::load(tokenizer_).token_id("<|endoftext|>");
  for (const char* part : {"train", "validation"}) {
    for (const std::uint32_t token : tokens_in(folder_ / "out", part)) ends += token == end;
  }
  EXPECT_EQ(ends, result.documents);
}

// Waits until the file is there, or the child has ended.
bool wait_for(const fs::path& file, pid_t child, int& status) {
  while (!fs::exists(file)) {
    if (::waitpid(child, &status, WNOHANG) == child) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

TEST_F(Prepare, KilledAtAnyShardItGoesOnToTheSameResult) {
  put_mixed_text();
  PrepareOptions asked = options("reference");
  asked.shard_tokens = 15'000;
  prepare(asked);
  const auto reference = shards_in(asked.output);

  asked.output = folder_ / "killed";
  int kills = 0;
  bool resumed = false;
  for (int shard = 0;; ++shard) {
    ASSERT_LT(shard, 100);
    const pid_t child = ::fork();
    if (child == 0) {
      ::setpriority(PRIO_PROCESS, 0,
                    19);  // it must not be done before the parent gets to see a shard
      try {
        const PrepareResult result = prepare(asked);
        ::_exit(result.resumed_shards > 0 ? 1 : 0);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        ::_exit(2);
      }
    }
    int status = 0;
    const std::string number = std::to_string(shard);
    const fs::path next =
        fs::path(asked.output) / ("train-" + std::string(5 - number.size(), '0') + number + ".bin");
    if (wait_for(next, child, status)) {
      // Some kills hit before the shard is recorded, some after.
      std::this_thread::sleep_for(std::chrono::milliseconds(shard % 3 * 4));
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
    }
    if (WIFEXITED(status)) {
      ASSERT_LT(WEXITSTATUS(status), 2);
      resumed = WEXITSTATUS(status) == 1;
      break;
    }
    ++kills;
  }
  EXPECT_GE(kills, 3);
  EXPECT_TRUE(resumed);
  EXPECT_EQ(shards_in(asked.output), reference);
  for (const auto& entry : fs::directory_iterator(asked.output)) {
    EXPECT_NE(entry.path().extension(), ".partial");
  }
}

TEST_F(Prepare, DoneWorkIsNotDoneAgainAndALostShardIsMadeAgain) {
  put_mixed_text();
  const PrepareResult first = prepare(options());
  const auto before = shards_in(folder_ / "out");
  const PrepareResult again = prepare(options());
  EXPECT_EQ(again.encoded_bytes, 0u);
  EXPECT_EQ(again.train_tokens, first.train_tokens);
  EXPECT_EQ(again.documents, first.documents);
  EXPECT_EQ(again.resumed_shards, first.train_shards + first.validation_shards);
  fs::remove(folder_ / "out/train-00001.bin");
  fs::resize_file(folder_ / "out/validation-00000.idx", 10);
  const PrepareResult mended = prepare(options());
  EXPECT_EQ(mended.resumed_shards, 1u);
  EXPECT_EQ(shards_in(folder_ / "out"), before);
  // Its header and size are right.
  std::string bytes = contents_of(folder_ / "out/train-00001.bin");
  bytes[bytes.size() - 2] ^= 1;
  put_file(folder_ / "out/train-00001.bin", bytes);
  EXPECT_LT(prepare(options()).resumed_shards, first.train_shards);
  EXPECT_EQ(shards_in(folder_ / "out"), before);
}

// As Llama-3 was trained.
TEST_F(Prepare, DocumentsBeginAsTheTokenizerBeginsATextIfAskedTo) {
  put_file(folder_ / "in/a", "some words");
  put_file(folder_ / "in/b.jsonl", "{\"text\": \"more\"}\n{\"text\": \"and more\"}\n");
  std::string json = contents_of(tokenizer_);
  PrepareOptions asked = options();
  asked.validation = 0;
  asked.begin_of_text = true;
  expect_error(
      ErrorCode::usage, [&] { prepare(asked); }, "begins a text with no token", "--begin-of-text");
  fs::remove_all(folder_ / "out");
  const std::size_t at = json.find("\"model\"");
  json.insert(at, R"("post_processor": {"type": "TemplateProcessing", "single":
      [{"SpecialToken": {"id": "!", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "special_tokens": {"!": {"id": "!", "ids": [1], "tokens": ["!"]}}}, )");
  asked.tokenizer = folder_ / "begins.json";
  put_file(asked.tokenizer, json);
  prepare(asked);
  const Tokenizer tokenizer = Tokenizer::load(asked.tokenizer);
  const std::uint32_t end = *tokenizer.token_id("<|endoftext|>");
  std::vector<std::uint32_t> expected;
  for (const char* text : {"some words", "more", "and more"}) {
    expected.push_back(1);
    tokenizer.encode(text, expected);
    expected.push_back(end);
  }
  EXPECT_EQ(tokens_in(folder_ / "out", "train"), expected);
  const Shard shard(folder_ / "out/train-00000.bin");
  EXPECT_EQ(shard.header().begin_of_text, 1u);
  EXPECT_EQ(shard.header().end_of_text, end);
  asked.begin_of_text = false;
  expect_error(
      ErrorCode::usage, [&] { prepare(asked); }, "--begin-of-text was token 1, is now not given");
}

TEST_F(Prepare, OtherSettingsAreRefusedAndNothingIsOverwritten) {
  put_mixed_text();
  prepare(options());
  const auto before = shards_in(folder_ / "out");
  PrepareOptions other = options();
  other.validation = 0.1;
  expect_error(
      ErrorCode::usage, [&] { prepare(other); }, "--validation was 0.02, is now 0.1",
      "--overwrite");
  other = options();
  other.end_of_text = "the";
  expect_error(
      ErrorCode::usage, [&] { prepare(other); }, "--eos");
  put_file(folder_ / "in/tail.txt", "shorter now");
  expect_error(
      ErrorCode::usage, [&] { prepare(options()); }, "files of");
  EXPECT_EQ(shards_in(folder_ / "out"), before);

  other = options();
  other.overwrite = true;
  other.shard_tokens = 1'000'000;  // fewer shards: the old ones must go
  const PrepareResult result = prepare(other);
  EXPECT_EQ(shards_in(folder_ / "out").size(),
            2 * (result.train_shards + result.validation_shards));
  EXPECT_LT(shards_in(folder_ / "out").size(), before.size());
}

TEST_F(Prepare, ForeignFilesInTheFolderAreNotTouched) {
  put_file(folder_ / "in/a", real_text(1, 5000));
  fs::create_directory(folder_ / "out");
  put_file(folder_ / "out/train-00000.bin", "mine");
  expect_error(
      ErrorCode::usage, [&] { prepare(options()); }, "already holds train-00000.bin");
  EXPECT_EQ(contents_of(folder_ / "out/train-00000.bin"), "mine");
  fs::remove(folder_ / "out/train-00000.bin");
  put_file(folder_ / "out/tokenizer.json", "mine");
  expect_error(
      ErrorCode::usage, [&] { prepare(options()); }, "already holds tokenizer.json");
  put_file(folder_ / "out/tokenizer.json", contents_of(tokenizer_));
  PrepareOptions inside = options();
  inside.tokenizer = folder_ / "out/tokenizer.json";
  prepare(inside);
  put_file(folder_ / "out/prepare.json", "{\"format\": 1");
  expect_error(
      ErrorCode::data, [&] { prepare(inside); }, "prepare.json", "--overwrite");
}

TEST_F(Prepare, TrainsATokenizerThatLaterRunsTakeUp) {
  put_mixed_text();
  PrepareOptions asked = options();
  asked.tokenizer = "train";
  asked.vocabulary_size = 500;
  const PrepareResult result = prepare(asked);
  EXPECT_EQ(result.vocabulary_size, 500u);
  EXPECT_EQ(Tokenizer::load(folder_ / "out/tokenizer.json").vocabulary_size(), 500u);
  const auto before = shards_in(folder_ / "out");
  fs::remove(folder_ / "out/train-00000.bin");
  EXPECT_EQ(prepare(asked).tokenizer_seconds, 0);
  EXPECT_EQ(shards_in(folder_ / "out"), before);
  asked.vocabulary_size = 501;
  expect_error(
      ErrorCode::usage, [&] { prepare(asked); }, "--vocab was 500, is now 501");
  fs::copy_file(tokenizer_, folder_ / "out/tokenizer.json", fs::copy_options::overwrite_existing);
  asked.vocabulary_size = 500;
  expect_error(
      ErrorCode::usage, [&] { prepare(asked); }, "--tokenizer");
}

TEST_F(Prepare, ASampleOfTheTextTrainsTheTokenizer) {
  put_mixed_text();
  PrepareOptions asked = options();
  asked.tokenizer = "train";
  asked.vocabulary_size = 400;
  asked.sample_bytes = 300'000;
  EXPECT_EQ(prepare(asked).vocabulary_size, 400u);
}

TEST_F(Prepare, BytesThatAreNoTextAreKept) {
  std::string bytes;
  for (int i = 1; i < 256; ++i) bytes += static_cast<char>(i);
  put_file(folder_ / "in/a", bytes + "\n" + bytes);
  put_file(folder_ / "in/b.jsonl", "{\"text\": \"\xff\xc3 raw\"}");
  PrepareOptions asked = options();
  asked.validation = 0;
  prepare(asked);
  const auto tokens = tokens_in(folder_ / "out", "train");
  EXPECT_EQ(Tokenizer::load(tokenizer_).decode(tokens, /*skip_special=*/true),
            bytes + "\n" + bytes + "\xff\xc3 raw");
}

// The same documents however they are stored: ids must be equal.
TEST_F(Prepare, EveryWayToStoreDocumentsGivesTheSameTokens) {
  std::string lines, spread = "[\n";
  for (std::size_t i = 0; i < 15000; ++i) {
    const std::string text = "\"words of document " + std::to_string(i) + " \\u00e4, {]\\n\"";
    lines += "{\"id\": " + std::to_string(i) + ", \"text\": " + text + ", \"score\": NaN}\n";
    spread += (i > 0 ? ",\n  {\n" : "  {\n");
    spread += "    \"id\": " + std::to_string(i) + ",\n    \"text\": " + text + "\n  }";
  }
  spread += "\n]\n";
  const std::pair<const char*, std::string> ways[] = {
      {"a.jsonl", lines},
      {"a.JSON", "\xEF\xBB\xBF" + lines},
      {"a.json", spread},
      {"a.json.gz", gzipped(spread)},
      {"a.jsonl.zst",
       zstd_compressed(lines.substr(0, 50'000)) + zstd_compressed(lines.substr(50'000))}};
  std::vector<std::uint32_t> expected;
  for (const auto& [name, content] : ways) {
    fs::remove_all(folder_ / "in");
    fs::create_directory(folder_ / "in");
    put_file(folder_ / "in" / name, content);
    PrepareOptions asked = options(name);
    asked.validation = 0;
    asked.shard_tokens = 20'000;
    const PrepareResult result = prepare(asked);
    EXPECT_EQ(result.documents, 15000u) << name;
    if (expected.empty()) expected = tokens_in(asked.output, "train");
    EXPECT_TRUE(tokens_in(asked.output, "train") == expected) << name;
    // Taken up in the middle of the file.
    ASSERT_TRUE(fs::remove(fs::path(asked.output) / "train-00001.bin"));
    EXPECT_EQ(prepare(asked).resumed_shards, 1u);
    EXPECT_TRUE(tokens_in(asked.output, "train") == expected) << name;
  }
}

TEST_F(Prepare, AByteOrderMarkIsNoTextAndOtherEncodingsAreNoted) {
  put_file(folder_ / "in/a", "\xEF\xBB\xBFtext");
  put_file(folder_ / "in/b",
           "Stra\xDF"
           "e");
  PrepareOptions asked = options();
  asked.validation = 0;
  const PrepareResult result = prepare(asked);
  EXPECT_EQ(Tokenizer::load(tokenizer_).decode(tokens_in(folder_ / "out", "train"), true),
            "textStra\xDF"
            "e");
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_NE(result.notes[0].find("1 text is not UTF-8"), std::string::npos) << result.notes[0];
  EXPECT_NE(result.notes[0].find("in/b"), std::string::npos) << result.notes[0];
}

TEST_F(Prepare, BadInputIsOneErrorThatNamesIt) {
  put_file(folder_ / "in/a.jsonl", "{\"text\": \"a\"}\n\n{\"body\": \"b\"}\n");
  expect_error(
      ErrorCode::data, [&] { prepare(options()); }, "no field \"text\"", "a.jsonl, line 3",
      "--field");
  put_file(folder_ / "in/a.jsonl", "{\"text\": \"a\"}\n{\"text\": 5}\n");
  PrepareOptions asked = options();
  asked.overwrite = true;
  expect_error(
      ErrorCode::data, [&] { prepare(asked); }, "not a string", "line 2");
  put_file(folder_ / "in/a.jsonl", "{\"text\": \"a\"\n");
  expect_error(
      ErrorCode::data, [&] { prepare(asked); }, "not one JSON object", "line 1");
  put_file(folder_ / "in/a.jsonl", "{\"text\": \"\"}\n");
  expect_error(
      ErrorCode::data, [&] { prepare(asked); }, "every document is empty");
  fs::remove(folder_ / "in/a.jsonl");
  expect_error(
      ErrorCode::data, [&] { prepare(asked); }, "no text");
  asked.end_of_text = "<|none|>";
  put_file(folder_ / "in/a", "text");
  expect_error(
      ErrorCode::usage, [&] { prepare(asked); }, "<|none|>", "--eos");
  asked = options();
  asked.tokenizer = folder_ / "missing.json";
  expect_error(
      ErrorCode::data, [&] { prepare(asked); }, "missing.json");
}

TEST_F(Prepare, OptionsThatMakeNoSenseAreUsageErrors) {
  put_file(folder_ / "in/a", "text");
  const auto refused = [&](auto change, const std::string& part) {
    PrepareOptions asked = options("none");
    change(asked);
    expect_error(
        ErrorCode::usage, [&] { prepare(asked); }, part);
  };
  refused([](auto& o) { o.inputs.clear(); }, "--input");
  refused([](auto& o) { o.output.clear(); }, "--output");
  refused([](auto& o) { o.tokenizer.clear(); }, "--tokenizer");
  refused([](auto& o) { o.validation = 0.6; }, "--validation");
  refused([](auto& o) { o.validation = std::nan(""); }, "--validation");
  refused([](auto& o) { o.shard_tokens = 0; }, "--shard-tokens");
  refused([](auto& o) { o.threads = 0; }, "--threads");
  for (const std::uint32_t vocabulary : {0u, 100u, ~0u}) {
    refused(
        [=](auto& o) {
          o.tokenizer = "train";
          o.vocabulary_size = vocabulary;
        },
        "a vocabulary of " + std::to_string(vocabulary));
  }
  EXPECT_FALSE(fs::exists(folder_ / "none"));
}

TEST_F(Prepare, AFolderThatCannotBeWrittenIsADeviceErrorBeforeAnyWork) {
  put_file(folder_ / "in/a", "text");
  PrepareOptions asked = options();
  asked.output = folder_ / "in/a/out";
  expect_error(
      ErrorCode::device, [&] { prepare(asked); }, "in/a/out");
  asked.output = "/proc/ingot";
  expect_error(
      ErrorCode::device, [&] { prepare(asked); }, "/proc");
}

TEST_F(Prepare, TwoAtOnceInOneFolderAreRefused) {
  put_mixed_text();
  // A child holds the folder: it stops itself once its first shard is there.
  PrepareOptions asked = options();
  asked.shard_tokens = 20'000;
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      prepare(asked);
    } catch (...) {
      ::_exit(2);
    }
    ::_exit(0);
  }
  int status = 0;
  ASSERT_TRUE(wait_for(folder_ / "out/prepare.json", child, status));
  ::kill(child, SIGSTOP);
  expect_error(
      ErrorCode::usage, [&] { prepare(asked); }, "another `ingot prepare`");
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  prepare(asked);
}

TEST_F(Prepare, AFullDiskIsADeviceErrorAndTheFinishedShardsAreTakenUp) {
  put_mixed_text();
  PrepareOptions asked = options("reference");
  asked.shard_tokens = 30'000;
  prepare(asked);
  asked.output = folder_ / "out";
  const int status = status_of_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    // The disk is full once two shards are there.
    std::thread([&] {
      while (!fs::exists(folder_ / "out/train-00001.bin")) std::this_thread::yield();
      const rlimit limit{10'000, 10'000};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }).detach();
    try {
      prepare(asked);
    } catch (const Error& error) {
      return error.code() == ErrorCode::device ? 0 : 1;
    }
    return 2;
  });
  EXPECT_EQ(status, 0);
  EXPECT_GE(shards_in(folder_ / "out").size(), 4u);
  EXPECT_LT(shards_in(folder_ / "out").size(), shards_in(folder_ / "reference").size());
  EXPECT_GE(prepare(asked).resumed_shards, 1u);
  EXPECT_EQ(shards_in(folder_ / "out"), shards_in(folder_ / "reference"));
}

}  // namespace
}  // namespace ingot
