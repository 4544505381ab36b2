#include "data/shards/shard.h"

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "data/shards/shard_testing.h"
#include "io/test_folder.h"

namespace ingot {
namespace {

template <class Value>
void poke(std::string& bytes, std::size_t at, Value value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Makes the header's own hash right again, so that the checks behind it are reached.
void reseal(std::string& bytes) { poke(bytes, 56, hash_of(std::string_view(bytes).substr(0, 56))); }

class ShardFile : public ::testing::Test {
 protected:
  ShardFile() {
    write_shard(folder_ / "s-00000", counting_tokens(5, 100, 300), 300);
    original_ = contents_of(bin_);
    original_index_ = contents_of(idx_);
  }

  void expect_refused(const std::string& bytes, const std::string& part) {
    put_file(bin_, bytes);
    expect_error(
        ErrorCode::data, [&] { Shard shard(bin_); }, part, "s-00000.bin");
  }
  template <class Value>
  void expect_field_refused(std::size_t at, Value value, const std::string& part) {
    std::string bytes = original_;
    poke(bytes, at, value);
    reseal(bytes);
    expect_refused(bytes, part);
  }
  void expect_index_refused(const std::string& bytes, const std::string& part) {
    put_file(idx_, bytes);
    expect_error(
        ErrorCode::data, [&] { ShardIndex(Shard(bin_)).verify(); }, part, "s-00000.idx");
  }

  TestFolder folder_;
  std::filesystem::path bin_ = folder_ / "s-00000.bin", idx_ = folder_ / "s-00000.idx";
  std::string original_, original_index_;
};

TEST(Shard, GivesBackWhatWasWrittenInBothWidths) {
  for (const std::uint32_t vocabulary : {1u, 2u, 256u, 65536u, 65537u, 1u << 20}) {
    TestFolder folder;
    // More than one conversion piece, and a ragged end.
    const auto tokens = counting_tokens(vocabulary - 1, 40'001, vocabulary);
    const ShardHeader written = write_shard(folder / "x-00003", tokens, vocabulary, 99, 1000);
    const Shard shard(folder / "x-00003.bin");
    EXPECT_EQ(shard.header(), written);
    EXPECT_EQ(shard.header().token_bytes, vocabulary <= 65536 ? 2u : 4u);
    EXPECT_EQ(shard.header().tokenizer_hash, 99u);
    EXPECT_EQ(shard.header().document_count, 41u);
    const auto read = tokens_of(shard);
    EXPECT_TRUE(std::equal(read.begin(), read.end(), tokens.begin(), tokens.end()));
    shard.verify();
    const ShardIndex index(shard);
    for (std::uint64_t i = 0; i < index.document_count(); ++i) {
      EXPECT_EQ(index.first_token(i), i * 1000);
    }
    EXPECT_EQ(files_in(folder.path()), 2u);
  }
}

TEST(Shard, HoldsThePartOfADocumentThatBeganInTheShardBefore) {
  TestFolder folder;
  ShardWriter writer(folder / "x", {.vocabulary_size = 10});
  writer.append(counting_tokens(0, 7, 10));
  writer.begin_document();
  writer.append(counting_tokens(0, 1, 10));
  writer.commit();
  const Shard shard(folder / "x.bin");
  shard.verify();
  ASSERT_EQ(ShardIndex(shard).document_count(), 1u);
  EXPECT_EQ(ShardIndex(shard).first_token(0), 7u);
}

TEST(Shard, CopiesAnyPartAndNothingBeyondTheEnd) {
  TestFolder folder;
  write_shard(folder / "x", counting_tokens(0, 1000, 100'000), 100'000);
  const Shard shard(folder / "x.bin");
  for (const std::size_t first : {0, 1, 7, 998, 1000}) {
    for (const std::size_t count : {0, 1, 2}) {
      std::vector<std::int32_t> out(count);
      if (first + count > 1000) {
        EXPECT_THROW(shard.read(first, out, 100'000), std::logic_error);
        continue;
      }
      shard.prefetch(first, count);
      shard.read(first, out, 100'000);
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(out[i], std::int32_t(first + i));
    }
  }
  EXPECT_THROW(shard.prefetch(~std::uint64_t{0}, 2), std::logic_error);
}

TEST(Shard, ATokenOutsideTheVocabularyIsNamedWithItsPosition) {
  TestFolder folder;
  auto tokens = counting_tokens(0, 100, 50);
  tokens[37] = 60'000;
  tokens[38] = 61'000;
  write_shard(folder / "narrow", tokens, 65536);
  write_shard(folder / "wide", tokens, 65537);
  for (const char* name : {"narrow.bin", "wide.bin"}) {
    const Shard shard(folder / name);
    std::vector<std::int32_t> out(80);
    expect_error(
        ErrorCode::data, [&] { shard.read(20, out, 50); }, "token 60000 at position 37", name,
        "vocabulary of 50");
    shard.read(20, std::span(out).first(17), 50);
    shard.read(20, out, 61'001);
  }
  // Ids beyond int32 too.
  std::string bytes = contents_of(folder / "wide.bin");
  poke(bytes, kShardHeaderBytes + 4 * 3, 0xfffffff0u);
  put_file(folder / "wide.bin", bytes);
  std::vector<std::int32_t> out(10);
  expect_error(
      ErrorCode::data, [&] { Shard(folder / "wide.bin").read(0, out, ~std::uint64_t{0}); },
      "token 4294967280 at position 3");
}

TEST_F(ShardFile, TruncatedAnywhereIsRefused) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{4095},
                                 std::size_t{4096}, std::size_t{4097}, original_.size() - 1}) {
    expect_refused(original_.substr(0, size), "bytes");
  }
  expect_refused(original_ + "x", "bytes");
}

TEST_F(ShardFile, WrongMagicVersionAndWidthAreRefused) {
  expect_field_refused(0, 'X', "not a token shard");
  expect_field_refused(8, 3u, "version 3");
  expect_field_refused(8, 0u, "version 0");
  expect_field_refused(8, 1u, "damaged");  // version 1 had zeros behind
  expect_field_refused(12, 0u, "tokens of 0 bytes");
  expect_field_refused(12, 3u, "tokens of 3 bytes");
  expect_field_refused(12, 4u, "100 tokens of 4 bytes");
  expect_refused(std::string(10'000, '\0'), "not a token shard");
}

TEST_F(ShardFile, LyingCountsAreRefused) {
  expect_field_refused(16, std::uint64_t{101}, "101 tokens");
  expect_field_refused(16, ~std::uint64_t{0}, "tokens");
  expect_field_refused(16, std::uint64_t{1} << 63 | 100, "tokens");  // times 2 wraps to the truth
  expect_field_refused(24, std::uint64_t{101}, "101 documents in 100 tokens");
  expect_field_refused(48, std::uint64_t{0}, "vocabulary of 0");
  expect_field_refused(48, std::uint64_t{65537}, "vocabulary of 65537 in tokens of 2 bytes");
  expect_field_refused(48, (std::uint64_t{1} << 31) + 1, "vocabulary");
  std::string empty = original_.substr(0, kShardHeaderBytes);
  poke(empty, 16, std::uint64_t{0});
  poke(empty, 24, std::uint64_t{0});
  reseal(empty);
  expect_refused(empty, "no tokens");
}

TEST_F(ShardFile, AnyFlippedBitOfTheHeaderIsFound) {
  for (std::size_t at = 0; at < kShardHeaderBytes; at += at < 88 ? 1 : 97) {
    std::string bytes = original_;
    bytes[at] ^= 0x10;
    expect_refused(bytes, "");
  }
}

TEST_F(ShardFile, VerifyFindsAFlippedToken) {
  Shard(bin_).verify();
  std::string bytes = original_;
  bytes[kShardHeaderBytes + 61] ^= 1;
  put_file(bin_, bytes);
  expect_error(
      ErrorCode::data, [&] { Shard(bin_).verify(); }, "s-00000.bin");
  bytes = original_;
  bytes[kShardHeaderBytes + 60] ^= 1;  // still within the vocabulary
  put_file(bin_, bytes);
  expect_error(
      ErrorCode::data, [&] { Shard(bin_).verify(); }, "damaged", "s-00000.bin");
}

TEST_F(ShardFile, DamagedOrForeignIndexIsRefused) {
  const auto index_field = [&](std::size_t at, auto value) {
    std::string bytes = original_index_;
    poke(bytes, at, value);
    reseal(bytes);
    return bytes;
  };
  ShardIndex(Shard(bin_)).verify();
  expect_index_refused(original_index_.substr(0, 63), "64");
  expect_index_refused(original_index_.substr(0, 72), "documents");
  expect_index_refused(original_, "not a shard index");
  expect_index_refused(index_field(16, std::uint64_t{1} << 61 | 10), "documents");
  expect_index_refused(index_field(24, std::uint64_t{7}), "another shard");
  expect_index_refused(index_field(32, std::uint64_t{7}), "another shard");
  expect_index_refused(index_field(40, std::uint64_t{7}), "damaged");
  std::string unordered = original_index_;
  poke(unordered, 64 + 8 * 4, std::uint64_t{30});
  poke(unordered, 40, hash_of(std::string_view(unordered).substr(64)));
  reseal(unordered);
  expect_index_refused(unordered, "document 4 begins at token 30");
  std::filesystem::remove(idx_);
  expect_error(
      ErrorCode::data, [&] { ShardIndex(Shard(bin_)).verify(); }, "s-00000.idx");
  Shard shard(bin_);  // training does not need the index
}

TEST_F(ShardFile, AFullDiskIsADeviceErrorAndKeepsTheOldFiles) {
  const int status = status_of_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 20, 1 << 20};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_shard(folder_ / "s-00000", counting_tokens(0, 2 << 20, 300), 300);
    } catch (const Error& error) {
      return error.code() == ErrorCode::device ? 0 : 1;
    }
    return 2;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(contents_of(bin_), original_);
  EXPECT_EQ(contents_of(idx_), original_index_);
  EXPECT_EQ(files_in(folder_.path()), 2u);
}

TEST(ShardWriter, GivesTheIndexItsNameFirst) {
  const TestFolder folder;
  const int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ASSERT_GE(::inotify_add_watch(watch, folder.path().c_str(), IN_MOVED_TO), 0);
  write_shard(folder / "s", counting_tokens(0, 100, 300), 300);
  alignas(inotify_event) char events[4096];
  const ssize_t bytes = ::read(watch, events, sizeof events);
  std::vector<std::string> names;
  for (ssize_t at = 0; at < bytes;) {
    const auto* event = reinterpret_cast<const inotify_event*>(events + at);
    names.emplace_back(event->name);
    at += static_cast<ssize_t>(sizeof *event + event->len);
  }
  ::close(watch);
  EXPECT_EQ(names, (std::vector<std::string>{"s.idx", "s.bin"}));
}

TEST(ShardWriter, WithoutCommitNothingIsLeftAndAMissingFolderIsADeviceError) {
  TestFolder folder;
  {
    ShardWriter writer(folder / "x", {.vocabulary_size = 10});
    writer.begin_document();
    writer.append(counting_tokens(0, 100, 10));
  }
  EXPECT_EQ(files_in(folder.path()), 0u);
  expect_error(
      ErrorCode::device, [&] { ShardWriter writer(folder / "none/x", {.vocabulary_size = 10}); },
      "none/x");
}

TEST(ShardWriter, RefusesWhatCannotBeRead) {
  TestFolder folder;
  EXPECT_THROW(ShardWriter(folder / "x", {.vocabulary_size = 0}), std::logic_error);
  EXPECT_THROW(ShardWriter(folder / "x", {.vocabulary_size = 9, .end_of_text = 9}),
               std::logic_error);
  ShardWriter writer(folder / "x", {.vocabulary_size = 10});
  EXPECT_THROW(writer.commit(), std::logic_error);
  EXPECT_THROW(writer.append(counting_tokens(10, 1, 11)), std::logic_error);
  writer.begin_document();
  EXPECT_THROW(writer.begin_document(), std::logic_error);
}

TEST(Shard, SaysWhatDocumentsEndAndBeginWith) {
  TestFolder folder;
  const ShardHeader asked{
      .tokenizer_hash = 5, .vocabulary_size = 20, .end_of_text = 19, .begin_of_text = 0};
  ShardWriter writer(folder / "x", asked);
  writer.append(counting_tokens(0, 30, 20));
  writer.commit();
  EXPECT_EQ(Shard(folder / "x.bin").header().end_of_text, 19u);
  EXPECT_EQ(Shard(folder / "x.bin").header().begin_of_text, 0u);
  std::string bytes = contents_of(folder / "x.bin");
  poke(bytes, 64, 20u);
  poke(bytes, 72, hash_of(std::string_view(bytes).substr(64, 8)));
  put_file(folder / "x.bin", bytes);
  expect_error(
      ErrorCode::data, [&] { Shard(folder / "x.bin"); }, "token 20", "vocabulary of 20");
}

// A run holds the shard open when its copy goes wrong.
TEST_F(ShardFile, AShardThatShrinksOrVanishesWhileOpenIsAnErrorNotASignal) {
  const Shard shard(bin_);
  std::vector<std::int32_t> out(20);
  std::filesystem::resize_file(bin_, kShardHeaderBytes + 50);
  shard.read(0, out, 300);
  expect_error(
      ErrorCode::data, [&] { shard.read(10, out, 300); }, "shorter", "s-00000.bin");
  expect_error(
      ErrorCode::data, [&] { shard.verify(); }, "shorter", "s-00000.bin");
  put_file(bin_, original_);
  const Shard unlinked(bin_);
  std::filesystem::remove(bin_);
  unlinked.read(80, out, 300);  // the open file is still there
}

// Shards that users have must be readable for ever. version1-*: written by commit 5467c47;
// version2-*: by the one that added this test. The same tokens in both.
TEST(Shard, ThoseOfEveryEarlierVersionAreRead) {
  for (const std::string version : {"1", "2"}) {
    for (const auto& [name, vocabulary] :
         {std::pair{"narrow", 300u}, std::pair{"wide", 100'000u}}) {
      const Shard shard("data/shards/testdata/version" + version + "-" + name + ".bin");
      shard.verify();
      std::vector<std::uint32_t> expected = counting_tokens(7, 5, vocabulary), documents;
      for (std::uint32_t d = 0; d < 6; ++d) {
        documents.push_back(std::uint32_t(expected.size()));
        const auto part = counting_tokens(vocabulary - 3 - d, 3 + d * 2, vocabulary);
        expected.insert(expected.end(), part.begin(), part.end());
      }
      const auto tokens = tokens_of(shard);
      EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), expected.begin(), expected.end()));
      const ShardIndex index(shard);
      ASSERT_EQ(index.document_count(), documents.size());
      for (std::size_t d = 0; d < documents.size(); ++d)
        EXPECT_EQ(index.first_token(d), documents[d]);
      const ShardHeader& header = shard.header();
      EXPECT_EQ(header.tokenizer_hash, 0x0123456789abcdefu);
      EXPECT_EQ(header.vocabulary_size, vocabulary);
      const bool says = version != "1";
      EXPECT_EQ(header.end_of_text, says ? std::optional(vocabulary - 1) : std::nullopt);
      EXPECT_EQ(header.begin_of_text, says ? std::optional(3u) : std::nullopt);
    }
  }
}

}  // namespace
}  // namespace ingot
