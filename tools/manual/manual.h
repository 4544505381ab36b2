// The manual page and what shells complete, from the same tables as --help.
#pragma once

#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace ingot {

// ingot.1, for man.
std::string manual_page(const CLI::App& app);

// For bash or zsh: the commands, the flags of each, files for everything else. Throws Error(usage)
// for another shell.
std::string completion(const CLI::App& app, std::string_view shell);

}  // namespace ingot
