// What happens between the program and the system: calls that are interrupted, that do less than
// they were asked for, their order, and where what is read back comes from. The calls below stand
// before those of the C library for all of this program.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "io/atomic_file.h"
#include "io/checkpoint_files.h"
#include "io/test_folder.h"

namespace {

bool disturbed = false;  // every second write is interrupted, the others do a part
int writes = 0;
int renames_before_death = -1;  // negative: it lives on
std::vector<off_t> forgotten;   // files whose cached pages were given up, by size

// How many bytes this call may write; negative: it is interrupted.
ssize_t allowed(size_t count) {
  if (!disturbed) return static_cast<ssize_t>(count);
  return ++writes % 2 == 1 ? -1 : static_cast<ssize_t>((count + 2) / 3);
}

}  // namespace

extern "C" {

ssize_t write(int file, const void* bytes, size_t count) {
  const ssize_t part = allowed(count);
  if (part >= 0) return ::syscall(SYS_write, file, bytes, part);
  errno = EINTR;
  return -1;
}

ssize_t pwrite(int file, const void* bytes, size_t count, off_t offset) {
  const ssize_t part = allowed(count);
  if (part >= 0) return ::syscall(SYS_pwrite64, file, bytes, part, offset);
  errno = EINTR;
  return -1;
}

int rename(const char* from, const char* to) noexcept {
  if (renames_before_death >= 0 && renames_before_death-- == 0) ::_exit(7);
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int posix_fadvise(int file, off_t offset, off_t count, int advice) noexcept {
  struct stat status = {};
  if (advice == POSIX_FADV_DONTNEED && ::fstat(file, &status) == 0) {
    forgotten.push_back(status.st_size);
  }
  return static_cast<int>(-::syscall(SYS_fadvise64, file, offset, count, advice));
}

}  // extern "C"

namespace ingot {
namespace {

TEST(AtomicFile, GoesOnWhereAWriteWasInterruptedOrDidOnlyAPart) {
  const TestFolder folder;
  std::string text(1'000'000, 'x');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
  const std::string over = "0123456789abcdefghij";
  disturbed = true;
  AtomicFile file(folder / "a");
  file.write(text);
  file.overwrite(77, std::as_bytes(std::span(over)));
  file.commit();
  disturbed = false;
  text.replace(77, over.size(), over);
  EXPECT_TRUE(contents_of(folder / "a") == text);
}

// Two processes with one number (in containers that is always 1), and what a killed one left.
TEST(AtomicFile, LeavesPartialFilesOfOthersAlone) {
  const TestFolder folder;
  for (int i = 0; i < 100; ++i) {
    put_file(folder / ("a." + std::to_string(::getpid()) + "-" + std::to_string(i) + ".partial"),
             "theirs");
  }
  write_text_file(folder / "a", "ours");
  EXPECT_EQ(files_in(folder.path()), 101u);
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    const std::string expected = entry.path().filename() == "a" ? "ours" : "theirs";
    EXPECT_EQ(contents_of(entry.path()), expected) << entry.path();
  }
}

void save(const std::filesystem::path& folder, char fill, CheckpointOptions options = {}) {
  CheckpointWriter writer(folder, 5, {{"w", StoredType::f32, {64}}}, std::move(options));
  const std::vector<std::byte> bytes(256, static_cast<std::byte>(fill));
  writer.append("w", bytes);
  writer.commit("{}");
}

// Where two names cannot be exchanged at once (NFS), killed before any of its renames.
TEST(Checkpoint, ThatIsReplacedInTwoStepsIsThereWhicheverRenameIsTheLast) {
  int deaths = 0;
  for (int renames = 0;; ++renames) {
    const TestFolder folder(fast_temporary_folder());
    save(folder.path(), 1);
    const int status = status_of_child([&] {
      renames_before_death = renames;
      save(folder.path(), 2, {.exchange_names = false});
      return 0;
    });
    const auto found =
        CheckpointReader::find_newest_good(folder.path(), [](const auto&, const auto&) {});
    ASSERT_TRUE(found) << "killed before rename " << renames;
    EXPECT_EQ(found->step(), 5);
    if (status == 0) {
      EXPECT_EQ(found->at("w").bytes[0], std::byte{2});
      break;
    }
    ASSERT_EQ(status, 7);
    ++deaths;
  }
  EXPECT_GE(deaths, 4);  // the tensors, the manifest, away, and here
}

// A disk that lies is found out only by what it gives back, not by the pages that were written.
TEST(Checkpoint, IsVerifiedFromTheDiskAndNotFromTheCache) {
  const TestFolder folder;
  forgotten.clear();
  save(folder.path(), 3);
  const auto size = static_cast<off_t>(std::filesystem::file_size(
      folder / checkpoint_name(5) / "tensors-00001-of-00001.safetensors"));
  EXPECT_EQ(std::ranges::count(forgotten, size), 1);
}

}  // namespace
}  // namespace ingot
