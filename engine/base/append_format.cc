#include "engine/base/append_format.h"

#include <cstdarg>
#include <cstdio>

namespace ingot {

void append_format(std::string& text, const char* format, ...) {
  va_list values, again;
  va_start(values, format);
  va_copy(again, values);
  const std::size_t before = text.size();
  const auto length = static_cast<std::size_t>(std::vsnprintf(nullptr, 0, format, values));
  text.resize(before + length);
  std::vsnprintf(text.data() + before, length + 1, format, again);
  va_end(again);
  va_end(values);
}

}  // namespace ingot
