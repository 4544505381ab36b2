// The "normalizer" of a tokenizer.json: none, or Unicode's form NFC. Same text as from Hugging
// Face's tokenizers, whose tables are older than utf8proc's: what they do not know neither composes
// nor moves.
#pragma once

#include <string>
#include <string_view>

namespace ingot {

enum class Normalization { none, nfc };

// The normalized text: `text` itself when nothing changes, else a view of `buffer`.
// The text must be valid UTF-8. Error(data) when utf8proc fails.
std::string_view normalize(Normalization form, std::string_view text, std::string& buffer);

}  // namespace ingot
