// Matrix products whose operands are quantized to int8 on the way: C = A B with A, B and C in
// floats, as in matmul.h, the products in exact integers. (memory.md A2, A3; DeepSeek-V3's tiles
// with int8 for fp8.)
//
//   y = x W^T            A by token, B by output channel
//   dx (+)= dy W         A by token, B by input channel
//   dW += dy^T x  (f32)  A and B by channel, along the tokens
//
// The depth is cut into blocks. Within a block each row of A and each column of B has one scale
// (quantizer.h: group = the block); the block's sum is exact in int32, is multiplied by both scales
// and added up in fp32. One block for the whole depth is the row x column scheme; blocks of 128 are
// DeepSeek's 1 x 128 (with scales by column of B rather than by 128 x 128), which costs some 10 %
// of time and follows outliers better.
//
// How: u8 x s8 instructions (AVX-512 VNNI); A's codes get 128 added on the fly, which corrections
// made from B take off again, exactly. Without VNNI: 16-bit products, nothing saturates. At level
// amx tile instructions of signed codes: the same bits as with VNNI. Blocks of
// A (up to 4 MiB) and B (8 MiB) are quantized and packed into the workspace before each portion.
//
// The bits depend on the shape and the level alone. A NaN or infinity makes NaN of the row or
// column of C that it belongs to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/cpu/matmul.h"
#include "backends/cpu/thread_pool.h"

namespace ingot::cpu {

struct Int8MatmulAmx;
struct Int8MatmulKernels;
struct Int8ThinKernels;
struct QuantizerKernels;
struct Panels;

struct Int8MatmulSpec {
  // As for Matmul; b_transposed and b_packed only without a_transposed. b_packed: B comes as pack()
  // left it, quantized and in panels; its type in `product` is that of the floats it was made of.
  MatmulSpec product;
  // Of the depth, sharing a scale: a multiple of 32 up to 65536; 0: all of it (up to that).
  std::int64_t block = 0;
  bool stochastic = false;  // A's codes are rounded stochastically (it is a gradient)
  // One of the operands is stored in 8 bits already, as rows of codes with their scales beside them
  // (run's `scales`), as quantizer.h has them. That operand's type in `product` is not looked at.
  // B: codes [columns, depth] of all groups, scales [columns, blocks]. Needs b_transposed and a
  // dense B. With up to 32 rows of A, B is read once.
  bool b_coded = false;
  // A: one scale for a stored row, so that dx and dW share one set of codes. Without a_transposed
  // block is 0 and the depth a multiple of 4 up to 65536. With it the scales lie along the depth:
  // B's rows are multiplied by them before they are quantized, dW = codes^T (scales x).
  bool a_coded = false;
};

class Int8Matmul {
 public:
  // Throws Error(usage) for a spec that makes no sense.
  explicit Int8Matmul(const Int8MatmulSpec& spec, Isa isa = cpu::isa());

  const Int8MatmulSpec& spec() const { return spec_; }

  // The same product, the same workspace, but C = A B: starts a sum that this one adds to.
  Int8Matmul overwriting() const;

  // A multiple of 64; about 12 MiB for large products, more when the depth is beyond 64 thousand.
  std::int64_t workspace_bytes() const { return workspace_bytes_; }

  // With b_packed: the bytes of all groups' B, and how to make them of floats that lie as
  // b_transposed says. They depend on B's shape and the blocks alone. workspace: as for run().
  std::int64_t packed_bytes() const;
  void pack(ThreadPool& pool, const void* b, void* packed, std::span<std::byte> workspace) const;

  // As Matmul::run.
  void run(ThreadPool& pool, const MatmulOperands& operands) const;

 private:
  struct Block;
  struct Batch;

  std::int64_t words_of(std::int64_t depth) const { return (depth + 3) / 4; }
  std::int64_t blocks_of(std::int64_t depth) const;
  std::int64_t panel_bytes(std::int64_t width, std::int64_t depth, bool corrected) const;
  std::int64_t a_bytes(std::int64_t rows, std::int64_t depth) const;
  std::int64_t b_bytes(std::int64_t columns, std::int64_t depth) const;
  std::int64_t a_row_bytes(std::int64_t depth) const;
  std::int64_t b_item_columns() const;
  std::int64_t b_group_bytes() const;
  Panels b_panels(const void* packed, std::int64_t group) const;
  Block group_block(const MatmulOperands& call, int group) const;
  Block part_of(const Block& whole, std::int64_t row, std::int64_t rows, std::int64_t column,
                std::int64_t columns) const;
  void add_group(const MatmulOperands& call, ThreadPool& pool, Batch& batch,
                 const Block& whole) const;
  void run_batch(const MatmulOperands& call, ThreadPool& pool, Batch& batch) const;
  void choose_tiles(Batch& batch, int threads) const;
  void pack_a_rows(const MatmulOperands& call, const Block& block, std::int64_t item) const;
  void pack_a_columns(const MatmulOperands& call, const Block& block, std::int64_t item) const;
  void pack_b(const Block& block, std::int64_t item, std::byte* scratch) const;
  void pack_b_rows(const Block& block, std::int64_t item, std::byte* scratch) const;
  void pack_b_columns(const Block& block, std::int64_t item) const;
  bool a_in_place() const { return spec_.a_coded && !spec_.product.a_transposed; }
  void correct(const Block& block, std::int64_t item) const;
  void multiply(const Block& block, std::int64_t tile) const;
  void multiply_thin(const Block& block, std::int64_t tile) const;
  std::int64_t a_element_bytes() const { return spec_.a_coded ? 1 : size_of(spec_.product.a); }
  std::int64_t b_element_bytes() const { return spec_.b_coded ? 1 : size_of(spec_.product.b); }

  Int8MatmulSpec spec_;
  const Int8MatmulKernels* kernels_;
  const Int8MatmulAmx* amx_;  // null: not at this level
  std::int64_t panel_;        // columns of a full panel of B
  const Int8ThinKernels* thin_;
  const MatmulKernels* words_;  // packs 4-byte words
  const QuantizerKernels* quantizer_;
  std::int64_t capacity_ = 0;       // for packed operands of a batch
  std::int64_t scratch_bytes_ = 0;  // of a thread: rows of B before they become a panel
  std::int64_t workspace_bytes_ = 0;
};

}  // namespace ingot::cpu
