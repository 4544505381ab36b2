#include "io/checkpoint_files.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "io/hash.h"
#include "io/test_folder.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

const std::vector<TensorDeclaration> kTensors = {{"weight", StoredType::f32, {20, 10}},
                                                 {"moment.codes", StoredType::i8, {20, 10}},
                                                 {"moment.scales", StoredType::f32, {2}},
                                                 {"v.codes", StoredType::u8, {20, 10}},
                                                 {"empty", StoredType::bf16, {0}}};

// Every byte of a checkpoint follows from its step.
std::string contents_at(std::int64_t step, const TensorDeclaration& tensor) {
  std::string bytes(bytes_of(tensor), '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(step * 31 + static_cast<std::int64_t>(i + tensor.name.size()));
  }
  return bytes;
}

struct Saver {
  fs::path directory;
  CheckpointOptions options = {.shard_limit = 300, .keep = 0};
  std::vector<std::string> warnings = {};

  void save(std::int64_t step) {
    options.warn = [this](const std::string& line) { warnings.push_back(line); };
    CheckpointWriter writer(directory, step, kTensors, options);
    for (const TensorDeclaration& tensor : writer.order()) {
      const std::string contents = contents_at(step, tensor);
      writer.append(tensor.name, std::as_bytes(std::span(contents)));
    }
    writer.add_file("tokenizer.json", "{}");
    writer.commit(R"({"config":{"z":1,"a":[0.1]},"data":{"position":)" + std::to_string(step) +
                  "}}");
  }
};

void expect_contents(const CheckpointReader& checkpoint, std::int64_t step) {
  EXPECT_EQ(checkpoint.step(), step);
  EXPECT_EQ(checkpoint.tensors().size(), kTensors.size());
  for (const TensorDeclaration& tensor : kTensors) {
    const SafetensorsEntry& entry = checkpoint.at(tensor.name);
    EXPECT_EQ(describe(entry), describe(tensor));
    const std::string expected = contents_at(step, tensor);
    EXPECT_TRUE(std::ranges::equal(entry.bytes, std::as_bytes(std::span(expected)))) << tensor.name;
    checkpoint.release(entry);
  }
}

// What find_newest_good returns and reports.
struct Found {
  explicit Found(const fs::path& directory)
      : checkpoint(CheckpointReader::find_newest_good(
            directory, [this](const std::string& name, const std::string& reason) {
              bad.push_back(name);
              reasons += reason + "\n";
            })) {}
  std::vector<std::string> bad;
  std::string reasons;
  std::optional<CheckpointReader> checkpoint;
};

void flip_bit(const fs::path& path, std::size_t byte, int bit) {
  std::string bytes = contents_of(path);
  bytes.at(byte) = static_cast<char>(bytes[byte] ^ 1 << bit);
  put_file(path, bytes);
}

TEST(Checkpoint, WhatWasSavedComesBack) {
  TestFolder folder;
  Saver saver{folder / "new/runs"};
  saver.save(500);
  EXPECT_EQ(CheckpointReader::list(folder / "new/runs"), std::vector<std::string>{"step_00000500"});
  EXPECT_EQ(files_in(folder / "new/runs"), 1u);
  const Found found(folder / "new/runs");
  ASSERT_TRUE(found.checkpoint);
  expect_contents(*found.checkpoint, 500);
  EXPECT_EQ(found.checkpoint->find("no"), nullptr);
  expect_error(
      ErrorCode::data, [&] { found.checkpoint->at("no"); }, "\"no\"", "step_00000500");
  EXPECT_EQ(found.checkpoint->files().size(), 4u);  // the tokenizer and three shards
  const std::string& manifest = found.checkpoint->manifest_text();
  EXPECT_LT(manifest.find("\"z\""), manifest.find("\"a\""));  // order kept
  EXPECT_NE(manifest.find("\"position\": 500"), std::string::npos);
  EXPECT_TRUE(saver.warnings.empty());
}

TEST(Checkpoint, SteadyNamesSortByStep) {
  EXPECT_EQ(checkpoint_name(0), "step_00000000");
  EXPECT_EQ(checkpoint_name(123456789012), "step_123456789012");
  TestFolder folder;
  for (const char* name :
       {"step_00000010", "step_100000000", "step_00000009", "step_00000011.partial", "step_7",
        "step_", "step_000000012", "step_-0000001", "step_99999999999999999999", "other"}) {
    fs::create_directory(folder / name);
  }
  put_file(folder / "step_00000001", "a file");
  EXPECT_EQ(CheckpointReader::list(folder.path()),
            (std::vector<std::string>{"step_00000009", "step_00000010", "step_100000000"}));
  EXPECT_TRUE(CheckpointReader::list(folder / "no").empty());
  EXPECT_FALSE(Found(folder / "no").checkpoint);
}

TEST(Checkpoint, EveryFlippedBitIsNoticedAndTheOneBeforeIsUsed) {
  TestFolder folder(fast_temporary_folder());
  Saver saver{folder.path()};
  saver.save(1);
  saver.save(2);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder / "step_00000002"))
    files.push_back(entry.path());
  EXPECT_EQ(files.size(), 5u);
  for (const fs::path& file : files) {
    const std::string original = contents_of(file);
    for (std::size_t byte = 0; byte < original.size(); byte += 1 + original.size() / 80) {
      const int bit = static_cast<int>(byte * 5 % 8);
      flip_bit(file, byte, bit);
      EXPECT_THROW(CheckpointReader::open(folder / "step_00000002"), Error) << file << byte;
      flip_bit(file, byte, bit);
    }
    flip_bit(file, original.size() / 2, 3);
    const Found found(folder.path());
    EXPECT_EQ(found.bad, std::vector<std::string>{"step_00000002"});
    EXPECT_NE(found.reasons.find(file.filename()), std::string::npos) << found.reasons;
    ASSERT_TRUE(found.checkpoint);
    expect_contents(*found.checkpoint, 1);
    put_file(file, original);
  }
  expect_contents(*Found(folder.path()).checkpoint, 2);
}

TEST(Checkpoint, TruncatedAndMissingFilesAreNoticedWithoutHashing) {
  TestFolder folder(fast_temporary_folder());
  Saver{folder.path()}.save(1);
  const fs::path checkpoint = folder / "step_00000001", manifest = checkpoint / "manifest.json";
  const std::string text = contents_of(manifest);
  for (std::size_t length = 0; length < text.size(); length += 3) {
    put_file(manifest, text.substr(0, length));
    expect_error(
        ErrorCode::data, [&] { CheckpointReader::open(checkpoint, Verify::structure); },
        "manifest");
  }
  put_file(manifest, text + " ");
  EXPECT_THROW(CheckpointReader::open(checkpoint, Verify::structure), Error);
  put_file(manifest, text);
  EXPECT_NO_THROW(CheckpointReader::open(checkpoint, Verify::structure));
  for (const auto& entry : fs::directory_iterator(checkpoint)) {
    const std::string name = entry.path().filename(), contents = contents_of(entry.path());
    put_file(entry.path(), contents.substr(1));
    expect_error(
        ErrorCode::data, [&] { CheckpointReader::open(checkpoint, Verify::structure); }, name);
    fs::remove(entry.path());
    expect_error(
        ErrorCode::data, [&] { CheckpointReader::open(checkpoint, Verify::structure); }, name);
    put_file(entry.path(), contents);
  }
}

// A manifest may be made by someone who knows the hash: what it says is not trusted either.
TEST(Checkpoint, ManifestsThatLieAreRefused) {
  const auto refused = [](const std::vector<WrittenFile>& files, const char* why) {
    const std::string text = format_manifest({.step = 1, .sequence = 1, .files = files}, "{}");
    expect_error(
        ErrorCode::data, [&] { parse_manifest(text, "m.json"); }, why, "m.json");
  };
  for (const char* name : {"../x", "/etc/passwd", "a/b", "..", ".", "", ".x", "a\nb"}) {
    refused({{name, 1, 1}}, "not in its own folder");
  }
  refused({{"a", 1, 1}, {"a", 1, 1}}, "twice");
  refused({{"manifest.json", 1, 1}}, "twice");
  const auto retouched = [](const std::string& from, const std::string& to) {
    std::string text = format_manifest({.step = 5, .sequence = 6, .files = {{"a", 1, 2}}}, "{}");
    text.replace(text.find(from), from.size(), to);
    const std::string rest = text.substr(text.find("\",\n"));
    return "{\n \"manifest_xxh3\": \"" + to_hex(hash_of(rest)) + rest;
  };
  EXPECT_EQ(parse_manifest(retouched("5", "7"), "m.json").step, 7);
  for (const auto& [from, to, why] : std::vector<std::array<const char*, 3>>{
           {": 5", ": -5", "step"},
           {": 5", ": 9007199254740993", "impossible step"},
           {": 6", ": 18446744073709551615", "sequence"},
           {": 6", ": 6.5", "sequence"},
           {"version\": 1", "version\": 2", "format version 2"},
           {"version\": 1", "version\": \"1\"", "format_version"},
           {"\"files\"", "\"filed\"", "no files"},
           {"\"files\"", "\"step\"", "twice"},
           {"\"bytes\": 1", "\"bytes\": -1", "bytes"},
           {"\"bytes\": 1", "\"bytes\": 1e9", "bytes"},
           {"\"0000000000000002\"", "\"2\"", "hash"},
           {"\"0000000000000002\"", "2", "hash"},
           {"\"name\": \"a\"", "\"name\": 1", "own folder"}}) {
    expect_error(
        ErrorCode::data, [&, f = from, t = to] { parse_manifest(retouched(f, t), "m.json"); }, why);
  }
}

TEST(Checkpoint, KeepsTheNewestGoodOnesAndRemovesOnlyAfterVerifying) {
  TestFolder folder;
  Saver saver{folder.path()};
  for (std::int64_t step = 1; step <= 4; ++step) saver.save(step);
  EXPECT_EQ(CheckpointReader::list(folder.path()).size(), 4u);
  flip_bit(folder / "step_00000004/tensors-00001-of-00003.safetensors", 400, 0);
  saver.options.keep = 3;
  saver.save(5);
  // 4 is damaged and does not count: 5, 3 and 2 stay, and 4 for who wants to look at it.
  EXPECT_EQ(CheckpointReader::list(folder.path()),
            (std::vector<std::string>{"step_00000002", "step_00000003", "step_00000004",
                                      "step_00000005"}));
  ASSERT_EQ(saver.warnings.size(), 1u);
  EXPECT_NE(saver.warnings[0].find("step_00000004 is damaged"), std::string::npos);
  saver.options.keep = 1;
  saver.save(6);
  EXPECT_EQ(CheckpointReader::list(folder.path()), std::vector<std::string>{"step_00000006"});
  put_file(folder / "step_00000006/manifest.json", "half");
  saver.save(7);
  EXPECT_EQ(CheckpointReader::list(folder.path()),
            (std::vector<std::string>{"step_00000006", "step_00000007"}));
  expect_contents(*Found(folder.path()).checkpoint, 7);
}

TEST(Checkpoint, ARunThatWentBackContinuesItsOwnBranch) {
  TestFolder folder;
  Saver saver{folder.path()};
  for (const std::int64_t step : {100, 200, 300}) saver.save(step);
  saver.save(150);  // resumed from 100
  expect_contents(*Found(folder.path()).checkpoint, 150);
  saver.options.keep = 2;
  saver.save(160);
  EXPECT_EQ(CheckpointReader::list(folder.path()),
            (std::vector<std::string>{"step_00000150", "step_00000160"}));
}

TEST(Checkpoint, TheSameStepIsReplaced) {
  TestFolder folder;
  Saver saver{folder.path()};
  saver.save(1);
  put_file(folder / "step_00000001/manifest.json", "damaged");
  saver.save(1);
  expect_contents(*Found(folder.path()).checkpoint, 1);
  saver.save(1);
  EXPECT_EQ(Found(folder.path()).checkpoint->sequence(), 2u);
  EXPECT_EQ(files_in(folder.path()), 1u);
  saver.options.exchange_names = false;
  saver.save(1);
  EXPECT_EQ(Found(folder.path()).checkpoint->sequence(), 3u);
  EXPECT_EQ(files_in(folder.path()), 1u);
}

// Where two names cannot be exchanged at once (NFS), killed between the two renames.
TEST(Checkpoint, AReplacementThatIsCutShortKeepsTheCheckpoint) {
  TestFolder folder;
  Saver saver{folder.path()};
  saver.options.keep = 1;
  saver.save(5);
  fs::rename(folder / "step_00000005", folder / "step_00000005.replaced");
  fs::create_directory(folder / "step_00000005.partial");
  EXPECT_EQ(CheckpointReader::list(folder.path()),
            std::vector<std::string>{"step_00000005.replaced"});
  expect_contents(*Found(folder.path()).checkpoint, 5);
  {
    CheckpointWriter given_up(folder.path(), 6, kTensors);  // cleans up
  }
  expect_contents(*Found(folder.path()).checkpoint, 5);
  saver.save(5);
  EXPECT_EQ(CheckpointReader::list(folder.path()), std::vector<std::string>{"step_00000005"});
  EXPECT_EQ(Found(folder.path()).checkpoint->sequence(), 2u);
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(Checkpoint, LeftoversOfKilledSavesAreIgnoredAndRemovedAtTheNext) {
  TestFolder folder;
  Saver saver{folder.path()};
  saver.save(1);
  fs::create_directory(folder / "step_00000009.partial");
  put_file(folder / "step_00000009.partial/manifest.json", "half");
  put_file(folder / "latest.12-3.partial", "st");
  put_file(folder / "latest", "step_00000001\n");  // both of earlier versions
  for (const char* mine : {"metrics.jsonl.partial", "step_notes.partial", "step_5.partial",
                           "latest_ideas.partial", "step_00000001.replaced.txt"}) {
    put_file(folder / mine, "not ours");
  }
  const Found found(folder.path());
  EXPECT_TRUE(found.bad.empty());
  expect_contents(*found.checkpoint, 1);
  saver.save(2);
  EXPECT_EQ(files_in(folder.path()), 7u);  // two checkpoints, and what is not ours
}

TEST(Checkpoint, ASaveThatIsGivenUpLeavesTheOldOnes) {
  TestFolder folder;
  Saver saver{folder.path()};
  saver.save(1);
  {
    CheckpointWriter writer(folder.path(), 2, kTensors, {.shard_limit = 300});
    for (const TensorDeclaration& tensor : writer.order()) {
      const std::string contents = contents_at(2, tensor);
      writer.append(tensor.name, std::as_bytes(std::span(contents)));
    }
  }
  EXPECT_EQ(files_in(folder.path()), 1u);
  expect_contents(*Found(folder.path()).checkpoint, 1);
}

// A disk that takes the bytes and keeps others: seen before anything older goes.
TEST(Checkpoint, WhatDoesNotReadBackIsNotPublishedAndTheOldOnesStay) {
  TestFolder folder;
  Saver saver{folder.path()};
  saver.options.keep = 1;
  saver.save(1);
  {
    CheckpointWriter writer(folder.path(), 2, kTensors, {.shard_limit = 300, .keep = 1});
    for (const TensorDeclaration& tensor : writer.order()) {
      const std::string contents = contents_at(2, tensor);
      writer.append(tensor.name, std::as_bytes(std::span(contents)));
    }
    writer.add_file("tokenizer.json", "{\"a\": 1}");
    put_file(folder / "step_00000002.partial/tokenizer.json", "{\"a\": 2}");
    expect_error(
        ErrorCode::device, [&] { writer.commit("{}"); }, "does not read back", "tokenizer.json");
  }
  EXPECT_EQ(CheckpointReader::list(folder.path()), std::vector<std::string>{"step_00000001"});
  expect_contents(*Found(folder.path()).checkpoint, 1);
}

TEST(Checkpoint, DiskFullMidwaySaysSoAndKeepsTheOldOnes) {
  TestFolder folder;
  Saver{folder.path()}.save(1);
  EXPECT_EQ(
      status_of_child([&] {
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{2 << 20, 2 << 20};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        const std::vector<std::byte> piece(100'000);
        expect_error(
            ErrorCode::device,
            [&] {
              CheckpointWriter writer(folder.path(), 2, {{"large", StoredType::u8, {50, 100'000}}});
              for (int i = 0; i < 50; ++i) writer.append("large", piece);
              writer.commit("{}");
            },
            "cannot write", "step_00000002.partial");
        return ::testing::Test::HasFailure() ? 1 : 0;
      }),
      0);
  EXPECT_EQ(files_in(folder.path()), 1u);
  expect_contents(*Found(folder.path()).checkpoint, 1);
}

TEST(Checkpoint, ReadOnlyAndImpossibleDirectoriesAreDeviceErrors) {
  TestFolder folder;
  put_file(folder / "file", "");
  expect_error(
      ErrorCode::device, [&] { CheckpointWriter(folder / "file", 1, {}); }, "file");
  expect_error(
      ErrorCode::device, [&] { CheckpointWriter(folder / "file/x", 1, {}); }, "file");
  ::chmod(folder.path().c_str(), 0555);
  EXPECT_EQ(status_of_child([&] {
              if (::geteuid() == 0 && ::seteuid(65534) != 0) return 1;
              expect_error(
                  ErrorCode::device, [&] { CheckpointWriter(folder.path(), 1, {}); },
                  "Permission denied");
              return ::testing::Test::HasFailure() ? 1 : 0;
            }),
            0);
}

TEST(Checkpoint, MisuseIsRefused) {
  TestFolder folder;
  const auto usage = [](auto&& action, const char* why) {
    expect_error(ErrorCode::usage, action, why);
  };
  usage([&] { CheckpointWriter(folder.path(), -1, {}); }, "negative");
  usage([&] { CheckpointWriter(folder.path(), 1, {kTensors[0], kTensors[0]}); }, "weight");
  for (const char* state : {"", "[]", "{", "{\"step\":1}", "{\"files\":[]}"}) {
    usage([&] { CheckpointWriter(folder.path(), 1, {}).commit(state); }, "state of a checkpoint");
  }
  for (const char* name : {"../x", "manifest.json", "x.safetensors", ""}) {
    usage([&] { CheckpointWriter(folder.path(), 1, {}).add_file(name, ""); }, "file of this name");
  }
  usage([&] { CheckpointWriter(folder.path(), 1, kTensors).commit("{}"); }, "not saved to its end");
  EXPECT_EQ(files_in(folder.path()), 0u);
}

TEST(FreeSpace, IsComparedWithWhatIsNeeded) {
  TestFolder folder;
  EXPECT_NO_THROW(require_free_space(folder / "not/yet", 1, "a checkpoint"));
  expect_error(
      ErrorCode::device, [&] { require_free_space(folder.path(), ~0ull, "two checkpoints"); },
      "not enough space for two checkpoints", "MiB needed", "free some space");
}

// The child saves without pause; it is killed at a random moment, again and again.
TEST(Checkpoint, KilledAtRandomMomentsAGoodOneIsAlwaysThere) {
  TestFolder folder(fast_temporary_folder());
  Saver saver{folder.path()};
  saver.options.keep = 2;
  // The kill falls anywhere in the first three saves, however slow this machine is.
  const auto start = std::chrono::steady_clock::now();
  std::int64_t newest = 3;
  for (std::int64_t step = 0; step <= newest; ++step) saver.save(step);
  const std::chrono::duration<double, std::micro> four_saves =
      std::chrono::steady_clock::now() - start;
  const auto window = static_cast<std::uint32_t>(four_saves.count() * 3 / 4);
  std::uint32_t random = 12345;
  for (int round = 0; round < 30; ++round) {
    saver.options.exchange_names = round % 2 == 0;
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        for (std::int64_t step = newest + 1;; ++step) saver.save(step % 7 == 3 ? step - 1 : step);
      } catch (...) {
        ::_exit(1);
      }
    }
    random = random * 1664525u + 1013904223u;
    ::usleep((random >> 8) % window);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the child stopped by itself";

    const Found found(folder.path());
    EXPECT_TRUE(found.bad.empty()) << found.reasons;
    ASSERT_TRUE(found.checkpoint);
    expect_contents(*found.checkpoint, found.checkpoint->step());
    EXPECT_GE(found.checkpoint->step(), newest);
    newest = found.checkpoint->step();
  }
  EXPECT_GT(newest, 8);  // else the kills came before anything happened
  saver.save(newest + 1);
  EXPECT_EQ(files_in(folder.path()), 2u);  // keep = 2: nothing was left lying about
}

TEST(Checkpoint, HoldsACompanionInItsFolder) {
  const TestFolder folder;
  {
    CheckpointWriter writer(folder.path(), 1, {});
    writer.add_file("additional_chat_templates/tool.jinja", "{{ x }}");
    EXPECT_THROW(writer.add_file("elsewhere/tool.jinja", "x"), Error);
    EXPECT_THROW(writer.add_file("additional_chat_templates/../tool.jinja", "x"), Error);
    writer.commit("{}");
  }
  const fs::path file = folder / "step_00000001/additional_chat_templates/tool.jinja";
  EXPECT_EQ(contents_of(file), "{{ x }}");
  put_file(file, "{{ y }}");
  expect_error(
      ErrorCode::data, [&] { CheckpointReader::open(folder / "step_00000001"); }, "tool");
}

}  // namespace
}  // namespace ingot
