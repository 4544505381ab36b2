#include "ops/state_forms/state_draws.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "engine/numbers/random.h"

namespace ingot {
namespace {

struct Place {
  std::uint64_t stream;
  std::int64_t row, column;
  bool operator==(const Place&) const = default;
};

Place place_of(const std::vector<DrawnRows>& all, std::int64_t row) {
  std::int64_t begin = 0;
  for (const DrawnRows& rows : all) {
    if (row < rows.end) return {rows.stream, rows.row + row - begin, rows.column};
    begin = rows.end;
  }
  return {};
}

TEST(StateDraws, RowsOfAFusedWeightAreThoseOfItsParts) {
  const Weight weight{
      .shape = {2, 5, 8},
      .parts = {{"a0", 0, {3, 8}}, {"b0", 24, {2, 8}}, {"a1", 40, {3, 8}}, {"b1", 64, {2, 8}}}};
  const std::vector<DrawnRows> rows = drawn_rows(weight);
  EXPECT_EQ(rows.back().end, 10);
  EXPECT_EQ(place_of(rows, 2), (Place{random_stream("a0"), 2, 0}));
  EXPECT_EQ(place_of(rows, 3), (Place{random_stream("b0"), 0, 0}));
  EXPECT_EQ(place_of(rows, 9), (Place{random_stream("b1"), 1, 0}));
}

TEST(StateDraws, ABlocksRowsAreThoseOfTheWholeTensor) {
  const Weight flat{.shape = {3, 32},
                    .parts = {{.name = "a", .shape = {3, 32}, .whole = {9, 96}, .first = {5, 64}}}};
  EXPECT_EQ(place_of(drawn_rows(flat), 2), (Place{random_stream("a"), 7, 64}));
  // Two experts' rows 1 and 2 of 4: rows 4 + 1, 4 + 2, 8 + 1, 8 + 2.
  const Weight deep{
      .shape = {2, 2, 8},
      .parts = {{.name = "a", .shape = {2, 2, 8}, .whole = {5, 4, 8}, .first = {1, 1, 0}}}};
  const std::vector<DrawnRows> rows = drawn_rows(deep);
  const std::int64_t expected[] = {5, 6, 9, 10};
  for (int row = 0; row < 4; ++row) EXPECT_EQ(place_of(rows, row).row, expected[row]);
}

TEST(StateDraws, AVectorIsOneRowAndPartsMustCoverAWeight) {
  EXPECT_EQ(drawn_rows({.shape = {7}, .parts = {{"a", 0, {3}}, {"b", 3, {4}}}}).back().end, 1);
  EXPECT_THROW(drawn_rows({.shape = {4, 8}, .parts = {{"a", 0, {3, 8}}}}), std::logic_error);
  EXPECT_THROW(drawn_rows(Program(), Op{.name = "a"}), std::logic_error);
}

}  // namespace
}  // namespace ingot
