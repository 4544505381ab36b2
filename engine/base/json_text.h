// JSON values as text.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ingot {

// The text of a tree; numbers that JSON has no word for as Python writes them, for parse_json()
// with python_numbers. indent: spaces a level; -1: all on one line.
std::string dump_json(const nlohmann::json& json, int indent = -1);

}  // namespace ingot
