#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <string>

#include "io/append_file.h"
#include "io/atomic_file.h"
#include "io/directory_lock.h"
#include "io/hash.h"
#include "io/mapped_file.h"
#include "io/test_folder.h"

namespace ingot {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(AtomicFile, TargetIsUntouchedUntilCommit) {
  TestFolder folder;
  put_file(folder / "a", "old");
  AtomicFile file(folder / "a");
  file.write("new ");
  file.write(std::string(1 << 20, 'x'));
  EXPECT_EQ(contents_of(folder / "a"), "old");
  file.commit();
  EXPECT_EQ(contents_of(folder / "a"), "new " + std::string(1 << 20, 'x'));
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, WithoutCommitNothingIsLeft) {
  TestFolder folder;
  put_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write(std::string(1 << 20, 'x'));
    AtomicFile moved = std::move(file);
    EXPECT_EQ(files_in(folder.path()), 2u);
  }
  EXPECT_EQ(contents_of(folder / "a"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, TwoWritersOfOneTargetDoNotMix) {
  TestFolder folder;
  AtomicFile first(folder / "a"), second(folder / "a");
  first.write("first");
  second.write("second");
  second.commit();
  first.commit();
  EXPECT_EQ(contents_of(folder / "a"), "first");
}

TEST(AtomicFile, SizeAndHashAreThoseOfTheFile) {
  TestFolder folder;
  AtomicFile file(folder / "a");
  for (int i = 0; i < 3000; ++i)
    file.write(std::string(static_cast<std::size_t>(i) * 7 % 1000, 'a' + i % 26));
  file.write(std::string(300000, 'z'));
  file.write("end");
  file.commit();
  EXPECT_EQ(file.size(), std::filesystem::file_size(folder / "a"));
  EXPECT_EQ(file.hash(), hash_of(contents_of(folder / "a")));
  EXPECT_EQ(file.hash(), hash_of_file(folder / "a"));
  EXPECT_EQ(file.hash(), hash_of_file(folder / "a", ReadFrom::disk));
}

TEST(AtomicFile, OverwritePatchesWhatWasWrittenAndNothingElse) {
  TestFolder folder;
  const std::string large(300'000, 'x');  // beyond what is gathered
  for (const std::string& text : {std::string("headerbody"), "header" + large}) {
    AtomicFile file(folder / "a");
    file.write(text);
    file.overwrite(2, std::as_bytes(std::span("AD", 2)));
    EXPECT_THROW(file.overwrite(text.size() - 1, std::as_bytes(std::span("AD", 2))),
                 std::logic_error);
    file.write("tail");
    file.commit();
    EXPECT_EQ(contents_of(folder / "a"), "heADer" + text.substr(6) + "tail");
  }
}

TEST(AtomicFile, MissingFolderAndFolderInTheWayAreDeviceErrors) {
  TestFolder folder;
  put_file(folder / "file", "");
  std::filesystem::create_directory(folder / "directory");
  expect_error(
      ErrorCode::device, [&] { AtomicFile(folder / "no/a"); }, "no/a", "create the folder");
  expect_error(
      ErrorCode::device, [&] { AtomicFile(folder / "file/a"); }, "file/a", "is a file");
  expect_error(
      ErrorCode::device, [&] { AtomicFile(folder / "directory"); }, "in the way");
}

TEST(AtomicFile, WhatIsNoFileIsRefusedAndStays) {
  const TestFolder folder;
  const std::filesystem::path pipe = folder / "pipe", link = folder / "link";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::filesystem::create_symlink(pipe, link);
  for (const std::filesystem::path& target : {pipe, link}) {
    expect_error(
        ErrorCode::device, [&] { write_text_file(target, "text"); }, "not a file", target.string());
  }
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
}

TEST(AtomicFile, ALinkStaysAndItsFileIsReplaced) {
  const TestFolder folder;
  put_file(folder / "file", "old");
  std::filesystem::create_symlink("file", folder / "link");
  write_text_file(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(contents_of(folder / "file"), "new");
}

TEST(AtomicFile, ReadOnlyFolderIsADeviceError) {
  TestFolder folder;
  ::chmod(folder.path().c_str(), 0555);
  const int status = status_of_child([&] {
    if (::geteuid() == 0 && ::seteuid(65534) != 0) return 1;  // root may write anywhere
    expect_error(
        ErrorCode::device, [&] { AtomicFile(folder / "a"); }, "Permission denied",
        "choose a folder that may be written to");
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(status, 0);
}

TEST(AtomicFile, FailureMidwayKeepsTheOldFileAndRemovesThePartialOne) {
  TestFolder folder;
  put_file(folder / "a", "old");
  const int status = status_of_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 20, 1 << 20};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    expect_error(
        ErrorCode::device,
        [&] {
          AtomicFile file(folder / "a");
          for (int i = 0; i < 100; ++i) file.write(std::string(100000, 'x'));
          file.commit();
        },
        "File too large", "/a");
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(contents_of(folder / "a"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, AFullDeviceIsADeviceErrorWithAdvice) {
  expect_error(
      ErrorCode::device, [] { throw_disk_error("cannot write", ENOSPC, "x"); }, "No space left",
      "free some space");
}

TEST(AtomicFile, ALinkThatLeadsNowhereStaysAndItsFileIsMade) {
  TestFolder folder;
  std::filesystem::create_directory(folder / "deep");
  std::filesystem::create_symlink("deep/second", folder / "first");
  std::filesystem::create_symlink("file", folder / "deep/second");
  write_text_file(folder / "first", "text");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "first"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "deep/second"));
  EXPECT_EQ(contents_of(folder / "deep/file"), "text");
  std::filesystem::create_symlink("round", folder / "round");
  expect_error(
      ErrorCode::device, [&] { write_text_file(folder / "round", "text"); }, "round");
}

TEST(CreateFolder, MakesParentsAndAcceptsWhatIsThere) {
  TestFolder folder;
  create_folder(folder / "a/b/c");
  create_folder(folder / "a/b/c");
  create_folder(folder / "a/b/d/");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/d"));
  put_file(folder / "file", "");
  expect_error(
      ErrorCode::device, [&] { create_folder(folder / "file/x"); }, "file/x");
}

// Lines longer than that meet a file that may grow no more, as one would on a full disk: the last
// one that fits in part is written in part.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    set(bytes);
  }
  ~FileLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  void set(rlim_t bytes) const {
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }

 private:
  rlimit before_{};
};

TEST(AppendFile, KeepsWhatAFullDiskRefusesAndWritesItInOrderLater) {
  const TestFolder folder;
  AppendFile file(folder / "log");
  EXPECT_TRUE(file.append("one\n"));
  {
    const FileLimit limit(6);
    EXPECT_FALSE(file.append("two\n"));
    EXPECT_EQ(file.error(), EFBIG);
    EXPECT_FALSE(file.append("three\n"));
    limit.set(10);
    EXPECT_FALSE(file.append("four\n"));
  }
  EXPECT_EQ(contents_of(folder / "log"), "one\ntwo\nth");
  EXPECT_TRUE(file.append("five\n"));
  EXPECT_EQ(contents_of(folder / "log"), "one\ntwo\nthree\nfour\nfive\n");
  EXPECT_EQ(file.lost_lines(), 0);
}

TEST(AppendFile, CountsTheLinesThatItHasNoRoomFor) {
  AppendFile full("/dev/full");
  const std::string line(1000, 'x');
  std::int64_t kept = 0;
  while (full.lost_lines() == 0) {
    EXPECT_FALSE(full.append(line));
    ++kept;
  }
  EXPECT_EQ(full.error(), ENOSPC);
  EXPECT_EQ(kept - 1, static_cast<std::int64_t>(AppendFile::kMostWaiting / line.size()));
  EXPECT_FALSE(full.append(""));
  EXPECT_EQ(full.lost_lines(), 1);
}

TEST(DirectoryLock, SaysWhoHoldsIt) {
  const TestFolder folder;
  DirectoryLock first, second;
  ASSERT_TRUE(first.take(folder.path()));
  ASSERT_FALSE(second.take(folder.path()));
  EXPECT_NE(second.holder().find("process " + std::to_string(::getpid()) + " on "),
            std::string::npos)
      << second.holder();
  EXPECT_NE(second.holder().find(" UTC"), std::string::npos) << second.holder();
}

TEST(DirectoryLock, OfAKilledProcessIsFree) {
  const TestFolder folder;
  status_of_child([&] {
    auto* held = new DirectoryLock;
    const bool taken = held->take(folder.path());
    return taken ? 0 : 1;  // left without a destructor
  });
  EXPECT_TRUE(std::filesystem::exists(folder / ".lock"));
  DirectoryLock lock;
  EXPECT_TRUE(lock.take(folder.path()));
}

TEST(DirectoryLock, AFileInPlaceOfTheFolderIsAnErrorNotAMissingFolder) {
  const TestFolder folder;
  put_file(folder / "file", "");
  DirectoryLock lock;
  expect_error(
      ErrorCode::data, [&] { (void)lock.take(folder / "file"); }, "Not a directory");
}

TEST(DirectoryLock, IsHeldByOneAtATimeAndLeavesNothingBehind) {
  const TestFolder folder;
  {
    DirectoryLock first, second;
    EXPECT_TRUE(first.take(folder / "missing"));
    EXPECT_TRUE(first.take(folder.path()));
    EXPECT_TRUE(first.take(folder.path()));
    EXPECT_FALSE(second.take(folder.path()));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  DirectoryLock third;
  EXPECT_TRUE(third.take(folder.path()));
}

TEST(AvailableBytes, LooksPastFoldersThatDoNotExistYet) {
  TestFolder folder;
  EXPECT_GT(available_bytes(folder.path()), 0u);
  EXPECT_GT(available_bytes(folder / "not/there/yet"), 0u);
  EXPECT_GT(available_bytes("relative/not/there"), 0u);
  EXPECT_GT(available_bytes(""), 0u);
}

TEST(MappedFile, ShowsTheFileAndSurvivesMoves) {
  TestFolder folder;
  const std::string text = std::string(20000, 'q') + "end";
  put_file(folder / "a", text);
  MappedFile first(folder / "a");
  MappedFile file = std::move(first);
  EXPECT_EQ(first.size(), 0u);
  ASSERT_EQ(file.size(), text.size());
  const auto same = [&] {
    return std::equal(file.bytes().begin(), file.bytes().end(), bytes_of(text).begin());
  };
  EXPECT_TRUE(same());
  file.release(file.bytes().subspan(1));
  EXPECT_TRUE(same());
  put_file(folder / "b", "");
  file = MappedFile(folder / "b");
  EXPECT_EQ(file.size(), 0u);
}

TEST(MappedFile, WhatIsNotAReadableFileIsADataError) {
  TestFolder folder;
  expect_error(
      ErrorCode::data, [&] { MappedFile(folder / "missing"); }, "missing", "No such file");
  expect_error(
      ErrorCode::data, [&] { MappedFile(folder.path()); }, "is a folder");
  ::mkfifo((folder / "pipe").c_str(), 0600);
  expect_error(
      ErrorCode::data, [&] { MappedFile(folder / "pipe"); }, "not a regular file");
}

TEST(Hash, MatchesThePublishedValueAndAnySplit) {
  EXPECT_EQ(hash_of(""), 0x2d06800538d394c2u);  // xxHash's own test vector for XXH3_64bits("")
  const std::string text(100000, 'h');
  Hash hash;
  for (std::size_t i = 0, step = 1; i < text.size(); i += step, step = step * 2 + 1) {
    hash.update(bytes_of(text).subspan(i, std::min(step, text.size() - i)));
  }
  EXPECT_EQ(hash.value(), hash_of(text));
}

TEST(Hash, HexDigitsRoundTripAndNothingElseIsAccepted) {
  EXPECT_EQ(to_hex(0x0123456789abcdefu), "0123456789abcdef");
  EXPECT_EQ(from_hex("0123456789abcdef"), 0x0123456789abcdefu);
  EXPECT_EQ(from_hex("fedcba9876543210"), 0xfedcba9876543210u);
  for (const char* bad :
       {"", "0123456789abcde", "0123456789abcdeF", "0123456789abcde ", "0x23456789abcdef"}) {
    EXPECT_FALSE(from_hex(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace ingot
