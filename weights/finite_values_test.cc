#include "weights/finite_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "io/test_folder.h"

namespace ingot {
namespace {

template <class Word>
void expect_found(StoredType type, Word infinity, Word nan, Word largest) {
  for (std::size_t at = 0; at < 5; ++at) {
    for (const Word bits : {infinity, nan, largest}) {
      std::vector<Word> words(5, Word{0x12});
      words[at] = bits;
      for (const Word sign : {Word{0}, static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1))}) {
        words[at] = bits | sign;
        EXPECT_EQ(all_finite(type, std::as_bytes(std::span(words))), bits == largest)
            << name_of(type) << " " << +bits << " at " << at;
      }
    }
  }
}

TEST(AllFinite, FindsInfinitiesAndNansOfEveryTypeAnywhere) {
  expect_found<std::uint32_t>(StoredType::f32, 0x7f800000, 0x7fc00000, 0x7f7fffff);
  expect_found<std::uint16_t>(StoredType::bf16, 0x7f80, 0x7fc0, 0x7f7f);
  expect_found<std::uint16_t>(StoredType::f16, 0x7c00, 0x7e00, 0x7bff);
}

TEST(RequireFinite, NamesTheRowOfTheWholeTensor) {
  const WeightPart piece{
      .name = "w", .shape = {2, 3}, .whole = {10, 3}, .first = {4, 0}};  // rows 4 and 5 of ten
  std::vector<float> values = {1, 2, 3, 4, INFINITY, 6};
  expect_error(
      ErrorCode::data, [&] { require_finite("w", piece, values, "here"); }, "infinity", "row 5");
  values[4] = 5;
  require_finite("w", piece, values, "here");
  values[0] = NAN;
  expect_error(
      ErrorCode::data, [&] { require_finite("w", piece, values, "here"); }, "NaN", "row 4");
}

}  // namespace
}  // namespace ingot
