// `ingot plan --svg FILE` draws what `ingot plan --json` says, as XML that every reader takes.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/subprocess.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

using nlohmann::json;

// The text of a well-formed document's elements, in order; a failure for any other. Knows elements,
// attributes in double quotes, text, the five entities: what our drawings consist of.
class XmlReader {
 public:
  explicit XmlReader(const std::string& text) : text_(text) {}

  std::vector<std::string> texts() {
    while (at_ < text_.size() && !testing::Test::HasFailure()) {
      if (text_[at_] == '<') {
        tag();
      } else {
        words();
      }
    }
    EXPECT_TRUE(open_.empty()) << open_.back() << " is not closed";
    return texts_;
  }

 private:
  void tag() {
    const std::size_t end = text_.find('>', at_);
    if (end == std::string::npos) return fail("a tag without end");
    std::string inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    if (inside.starts_with("/")) {
      if (open_.empty() || open_.back() != inside.substr(1)) return fail("closes " + inside);
      return open_.pop_back();
    }
    const bool empty = inside.ends_with("/");
    if (empty) inside.pop_back();
    const std::size_t name = inside.find_first_of(" ");
    if (open_.empty() && !texts_.empty()) return fail("a second root");
    if (!empty) open_.push_back(inside.substr(0, name));
    if (name != std::string::npos) attributes(inside.substr(name));
  }

  void attributes(std::string rest) {
    while (!rest.empty()) {
      const std::size_t equals = rest.find("=\"");
      const std::size_t end = equals == std::string::npos ? equals : rest.find('"', equals + 2);
      if (rest[0] != ' ' || end == std::string::npos) return fail("attributes" + rest);
      unescaped(rest.substr(equals + 2, end - equals - 2));
      rest.erase(0, end + 1);
    }
  }

  void words() {
    const std::size_t end = std::min(text_.find('<', at_), text_.size());
    const std::string found = unescaped(text_.substr(at_, end - at_));
    at_ = end;
    if (found == "\n") return;
    if (open_.empty()) return fail("text outside the root");
    texts_.push_back(found);
  }

  std::string unescaped(const std::string& words) {
    static const std::map<std::string, char> kEntities = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    std::string plain;
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i] != '&') {
        plain += words[i];
        continue;
      }
      const std::size_t end = words.find(';', i);
      const auto entity = kEntities.find(words.substr(i + 1, end - i - 1));
      if (end == std::string::npos || entity == kEntities.end()) {
        fail("an entity in " + words);
        break;
      }
      plain += entity->second;
      i = end;
    }
    return plain;
  }

  void fail(const std::string& what) { ADD_FAILURE() << what << " before character " << at_; }

  const std::string& text_;
  std::size_t at_ = 0;
  std::vector<std::string> open_, texts_;
};

struct Drawn {
  json plan;
  std::vector<std::string> texts;  // of the drawing
  std::string svg;
};

Drawn draw(const std::string& config, const TestFolder& folder) {
  const std::string file = folder / "plan.svg";
  const ProcessResult result = run_ingot({"plan", config, "--json", "--svg", file});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  if (result.exit_code != 0) return {};
  Drawn drawn{.plan = json::parse(result.out), .svg = contents_of(file)};
  drawn.texts = XmlReader(drawn.svg).texts();
  return drawn;
}

bool contains(const std::vector<std::string>& texts, const std::string& wanted) {
  return std::find(texts.begin(), texts.end(), wanted) != texts.end();
}

TEST(PlanDrawing, NamesThePeakAndItsTenLargestTensors) {
  const TestFolder folder;
  const Drawn drawn = draw("configs/runs/deepseek_v3_tiny.json", folder);
  ASSERT_FALSE(drawn.texts.empty());
  EXPECT_TRUE(drawn.svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  for (const json& tensor : drawn.plan["peak"]["largest"]) {
    EXPECT_TRUE(contains(drawn.texts, tensor["name"])) << tensor;
  }
  const std::string peak_op = drawn.plan["peak"]["op"];
  bool op = false;
  for (const std::string& text : drawn.texts) {
    op = op || (text.starts_with("op ") && text.ends_with(peak_op));
  }
  EXPECT_TRUE(op) << peak_op;
  for (const char* text :
       {"op, in the order they run", "live bytes, MiB", "forward", "backward", "update",
        "evaluation", "activations", "optimizer states", "workspace"}) {
    EXPECT_TRUE(contains(drawn.texts, text)) << text;
  }
}

TEST(PlanDrawing, FileNamesMayHoldAnything) {
  const TinyRun run;
  const std::string odd = run.folder() / "a <b> & \"c\" 'd' \xff.json";
  put_file(odd, contents_of(run.config_file()));
  const Drawn drawn = draw(odd, run.folder());
  ASSERT_GT(drawn.texts.size(), 2u);
  bool named = false;
  for (const std::string& text : drawn.texts) {
    named = named || text.starts_with("a <b> & \"c\" 'd' ?: micro-batch 2 × 16 tokens");
  }
  EXPECT_TRUE(named);
}

TEST(PlanDrawing, AFileThatCannotBeWrittenIsNamed) {
  const TinyRun run;
  expect_failure(run_ingot({"plan", run.config_file(), "--svg", "/nowhere/plan.svg"}), 6,
                 {"/nowhere/plan.svg"});
}

}  // namespace
}  // namespace ingot
