// Matrix products on all threads: C = A B, with what a transformer needs around it: transposed
// operands, column slices, accumulation, bias, residual, and groups of rows (experts).
//
//   y = x W^T            {rows = tokens, columns = out, depth = in, b_transposed}
//   dx (+)= dy W         {rows = tokens, columns = in, depth = out}
//   dW += dy^T x  (f32)  {rows = out, columns = in, depth = tokens, a_transposed, accumulate}
//
// How: our own register kernels (6 x 64 with AVX-512, 6 x 16 with AVX2; bf16 at level amx: 32 x 32
// in tile registers, matmul_amx.h) on packed panels of B,
// which each thread packs into its own cache unless B is deep or the depth is split among groups;
// with up to 32 rows (decoding) B is read once, where it lies. Products of bf16 use vdpbf16ps where
// the CPU has it; otherwise, and for f16, operands are widened to fp32 on the way. One Zen 4 core
// gives 77-95 % of its peak in all three products above (matmul_benchmark). oneDNN 2.6 beside it,
// its weights packed beforehand: the same for y = x W^T; for dW 7 % slower in bf16, 7 % faster in
// fp32. Ours allocates nothing and needs no second set of threads.
//
// Sums are fp32. Each element of C is one chain of sums along the depth, cut at fixed places, so
// the bits depend on the shape alone, not on the threads, the tiles or the workspace.
// A NaN or infinity of the inputs spreads to the elements of C that depend on it, to no other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/cpu/isa.h"
#include "backends/cpu/matmul_operands.h"
#include "backends/cpu/thread_pool.h"
#include "engine/numbers/dtype.h"

namespace ingot::cpu {

struct MatmulAmx;
struct MatmulKernels;
struct MatmulTile;

struct MatmulSpec {
  // C [rows, columns] = A [rows, depth] B [depth, columns]. What a call may have less of: the
  // stored rows of A, that is `rows`, or `depth` when a_transposed.
  std::int64_t rows = 0, columns = 0, depth = 0;
  DType a = DType::f32, b = DType::f32, c = DType::f32;  // a == b, f32, bf16 or f16; c: that or f32
  bool a_transposed = false;                             // A is stored [depth, rows]
  bool b_transposed = false;                             // B is stored [columns, depth]
  // Elements from one stored row to the next; 0: dense. Larger for column slices of wider arrays.
  std::int64_t a_stride = 0, b_stride = 0, c_stride = 0, residual_stride = 0;
  bool accumulate = false;  // C += A B
  bool bias = false;        // C += bias[columns], f32
  bool residual = false;    // C += residual [rows, columns], of C's type, may be C;
                            // not with a_transposed
  // Everything that is added is added in fp32 and C rounded once.

  // Groups: offsets[groups + 1] split the stored rows of A. Group g multiplies its rows of A with
  // its own B, at b + g * group_stride, into its rows of C. When a_transposed its rows of A
  // and of B (columns if b_transposed) give its own C, at c + g * group_stride. 0: dense.
  int groups = 1;
  std::int64_t group_stride = 0;

  // B comes packed by Matmul::pack (all groups), which saves packing it in each run. Not with
  // a_transposed. The same bits as without, if run() also gets B as it lies, for few rows.
  bool b_packed = false;
  int threads = 1;  // of the pool that run() gets
};

class Matmul {
 public:
  // Throws Error(usage) for a spec that makes no sense.
  explicit Matmul(const MatmulSpec& spec, Isa isa = cpu::isa());

  const MatmulSpec& spec() const { return spec_; }

  // The same product, the same workspace, but C = A B: starts a sum that this one adds to.
  Matmul overwriting() const;

  // What run() needs: at most 8 MiB for packed B (more only for a depth beyond 32000) and for each
  // thread 0.6 MiB, with tiles of AMX 2.2 MiB. A multiple of 64.
  std::int64_t workspace_bytes() const { return workspace_bytes_; }

  // An empty sum (depth 0, an expert without tokens) is 0. Groups of few rows are multiplied with
  // unpacked_b, where it is given. Allocates nothing. Throws Error(usage) when a_rows, offsets or
  // workspace don't fit.
  void run(ThreadPool& pool, const MatmulOperands& operands) const;

  // The layout for b_packed: B (as the spec describes it, all groups) into packed_bytes() bytes.
  std::int64_t packed_bytes() const;
  void pack(ThreadPool& pool, const void* b, void* packed) const;

  // 2 * rows * columns * depth of a call with that many stored rows of A.
  double flops(std::int64_t a_rows) const;

 private:
  struct Block;
  struct Batch;
  struct Blocking;

  bool pairs() const;  // words of packed operands are pairs of bf16, else fp32
  const Blocking& blocking() const;
  std::int64_t panel_columns() const;  // of a full panel of B
  std::int64_t words_of(std::int64_t depth) const;
  std::int64_t step_words(std::int64_t depth) const;
  std::int64_t own_columns() const;
  std::int64_t scratch_bytes() const {  // of a thread
    return scratch_a_bytes_ + scratch_sums_bytes_ + scratch_b_bytes_;
  }
  Block block_of_group(const MatmulOperands& call, int group) const;
  Block columns_of(const Block& whole, std::int64_t column, std::int64_t columns) const;
  void choose_tiles(Batch& batch, int threads) const;
  void run_batch(const MatmulOperands& call, ThreadPool& pool, Batch& batch) const;
  void pack_panel(const Block& block, std::int64_t panel) const;
  void multiply_thin(const Block& block, std::int64_t tile) const;
  void multiply_tile(const Block& block, std::int64_t tile, std::byte* scratch) const;
  void pack_and_multiply(const Block& block, std::int64_t tile, std::byte* scratch) const;
  void place_a(const Block& block, std::int64_t row, std::int64_t first, std::byte* scratch,
               MatmulTile& tile) const;

  MatmulSpec spec_;
  const MatmulKernels* kernels_;
  const MatmulAmx* amx_;  // null: not for this product
  bool prepares_a_;       // A goes through a thread's scratch: transposed, or widened to fp32
  std::int64_t packed_capacity_ = 0;
  std::int64_t scratch_a_bytes_ = 0, scratch_sums_bytes_ = 0, scratch_b_bytes_ = 0;
  std::int64_t workspace_bytes_ = 0;
};

}  // namespace ingot::cpu
