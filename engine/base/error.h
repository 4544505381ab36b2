// The one exception type of ingot. tools/main.cc turns it into one line on stderr,
// `ingot: error: WHAT (WHERE): HOW TO MEND`, and an exit code.
#pragma once

#include <exception>
#include <string>

namespace ingot {

// The values are the program's exit codes (docs/design.md, section 5).
enum class ErrorCode {
  usage = 2,     // bad flags or config
  data = 3,      // bad or missing data, tokenizer or checkpoint
  budget = 4,    // does not fit the memory budget
  diverged = 5,  // training diverged, or a verification disagreed
  device = 6,    // a device, driver, library, disk or rank is missing or failed
};

class Error : public std::exception {
 public:
  // what: one clause, no newline. where: a file, key or tensor, may be empty.
  // mend: what the reader can do, may be empty.
  Error(ErrorCode code, std::string what, std::string where = "", std::string mend = "");

  ErrorCode code() const { return code_; }
  const std::string& problem() const { return problem_; }
  const std::string& where() const { return where_; }
  const std::string& mend() const { return mend_; }

  // "WHAT (WHERE): HOW TO MEND", always one line: control characters of the parts are escaped.
  const char* what() const noexcept override { return line_.c_str(); }

 private:
  ErrorCode code_;
  std::string problem_, where_, mend_, line_;
};

}  // namespace ingot
