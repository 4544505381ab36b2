// docs/config.md, written from the tables.
#include <sstream>

#include "engine/config/config_fields.h"
#include "engine/model/model_config_fields.h"

namespace ingot {
namespace {

constexpr const char* kIntroduction =
    R"(# Run config

Generated from the tables in `engine/config/config_fields.cc` and `engine/model/model_config_fields.cc`:
`bazel run //engine:print_config_reference > docs/config.md`. A test compares.

A run config is one JSON object, given to `ingot train`, `plan` and `bench step`. Every key but `model` may
be left out. Relative paths start at the folder of the file that names them.

A number that fp32 cannot hold (1e-50, 1e40) is a mistake. A setting that others keep from having an effect
(`schedule.decay_steps` without `"type": "wsd"`) is named by `plan` and `train`.

`--set KEY=VALUE` (any number of times) sets a key after the file was read: `--set schedule.steps=100`,
`--set model.num_hidden_layers=4`. The value is JSON, and text if it does not read as JSON. A relative path
in it starts at the current folder.

All mistakes are reported at once, each with its file and line. `ingot plan RUN.json --print-config` prints
the whole config as it was understood.

```json
{
  "model": "../models/llama_tiny.json",
  "data": {"train": ["../../data/train-*.bin"], "validation": ["../../data/validation-*.bin"]},
  "schedule": {"steps": 1000}
}
```

)";

constexpr const char* kModelSection =
    R"(## model

A path to a Hugging Face `config.json` (or to a folder with one), or an object with its fields. Fields that are
missing take the default that the family (`model_type`) has in transformers, but for `bos_token_id`, `eos_token_id`,
`pad_token_id` and `torch_dtype` of a fresh model: those are the ids of its tokenizer and its documents, and the type it
is computed in. Fields that are not listed here are kept, and written again by `export`. In an object inside the run config, an unlisted key that looks like a misspelled one is a mistake.

RoPE is read in both spellings: `rope_theta` and `rope_scaling`, or all in `rope_parameters`. Types: `default`,
`linear`, `llama3`, `yarn`. `torch_dtype` (or `dtype`) is `bfloat16`, `float16` or `float32`.
`quantization_config` may be that of FP8 weights, for import. `rope_interleave` is read for deepseek_v3.

| key | value | llama | qwen2 | qwen3 | deepseek_v2 | deepseek_v3 | |
| --- | --- | --- | --- | --- | --- | --- | --- |
)";

// "|" would end a cell of the table.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
    text.replace(at, 1, "\\|");
  }
  return text;
}

void write_section(const ConfigSection& section, std::ostream& out) {
  static const RunConfig defaults;
  out << "## " << (section.name.empty() ? "At the top" : section.name) << "\n\n";
  if (!section.sentence.empty()) out << section.sentence << "\n\n";
  out << "| key | value | default | |\n| --- | --- | --- | --- |\n";
  for (const auto& each : section.fields) {
    out << "| `" << each.key << "` | " << cell(each.expects) << " | `"
        << cell(each.write(defaults).dump()) << "` | " << cell(each.sentence) << " |\n";
  }
  out << "\n";
}

}  // namespace

std::string config_reference() {
  std::ostringstream out;
  out << kIntroduction;
  for (const ConfigSection& section : config_sections()) write_section(section, out);
  out << kModelSection;
  for (const ModelField& each : model_fields()) {
    out << "| `" << each.field.key << "` | " << cell(each.field.expects) << " |";
    for (const std::string_view fallback : each.defaults) {
      out << (fallback.empty() ? std::string(" |") : " `" + std::string(fallback) + "` |");
    }
    out << " " << cell(each.field.sentence) << " |\n";
  }
  return out.str();
}

}  // namespace ingot
