// One text out of one line of JSONL, without building the line's tree: at the speed of a scan, and
// with bytes that are not UTF-8 kept as they are (a tree would have to refuse them).
#pragma once

#include <string>
#include <string_view>

namespace ingot {

enum class JsonTextStatus {
  found,
  empty,     // "" or null
  missing,   // no such field in the object
  not_text,  // the field is there and not a string
  malformed  // the line is not one JSON object
};

// line: one JSON object, white space around it allowed. The value of its top-level `field`, escapes
// resolved, replaces `text` (empty unless found); of equal fields the last counts. A lone surrogate
// escape becomes U+FFFD; NaN and Infinity are numbers, as Python writes them. Nesting beyond 1000
// levels is malformed.
JsonTextStatus text_of_json_line(std::string_view line, std::string_view field, std::string& text);

}  // namespace ingot
