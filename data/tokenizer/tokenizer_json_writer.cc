// TokenizerSpec -> tokenizer.json.
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "data/tokenizer/tokenizer_spec.h"

namespace ingot {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson pre_tokenizer_json(const SplitStep& step) {
  const auto name = [](SplitBehavior behavior) {
    return kSplitBehaviorNames[static_cast<std::size_t>(behavior)];
  };
  switch (step.kind) {
    case SplitStep::Kind::regex:
    case SplitStep::Kind::literal: {
      const char* kind = step.kind == SplitStep::Kind::regex ? "Regex" : "String";
      return {{"type", "Split"},
              {"pattern", {{kind, step.pattern}}},
              {"behavior", name(step.behavior)},
              {"invert", step.invert}};
    }
    case SplitStep::Kind::number:
      return {{"type", "Digits"}, {"individual_digits", step.behavior == SplitBehavior::isolated}};
    case SplitStep::Kind::punctuation:
      return {{"type", "Punctuation"}, {"behavior", name(step.behavior)}};
    case SplitStep::Kind::white_space:
      return {{"type", "WhitespaceSplit"}};
    case SplitStep::Kind::words:
      return {{"type", "Whitespace"}};
    case SplitStep::Kind::byte_level:
      break;
  }
  return {{"type", "ByteLevel"},
          {"add_prefix_space", step.add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", step.use_regex}};
}

OrderedJson added_token_json(const AddedToken& token) {
  return {{"id", token.id},          {"content", token.content}, {"single_word", token.single_word},
          {"lstrip", token.lstrip},  {"rstrip", token.rstrip},   {"normalized", token.normalized},
          {"special", token.special}};
}

}  // namespace

std::string write_tokenizer_json(const TokenizerSpec& spec) {
  OrderedJson root{{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  root["added_tokens"] = OrderedJson::array();
  for (const AddedToken& token : spec.added_tokens)
    root["added_tokens"].push_back(added_token_json(token));
  root["normalizer"] = nullptr;
  if (spec.normalization == Normalization::nfc) root["normalizer"] = {{"type", "NFC"}};
  OrderedJson steps = OrderedJson::array();
  for (const SplitStep& step : spec.split_steps) steps.push_back(pre_tokenizer_json(step));
  root["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
  root["post_processor"] = nullptr;
  root["decoder"] = pre_tokenizer_json(
      {.kind = SplitStep::Kind::byte_level, .add_prefix_space = true, .use_regex = true});

  OrderedJson vocabulary = OrderedJson::object(), merges = OrderedJson::array();
  std::unordered_map<std::uint32_t, std::string_view> contents;
  // Straight into the underlying list: operator[] would search it each time.
  auto& entries = vocabulary.get_ref<OrderedJson::object_t&>();
  for (const auto& [token, id] : spec.vocabulary) {
    entries.push_back({token, id});
    contents.emplace(id, token);
  }
  for (const BpeMerge& merge : spec.merges) {
    merges.push_back(OrderedJson::array({contents.at(merge.left), contents.at(merge.right)}));
  }
  OrderedJson unknown = nullptr;
  if (spec.options.unknown_id) unknown = contents.at(*spec.options.unknown_id);
  root["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", unknown},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", spec.options.fuse_unknown},
                   {"byte_fallback", false},
                   {"ignore_merges", spec.options.ignore_merges},
                   {"vocab", std::move(vocabulary)},
                   {"merges", std::move(merges)}};
  return root.dump(1) + "\n";
}

}  // namespace ingot
