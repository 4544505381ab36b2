// What is wrong in a config, collected, so that one run tells everything there is to mend.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace ingot {

struct Mistake {
  std::string what;   // unknown key "warmup_step" in "schedule"
  std::string where;  // run.json:7
  std::string mend;   // did you mean "warmup_steps"?
  int line = 0;       // in its file, for sorting

  // run.json:7: unknown key "warmup_step" in "schedule": did you mean "warmup_steps"?
  std::string text() const;
};

// The first mistake as an Error; what() ends with "(and N more)" when there are others.
class ConfigError : public Error {
 public:
  // mistakes must not be empty.
  ConfigError(ErrorCode code, const std::vector<Mistake>& mistakes);

  // One printable line for each mistake, in the order they were found.
  const std::vector<std::string>& mistakes() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

// The candidate that `word` is most likely a misspelling of, or "" if none is near: at most a third
// of the letters differ (Damerau-Levenshtein distance, upper and lower case are one).
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// Text from a file as it stands in a message: cut to 60 bytes, UTF-8 kept whole.
std::string clipped(std::string_view text);

}  // namespace ingot
