// The tokenizer's files in a folder of shards.
#pragma once

#include <filesystem>

#include "data/tokenizer/tokenizer_spec.h"

namespace ingot {

// A tokenizer.json and, where it has this usual name, the files that belong to it; those of another
// tokenizer go.
void copy_tokenizer(const std::filesystem::path& given, const std::filesystem::path& output);

// The same for one that was made here, with what transformers asks about it: `end` is the token
// that ends documents.
void write_tokenizer(const TokenizerSpec& spec, const std::string& end,
                     const std::filesystem::path& output);

}  // namespace ingot
