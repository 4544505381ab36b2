// Rows to codes and back, one at a time, for kernels that have a row in the cache
// (ops/quantize/row_codes.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/quantizer_simd.h"
#include "ops/quantize/row_codes.h"

namespace ingot::cpu {

// Quantizes rows for an op that has, or may have, codes among its outputs.
class RowQuantizer {
 public:
  // values: dtype of the rows. codes: none makes a quantizer that is false and must not be called.
  RowQuantizer(const Program& program, const Op& op, const std::optional<RowCodes>& codes,
               DType values, Isa isa);

  explicit operator bool() const { return columns_ > 0; }
  // Of one run: what its draws start from.
  std::uint64_t key(const KernelArguments& arguments) const;
  void operator()(const KernelArguments& arguments, std::uint64_t key, std::int64_t row,
                  const void* values) const;

 private:
  RowCodes spec_;
  std::uint64_t stream_ = 0;
  std::int64_t columns_ = 0, codes_stride_ = 0, scales_stride_ = 0;
  QuantizerKernels::Quantize nearest_ = nullptr;
  QuantizerKernels::QuantizeStochastic stochastic_ = nullptr;
};

// Reads rows of an operand that is values or codes with their scales.
class RowReader {
 public:
  // values: dtype of the rows as they are read.
  RowReader(const Program& program, const Op& op, int operand, DType values, Isa isa);

  // Of the scratch memory that a row needs; 0: it is read where it lies.
  std::int64_t scratch_bytes() const { return coded() ? columns_ * size_of(values_) : 0; }
  bool coded() const { return dequantize_ != nullptr; }
  // Bytes between rows; of values only.
  std::int64_t stride_bytes() const { return stride_; }
  const std::byte* operator()(const KernelArguments& arguments, std::int64_t row,
                              std::byte* scratch) const;

 private:
  int operand_, scales_;
  DType values_;
  std::int64_t columns_, stride_, scales_stride_ = 0, group_ = 0;
  QuantizerKernels::Dequantize dequantize_ = nullptr;
};

// Writes the rows of outputs[0], their codes, or both.
class RowWriter {
 public:
  RowWriter(const Program& program, const Op& op, Isa isa);

  // Of the scratch memory that a row needs; 0: it is made where it stays.
  std::int64_t scratch_bytes() const { return stride_ == 0 ? row_bytes_ : 0; }
  bool coded() const { return static_cast<bool>(quantize_); }
  // Bytes between rows of outputs[0].
  std::int64_t stride_bytes() const { return stride_; }
  // Where a row is to be made, and what comes after that.
  std::byte* begin(const KernelArguments& arguments, std::int64_t row, std::byte* scratch) const {
    return stride_ == 0 ? scratch : arguments.outputs[0] + row * stride_;
  }
  std::uint64_t key(const KernelArguments& arguments) const { return quantize_.key(arguments); }
  void end(const KernelArguments& arguments, std::uint64_t key, std::int64_t row,
           const std::byte* made) const {
    if (quantize_) quantize_(arguments, key, row, made);
  }

 private:
  RowQuantizer quantize_;
  std::int64_t row_bytes_, stride_ = 0;  // 0: outputs[0] is none
};

}  // namespace ingot::cpu
