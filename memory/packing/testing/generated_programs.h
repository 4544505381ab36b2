// Made-up programs to test and time the packing with: buffers as training steps of transformers
// have them, and nasty ones. Test code only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "memory/packing/buffer.h"

namespace ingot {

// What of a layer's forward is kept for its backward.
enum class Saved {
  all,        // every input of a backward op
  cheap,      // norms' and SwiGLU's outputs are computed again
  none,       // only the residual stream; the layer's forward is run again
  quantized,  // all in int8 with a scale for 128 numbers, restored just before use
  mixed,      // a random one of these for each layer
};

struct StepShape {
  std::string name;
  int layers = 24;
  std::int64_t tokens = 2048, hidden = 1024, feed_forward = 2816, vocabulary = 32000;
  int experts = 0, experts_per_token = 0;  // 0: dense
  std::int64_t expert_width = 0;
  Saved saved = Saved::all;
  int head_chunks = 4;
  bool update_in_backward = false;  // gradients live from their matmul to their update only
  bool workspaces = true;           // odd-sized scratch of the matmuls, alive at one op
  bool weight_per_expert = false;   // each expert's weights are buffers of their own
  std::uint64_t seed = 1;           // of the mixed choice and the scratch sizes
};

// A micro-step (forward, chunked head, backward) and the update: all its buffers, in order of
// birth.
std::vector<Buffer> transformer_step(const StepShape& shape);

// The programs the packing goal is measured on: 10 to 100 layers, dense and mixtures of experts.
std::vector<StepShape> transformer_family();

// count buffers with random lives and sizes, unrelated to any program.
std::vector<Buffer> random_buffers(int count, int ops, std::int64_t largest, std::uint64_t seed);

// Fills a rectangle of ops x bytes without a hole by cutting it again and again, then forgets where
// the pieces lay: the best packing is exactly bytes (the lower bound), and hard to find.
std::vector<Buffer> shattered_rectangle(int pieces, int ops, std::int64_t bytes,
                                        std::uint64_t seed);

}  // namespace ingot
