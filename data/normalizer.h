// The "normalizer" of a tokenizer.json: none, or Unicode's form NFC. Same text as Hugging Face's
// tokenizers (but for marks younger than Unicode 9, whose order the version of utf8proc decides).
#pragma once

#include <string>
#include <string_view>

namespace ingot {

enum class Normalization { none, nfc };

// The normalized text: `text` itself when nothing changes, else a view of `buffer`.
// The text must be valid UTF-8. Error(data) when utf8proc fails.
std::string_view normalize(Normalization form, std::string_view text, std::string& buffer);

}  // namespace ingot
