#include "data/prepare/text_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 17;
constexpr std::size_t kDropAtOnce = std::size_t{1} << 20;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

void JsonLineMaker::map(std::span<char> bytes) {
  for (char& c : bytes) {
    if (!in_string_) {
      c = outside_string(c);
    } else if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    }
  }
}

char JsonLineMaker::outside_string(char c) {
  if (!begun_ && !is_blank(c) && static_cast<unsigned char>(c) < 0x80) {  // no byte order mark
    begun_ = true;
    in_array_ = c == '[';
    if (in_array_) return ' ';
  }
  switch (c) {
    case '"':
      in_string_ = true;
      return c;
    case '{':
    case '[':
      ++depth_;
      return c;
    case '}':
    case ']':
      return in_array_ && depth_ == 0 ? '\n' : (--depth_, c);
    case ',':
      return in_array_ && depth_ == 0 ? '\n' : c;
    case '\n':
    case '\r':
      return in_array_ || depth_ > 0 ? ' ' : c;
    default:
      return c;
  }
}

TextBytes::TextBytes(const TextFile& info)
    : path_(info.path), compression_(info.compression), spread_(info.spread) {
  restart();
}

void TextBytes::restart() {
  window_.clear();
  window_begin_ = 0;
  line_maker_ = {};
  if (compression_ == Compression::none) {
    if (!file_.is_open()) file_ = open_for_reading(path_);
  } else {
    decompressor_.emplace(path_, compression_);
  }
}

std::size_t TextBytes::read_file(std::uint64_t offset, std::span<char> buffer) const {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t count = ::pread(file_.number(), buffer.data() + done, buffer.size() - done,
                                  static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw Error(ErrorCode::data, "cannot read: " + describe_errno(errno), path_,
                  "check the disk");
    }
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

// Reads on. Keeps what lies at `wanted_offset` and behind, and `kept_` bytes in any case.
bool TextBytes::extend_window(std::uint64_t wanted_offset) {
  const std::uint64_t end = window_begin_ + window_.size();
  const std::uint64_t keep_from =
      std::min(wanted_offset, end - std::min<std::uint64_t>(end, kept_));
  if (keep_from > window_begin_ && keep_from - window_begin_ >= kDropAtOnce) {
    window_.erase(0, static_cast<std::size_t>(keep_from - window_begin_));
    window_begin_ = keep_from;
  }
  const std::size_t before = window_.size();
  window_.resize(before + kBlock);
  const auto block = std::span(window_).subspan(before);
  const std::size_t count = decompressor_ ? decompressor_->read(block) : read_file(end, block);
  if (spread_) line_maker_.map(block.first(count));
  window_.resize(before + count);
  return count > 0;
}

std::size_t TextBytes::read_at(std::uint64_t offset, std::span<char> buffer) {
  if (!is_streamed()) return read_file(offset, buffer);
  kept_ = std::max(kept_, 2 * buffer.size());
  if (offset < window_begin_) restart();
  const auto end = [this] { return window_begin_ + window_.size(); };
  while (end() < offset + buffer.size() && extend_window(offset)) {
  }
  if (end() <= offset) return 0;
  const std::size_t count = std::min<std::uint64_t>(buffer.size(), end() - offset);
  window_.copy(buffer.data(), count, static_cast<std::size_t>(offset - window_begin_));
  return count;
}

}  // namespace ingot
