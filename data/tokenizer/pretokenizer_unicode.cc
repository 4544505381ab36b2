#include "data/tokenizer/pretokenizer_unicode.h"

#include <memory>
#include <string_view>
#include <utility>

#include "data/tokenizer/code_point_set.h"

namespace ingot {
namespace {

constexpr std::pair<std::string_view, CharacterClass> kProperties[] = {
    {"L", kLetter}, {"M", kMark}, {"N", kNumber}, {"P", kPunctuation}, {"S", kSymbol}};

}  // namespace

const std::array<std::uint8_t, kCodePoints>& character_classes() {
  static const auto table = [] {
    auto classes = std::make_unique<std::array<std::uint8_t, kCodePoints>>();
    classes->fill(0);
    const auto mark = [&classes](const CodePointSet& set, CharacterClass bit) {
      for (const auto& range : set.ranges()) {
        for (char32_t c = range.first; c <= range.last; ++c) (*classes)[c] |= bit;
      }
    };
    for (const auto& [name, bit] : kProperties) mark(*property_named(name), bit);
    mark(space_characters(), kSpace);
    mark(word_characters(), kWord);
    mark(old_punctuation(), kOldPunctuation);
    return classes;
  }();
  return *table;
}

}  // namespace ingot
