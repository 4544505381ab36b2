// libfault_shim.so, for LD_PRELOAD: counts the system calls of a save, and at one of them kills the
// process or lets the calls from there on fail; and records what they did. By its environment:
//   INGOT_FAULT_DIRECTORY   calls on files below it are meant, from the first mkdir of a *.partial
//   INGOT_FAULT_NAME        instead: only and all those on paths that end so, opens for writing
//   INGOT_FAULT_AT          the call, from 1; 0: none
//   INGOT_FAULT_CALLS       how many from there fail
//   INGOT_FAULT_ERROR       the errno; 0: the process is killed before the call
//   INGOT_FAULT_RECORD      gets a line for each counted call (tests/faults/crash_simulator.h); one
//                           that failed by itself is told like a read
// Calls are made by number, so that nothing here comes back to itself.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>

namespace {

std::string setting(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

class Faults {
 public:
  // A failed call returns -1 with this errno; 0: it is to be made. `line` describes it.
  int before(std::string_view path, const std::string& line) {
    if (!is_meant(path)) return 0;
    if (!begun_) begun_ = !name_.empty() || (line[0] == 'M' && path.ends_with(".partial"));
    if (!begun_) return 0;
    ++count_;
    if (count_ < at_ || count_ >= at_ + calls_) return 0;
    if (error_ == 0) ::syscall(SYS_kill, ::syscall(SYS_getpid), SIGKILL);
    return error_;
  }
  // After a call that worked; data: what was written.
  void record(std::string_view path, const std::string& line, std::string_view data = {}) {
    if (record_ < 0 || !begun_ || !is_meant(path)) return;
    const std::string text = line + "\n";
    put(text);
    put(data);
  }
  void record_said(long bytes) {
    if (record_ >= 0) put("S " + std::to_string(bytes) + "\n");
  }

  std::string path_of(int descriptor) const {
    return descriptor >= 0 && descriptor < kMost ? paths_[descriptor] : "";
  }
  void opened(int descriptor, const std::string& path) {
    if (descriptor >= 0 && descriptor < kMost) paths_[descriptor] = path;
  }

  std::mutex mutex;

 private:
  static constexpr int kMost = 1024;

  bool is_meant(std::string_view path) const {
    if (!name_.empty()) return path.ends_with(name_);
    return !directory_.empty() && path.starts_with(directory_) && !path.ends_with("/.lock") &&
           !path.ends_with("/metrics.jsonl");
  }
  void put(std::string_view text) const {
    while (!text.empty()) {
      const long done = ::syscall(SYS_write, record_, text.data(), text.size());
      if (done <= 0) ::abort();
      text.remove_prefix(static_cast<std::size_t>(done));
    }
  }

  std::string directory_ = setting("INGOT_FAULT_DIRECTORY"), name_ = setting("INGOT_FAULT_NAME");
  long at_ = std::atol(setting("INGOT_FAULT_AT").c_str());
  long calls_ = std::atol(setting("INGOT_FAULT_CALLS").c_str());
  int error_ = std::atoi(setting("INGOT_FAULT_ERROR").c_str());
  long count_ = 0;
  bool begun_ = false;
  int record_ = [] {
    const std::string path = setting("INGOT_FAULT_RECORD");
    if (path.empty()) return -1;
    return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path.c_str(),
                                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  }();
  std::string paths_[kMost];
};

Faults& faults() {
  static auto* const all = new Faults;  // outlives whoever still closes files at the end
  return *all;
}

// Makes a call by its number unless it is to fail, and records it if it worked.
template <class... Arguments>
long make(const std::string& path, const std::string& line, std::string_view data, long number,
          Arguments... arguments) {
  Faults& all = faults();
  const std::lock_guard lock(all.mutex);
  if (const int error = all.before(path, line)) {
    if (number == SYS_close) ::syscall(number, arguments...);  // closed all the same
    errno = error;
    return -1;
  }
  const long result = ::syscall(number, arguments...);
  const int error = errno;
  all.record(path, result < 0 ? "R" : line,
             data.substr(0, result < 0 ? 0 : std::min(data.size(), std::size_t(result))));
  errno = error;
  return result;
}

std::string numbered(char what, long a, long b = -1) {
  return std::string(1, what) + " " + std::to_string(a) + (b < 0 ? "" : " " + std::to_string(b));
}

std::string path_of(int descriptor) {
  const std::lock_guard lock(faults().mutex);
  return faults().path_of(descriptor);
}

int open_at(int folder, const char* name, int flags, mode_t mode) {
  std::string path = name;
  if (path[0] != '/' && folder != AT_FDCWD) path = path_of(folder) + "/" + path;
  Faults& all = faults();
  const std::lock_guard lock(all.mutex);
  if (const int error = all.before(path, "O")) {
    errno = error;
    return -1;
  }
  const int result =
      static_cast<int>(::syscall(SYS_openat, folder, name, flags | O_LARGEFILE, mode));
  const int error = errno;
  if (result >= 0) all.opened(result, path);
  const char* const how = (flags & O_CREAT) != 0 ? "C " : "O ";
  all.record(path, result < 0 ? "R" : how + std::to_string(result) + " " + path);
  errno = error;
  return result;
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(folder, path, flags, mode);
}

int close(int descriptor) {
  const std::string path = path_of(descriptor);
  {
    const std::lock_guard lock(faults().mutex);
    faults().opened(descriptor, "");
  }
  return static_cast<int>(make(path, numbered('X', descriptor), {}, SYS_close, descriptor));
}

ssize_t write(int descriptor, const void* bytes, size_t count) {
  return make(path_of(descriptor), numbered('W', descriptor, static_cast<long>(count)),
              {static_cast<const char*>(bytes), count}, SYS_write, descriptor, bytes, count);
}

ssize_t pwrite(int descriptor, const void* bytes, size_t count, off_t offset) {
  return make(path_of(descriptor), numbered('P', descriptor, static_cast<long>(count)), {},
              SYS_pwrite64, descriptor, bytes, count, offset);
}

ssize_t read(int descriptor, void* bytes, size_t count) {
  return make(path_of(descriptor), "R", {}, SYS_read, descriptor, bytes, count);
}

int fsync(int descriptor) {
  return static_cast<int>(
      make(path_of(descriptor), numbered('F', descriptor), {}, SYS_fsync, descriptor));
}

int fdatasync(int descriptor) {
  return static_cast<int>(
      make(path_of(descriptor), numbered('F', descriptor), {}, SYS_fdatasync, descriptor));
}

int rename(const char* from, const char* to) noexcept {
  return static_cast<int>(make(to, std::string("N ") + from + " " + to, {}, SYS_rename, from, to));
}

int renameat2(int, const char* from, int, const char* to, unsigned flags) noexcept {
  return static_cast<int>(make(to, std::string("E ") + from + " " + to, {}, SYS_renameat2, AT_FDCWD,
                               from, AT_FDCWD, to, flags));
}

int unlink(const char* path) noexcept {
  return static_cast<int>(make(path, std::string("U ") + path, {}, SYS_unlink, path));
}

int unlinkat(int folder, const char* name, int flags) noexcept {
  std::string path = name;
  if (path[0] != '/' && folder != AT_FDCWD) path = path_of(folder) + "/" + path;
  return static_cast<int>(make(path, "U " + path, {}, SYS_unlinkat, folder, name, flags));
}

int rmdir(const char* path) noexcept {
  return static_cast<int>(make(path, std::string("U ") + path, {}, SYS_rmdir, path));
}

int remove(const char* path) noexcept {
  if (unlink(path) == 0) return 0;
  return errno == EISDIR ? rmdir(path) : -1;
}

int mkdir(const char* path, mode_t mode) noexcept {
  return static_cast<int>(make(path, std::string("M ") + path, {}, SYS_mkdir, path, mode));
}

// A line of the console is out: what it says has been promised.
int fflush(FILE* stream) {
  using Flush = int (*)(FILE*);
  static const auto flush = reinterpret_cast<Flush>(::dlsym(RTLD_NEXT, "fflush"));
  const int result = flush(stream);
  if (stream == stdout) {
    const std::lock_guard lock(faults().mutex);
    faults().record_said(::lseek(STDOUT_FILENO, 0, SEEK_CUR));
  }
  return result;
}

}  // extern "C"
