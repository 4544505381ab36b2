// Byte-level byte-pair encoding of one piece of text: the "model" of a tokenizer.json.
//
// A piece starts as one symbol per byte; the adjacent pair with the lowest rank is merged, the
// leftmost of equals first, until no pair has a rank (Sennrich et al. 2016; Radford et al. 2019 for
// bytes).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

// Byte strings with an id each, in one block of memory: id -> bytes and bytes -> id.
class ByteStrings {
 public:
  // Strings by id, empty where an id is unused; find() knows those that are findable, which must
  // differ.
  ByteStrings(std::span<const std::string> strings, const std::vector<bool>& findable);
  std::string_view operator[](std::uint32_t id) const {
    return std::string_view(bytes_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
  }
  std::optional<std::uint32_t> find(std::string_view bytes) const;
  std::size_t size() const { return offsets_.size() - 1; }

 private:
  std::string bytes_;
  std::vector<std::uint64_t> offsets_;
  std::vector<std::uint32_t> slots_;  // open addressing, id + 1 or 0
};

// Memory of one encoding thread: what pieces became before, and the symbols of the piece at work.
// Bounded: 2 MiB and a few times the longest piece.
class BpeScratch {
 public:
  BpeScratch();

 private:
  friend class BpeModel;
  static constexpr std::size_t kSlots = 1 << 15;
  static constexpr std::size_t kKeyBytes = 24;
  static constexpr std::size_t kIds = 9;
  using Key = std::array<std::uint64_t, kKeyBytes / 8>;
  // One cache line. size 0: empty.
  struct alignas(64) Slot {
    Key key;  // the piece, then zeros
    std::array<std::uint32_t, kIds> ids;
    std::uint8_t size;
    std::uint8_t count;

    bool holds(const Key& piece, std::size_t piece_size) const {
      return size == piece_size &&
             !((key[0] ^ piece[0]) | (key[1] ^ piece[1]) | (key[2] ^ piece[2]));
    }
  };
  struct Symbol {
    std::uint32_t id;
    std::int32_t previous, next;  // -1: none
  };
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> ids_, ranks_;
  std::vector<Symbol> symbols_;
  std::vector<std::uint64_t> heap_;  // rank << 32 | position of the left symbol
};

struct BpeMerge {
  std::uint32_t left, right, result;
};

struct BpeOptions {
  bool ignore_merges = false;               // a piece that is in the vocabulary is that token
  std::optional<std::uint32_t> unknown_id;  // for bytes that have no token
  bool fuse_unknown = false;                // one unknown_id for a run of them
};

// Immutable; any number of threads may encode, each with its own scratch.
class BpeModel {
 public:
  using Options = BpeOptions;
  // `byte_ids`: the token of each single byte. `merges` in order of rank; of equal pairs the last
  // counts. `tokens` must outlive the model: bytes -> id for ignore_merges.
  BpeModel(const std::array<std::optional<std::uint32_t>, 256>& byte_ids,
           std::span<const BpeMerge> merges, BpeOptions options, const ByteStrings* tokens);

  // Appends the ids of a piece. Error(data) for a byte without token when there is no unknown_id.
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<std::uint32_t>& ids) const;

 private:
  struct PairSlot {
    std::uint64_t pair;  // left << 32 | right
    std::uint32_t rank, result;
  };
  static constexpr std::uint64_t kNoPair = ~std::uint64_t{0};
  static constexpr std::uint32_t kNoRank = ~std::uint32_t{0};

  const PairSlot* find(std::uint32_t left, std::uint32_t right) const;
  std::uint32_t rank(std::uint32_t left, std::uint32_t right) const {
    return find(left, right)->rank;
  }
  void byte_symbols(std::string_view piece, std::vector<std::uint32_t>& ids) const;
  // Leaves the ids of the piece in scratch.ids_.
  void encode_anew(std::string_view piece, BpeScratch& scratch) const;
  void merge_short(BpeScratch& scratch) const;
  void merge_long(BpeScratch& scratch) const;

  std::array<std::uint32_t, 256> byte_ids_;
  std::vector<PairSlot> pairs_;  // open addressing
  int pair_shift_ = 0;
  Options options_;
  const ByteStrings* tokens_;
};

}  // namespace ingot
