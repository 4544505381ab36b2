#include "io/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "engine/base/error.h"

namespace ingot {

AppendFile::AppendFile(std::filesystem::path path)
    : path_(std::move(path)),
      file_(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) {
  if (!file_.is_open()) {
    throw Error(ErrorCode::device, "cannot write: " + describe_errno(errno), path_.string(),
                "check the folder and its permissions");
  }
}

// Returns how many bytes the disk took.
std::size_t AppendFile::write_some(std::string_view text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(file_.number(), text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      error_ = written < 0 ? errno : ENOSPC;
      break;
    }
    done += static_cast<std::size_t>(written);
  }
  return done;
}

bool AppendFile::append(std::string_view line) {
  if (waiting_bytes_ > 0) {
    const std::size_t done = write_some({waiting_.data(), waiting_bytes_});
    std::copy(waiting_.begin() + static_cast<std::ptrdiff_t>(done),
              waiting_.begin() + static_cast<std::ptrdiff_t>(waiting_bytes_), waiting_.begin());
    waiting_bytes_ -= done;
  }
  if (waiting_bytes_ == 0) line.remove_prefix(write_some(line));
  if (line.empty()) return waiting_bytes_ == 0;
  // A line that is there in part must come whole: there is room, since nothing else waits then.
  if (line.size() > kMostWaiting - waiting_bytes_) {
    ++lost_lines_;
  } else {
    std::copy(line.begin(), line.end(),
              waiting_.begin() + static_cast<std::ptrdiff_t>(waiting_bytes_));
    waiting_bytes_ += line.size();
  }
  return false;
}

}  // namespace ingot
