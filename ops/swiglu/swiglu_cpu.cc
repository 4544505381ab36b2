#include "ops/swiglu/swiglu_cpu.h"

#include <algorithm>

#include "ops/quantize/row_codes_cpu.h"
#include "ops/swiglu/swiglu_simd.h"

namespace ingot::cpu {
namespace {

// Large: at its first rows a tile waits for memory, later ones were fetched ahead.
constexpr std::int64_t kTileElements = 65536;

// What both directions share: rows of gate and up, values or codes, become rows of outputs[0].
class SwigluOp {
 public:
  // gate_up: which input; row_weight and row_count follow.
  SwigluOp(const Program& program, const Op& op, const Context& context, int gate_up)
      : rows_(program.rows(op.inputs[gate_up])),
        width_(op.inputs[gate_up].columns / 2),
        weight_(gate_up + 1),
        values_(values_dtype(program, op)),
        read_(program, op, gate_up, values_, context.isa),
        save_(program, op, codes_of(op, CodesOf::input), values_, context.isa),
        write_(program, op, context.isa),
        pool_(context.pool) {}

  int type() const { return float_index(values_); }
  std::int64_t workspace_bytes() const { return pool_.threads() * scratch_bytes(); }

  // Calls body(task, first row) for tasks that have their rows, width and what belongs to gate and
  // up: all rows of a tile, or one after the other where codes are read or made.
  template <class Body>
  void run(const KernelArguments& arguments, const Body& body) const {
    const auto* row_count = arguments.input<std::int32_t>(weight_ + 1);
    const auto* weight = arguments.input<float>(weight_);
    const std::int64_t rows =
        row_count == nullptr ? rows_ : std::min<std::int64_t>(rows_, *row_count);
    const std::int64_t tile_rows = std::max<std::int64_t>(1, kTileElements / width_);
    const std::int64_t task_rows = read_.coded() || save_ || write_.coded() ? 1 : tile_rows;
    const std::uint64_t save_key = save_.key(arguments), write_key = write_.key(arguments);
    pool_.parallel_for((rows + tile_rows - 1) / tile_rows, [&](std::int64_t tile, int thread) {
      std::byte* scratch = arguments.workspace.data() + thread * scratch_bytes();
      const std::int64_t last = std::min(rows, (tile + 1) * tile_rows);
      for (std::int64_t row = tile * tile_rows; row < last; row += task_rows) {
        const std::byte* gate_up = read_(arguments, row, scratch);
        std::byte* made = write_.begin(arguments, row, scratch + read_.scratch_bytes());
        SwigluRows task{.rows = std::min(task_rows, last - row),
                        .width = width_,
                        .gate_up = gate_up,
                        .weight = weight == nullptr ? nullptr : weight + row,
                        .gate_up_stride = read_.stride_bytes() / size_of(values_)};
        body(task, row, made);
        if (save_) save_(arguments, save_key, row, gate_up);
        write_.end(arguments, write_key, row, made);
      }
    });
  }
  std::int64_t made_stride() const { return write_.stride_bytes() / size_of(values_); }

 private:
  // Of a thread, in whole cache lines.
  std::int64_t scratch_bytes() const {
    return (read_.scratch_bytes() + write_.scratch_bytes() + 63) / 64 * 64;
  }

  std::int64_t rows_, width_;
  int weight_;
  DType values_;
  RowReader read_;
  RowQuantizer save_;
  RowWriter write_;
  ThreadPool& pool_;
};

std::unique_ptr<Kernel> make_forward(const Program& program, const Op& op, const Context& context) {
  const SwigluOp swiglu(program, op, context, 0);
  const auto kernel = swiglu_kernels(context.isa).forward[swiglu.type()];
  return make_kernel(swiglu.workspace_bytes(), [=](const KernelArguments& arguments, const Turn&) {
    swiglu.run(arguments, [&](SwigluRows& task, std::int64_t, std::byte* h) {
      task.h = h;
      task.h_stride = swiglu.made_stride();
      kernel(task);
    });
  });
}

std::unique_ptr<Kernel> make_backward(const Program& program, const Op& op,
                                      const Context& context) {
  const SwigluOp swiglu(program, op, context, 1);
  const auto kernel = swiglu_kernels(context.isa).backward[swiglu.type()];
  const Tensor dh = op.inputs[0], h = op.outputs[2];
  const std::int64_t bytes = size_of(program.dtype(dh)), dh_stride = program.row_stride(dh);
  const std::int64_t h_stride = h ? program.row_stride(h) : 0;
  const bool accumulate = op.attributes.flag("accumulate");
  const bool accumulate_weight = op.attributes.flag("accumulate_weight");
  return make_kernel(swiglu.workspace_bytes(), [=](const KernelArguments& arguments, const Turn&) {
    float* d_weight = arguments.output<float>(1);
    std::byte* hidden = arguments.outputs[2];
    swiglu.run(arguments, [&](SwigluRows& task, std::int64_t row, std::byte* d_gate_up) {
      task.dh = arguments.inputs[0] + row * dh_stride * bytes;
      task.dh_stride = dh_stride;
      task.h = hidden == nullptr ? nullptr : hidden + row * h_stride * bytes;
      task.h_stride = h_stride;
      task.d_gate_up = d_gate_up;
      task.d_gate_up_stride = swiglu.made_stride();
      task.d_weight = d_weight == nullptr ? nullptr : d_weight + row;
      task.accumulate = accumulate;
      task.accumulate_weight = accumulate_weight;
      kernel(task);
    });
  });
}

}  // namespace

std::span<const KernelEntry> swiglu_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"swiglu", make_forward},
                                             {"swiglu_backward", make_backward}};
  return kEntries;
}

}  // namespace ingot::cpu
