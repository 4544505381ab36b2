// import and export.
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "tools/command.h"
#include "tools/unused_tensors.h"
#include "weights/model_transfer.h"

namespace ingot {

void add_import(CLI::App& app, Command& command) {
  struct Flags {
    std::string folder, directory;
  };
  const auto flags = std::make_shared<Flags>();
  CLI::App* importer = app.add_subcommand("import", "A Hugging Face folder to a checkpoint");
  importer->add_option("HF_DIR", flags->folder, "Hugging Face model folder")->required();
  importer->add_option("OUT_DIR", flags->directory, "Run directory for the checkpoint")->required();
  importer->callback([&command, flags] {
    command = [flags] {
      warn_of_unused(import_model(flags->folder, flags->directory));
      return 0;
    };
  });
}

void add_export(CLI::App& app, Command& command) {
  struct Flags {
    std::string checkpoint, folder, dtype;
  };
  const auto flags = std::make_shared<Flags>();
  CLI::App* exporter = app.add_subcommand("export", "A checkpoint to a Hugging Face folder");
  exporter->add_option("CHECKPOINT", flags->checkpoint, "Checkpoint or run directory")->required();
  exporter->add_option("HF_DIR", flags->folder, "Folder to make")->required();
  exporter->add_option("--dtype", flags->dtype, "Of the weights; without it the model's own")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}));
  exporter->callback([&command, flags] {
    command = [flags] {
      std::optional<DType> dtype;
      if (flags->dtype == "fp32") dtype = DType::f32;
      if (flags->dtype == "fp16") dtype = DType::f16;
      if (flags->dtype == "bf16") dtype = DType::bf16;
      export_model(flags->checkpoint, flags->folder, dtype, warn);
      return 0;
    };
  });
}

}  // namespace ingot
