// `ingot verify` is no rubber stamp: what differs from the reference fails, and a reference that
// contradicts itself or its model is refused.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "io/safetensors.h"
#include "io/test_folder.h"
#include "tests/subprocess.h"

namespace ingot {
namespace {

using nlohmann::json;

const std::string kModel = "tests/golden/llama/model";

struct Stored {
  StoredType type;
  std::vector<std::int64_t> shape;
  std::string bytes;
};
using Tensors = std::map<std::string, Stored>;

template <class Value>
std::string bytes_of_values(const std::vector<Value>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Value)};
}

// The program on llama's reference run after `change`.
ProcessResult verify_changed(const std::function<void(Tensors&)>& change) {
  Tensors tensors;
  const SafetensorsFile original("tests/golden/llama/golden.safetensors");
  for (const SafetensorsEntry& entry : original.entries()) {
    tensors[entry.name] = {entry.type,
                           entry.shape,
                           {reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size()}};
  }
  change(tensors);
  const TestFolder folder(fast_temporary_folder());
  std::vector<TensorDeclaration> declarations;
  for (const auto& [name, tensor] : tensors) {
    declarations.push_back({name, tensor.type, tensor.shape});
  }
  SafetensorsWriter writer(folder / "changed.safetensors", declarations);
  for (const TensorDeclaration& tensor : writer.order()) {
    writer.append(tensor.name, std::as_bytes(std::span(tensors.at(tensor.name).bytes)));
  }
  writer.commit();
  return run_ingot({"verify", kModel, folder / "changed.safetensors", "--json"});
}

void nudge(Tensors& tensors, const std::string& name, float by) {
  std::string& bytes = tensors.at(name).bytes;
  float value;
  std::memcpy(&value, bytes.data() + bytes.size() / 8 * 4, sizeof value);
  value += by;
  std::memcpy(bytes.data() + bytes.size() / 8 * 4, &value, sizeof value);
}

void expect_only_failure(const ProcessResult& result, const std::string& name) {
  EXPECT_EQ(result.exit_code, 5) << result.err;
  const json report = json::parse(result.out);
  EXPECT_EQ(report["passed"], false);
  for (const json& tensor : report["tensors"]) {
    EXPECT_EQ(tensor["passed"], tensor["name"] != name) << tensor;
  }
}

TEST(Verify, FailsWhereOneNumberDiffers) {
  EXPECT_EQ(verify_changed([](Tensors&) {}).exit_code, 0);
  // Final weights are compared by the median difference; tests/verify_test.cc changes those.
  for (const char* name : {"logits", "loss", "hidden.1", "train.losses", "train.grad_norms",
                           "grad.model.layers.1.mlp.down_proj.weight"}) {
    expect_only_failure(verify_changed([&](Tensors& tensors) { nudge(tensors, name, 0.5f); }),
                        name);
  }
  expect_only_failure(
      verify_changed([](Tensors& tensors) { tensors.at("greedy").bytes[31 * 4] ^= 1; }), "greedy");
  expect_only_failure(verify_changed([](Tensors& tensors) { nudge(tensors, "loss", NAN); }),
                      "loss");
}

TEST(Verify, RefusesReferencesThatContradictThemselvesOrTheModel) {
  const auto ids = [](std::vector<std::int64_t> shape, std::int32_t id) {
    std::int64_t count = 1;
    for (const std::int64_t dim : shape) count *= dim;
    return Stored{StoredType::i32, shape, bytes_of_values(std::vector<std::int32_t>(count, id))};
  };
  const auto expect_refused = [&](const std::string& name, const Stored& tensor,
                                  const std::string& part) {
    expect_failure(verify_changed([&](Tensors& tensors) { tensors[name] = tensor; }), 3, {part});
  };
  expect_refused("tokens", ids({98}, 1), "'tokens' is not [batch, sequence + 1]");
  expect_refused("tokens", ids({0, 49}, 1), "'tokens' is not [batch, sequence + 1]");
  expect_refused("tokens", ids({2, 49}, 256), "outside the model's vocabulary");
  expect_refused("tokens", ids({2, 49}, -1), "outside the model's vocabulary");
  expect_refused("tokens", ids({1, 1000}, 1), "'train.tokens' is not");
  expect_refused("train.tokens", ids({20, 2, 10}, 1), "'train.tokens' is not");
  expect_refused("train.tokens", ids({19, 2, 49}, 1), "'train.tokens' is not");
  expect_refused("train.tokens", ids({20, 2, 49}, 999), "outside the model's vocabulary");
  expect_refused("greedy", ids({1, 8}, 1), "'greedy' has no tokens after the prompt");
  expect_refused("greedy", ids({1, 32}, 70000), "outside the model's vocabulary");
  expect_refused("train.losses", {StoredType::f32, {5}, std::string(20, '\0')}, "train.losses");
  expect_refused("loss", {StoredType::f32, {0}, ""}, "'loss' is not one number");
  expect_failure(verify_changed([](Tensors& tensors) { tensors.erase("logits"); }), 3,
                 {"has no tensor \"logits\""});
}

TEST(Verify, AnotherModelsReferenceDisagrees) {
  EXPECT_EQ(run_ingot({"verify", kModel, "tests/golden/deepseek_v3/golden.safetensors"}).exit_code,
            5);
}

}  // namespace
}  // namespace ingot
