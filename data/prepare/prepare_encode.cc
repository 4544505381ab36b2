#include "data/prepare/prepare_encode.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "data/prepare/text_source_jsonl.h"
#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace ingot {
namespace {

// Text in work at a time, unless one line alone is longer.
constexpr std::size_t kMostBytesInWork = std::size_t{64} << 20;

[[noreturn]] void throw_bad_line(const TextInputs& inputs, TextPosition position,
                                 JsonTextStatus status, std::string_view field) {
  const std::string where = line_at(inputs, position);
  const std::string name = "\"" + std::string(field) + "\"";
  switch (status) {
    case JsonTextStatus::missing:
      throw Error(ErrorCode::data, "the object has no field " + name, where,
                  "name the field that holds the text by --field");
    case JsonTextStatus::not_text:
      throw Error(ErrorCode::data, "the field " + name + " is not a string", where,
                  "name the field that holds the text by --field");
    default:
      throw Error(ErrorCode::data, "the line is not one JSON object", where,
                  "mend or remove the line");
  }
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

void encode_document(const Tokenizer& tokenizer, const EncodeOptions& options,
                     const PieceText& part, EncodedPiece& piece) {
  if (part.first) {
    piece.documents.push_back(piece.ids.size());
    piece.ids.insert(piece.ids.end(), options.begin_of_text.begin(), options.begin_of_text.end());
  }
  std::string_view text = part.text;
  if (valid_utf8_prefix(text) < text.size() && piece.not_utf8++ == 0) {
    piece.first_not_utf8 = part.from;
  }
  while (text.size() > options.longest_text) {
    const std::size_t cut = last_place_to_cut(text.substr(0, options.longest_text));
    tokenizer.encode(text.substr(0, cut), piece.ids);
    text.remove_prefix(cut);
  }
  tokenizer.encode(text, piece.ids);
  if (part.last) piece.ids.push_back(options.end_of_text);
}

// A ring of pieces. Slot i holds piece i, i + slots, ...: filled by the caller, encoded by a
// worker, emptied by the caller, in this order of counters: emptied <= taken <= filled.
class Ring {
 public:
  Ring(std::size_t slots, int threads, std::function<void(EncodedPiece&, std::string&)> encode)
      : slots_(slots), encode_(std::move(encode)) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Ring() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    filled_changed_.notify_all();
  }

  bool full() const {
    return filled_ - emptied_ == slots_.size() ||
           (filled_ > emptied_ && bytes_in_work_ > kMostBytesInWork);
  }
  bool empty() const { return filled_ == emptied_; }

  // The slot to fill; then filled().
  EncodedPiece& slot() { return slots_[filled_ % slots_.size()].piece; }
  void filled() {
    Slot& slot = slots_[filled_ % slots_.size()];
    bytes_in_work_ += slot.piece.text.bytes.size();
    slot.done = false;
    {
      const std::lock_guard lock(mutex_);
      ++filled_;
    }
    filled_changed_.notify_one();
  }

  // Waits for the oldest piece; then emptied().
  const EncodedPiece& oldest() {
    Slot& slot = slots_[emptied_ % slots_.size()];
    std::unique_lock lock(mutex_);
    done_changed_.wait(lock, [&] { return slot.done; });
    if (slot.error) std::rethrow_exception(slot.error);
    return slot.piece;
  }
  void emptied() {
    EncodedPiece& piece = slots_[emptied_ % slots_.size()].piece;
    bytes_in_work_ -= piece.text.bytes.size();
    // A long line is rare: its memory is not kept for ordinary ones.
    if (piece.text.bytes.capacity() > kMostBytesInWork / 16) piece = {};
    ++emptied_;
  }

 private:
  struct Slot {
    EncodedPiece piece;
    bool done = false;
    std::exception_ptr error;
  };

  void work() {
    std::string scratch;
    for (;;) {
      std::size_t number;
      {
        std::unique_lock lock(mutex_);
        filled_changed_.wait(lock, [&] { return stop_ || taken_ < filled_; });
        if (stop_) return;
        number = taken_++;
      }
      Slot& slot = slots_[number % slots_.size()];
      try {
        encode_(slot.piece, scratch);
      } catch (...) {
        slot.error = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex_);
        slot.done = true;
      }
      done_changed_.notify_one();
    }
  }

  std::vector<Slot> slots_;
  std::function<void(EncodedPiece&, std::string&)> encode_;
  std::mutex mutex_;
  std::condition_variable filled_changed_, done_changed_;
  std::size_t filled_ = 0, taken_ = 0;  // guarded; filled_ is written by the caller's thread alone
  std::size_t emptied_ = 0, bytes_in_work_ = 0;  // the caller's thread alone
  bool stop_ = false;
  std::vector<std::jthread> threads_;  // last: they end before the rest goes
};

}  // namespace

std::uint64_t for_each_text(const TextInputs& inputs, const TextPiece& piece,
                            std::string_view field, std::string& scratch,
                            const std::function<void(const PieceText&)>& visit) {
  std::uint64_t empty = 0;
  for (const TextSegment& segment : piece.segments) {
    std::string_view rest = std::string_view(piece.bytes).substr(segment.begin, segment.size);
    if (!inputs.files[segment.from.file].jsonl) {
      if (segment.from.offset == 0 && rest.starts_with(kByteOrderMark)) {
        rest.remove_prefix(kByteOrderMark.size());
      }
      visit({rest, segment.first, segment.last, segment.from});
      continue;
    }
    TextPosition at = segment.from;
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, std::min(rest.find('\n'), rest.size() - 1) + 1);
      rest.remove_prefix(line.size());
      if (!is_blank(line)) {
        const JsonTextStatus status = text_of_json_line(line, field, scratch);
        if (status == JsonTextStatus::found) {
          visit({.text = scratch, .from = at});
        } else if (status == JsonTextStatus::empty) {
          ++empty;
        } else {
          throw_bad_line(inputs, at, status, field);
        }
      }
      at.offset += line.size();
    }
  }
  return empty;
}

void encode_in_order(const TextInputs& inputs, const Tokenizer& tokenizer,
                     const EncodeOptions& options, TextSource& source,
                     const std::function<void(const EncodedPiece&)>& sink) {
  const auto encode = [&](EncodedPiece& piece, std::string& scratch) {
    piece.ids.clear();
    piece.documents.clear();
    piece.not_utf8 = 0;
    piece.empty_documents = for_each_text(
        inputs, piece.text, options.field, scratch,
        [&](const PieceText& text) { encode_document(tokenizer, options, text, piece); });
  };
  const int threads = std::max(1, options.threads);
  Ring ring(2 * static_cast<std::size_t>(threads) + 2, threads, encode);
  std::exception_ptr read_error;
  for (bool more = true; more || !ring.empty();) {
    while (more && !ring.full()) {
      try {
        more = source.next(ring.slot().text);
      } catch (...) {
        read_error = std::current_exception();
        more = false;
      }
      if (more) ring.filled();
    }
    if (ring.empty()) break;
    sink(ring.oldest());
    ring.emptied();
  }
  if (read_error) std::rethrow_exception(read_error);
}

}  // namespace ingot
