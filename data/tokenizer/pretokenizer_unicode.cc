#include "data/tokenizer/pretokenizer_unicode.h"

#include <algorithm>
#include <iterator>
#include <memory>

#include "data/tokenizer/pretokenizer_unicode_table.h"

namespace ingot {

const std::array<std::uint8_t, kCodePoints>& character_classes() {
  static const auto table = [] {
    auto classes = std::make_unique<std::array<std::uint8_t, kCodePoints>>();
    classes->fill(0);
    for (std::size_t i = 0; i < std::size(kClassStarts); ++i) {
      const std::size_t begin = kClassStarts[i] >> 8;
      const std::size_t end =
          i + 1 < std::size(kClassStarts) ? kClassStarts[i + 1] >> 8 : kCodePoints;
      std::fill(classes->begin() + begin, classes->begin() + end, kClassStarts[i] & 0xFF);
    }
    return classes;
  }();
  return *table;
}

}  // namespace ingot
