// One of the head's three products, in floats or, with the attribute "int8", in int8 inside
// (backends/cpu/int8_matmul.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

#include "backends/cpu/int8_matmul.h"
#include "backends/cpu/matmul.h"

namespace ingot::cpu {

class HeadProduct {
 public:
  enum class Operand { activation, gradient };  // what A is: gradients are rounded stochastically

  HeadProduct(const MatmulSpec& spec, bool int8, std::int64_t block, Operand a, Isa isa)
      : matmul_(make(spec, int8, block, a, isa)) {}

  // The same product, but C = A B.
  HeadProduct overwriting() const {
    return std::visit([](const auto& matmul) { return HeadProduct(matmul.overwriting()); },
                      matmul_);
  }

  std::int64_t workspace_bytes() const {
    return std::visit([](const auto& matmul) { return matmul.workspace_bytes(); }, matmul_);
  }

  // key: of the stochastic rounding, another for each chunk. squares: as in Matmul::run.
  void run(ThreadPool& pool, const void* a, const void* b, void* c, std::span<std::byte> workspace,
           std::int64_t a_rows, std::uint64_t key, float* squares = nullptr) const {
    if (const auto* floats = std::get_if<Matmul>(&matmul_)) {
      floats->run(
          pool,
          {.a = a, .b = b, .c = c, .workspace = workspace, .a_rows = a_rows, .squares = squares});
    } else {
      std::get<Int8Matmul>(matmul_).run(pool, {.a = a,
                                               .b = b,
                                               .c = c,
                                               .workspace = workspace,
                                               .a_rows = a_rows,
                                               .key = key,
                                               .squares = squares});
    }
  }

 private:
  using Product = std::variant<Matmul, Int8Matmul>;

  explicit HeadProduct(Product matmul) : matmul_(std::move(matmul)) {}

  static Product make(const MatmulSpec& spec, bool int8, std::int64_t block, Operand a, Isa isa) {
    if (!int8) return Matmul(spec, isa);
    return Int8Matmul({.product = spec, .block = block, .stochastic = a == Operand::gradient}, isa);
  }

  Product matmul_;
};

}  // namespace ingot::cpu
