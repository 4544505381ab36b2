// printf to the end of a string, for tables of text.
#pragma once

#include <string>

namespace ingot {

__attribute__((format(printf, 2, 3))) void append_format(std::string& text, const char* format,
                                                         ...);

}  // namespace ingot
