// Checkpoints of programs that hold rectangles of a checkpoint's tensors: any cut reads any other.
#include "weights/checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "backends/cpu/cpu_backend.h"
#include "io/test_folder.h"
#include "weights/checkpoint_saver.h"
#include "weights/initialize.h"
#include "weights/weight_copy.h"

namespace ingot {
namespace {

struct Forms {
  StateForm value = StateForm::f32, first = StateForm::f32, second = StateForm::f32;
  DType copy = DType::f32;  // of an fp32 value, for compute
};

constexpr const char* kName = "model.layers.0.mlp.down_proj.weight";

// Cuts a box into pieces at random places, which are multiples of `unit` along the last axis.
void cut(const Box& box, std::int64_t unit, int times, std::mt19937_64& random,
         std::vector<Box>& pieces) {
  const int axis = static_cast<int>(random() % static_cast<std::uint64_t>(box.shape.rank()));
  const std::int64_t step = axis + 1 == box.shape.rank() ? unit : 1;
  const std::int64_t places = (box.shape[axis] - 1) / step;  // inside the box
  if (times == 0 || places == 0) return pieces.push_back(box);
  const auto at =
      static_cast<std::int64_t>(1 + random() % static_cast<std::uint64_t>(places)) * step;
  Box low = box, high = box;
  low.shape = box.shape.with(axis, at);
  high.shape = box.shape.with(axis, box.shape[axis] - at);
  high.first[axis] += at;
  cut(low, unit, times - 1, random, pieces);
  cut(high, unit, times - 1, random, pieces);
}

std::vector<Box> cuts(const Shape& whole, std::int64_t unit, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Box> pieces;
  cut({.shape = whole}, unit, 3, random, pieces);
  return pieces;
}

// A program whose weights are the pieces of one tensor.
class Cut {
 public:
  Cut(const Forms& forms, const Shape& whole, const std::vector<Box>& boxes,
      Learning learning = Learning::gradient, const std::vector<WeightSet>& sets = {{}})
      : whole_(whole) {
    program_.begin(Part::update);
    for (std::size_t set = 1; set < sets.size(); ++set) program_.add_set(sets[set]);
    for (std::size_t set = 0; set < sets.size(); ++set) {
      for (const Box& box : boxes) add(forms, box, static_cast<int>(set), learning);
    }
    BoundProgram bound(program_, backend_);
    Placement placement = separate_places(program_, bound);
    executor_ =
        std::make_unique<Executor>(program_, std::move(bound), std::move(placement), backend_);
  }

  Executor& executor() { return *executor_; }
  Program& program() { return program_; }

  // Of a state of the whole tensor, put together.
  std::vector<float> values(WeightState Weight::*state) const {
    std::vector<float> all(whole_.elements());
    for (const Weight& weight : program_.weights()) join(weight.*state, weight.parts[0], all);
    return all;
  }
  std::vector<float> copies() const {
    std::vector<float> all(whole_.elements());
    for (const Weight& weight : program_.weights()) {
      const StateForm form = plain_form(program_.dtype(weight.compute));
      join({.form = form, .values = weight.compute}, weight.parts[0], all);
    }
    return all;
  }
  void fill(WeightState Weight::*state, const std::vector<float>& all) {
    for (const Weight& weight : program_.weights()) {
      const WeightPart& part = weight.parts[0];
      std::vector<float> some(part.shape.elements());
      copy_common({.shape = whole_}, std::as_bytes(std::span(all)), box_of(part),
                  std::as_writable_bytes(std::span(some)), sizeof(float));
      write_weight_part(*executor_, weight, state, part, some);
    }
  }

 private:
  void add(const Forms& forms, const Box& box, int set, Learning learning) {
    const std::string name = "w" + std::to_string(program_.weights().size());
    Weight weight{.name = name, .shape = box.shape};
    weight.value = add_state(program_, name, box.shape, forms.value, Role::weight);
    weight.compute = forms.copy == DType::f32
                         ? weight.value.values
                         : program_.persistent(name + " copy", box.shape, forms.copy, Role::weight);
    weight.first_moment =
        add_state(program_, name + " m", box.shape, forms.first, Role::optimizer_state);
    weight.second_moment =
        add_state(program_, name + " v", box.shape, forms.second, Role::optimizer_state);
    weight.set = set;
    weight.learning = set == 0 ? learning : Learning::frozen;
    weight.parts = {{.name = kName, .shape = box.shape, .whole = whole_, .first = box.first}};
    weight.init_std = 0.02;
    program_.add_weight(std::move(weight));
  }
  void join(const WeightState& state, const WeightPart& part, std::vector<float>& all) const {
    std::vector<float> some(part.shape.elements());
    read_weight_part(*executor_, state, part, some);
    copy_common(box_of(part), std::as_bytes(std::span(some)), {.shape = whole_},
                std::as_writable_bytes(std::span(all)), sizeof(float));
  }

  Shape whole_;
  Program program_;
  cpu::CpuBackend backend_{1, {}};
  std::unique_ptr<Executor> executor_;
};

std::vector<float> noise(std::int64_t count, std::uint64_t seed, bool positive) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 0.1f);
  std::vector<float> values(count);
  for (float& value : values) value = positive ? std::fabs(normal(random)) : normal(random);
  return values;
}

constexpr WeightState Weight::*kStates[] = {&Weight::value, &Weight::first_moment,
                                            &Weight::second_moment};

void fill_with_noise(Cut& cut, const Shape& whole) {
  for (int i = 0; i < 3; ++i) cut.fill(kStates[i], noise(whole.elements(), i + 1, i == 2));
}

CheckpointReader saved(Cut& cut, const TestFolder& folder) {
  save_checkpoint(cut.executor(), 1, RunConfig{}, nlohmann::json::object(),
                  {.directory = folder / "run"});
  return CheckpointReader::open(folder / "run" / checkpoint_name(1));
}

const Shape kShapes[] = {{7, 13}, {1, 300}, {40, 1}, {31, 257}, {3, 5, 140}, {64, 1024}};

TEST(Cuts, OfPlainFormsAndResidualsReadWhatAnyOtherCutWroteBitForBit) {
  const Forms forms[] = {{},
                         {.copy = DType::bf16},
                         {.value = StateForm::bf16, .first = StateForm::bf16},
                         {.value = StateForm::f16, .second = StateForm::f16},
                         {.value = StateForm::bf16_residual}};
  std::uint64_t seed = 0;
  for (const Forms& form : forms) {
    for (const Shape& whole : kShapes) {
      const TestFolder folder;
      Cut writer(form, whole, cuts(whole, 1, ++seed)), reader(form, whole, cuts(whole, 1, ++seed));
      fill_with_noise(writer, whole);
      load_checkpoint(saved(writer, folder), reader.executor());
      for (const auto state : kStates) {
        EXPECT_EQ(reader.values(state), writer.values(state)) << seed << whole.to_string();
      }
      EXPECT_EQ(reader.copies(), writer.copies()) << seed << whole.to_string();
    }
  }
}

TEST(Cuts, OfGroupedCodesReadTheSameCodesWhereTheirGroupsAgree) {
  const Forms forms{StateForm::int8, StateForm::dynamic8, StateForm::log8};
  std::uint64_t seed = 100;
  for (const Shape& whole : kShapes) {
    const TestFolder folder;
    Cut writer(forms, whole, cuts(whole, 128, ++seed)),
        reader(forms, whole, cuts(whole, 128, ++seed));
    fill_with_noise(writer, whole);
    load_checkpoint(saved(writer, folder), reader.executor());
    for (const auto state : kStates) {
      EXPECT_EQ(reader.values(state), writer.values(state)) << seed << whole.to_string();
    }
  }
}

// A group that was cut has another scale: values are rounded once more, by at most half a step.
TEST(Cuts, OfGroupedCodesElsewhereReadTheValuesRoundedOnceMore) {
  const Forms forms{StateForm::int8, StateForm::dynamic8, StateForm::log8};
  std::uint64_t seed = 200;
  for (const Shape& whole : kShapes) {
    const TestFolder folder;
    Cut writer(forms, whole, cuts(whole, 1, ++seed)), reader(forms, whole, cuts(whole, 1, ++seed));
    fill_with_noise(writer, whole);
    load_checkpoint(saved(writer, folder), reader.executor());
    const double most = 0.5;  // of |values|: five standard deviations
    const auto wanted = writer.values(&Weight::value), got = reader.values(&Weight::value);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_NEAR(got[i], wanted[i], most / 127 / 2 * 1.0001) << seed << whole.to_string();
    }
    const auto second = writer.values(&Weight::second_moment);
    const auto got_second = reader.values(&Weight::second_moment);
    for (std::size_t i = 0; i < second.size(); ++i) {  // a step of log8 is under 12 %
      ASSERT_NEAR(got_second[i], second[i], 0.06 * second[i]) << seed << whole.to_string();
    }
  }
}

TEST(Cuts, AreInitializedAsTheWholeTensorIs) {
  std::uint64_t seed = 300;
  for (const Shape& whole : {Shape{7, 13}, Shape{31, 257}, Shape{3, 5, 141}, Shape{999}}) {
    for (const StateForm form : {StateForm::f32, StateForm::bf16, StateForm::bf16_residual}) {
      Cut all({.value = form}, whole, {{.shape = whole}}),
          parts({.value = form}, whole, cuts(whole, 1, ++seed));
      initialize_weights(all.executor(), 7, 2);
      initialize_weights(parts.executor(), 7, 3);
      EXPECT_EQ(parts.values(&Weight::value), all.values(&Weight::value)) << whole.to_string();
    }
  }
}

TEST(Cuts, AreWrittenUnderNamesAndTheManifestSaysWhereTheyLie) {
  const TestFolder folder;
  Cut halves({}, {4, 6}, {{{0, 0}, {4, 2}}, {{0, 2}, {4, 4}}});
  const CheckpointReader reader = saved(halves, folder);
  EXPECT_EQ(reader.find(kName), nullptr);
  EXPECT_EQ(reader.at(std::string(kName) + "@0,2").shape, (std::vector<std::int64_t>{4, 4}));
  const auto blocks = nlohmann::json::parse(reader.manifest_text()).at("blocks");
  EXPECT_EQ(blocks.size(), 6);
  EXPECT_EQ(blocks.at(std::string(kName) + ".first_moment@0,2"),
            nlohmann::json({{"tensor", std::string(kName) + ".first_moment"},
                            {"whole", {4, 6}},
                            {"first", {0, 2}}}));
  const TestFolder other;
  Cut whole({}, {4, 6}, {{.shape = {4, 6}}});
  const std::string manifest = saved(whole, other).manifest_text();
  EXPECT_FALSE(nlohmann::json::parse(manifest).contains("blocks"));
}

TEST(Cuts, AreFilledFromAHuggingFaceFolderThatHoldsTheWholeTensor) {
  const Shape whole{31, 257};
  const std::vector<float> values = noise(whole.elements(), 1, false);
  const TestFolder folder;
  ModelWriter writer(folder / "hf", {{kName, StoredType::f32, {31, 257}}}, {});
  writer.append(kName, std::as_bytes(std::span(values)));
  writer.commit("{}");
  Cut parts({}, whole, cuts(whole, 1, 400));
  load_model_files(ModelFiles::open(folder / "hf"), ModelConfig{}, parts.executor());
  EXPECT_EQ(parts.values(&Weight::value), values);
}

TEST(Cuts, ThatLeaveAPieceOutOrOverlapAreRefused) {
  const Shape whole{4, 6};
  Cut reader({}, whole, {{.shape = whole}});
  for (const std::vector<Box>& boxes : {std::vector<Box>{{{0, 0}, {4, 2}}, {{0, 3}, {4, 3}}},
                                        std::vector<Box>{{{0, 0}, {4, 3}}, {{0, 2}, {4, 4}}},
                                        std::vector<Box>{{{0, 0}, {4, 3}}, {{0, 4}, {4, 3}}}}) {
    const TestFolder folder;
    Cut writer({}, whole, boxes);
    const CheckpointReader checkpoint = saved(writer, folder);
    expect_error(
        ErrorCode::data, [&] { load_checkpoint(checkpoint, reader.executor()); }, kName);
  }
}

TEST(Sets, AreSavedWhereAWeightLearnsAndLoadedByTheModelThatOnlyRuns) {
  const Shape whole{4, 6};
  const Box all{.shape = whole};
  const TestFolder folder;
  // The teacher's tensors have the names of the model's; they are never saved.
  Cut writer({}, whole, {all}, Learning::rule, {{}, {WeightSet::Kind::teacher, "teacher"}});
  const auto values = noise(whole.elements(), 1, false);
  for (const Weight& weight : writer.program().weights()) {
    if (weight.set == 0) {
      write_weight_part(writer.executor(), weight, &Weight::value, weight.parts[0], values);
    }
  }
  Cut reader({}, whole, {all}, Learning::frozen);
  load_checkpoint(saved(writer, folder), reader.executor());
  EXPECT_EQ(reader.values(&Weight::value), values);
}

// A frozen base under an adapter that learns is not in its checkpoint.
TEST(Sets, InWhichNothingLearnsBesideOneThatDoesAreNotSaved) {
  const Shape whole{4, 6};
  Cut frozen({}, whole, {{.shape = whole}}, Learning::frozen,
             {{}, {WeightSet::Kind::adapter, "adapter"}});
  EXPECT_EQ(checkpoint_bytes(frozen.program()), 3 * 4 * 24);  // nothing learns: the model
  frozen.program().weights()[1].learning = Learning::gradient;
  frozen.program().weights()[1].parts[0].name = "lora_A.weight";
  const TestFolder folder;
  const CheckpointReader reader = saved(frozen, folder);
  EXPECT_EQ(reader.find(kName), nullptr);
  EXPECT_NE(reader.find("lora_A.weight"), nullptr);
}

TEST(Sets, ThatAreNotSavedAreLoadedWhereOneAsksForThem) {
  const Shape whole{4, 6};
  const Box all{.shape = whole};
  const std::vector<WeightSet> sets{{}, {WeightSet::Kind::adapter, "adapter"}};
  Cut base({}, whole, {all}), tuned({}, whole, {all}, Learning::frozen, sets);
  tuned.program().weights()[1].learning = Learning::gradient;
  tuned.program().weights()[1].parts[0].name = "lora_A.weight";
  fill_with_noise(base, whole);
  const TestFolder folder;
  const CheckpointReader reader = saved(base, folder);
  load_checkpoint(reader, tuned.executor(), 0);
  std::vector<float> values(whole.elements());
  const Weight& frozen = tuned.program().weights()[0];
  read_weight_part(tuned.executor(), frozen.value, frozen.parts[0], values);
  EXPECT_EQ(values, base.values(&Weight::value));
  expect_error(
      ErrorCode::data, [&] { load_checkpoint(reader, tuned.executor()); }, "lora_A");
}

// Tied embeddings: two tensors with one name, of which one is saved and both are loaded.
TEST(Sets, CopiesThatThisRankDoesNotOwnAreLoadedAndNotSaved) {
  const Shape whole{4, 6};
  const Box all{.shape = whole};
  Cut writer({}, whole, {all, all}), reader({}, whole, {all, all});
  for (Cut* cut : {&writer, &reader}) cut->program().weights()[1].owner = false;
  EXPECT_EQ(checkpoint_bytes(writer.program()), 3 * 4 * 24);
  fill_with_noise(writer, whole);
  const TestFolder folder;
  load_checkpoint(saved(writer, folder), reader.executor());
  for (const Weight& weight : reader.program().weights()) {
    std::vector<float> values(whole.elements());
    read_weight_part(reader.executor(), weight.value, weight.parts[0], values);
    EXPECT_EQ(values, writer.values(&Weight::value));
  }
}

// Part of the tensor's rows is not a part of rows of 128 codes: a mistake of the program's.
TEST(Initialize, GivesTheExceptionOfAnyThreadToTheCaller) {
  Cut cut({.value = StateForm::int8}, {64, 256}, {{.shape = {64, 256}}});
  for (int i = 0; i < 50; ++i) {
    std::vector<WeightPart>& parts = cut.program().weights()[0].parts;
    parts.assign(64, {.name = kName, .shape = {1, 100}});
    EXPECT_THROW(initialize_weights(cut.executor(), 1, 8), std::logic_error);
  }
}

}  // namespace
}  // namespace ingot
