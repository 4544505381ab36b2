#include "data/prepare/prepare.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "data/prepare/prepare_encode.h"
#include "data/prepare/prepare_progress.h"
#include "data/prepare/prepare_state.h"
#include "data/prepare/prepare_tokenizer.h"
#include "data/prepare/text_source.h"
#include "data/shards/shard.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/tokenizer.h"
#include "engine/base/error.h"
#include "io/atomic_file.h"
#include "io/companion_files.h"
#include "io/directory_lock.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTrain = "train";
constexpr const char* kStartAnew = "choose another --output, or start anew with --overwrite";

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
  }

 private:
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

void check(const PrepareOptions& options) {
  const auto refuse = [](const char* what, const char* mend) {
    throw Error(ErrorCode::usage, what, "prepare", mend);
  };
  if (options.inputs.empty()) refuse("no input", "name files or folders by --input");
  if (options.output.empty()) refuse("no output folder", "name one by --output");
  if (options.tokenizer.empty()) {
    refuse("no tokenizer", "give --tokenizer a tokenizer.json, or \"train\" and --vocab");
  }
  // Refuses what is no vocabulary before there is a folder that remembers it.
  if (options.tokenizer == kTrain) BpeTrainer({.vocabulary_size = options.vocabulary_size});
  if (!(options.validation >= 0 && options.validation <= 0.5)) {
    refuse("--validation must be a number from 0 to 0.5", "the default is 0.02");
  }
  if (options.shard_tokens == 0) refuse("--shard-tokens must be at least 1", "try 100000000");
  if (options.field.empty()) refuse("--field is empty", "the default is \"text\"");
  if (options.threads < 1) refuse("--threads is negative", "0 stands for all processors");
}

std::string with_commas(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

class Preparation {
 public:
  explicit Preparation(const PrepareOptions& options)
      : options_(options), output_(options.output) {}

  PrepareResult run() {
    check(options_);
    if (options_.tokenizer != kTrain) given_tokenizer_ = Tokenizer::load(options_.tokenizer);
    create_folder(output_);
    DirectoryLock lock;
    if (!lock.take(output_)) {
      throw Error(ErrorCode::usage,
                  "another `ingot prepare` is at work in this folder: " + lock.holder(),
                  output_.string(), "wait for it, or choose another --output");
    }
    AtomicFile(output_ / "prepare.json");  // may anything be written here?
    inputs_ = find_text(options_.inputs, output_, options_.field);
    validation_start_ = validation_start(inputs_, options_.validation);
    take_up_or_start();
    settle_tokenizer();
    result_.resumed_shards =
        keep_intact_shards(output_, state_.train) + keep_intact_shards(output_, state_.validation);
    encode("train", state_.train, {}, validation_start_);
    if (state_.train.shards.empty()) {
      throw Error(ErrorCode::data, "every document is empty", options_.inputs.front(),
                  "name files with text by --input");
    }
    encode("validation", state_.validation, validation_start_, end_of(inputs_));
    return finish();
  }

 private:
  PrepareSettings settings() const {
    const bool train = options_.tokenizer == kTrain;
    return {.inputs = options_.inputs,
            .files = inputs_.files.size(),
            .bytes = inputs_.bytes,
            .fingerprint = inputs_.fingerprint(),
            .tokenizer = train ? kTrain : "",
            .trained_vocabulary = train ? options_.vocabulary_size : 0,
            .sample_bytes = train ? options_.sample_bytes : 0,
            .field = options_.field,
            .validation = options_.validation,
            .shard_tokens = options_.shard_tokens};
  }

  // Sets state_ to what an earlier run of the same settings left, or to a fresh one on disk.
  void take_up_or_start() {
    const PrepareSettings now = settings();
    try {
      auto found = load_state(output_);
      const std::string differs = found ? difference(found->settings, now, false) : "";
      if (!differs.empty()) refuse_other_settings(differs);
      if (found) {
        state_ = std::move(*found);
        clean(output_, /*everything=*/false);
        return;
      }
      refuse_foreign_files();
    } catch (const Error& error) {
      if (!options_.overwrite || error.code() == ErrorCode::device) throw;
    }
    clean(output_, /*everything=*/true);
    state_ = {.settings = now};
    save_state(output_, state_);
  }

  [[noreturn]] void refuse_other_settings(const std::string& differs) const {
    throw Error(ErrorCode::usage, "the folder holds shards made with other settings: " + differs,
                output_.string(), kStartAnew);
  }

  // Without a prepare.json, files of our names are somebody else's.
  void refuse_foreign_files() const {
    for (const auto& entry : fs::directory_iterator(output_)) {
      const std::string name = entry.path().filename().string();
      std::error_code ignored;
      const bool foreign_tokenizer =
          companion_of(name) == Companion::tokenizer &&
          (!given_tokenizer_ ||
           !fs::equivalent(output_ / kTokenizerFile, options_.tokenizer, ignored));
      if (is_shard_name(name) || foreign_tokenizer) {
        throw Error(ErrorCode::usage, "the folder already holds " + name, output_.string(),
                    kStartAnew);
      }
    }
  }

  void settle_tokenizer() {
    const fs::path copy = output_ / kTokenizerFile;
    if (!state_.tokenizer_ready) {
      if (!given_tokenizer_) {
        train_tokenizer();
      } else if (std::error_code ignored; !fs::equivalent(copy, options_.tokenizer, ignored)) {
        copy_tokenizer(options_.tokenizer, output_);
      }
    }
    tokenizer_ = given_tokenizer_ ? given_tokenizer_ : Tokenizer::load(copy);
    PrepareSettings now = state_.settings;
    now.tokenizer_hash = tokenizer_->hash();
    now.vocabulary_size = tokenizer_->vocabulary_size();
    now.end_of_text = end_of_text();
    now.begin_of_text = begin_of_text();
    if (state_.tokenizer_ready) {
      const std::string differs = difference(state_.settings, now, true);
      if (differs.empty()) return;
      if (!options_.overwrite) refuse_other_settings(differs);
      clean(output_, /*everything=*/true);
      state_ = {.settings = now};
      save_state(output_, state_);
      return settle_tokenizer();
    }
    state_.settings = now;
    state_.tokenizer_ready = true;
    save_state(output_, state_);
  }

  std::uint32_t end_of_text() const {
    const std::string where = options_.tokenizer;
    if (options_.end_of_text) {
      if (const auto id = tokenizer_->token_id(*options_.end_of_text)) return *id;
      throw Error(ErrorCode::usage, "the tokenizer has no token \"" + *options_.end_of_text + "\"",
                  where, "name the token that ends a document by --eos");
    }
    for (const char* token :
         {"<｜end▁of▁sentence｜>", "<|end_of_text|>", "<|endoftext|>", "</s>"}) {
      if (const auto id = tokenizer_->token_id(token)) return *id;
    }
    if (const auto id = tokenizer_->eos_id()) return *id;
    throw Error(ErrorCode::usage, "the tokenizer has no end-of-text token of a usual name", where,
                "name the token that ends a document by --eos");
  }

  std::optional<std::uint32_t> begin_of_text() const {
    if (!options_.begin_of_text) return std::nullopt;
    const auto ids = tokenizer_->begin_ids();
    if (ids.size() == 1) return ids.front();
    throw Error(ErrorCode::usage,
                ids.empty() ? "the tokenizer begins a text with no token (it has no "
                              "\"post_processor\" that does)"
                            : "the tokenizer begins a text with more than one token",
                options_.tokenizer, "leave out --begin-of-text");
  }

  // On the training part; of much text, on pieces spread evenly over it.
  void train_tokenizer() {
    const Stopwatch watch;
    BpeTrainer trainer({.vocabulary_size = options_.vocabulary_size});
    const std::uint64_t bytes = bytes_before(inputs_, validation_start_);
    const std::uint64_t pieces = options_.sample_bytes / source_options_.piece_bytes;
    const bool all = bytes <= options_.sample_bytes;
    const std::uint64_t stride = all ? 0 : bytes / std::max<std::uint64_t>(1, pieces);
    ProgressLine progress("read for the tokenizer", std::min(bytes, options_.sample_bytes), 0,
                          options_.progress);
    TextSource source(inputs_, source_options_, {}, validation_start_);
    TextPiece piece;
    std::string scratch;
    std::uint64_t read = 0, next_sample = 0;
    while (read < std::min(bytes, options_.sample_bytes) && source.next(piece)) {
      for_each_text(inputs_, piece, options_.field, scratch,
                    [&](const PieceText& part) { trainer.add(part.text); });
      read += piece.bytes.size();
      progress.update(read);
      if (all) continue;
      next_sample += stride;
      source.seek(place_after(inputs_, next_sample));
    }
    write_tokenizer(trainer.train(), BpeTrainerOptions{}.special_tokens.front(), output_);
    result_.tokenizer_seconds = watch.seconds();
  }

  void encode(const std::string& name, PreparedPart& part, TextPosition begin, TextPosition end) {
    if (part.done) return;
    const Stopwatch watch;
    TextSource source(inputs_, source_options_, begin, end);
    TextPosition position = part.shards.empty() ? begin : part.shards.back().end;
    check_position(position, begin, end);
    source.seek(position);
    std::uint64_t done = bytes_before(inputs_, position);
    ProgressLine progress(name, bytes_before(inputs_, end), done, options_.progress);

    std::optional<ShardWriter> writer;
    std::uint64_t empty_documents = 0;
    const auto close_shard = [&] {
      part.shards.push_back({shard_name(name, part.shards.size()), writer->commit(),
                             std::exchange(empty_documents, 0), position});
      writer.reset();
    };
    const auto add = [&](const EncodedPiece& piece) {
      const std::size_t count = piece.ids.size();
      if (writer && writer->token_count() + count > options_.shard_tokens) {
        close_shard();
        save_state(output_, state_);
      }
      if (!writer && count > 0) {
        writer.emplace(output_ / shard_name(name, part.shards.size()), header_of(state_.settings));
      }
      append(piece, writer);
      empty_documents += piece.empty_documents;
      if (piece.not_utf8 > 0 && not_utf8_ == 0) first_not_utf8_ = piece.first_not_utf8;
      not_utf8_ += piece.not_utf8;
      position = piece.text.end;
      done += piece.text.bytes.size();
      result_.encoded_bytes += piece.text.bytes.size();
      progress.update(done);
    };
    encode_in_order(inputs_, *tokenizer_, encode_options(), source, add);
    if (writer) {
      close_shard();
    } else if (!part.shards.empty()) {
      part.shards.back().empty_documents += empty_documents;
    }
    part.done = true;
    save_state(output_, state_);
    result_.encode_seconds += watch.seconds();
  }

  static void append(const EncodedPiece& piece, std::optional<ShardWriter>& writer) {
    const std::span<const std::uint32_t> ids = piece.ids;
    std::size_t from = 0;
    for (const std::size_t begin : piece.documents) {
      writer->append(ids.subspan(from, begin - from));
      writer->begin_document();
      from = begin;
    }
    if (from < ids.size()) writer->append(ids.subspan(from));
  }

  // A place out of prepare.json.
  void check_position(TextPosition position, TextPosition begin, TextPosition end) const {
    const auto before = [](TextPosition a, TextPosition b) {
      return std::pair(a.file, a.offset) < std::pair(b.file, b.offset);
    };
    const bool inside = position.file < inputs_.files.size()
                            ? position.offset < inputs_.files[position.file].size
                            : position.offset == 0;
    if (inside && !before(position, begin) && !before(end, position)) return;
    throw Error(ErrorCode::data, "a shard's end lies outside the input",
                (output_ / "prepare.json").string(), kStartAnew);
  }

  EncodeOptions encode_options() const {
    const auto& begin = state_.settings.begin_of_text;
    return {.field = options_.field,
            .begin_of_text = begin ? std::vector{*begin} : std::vector<std::uint32_t>{},
            .end_of_text = state_.settings.end_of_text,
            .longest_text = source_options_.piece_bytes,
            .threads = options_.threads};
  }

  static std::string shard_name(const std::string& part, std::size_t number) {
    std::string digits = std::to_string(number);
    if (digits.size() < 5) digits.insert(0, 5 - digits.size(), '0');
    return part + "-" + digits;
  }

  PrepareResult finish() {
    const auto total = [&](const PreparedPart& part, std::uint64_t& tokens, std::uint64_t& shards) {
      for (const PreparedShard& shard : part.shards) {
        tokens += shard.header.token_count;
        result_.documents += shard.header.document_count;
        result_.empty_documents += shard.empty_documents;
      }
      shards = part.shards.size();
    };
    total(state_.train, result_.train_tokens, result_.train_shards);
    total(state_.validation, result_.validation_tokens, result_.validation_shards);
    result_.empty_documents += inputs_.empty_files;
    result_.binary_files = inputs_.binary_files;
    result_.text_bytes = inputs_.bytes;
    result_.vocabulary_size = state_.settings.vocabulary_size;
    result_.notes = inputs_.notes;
    if (not_utf8_ > 0) {
      result_.notes.push_back(
          with_commas(not_utf8_) + (not_utf8_ == 1 ? " text is" : " texts are") +
          " not UTF-8, the first at " + line_at(inputs_, first_not_utf8_) +
          ": the bytes are kept as they are; if it is another encoding, convert it with iconv");
    }
    if (options_.validation > 0 && state_.validation.shards.empty()) {
      result_.notes.push_back("too little text for a validation part");
    }
    if (options_.field != PrepareOptions().field &&
        std::ranges::none_of(inputs_.files, &TextFile::jsonl)) {
      result_.notes.push_back("--field has no effect: none of the inputs holds JSON objects");
    }
    return std::move(result_);
  }

  const PrepareOptions& options_;
  const fs::path output_;
  const TextSourceOptions source_options_;
  std::optional<Tokenizer> given_tokenizer_, tokenizer_;
  TextInputs inputs_;
  TextPosition validation_start_;
  PrepareState state_;
  std::uint64_t not_utf8_ = 0;  // texts
  TextPosition first_not_utf8_;
  PrepareResult result_;
};

std::string decimal(double value, int digits) { return fmt::format("{:.{}f}", value, digits); }

}  // namespace

PrepareResult prepare(const PrepareOptions& options) { return Preparation(options).run(); }

std::string summary_of(const PrepareResult& r) {
  const std::uint64_t tokens = r.train_tokens + r.validation_tokens;
  const auto shards = [](std::uint64_t n) {
    return with_commas(n) + (n == 1 ? " shard" : " shards");
  };
  std::string text = with_commas(r.documents) + " documents, " + with_commas(tokens) +
                     " tokens of a vocabulary of " + with_commas(r.vocabulary_size) + ", " +
                     decimal(double(r.text_bytes) / double(std::max<std::uint64_t>(tokens, 1)), 2) +
                     " bytes per token\n";
  text += "train: " + with_commas(r.train_tokens) + " tokens in " + shards(r.train_shards) +
          "; validation: " + with_commas(r.validation_tokens) + " in " +
          shards(r.validation_shards) + "\n";
  if (r.resumed_shards > 0) text += shards(r.resumed_shards) + " were there from an earlier run\n";
  if (r.tokenizer_seconds > 0) {
    text += "trained the tokenizer in " + decimal(r.tokenizer_seconds, 2) + " s\n";
  }
  if (r.encoded_bytes > 0) {
    text += "encoded " + decimal(double(r.encoded_bytes) / 1e6, 1) + " MB in " +
            decimal(r.encode_seconds, 2) + " s, " +
            decimal(double(r.encoded_bytes) / 1e6 / std::max(r.encode_seconds, 1e-9), 1) +
            " MB/s\n";
  }
  if (r.empty_documents + r.binary_files > 0) {
    text += "left out: " + with_commas(r.empty_documents) + " empty documents, " +
            with_commas(r.binary_files) + " binary files\n";
  }
  for (const std::string& note : r.notes) text += "note: " + note + "\n";
  return text;
}

}  // namespace ingot
