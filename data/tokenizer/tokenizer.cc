#include "data/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "data/tokenizer/pretokenizer_unicode.h"
#include "data/tokenizer/tokenizer_added.h"
#include "engine/base/error.h"
#include "engine/base/read_text.h"

namespace ingot {
namespace {

// Bytes that are not UTF-8 become pieces of at most this size.
constexpr std::size_t kMaxInvalidPiece = 1024;

// All that one running encode() needs.
struct Scratch {
  PreTokenizer::Scratch pre_tokenizer;
  BpeScratch bpe;
  std::string normalized;
};

// Scratches at rest, so that what one call cached serves the next. As many as calls ever ran at
// once.
class ScratchPool {
 public:
  class Lease {
   public:
    Lease(ScratchPool& pool, std::unique_ptr<Scratch> scratch)
        : pool_(pool), scratch_(std::move(scratch)) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { pool_.give_back(std::move(scratch_)); }
    Scratch& operator*() const { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

  Lease take() {
    {
      const std::lock_guard lock(mutex_);
      if (!resting_.empty()) {
        auto scratch = std::move(resting_.back());
        resting_.pop_back();
        return {*this, std::move(scratch)};
      }
    }
    return {*this, std::make_unique<Scratch>()};
  }

 private:
  void give_back(std::unique_ptr<Scratch> scratch) noexcept {
    const std::lock_guard lock(mutex_);
    try {
      resting_.push_back(std::move(scratch));
    } catch (const std::bad_alloc&) {
      // Then the next call makes a new one.
    }
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> resting_;
};

std::vector<AddedToken> raw_tokens(const TokenizerSpec& spec) {
  std::vector<AddedToken> tokens = spec.added_tokens;
  std::erase_if(tokens, [](const AddedToken& token) { return token.normalized; });
  return tokens;
}

// Their contents are normalized, too. Of two that become equal the first counts.
std::vector<AddedToken> normalized_tokens(const TokenizerSpec& spec) {
  std::vector<AddedToken> tokens;
  std::unordered_set<std::string> contents;
  for (AddedToken token : spec.added_tokens) {
    if (!token.normalized) continue;
    std::string buffer;
    token.content = std::string(normalize(spec.normalization, token.content, buffer));
    if (!token.content.empty() && contents.insert(token.content).second)
      tokens.push_back(std::move(token));
  }
  return tokens;
}

// The bytes of every id, and which are spelled in the byte alphabet: those a piece of text can
// become.
struct TokenTable {
  std::vector<std::string> bytes;
  std::vector<bool> spelled, special;
  std::array<std::optional<std::uint32_t>, 256> byte_ids;

  explicit TokenTable(const TokenizerSpec& spec) {
    std::size_t size = spec.vocabulary.empty() ? 0 : spec.vocabulary.back().second + std::size_t{1};
    for (const AddedToken& token : spec.added_tokens)
      size = std::max(size, token.id + std::size_t{1});
    bytes.resize(size), spelled.resize(size), special.resize(size);
    for (const auto& [content, id] : spec.vocabulary) {
      auto plain = bytes_of_spelling(content);
      spelled[id] = plain.has_value() && !plain->empty();
      bytes[id] = plain ? std::move(*plain) : content;
      if (spelled[id] && bytes[id].size() == 1)
        byte_ids[static_cast<unsigned char>(bytes[id][0])] = id;
    }
    for (const AddedToken& token : spec.added_tokens) {
      spelled[token.id] = spelled[token.id] && bytes[token.id] == token.content;
      bytes[token.id] = token.content;
      special[token.id] = token.special;
    }
  }
};

}  // namespace

struct Tokenizer::Parts {
  Parts(const TokenizerSpec& spec, const TokenTable& table, const std::string& where)
      : tokens(table.bytes, table.spelled),
        spelled(table.spelled),
        special(table.special),
        raw_added(raw_tokens(spec)),
        normalized_added(normalized_tokens(spec)),
        normalization(spec.normalization),
        pre_tokenizer(spec.split_steps, where),
        model(table.byte_ids, spec.merges, spec.options, &tokens),
        begin_ids(spec.begin_ids),
        end_ids(spec.end_ids),
        bos_id(spec.bos_id),
        eos_id(spec.eos_id),
        pad_id(spec.pad_id),
        hash(ingot::hash(spec)) {
    for (std::uint32_t id = 0; id < tokens.size(); ++id) {
      if (!spelled[id] && !tokens[id].empty()) literals.emplace(tokens[id], id);
    }
    for (const AddedToken& token : spec.added_tokens)
      literals.insert_or_assign(token.content, token.id);
  }

  void encode_part(std::string_view text, Scratch& scratch, std::vector<std::uint32_t>& ids) const;
  void encode_valid(std::string_view text, Scratch& scratch, std::vector<std::uint32_t>& ids) const;

  ByteStrings tokens;
  std::vector<bool> spelled, special;
  std::unordered_map<std::string, std::uint32_t> literals;  // tokens that stand for their own text
  AddedTokenMatcher raw_added, normalized_added;
  Normalization normalization;
  PreTokenizer pre_tokenizer;
  BpeModel model;
  std::vector<std::uint32_t> begin_ids, end_ids;
  std::optional<std::uint32_t> bos_id, eos_id, pad_id;
  std::uint64_t hash;
  mutable ScratchPool scratches;
};

void Tokenizer::Parts::encode_valid(std::string_view text, Scratch& scratch,
                                    std::vector<std::uint32_t>& ids) const {
  normalized_added.split(
      normalize(normalization, text, scratch.normalized),
      [&](std::string_view part) {
        pre_tokenizer.split(part, scratch.pre_tokenizer,
                            [&](std::string_view piece) { model.encode(piece, scratch.bpe, ids); });
      },
      [&ids](std::uint32_t id) { ids.push_back(id); });
}

void Tokenizer::Parts::encode_part(std::string_view text, Scratch& scratch,
                                   std::vector<std::uint32_t>& ids) const {
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    if (valid > 0) encode_valid(text.substr(0, valid), scratch, ids);
    text.remove_prefix(valid);
    std::size_t invalid = 0;
    while (invalid < std::min(text.size(), kMaxInvalidPiece) &&
           utf8_character_size(text.substr(invalid)) == 0)
      ++invalid;
    if (invalid > 0) model.encode(text.substr(0, invalid), scratch.bpe, ids);
    text.remove_prefix(invalid);
  }
}

Tokenizer::Tokenizer(TokenizerSpec spec, const std::string& where)
    : parts_(std::make_shared<const Parts>(spec, TokenTable(spec), where)) {}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& where) {
  return Tokenizer(parse_tokenizer_json(json, where), where);
}

Tokenizer Tokenizer::of(const CompanionFiles& files, const std::filesystem::path& where) {
  const std::string file = (where / kTokenizerFile).string();
  const auto json = files.find(kTokenizerFile);
  if (json == files.end()) {
    throw Error(ErrorCode::data, "there is no tokenizer.json", where.string(),
                "give one by --tokenizer");
  }
  TokenizerSpec spec = parse_tokenizer_json(json->second, file);
  read_tokenizer_config(files, file, spec);
  return Tokenizer(std::move(spec), file);
}

Tokenizer Tokenizer::load(const std::filesystem::path& file) {
  const std::string json = read_text(file, ErrorCode::data, kMaxTokenizerFileBytes);
  if (file.filename() != kTokenizerFile) return parse(json, file.string());
  TokenizerSpec spec = parse_tokenizer_json(json, file.string());
  read_tokenizer_config(read_tokenizer_companions(file.parent_path()), file.string(), spec);
  return Tokenizer(std::move(spec), file.string());
}

std::optional<std::uint64_t> tokenizer_hash_in(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / kTokenizerFile;
  if (!std::filesystem::exists(file)) return std::nullopt;
  return Tokenizer::load(file).hash();
}

void Tokenizer::encode(std::string_view text, std::vector<std::uint32_t>& ids) const {
  const auto scratch = parts_->scratches.take();
  parts_->raw_added.split(
      text, [&](std::string_view part) { parts_->encode_part(part, *scratch, ids); },
      [&ids](std::uint32_t id) { ids.push_back(id); });
}

std::vector<std::uint32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::uint32_t> ids;
  encode(text, ids);
  return ids;
}

std::span<const std::uint32_t> Tokenizer::begin_ids() const { return parts_->begin_ids; }

std::span<const std::uint32_t> Tokenizer::end_ids() const { return parts_->end_ids; }

std::optional<std::uint32_t> Tokenizer::bos_id() const { return parts_->bos_id; }
std::optional<std::uint32_t> Tokenizer::eos_id() const { return parts_->eos_id; }
std::optional<std::uint32_t> Tokenizer::pad_id() const { return parts_->pad_id; }

std::vector<std::uint32_t> Tokenizer::encode_prompt(std::string_view text) const {
  std::vector<std::uint32_t> ids = encode(text);
  const auto& begin = parts_->begin_ids;
  const bool has_them =
      ids.size() >= begin.size() && std::equal(begin.begin(), begin.end(), ids.begin());
  if (!has_them) ids.insert(ids.begin(), begin.begin(), begin.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const std::uint32_t> ids, bool skip_special) const {
  std::string text;
  for (const std::uint32_t id : ids) {
    if (skip_special && is_special(id)) continue;
    text += token_bytes(id);
  }
  return text;
}

std::string_view Tokenizer::token_bytes(std::uint32_t id) const {
  if (id >= parts_->tokens.size()) {
    throw Error(
        ErrorCode::data,
        "token id " + std::to_string(id) + " is not below " + std::to_string(vocabulary_size()),
        "token ids", "use the tokenizer the ids were made with");
  }
  return parts_->tokens[id];
}

bool Tokenizer::is_special(std::uint32_t id) const {
  return id < parts_->special.size() && parts_->special[id];
}

std::uint32_t Tokenizer::vocabulary_size() const {
  return static_cast<std::uint32_t>(parts_->tokens.size());
}

std::uint64_t Tokenizer::hash() const { return parts_->hash; }

std::optional<std::uint32_t> Tokenizer::token_id(std::string_view content) const {
  if (const auto literal = parts_->literals.find(std::string(content));
      literal != parts_->literals.end()) {
    return literal->second;
  }
  if (valid_utf8_prefix(content) != content.size()) return std::nullopt;
  const auto bytes = bytes_of_spelling(content);
  return bytes ? parts_->tokens.find(*bytes) : std::nullopt;
}

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Whether this is the beginning of a character that more bytes could complete.
bool may_become_character(std::string_view text) {
  if (text.empty() || text.size() > 3) return false;
  for (const char second : {'\x80', '\x90', '\xA0'}) {
    std::string candidate(text);
    if (candidate.size() == 1) candidate += second;
    candidate.resize(4, '\x80');
    if (utf8_character_size(candidate) > static_cast<int>(text.size())) return true;
  }
  return false;
}

}  // namespace

std::string StreamDecoder::push(std::uint32_t id) {
  if (skip_special_ && tokenizer_.is_special(id)) return "";
  pending_ += tokenizer_.token_bytes(id);
  std::string text;
  std::size_t done = 0;
  while (done < pending_.size()) {
    const std::string_view rest = std::string_view(pending_).substr(done);
    const std::size_t valid = valid_utf8_prefix(rest);
    text += rest.substr(0, valid);
    done += valid;
    const std::string_view broken = rest.substr(valid);
    if (broken.empty() || may_become_character(broken)) break;
    // What could have begun a character becomes one U+FFFD together.
    std::size_t size = 1;
    while (may_become_character(broken.substr(0, size + 1))) ++size;
    text += kReplacement;
    done += size;
  }
  pending_.erase(0, done);
  return text;
}

std::string StreamDecoder::finish() {
  const bool half = !std::exchange(pending_, {}).empty();
  return std::string(half ? kReplacement : "");
}

}  // namespace ingot
