#include "data/tokenizer/bpe.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::uint32_t kNoId = ~std::uint32_t{0};
// Up to here a scan over all ranks beats a heap.
constexpr std::size_t kShortPiece = 48;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <class Word>
std::uint64_t load(const char* p) {
  Word word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// The bytes of a piece of 1 to 24 bytes, then zeros, in loads of fixed size: a memcpy of any size
// costs more than all the rest of a look-up.
std::array<std::uint64_t, 3> key_of(std::string_view piece) {
  const char* p = piece.data();
  const std::size_t size = piece.size();
  // The last 8 bytes without those that the words before hold: 0 to 7.
  const auto rest = [p, size](std::size_t before) {
    return size == before ? 0 : load<std::uint64_t>(p + size - 8) >> (8 * (before + 8 - size));
  };
  if (size > 16) return {load<std::uint64_t>(p), load<std::uint64_t>(p + 8), rest(16)};
  if (size >= 8) return {load<std::uint64_t>(p), rest(8), 0};
  if (size >= 4)
    return {load<std::uint32_t>(p) | load<std::uint32_t>(p + size - 4) << (8 * (size - 4)), 0, 0};
  const auto byte = [p](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(p[i])}; };
  return {byte(0) | (size > 1 ? byte(1) << 8 : 0) | (size > 2 ? byte(2) << 16 : 0), 0, 0};
}

}  // namespace

ByteStrings::ByteStrings(std::span<const std::string> strings, const std::vector<bool>& findable)
    : slots_(std::bit_ceil(2 * strings.size() + 2)) {
  offsets_.reserve(strings.size() + 1);
  offsets_.push_back(0);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t id = 0; id < strings.size(); ++id) {
    bytes_ += strings[id];
    if (findable[id]) {
      std::size_t slot = XXH3_64bits(strings[id].data(), strings[id].size()) & mask;
      while (slots_[slot] != 0) slot = (slot + 1) & mask;
      slots_[slot] = static_cast<std::uint32_t>(id + 1);
    }
    offsets_.push_back(bytes_.size());
  }
}

std::optional<std::uint32_t> ByteStrings::find(std::string_view bytes) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t slot = XXH3_64bits(bytes.data(), bytes.size()) & mask; slots_[slot] != 0;
       slot = (slot + 1) & mask) {
    if ((*this)[slots_[slot] - 1] == bytes) return slots_[slot] - 1;
  }
  return std::nullopt;
}

BpeScratch::BpeScratch() : slots_(kSlots) {}

BpeModel::BpeModel(const std::array<std::optional<std::uint32_t>, 256>& byte_ids,
                   std::span<const BpeMerge> merges, BpeOptions options, const ByteStrings* tokens)
    : options_(options), tokens_(tokens) {
  for (std::size_t byte = 0; byte < 256; ++byte) byte_ids_[byte] = byte_ids[byte].value_or(kNoId);
  const std::size_t size = std::bit_ceil(2 * merges.size() + 2);
  pair_shift_ = 64 - std::countr_zero(size);
  pairs_.assign(size, {kNoPair, kNoRank, 0});
  for (std::size_t i = 0; i < merges.size(); ++i) {
    auto* slot = const_cast<PairSlot*>(find(merges[i].left, merges[i].right));
    *slot = {std::uint64_t{merges[i].left} << 32 | merges[i].right, static_cast<std::uint32_t>(i),
             merges[i].result};
  }
}

// The pair's slot, or the empty one where it would stand.
const BpeModel::PairSlot* BpeModel::find(std::uint32_t left, std::uint32_t right) const {
  const std::uint64_t pair = std::uint64_t{left} << 32 | right;
  const std::size_t mask = pairs_.size() - 1;
  std::size_t slot = (pair * 0x9E3779B97F4A7C15u) >> pair_shift_;
  while (pairs_[slot].pair != pair && pairs_[slot].pair != kNoPair) slot = (slot + 1) & mask;
  return &pairs_[slot];
}

void BpeModel::encode(std::string_view piece, BpeScratch& scratch,
                      std::vector<std::uint32_t>& ids) const {
  if (piece.empty()) return;
  if (piece.size() == 1 && byte_ids_[static_cast<unsigned char>(piece[0])] != kNoId &&
      !options_.ignore_merges) {
    ids.push_back(byte_ids_[static_cast<unsigned char>(piece[0])]);
    return;
  }
  if (piece.size() > BpeScratch::kKeyBytes) {
    encode_anew(piece, scratch);
    ids.insert(ids.end(), scratch.ids_.begin(), scratch.ids_.end());
    return;
  }
  const BpeScratch::Key key = key_of(piece);
  const std::uint64_t hash = mix(key[0] ^ 0x9E3779B97F4A7C15u, key[1] ^ 0xE7037ED1A0B428DBu) ^
                             mix(key[2] ^ piece.size(), 0xA0761D6478BD642Fu);
  // Two neighbours may hold the piece: a frequent one is in the first, what is new replaces the
  // second.
  BpeScratch::Slot* slots = &scratch.slots_[hash % BpeScratch::kSlots & ~std::uint64_t{1}];
  for (int i = 0; i < 2; ++i) {
    if (!slots[i].holds(key, piece.size())) continue;
    ids.insert(ids.end(), slots[i].ids.begin(), slots[i].ids.begin() + slots[i].count);
    if (i == 1) std::swap(slots[0], slots[1]);
    return;
  }
  encode_anew(piece, scratch);
  ids.insert(ids.end(), scratch.ids_.begin(), scratch.ids_.end());
  if (scratch.ids_.size() > BpeScratch::kIds) return;
  BpeScratch::Slot& slot = slots[slots[0].size == 0 ? 0 : 1];
  slot.key = key;
  slot.size = static_cast<std::uint8_t>(piece.size());
  slot.count = static_cast<std::uint8_t>(scratch.ids_.size());
  std::copy(scratch.ids_.begin(), scratch.ids_.end(), slot.ids.begin());
}

void BpeModel::byte_symbols(std::string_view piece, std::vector<std::uint32_t>& ids) const {
  ids.clear();
  bool unknown_before = false;
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    const bool unknown = byte_ids_[byte] == kNoId;
    if (unknown && !options_.unknown_id) {
      throw Error(ErrorCode::data, "the tokenizer has no token for byte " + std::to_string(byte),
                  "text", "use a byte-level tokenizer with all 256 bytes in its vocabulary");
    }
    if (!unknown) {
      ids.push_back(byte_ids_[byte]);
    } else if (!unknown_before || !options_.fuse_unknown) {
      ids.push_back(*options_.unknown_id);
    }
    unknown_before = unknown;
  }
}

void BpeModel::encode_anew(std::string_view piece, BpeScratch& scratch) const {
  if (options_.ignore_merges) {
    if (const auto id = tokens_->find(piece)) {
      scratch.ids_.assign(1, *id);
      return;
    }
  }
  if (piece.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw Error(ErrorCode::data, "a piece of text of more than 2 GiB", "text",
                "split the document");
  }
  byte_symbols(piece, scratch.ids_);
  if (scratch.ids_.size() <= kShortPiece) {
    merge_short(scratch);
  } else {
    merge_long(scratch);
  }
}

void BpeModel::merge_short(BpeScratch& scratch) const {
  std::vector<std::uint32_t>& ids = scratch.ids_;
  std::array<std::uint32_t, kShortPiece + 1> ranks;  // of the pair that starts at each symbol
  std::size_t count = ids.size();
  for (std::size_t i = 0; i + 1 < count; ++i) ranks[i] = rank(ids[i], ids[i + 1]);
  while (count > 1) {
    const auto best = std::min_element(ranks.begin(), ranks.begin() + (count - 1));
    if (*best == kNoRank) break;
    const auto at = static_cast<std::size_t>(best - ranks.begin());
    ids[at] = find(ids[at], ids[at + 1])->result;
    std::copy(ids.begin() + at + 2, ids.begin() + count, ids.begin() + at + 1);
    std::copy(ranks.begin() + at + 1, ranks.begin() + (count - 1), ranks.begin() + at);
    --count;
    if (at > 0) ranks[at - 1] = rank(ids[at - 1], ids[at]);
    if (at + 1 < count) ranks[at] = rank(ids[at], ids[at + 1]);
  }
  ids.resize(count);
}

void BpeModel::merge_long(BpeScratch& scratch) const {
  std::vector<BpeScratch::Symbol>& symbols = scratch.symbols_;
  std::vector<std::uint64_t>& heap = scratch.heap_;
  std::vector<std::uint32_t>& ids = scratch.ids_;
  symbols.clear();
  heap.clear();
  const auto count = static_cast<std::int32_t>(ids.size());
  for (std::int32_t i = 0; i < count; ++i)
    symbols.push_back({ids[i], i - 1, i + 1 < count ? i + 1 : -1});
  // The pair that starts at a symbol; a slot without rank if there is none or it does not merge.
  static constexpr PairSlot kNone{kNoPair, kNoRank, 0};
  const auto pair_at = [&](std::int32_t left) -> const PairSlot& {
    if (left < 0 || symbols[left].id == kNoId || symbols[left].next < 0) return kNone;
    return *find(symbols[left].id, symbols[symbols[left].next].id);
  };
  const auto key = [](std::uint32_t rank, std::int32_t left) {
    return std::uint64_t{rank} << 32 | static_cast<std::uint32_t>(left);
  };
  const auto offer = [&](std::int32_t left) {
    if (const std::uint32_t rank = pair_at(left).rank; rank != kNoRank) {
      heap.push_back(key(rank, left));
      std::push_heap(heap.begin(), heap.end(), std::greater());
    }
  };
  for (std::int32_t i = 0; i < count; ++i) {
    if (const std::uint32_t rank = pair_at(i).rank; rank != kNoRank) heap.push_back(key(rank, i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater());
    const auto at = static_cast<std::int32_t>(heap.back() & 0xFFFFFFFFu);
    const auto rank = static_cast<std::uint32_t>(heap.back() >> 32);
    heap.pop_back();
    // Stale once either symbol was merged into another: ranks of different pairs differ.
    const PairSlot& pair = pair_at(at);
    if (pair.rank != rank) continue;
    BpeScratch::Symbol& left = symbols[at];
    BpeScratch::Symbol& right = symbols[left.next];
    left.id = pair.result;
    right.id = kNoId;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = at;
    offer(left.previous);
    offer(at);
  }
  ids.clear();
  for (std::int32_t i = 0; i >= 0; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace ingot
