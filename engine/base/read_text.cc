#include "engine/base/read_text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace ingot {
namespace {

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

std::string text_of(int error) { return std::generic_category().message(error); }

}  // namespace

std::string size_text(std::size_t bytes) {
  return bytes >= (1u << 20) ? std::to_string(bytes >> 20) + " MiB"
                             : std::to_string(bytes) + " bytes";
}

std::string read_text(const std::filesystem::path& path, ErrorCode code, std::size_t limit) {
  const auto fail = [&](const std::string& what, const std::string& mend) {
    throw Error(code, what, path.string(), mend);
  };
  // O_NONBLOCK: opening a pipe must not wait for a writer that never comes.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0 && errno == ENOENT) fail("no such file", "check the path");
  if (file.number < 0) fail("cannot open: " + text_of(errno), "check the path and its permissions");
  struct stat status = {};
  if (::fstat(file.number, &status) != 0 || !S_ISREG(status.st_mode)) {
    fail(S_ISDIR(status.st_mode) ? "a folder, not a file" : "not a file", "name a file");
  }
  const auto fail_large = [&] {
    fail("larger than " + size_text(limit), "this is not the kind of file expected here");
  };
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > limit) fail_large();
  std::string text(size + 1, '\0');  // one more, to notice a file that grows (as those of /proc do)
  for (std::size_t length = 0;;) {
    if (length == text.size()) text.resize(text.size() * 2);
    const ssize_t count = ::read(file.number, text.data() + length, text.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot read: " + text_of(errno), "the disk may be damaged");
    length += static_cast<std::size_t>(count);
    if (length > limit) fail_large();
    if (count == 0) {
      text.resize(length);
      return text;
    }
  }
}

}  // namespace ingot
