#include "engine/base/error.h"

#include <utility>

namespace ingot {
namespace {

// What came from a file may hold line breaks or terminal codes: the message stays one line.
std::string one_line(const std::string& text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string line;
  line.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      line += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      line += "\\x";
      line += kHex[byte >> 4];
      line += kHex[byte & 15];
    } else {
      line += c;
    }
  }
  return line;
}

}  // namespace

Error::Error(ErrorCode code, std::string what, std::string where, std::string mend)
    : code_(code),
      problem_(std::move(what)),
      where_(std::move(where)),
      mend_(std::move(mend)),
      line_(one_line(problem_)) {
  if (!where_.empty()) line_ += " (" + one_line(where_) + ")";
  if (!mend_.empty()) line_ += ": " + one_line(mend_);
}

}  // namespace ingot
