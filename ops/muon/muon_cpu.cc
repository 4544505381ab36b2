#include "ops/muon/muon_cpu.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ops/muon/newton_schulz.h"
#include "ops/state_forms/state_forms_cpu.h"

namespace ingot::cpu {
namespace {

std::int64_t aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Rows [first, first + rows) of the weight.
struct Matrix {
  std::int64_t first, rows;
  const NewtonSchulz* orthogonalize;
};

class Muon final : public Kernel {
 public:
  Muon(const Program& program, const Op& op, const Context& context);
  std::int64_t workspace_bytes() const override { return x_bytes_ + sums_bytes_ + schulz_bytes_; }
  void run(const KernelArguments& arguments, const Turn& turn) override;

 private:
  struct Step {
    float scale, rate, keep;
    Draws draws;
  };

  // The groups of a matrix, and where its elements begin.
  template <class Each>
  void for_matrix(const Matrix& matrix, const Draws& draws, const Each& each) const;
  void update(const Matrix& matrix, const KernelArguments& arguments, const Step& step) const;
  double momentum_step(const Matrix& matrix, const KernelArguments& arguments, const Step& step,
                       std::uint16_t* x, double* sums) const;

  ThreadPool& pool_;
  StateLayout layout_;
  DecodeGroup gradient_, decode_x_;
  EncodeGroup encode_x_;
  StateCoder weight_, first_;
  float momentum_;
  double decay_, rate_;
  std::vector<DrawnRows> rows_;
  std::map<std::int64_t, NewtonSchulz> by_rows_;
  std::vector<Matrix> matrices_;
  std::int64_t x_bytes_ = 0, sums_bytes_ = 0, schulz_bytes_ = 0;
};

Muon::Muon(const Program& program, const Op& op, const Context& context)
    : pool_(context.pool),
      momentum_(static_cast<float>(op.attributes.real("momentum"))),
      decay_(op.attributes.real("decay")),
      rate_(op.attributes.real("rate")),
      rows_(drawn_rows(program, op)) {
  const Shape& shape = program.info(op.outputs[0]).shape;
  layout_ = {.rows = shape.rows(), .columns = shape.last()};
  const auto coder = [&](StateForm form, DType copy, Rounding rounding) {
    return state_coder(form, copy, rounding, context.isa);
  };
  const auto form = [&](std::string_view name) {
    return static_cast<StateForm>(op.attributes.integer(name));
  };
  gradient_ = coder(plain_form(program.dtype(op.inputs[0])), DType::f32, Rounding::nearest).decode;
  const StateCoder x = coder(StateForm::bf16, DType::f32, Rounding::nearest);
  decode_x_ = x.decode;
  encode_x_ = x.encode;
  weight_ = coder(form("weight_form"), op.outputs[1] ? program.dtype(op.outputs[1]) : DType::f32,
                  Rounding::stochastic);
  first_ = coder(form("first_form"), DType::f32, Rounding::nearest);
  std::int64_t row = 0;
  for (std::int64_t repeat = 0; repeat < op.attributes.integer("repeats"); ++repeat) {
    for (std::int64_t i = 0; i < op.attributes.integer("matrices"); ++i) {
      const std::int64_t rows = op.attributes.integer("rows" + std::to_string(i));
      const auto [place, added] =
          by_rows_.try_emplace(rows, rows, layout_.columns, context.pool.threads(), context.isa);
      matrices_.push_back({row, rows, &place->second});
      row += rows;
      const std::int64_t groups = rows * layout_.groups_per_row();
      const std::int64_t tiles = (groups + kTileGroups - 1) / kTileGroups;
      x_bytes_ = std::max(x_bytes_, aligned(2 * rows * layout_.columns));
      sums_bytes_ = std::max(sums_bytes_, aligned(8 * tiles));
      schulz_bytes_ = std::max(schulz_bytes_, place->second.workspace_bytes());
    }
  }
}

template <class Each>
void Muon::for_matrix(const Matrix& matrix, const Draws& draws, const Each& each) const {
  const std::int64_t per_row = layout_.groups_per_row(), first = matrix.first * per_row;
  const std::int64_t last = first + matrix.rows * per_row;
  pool_.parallel_for((last - first + kTileGroups - 1) / kTileGroups, [&](std::int64_t tile, int) {
    const std::int64_t begin = first + tile * kTileGroups;
    for_groups(layout_, begin, std::min(last, begin + kTileGroups), draws,
               [&](const StateGroup& group) { each(group, tile); });
  });
}

// m and G; G goes to x, its Frobenius norm is returned.
double Muon::momentum_step(const Matrix& matrix, const KernelArguments& arguments, const Step& step,
                           std::uint16_t* x, double* sums) const {
  const std::int64_t groups = matrix.rows * layout_.groups_per_row();
  const std::int64_t tiles = (groups + kTileGroups - 1) / kTileGroups;
  std::fill_n(sums, tiles, 0.0);
  const auto& out = arguments.outputs;
  for_matrix(matrix, step.draws, [&](const StateGroup& group, std::int64_t tile) {
    alignas(64) float g[kGroupElements], m[kGroupElements] = {};
    gradient_(arguments.inputs[0], nullptr, group, g);
    first_.decode(out[2], out[3], group, m);
    double sum = 0;
    for (int i = 0; i < group.count; ++i) {
      const float now = (1 - momentum_) * step.scale * g[i];
      m[i] = momentum_ * m[i] + now;
      g[i] = momentum_ * m[i] + now;
      sum += static_cast<double>(g[i]) * g[i];
    }
    first_.encode(m, group, out[2], out[3]);
    StateGroup place = group;
    place.element -= matrix.first * layout_.columns;
    encode_x_(g, place, x, nullptr);
    sums[tile] += sum;
  });
  double total = 0;
  for (std::int64_t tile = 0; tile < tiles; ++tile) total += sums[tile];
  return std::sqrt(total);
}

void Muon::update(const Matrix& matrix, const KernelArguments& arguments, const Step& step) const {
  auto* x = reinterpret_cast<std::uint16_t*>(arguments.workspace.data());
  auto* sums = reinterpret_cast<double*>(arguments.workspace.data() + x_bytes_);
  const double norm = momentum_step(matrix, arguments, step, x, sums);
  // Without the epsilon a matrix whose gradient has stopped would go on in its last direction, at
  // full length, until its moment underflows.
  constexpr double kEpsilon = 1e-7;
  const auto inverse = static_cast<float>(1 / (norm + kEpsilon));
  const auto scaled_by = [&](const StateGroup& group, float factor, float* values) {
    StateGroup place = group;
    place.element -= matrix.first * layout_.columns;
    decode_x_(x, nullptr, place, values);
    for (int i = 0; i < group.count; ++i) values[i] *= factor;
    return place;
  };
  for_matrix(matrix, step.draws, [&](const StateGroup& group, std::int64_t) {
    alignas(64) float values[kGroupElements];
    const StateGroup place = scaled_by(group, inverse, values);
    encode_x_(values, place, x, nullptr);
  });
  matrix.orthogonalize->run(pool_, x, arguments.workspace.subspan(x_bytes_ + sums_bytes_));
  const double shape = static_cast<double>(matrix.rows) / static_cast<double>(layout_.columns);
  const auto rate = static_cast<float>(step.rate * std::sqrt(std::max(1.0, shape)));
  const auto& out = arguments.outputs;
  for_matrix(matrix, step.draws, [&](const StateGroup& group, std::int64_t) {
    alignas(64) float values[kGroupElements], w[kGroupElements];
    scaled_by(group, rate, values);
    weight_.decode(out[0], out[1], group, w);
    for (int i = 0; i < group.count; ++i) w[i] = w[i] * step.keep - values[i];
    weight_.encode(w, group, out[0], out[1]);
  });
}

void Muon::run(const KernelArguments& arguments, const Turn&) {
  if (*arguments.input<float>(2) != 0) return;
  const double rate = arguments.step->learning_rate * rate_;
  const auto updates = static_cast<std::int64_t>(arguments.input<double>(3)[kUpdates]);
  const Step step{.scale = *arguments.input<float>(1),
                  .rate = static_cast<float>(rate),
                  .keep = static_cast<float>(1 - rate * decay_),
                  .draws = Draws(rows_, arguments.step->seed, updates, 0)};
  for (const Matrix& matrix : matrices_) update(matrix, arguments, step);
}

std::unique_ptr<Kernel> make_muon(const Program& program, const Op& op, const Context& context) {
  return std::make_unique<Muon>(program, op, context);
}

}  // namespace

std::span<const KernelEntry> muon_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"muon", make_muon}};
  return kEntries;
}

}  // namespace ingot::cpu
