#include "tools/manual/manual.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "engine/base/build_text.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

// Text for troff: a dot or quote at the beginning of a line would be a request, a backslash an
// escape.
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  return result.starts_with('.') || result.starts_with('\'') ? "\\&" + result : result;
}

std::vector<const CLI::App*> shown_commands(const CLI::App& app) {
  // An empty group hides a command from --help.
  return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

std::vector<const CLI::Option*> shown_options(const CLI::App& command) {
  return command.get_options(
      [](const CLI::Option* option) { return !option->get_group().empty(); });
}

// "--set a.b=c" or, of a positional, "RUN.json".
std::string heading_of(const CLI::Option& option) {
  std::string heading = option.get_name(/*positional=*/false, /*all_options=*/true);
  if (option.get_positional()) heading = option.get_name(true);
  if (option.get_type_size() != 0 && !option.get_type_name().empty() && !option.get_positional()) {
    heading += " " + option.get_type_name();
  }
  return heading;
}

void append_command(const CLI::App& command, const std::string& name, std::string& page) {
  page += ".SS ingot " + escaped(name) + "\n" + escaped(command.get_description()) + "\n";
  for (const CLI::Option* option : shown_options(command)) {
    page += ".TP\n.B " + escaped(heading_of(*option)) + "\n" + escaped(option->get_description()) +
            "\n";
  }
  for (const CLI::App* inner : shown_commands(command)) {
    append_command(*inner, name + " " + inner->get_name(), page);
  }
}

std::string flags_of(const CLI::App& command) {
  std::string flags;
  for (const CLI::Option* option : shown_options(command)) {
    for (const std::string& name : option->get_lnames()) {
      flags += (flags.empty() ? "--" : " --") + name;
    }
  }
  for (const CLI::App* inner : shown_commands(command)) flags += " " + inner->get_name();
  return flags;
}

}  // namespace

std::string manual_page(const CLI::App& app) {
  std::string page = ".TH INGOT 1 \"\" \"ingot " + escaped(build_text()) +
                     "\"\n.SH NAME\ningot \\- " +
                     escaped("trains DeepSeek-style transformers in the memory you have") +
                     "\n.SH SYNOPSIS\n.B ingot\n.I COMMAND\n[\n.I OPTIONS\n]\n.SH COMMANDS\n";
  for (const CLI::App* command : shown_commands(app)) {
    append_command(*command, command->get_name(), page);
  }
  page +=
      ".SH EXIT STATUS\n"
      "0 done; 2 bad usage or config; 3 bad or missing data or checkpoint; 4 does not fit the "
      "budget; 5 diverged or disagreed; 6 a device, driver, library, disk or rank is missing or "
      "failed; 129, 130, 141, 143 stopped by a signal after saving.\n"
      ".SH ENVIRONMENT\n.TP\n.B INGOT_ISA\nKernels of another instruction set than the best one "
      "of this machine.\n";
  return page;
}

std::string completion(const CLI::App& app, std::string_view shell) {
  if (shell != "bash" && shell != "zsh") {
    throw Error(ErrorCode::usage, "no completion for the shell '" + std::string(shell) + "'",
                "completion", "bash and zsh are there");
  }
  std::string commands, flags;
  for (const CLI::App* command : shown_commands(app)) {
    commands += (commands.empty() ? "" : " ") + command->get_name();
    flags += "    [" + command->get_name() + "]=\"" + flags_of(*command) + "\"\n";
  }
  if (shell == "bash") {
    return "_ingot() {\n  local -A flags=(\n" + flags + "  )\n  local words=\"" + commands +
           "\"\n  ((COMP_CWORD == 1)) || words=${flags[${COMP_WORDS[1]}]}\n"
           "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
           "complete -o default -F _ingot ingot\n";
  }
  return "#compdef ingot\nlocal -A flags=(\n" + flags + ")\nif ((CURRENT == 2)); then\n  compadd " +
         commands + "\nelse\n  compadd -- ${=flags[${words[2]}]}\n  _files\nfi\n";
}

}  // namespace ingot
