#include "memory/packing/testing/generated_programs.h"

#include <algorithm>
#include <map>
#include <random>

namespace ingot {
namespace {

constexpr std::int64_t kBf16 = 2, kFp32 = 4;

// std::mt19937_64 is the same everywhere; the standard's distributions are not.
std::int64_t uniform(std::mt19937_64& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
}

// Writes down a program op by op. A buffer lives from make() to the op of its last use().
class Recorder {
 public:
  using Id = std::size_t;

  explicit Recorder(const StepShape& shape) : shape_(shape), random_(shape.seed) {}

  Id make(std::int64_t bytes) {
    buffers_.push_back({std::max<std::int64_t>(bytes, 1), op_, op_});
    return buffers_.size() - 1;
  }
  void use(Id id) { buffers_[id].last = op_; }
  void persist(std::int64_t bytes) { persistent_.push_back(make(bytes)); }
  void next() { ++op_; }

  // One op: reads inputs, makes an output.
  Id op(const std::vector<Id>& inputs, std::int64_t bytes) {
    const Id output = make(bytes);
    for (const Id id : inputs) use(id);
    next();
    return output;
  }
  // The same, with scratch.
  Id matmul(const std::vector<Id>& inputs, std::int64_t bytes) {
    if (shape_.workspaces) make(uniform(random_, 1, 40) * 13 * 1024 + 64);
    return op(inputs, bytes);
  }

  std::mt19937_64& random() { return random_; }
  std::int64_t last_op() const { return op_; }

  std::vector<Buffer> finish() {
    for (const Id id : persistent_) buffers_[id] = {buffers_[id].bytes, 0, op_};
    return std::move(buffers_);
  }

 private:
  const StepShape& shape_;
  std::mt19937_64 random_;
  std::int64_t op_ = 0;
  std::vector<Buffer> buffers_;
  std::vector<Id> persistent_;
};

using Id = Recorder::Id;

// The step of one decoder model: attention, then SwiGLU or experts, in every layer.
class Step {
 public:
  explicit Step(const StepShape& shape) : s_(shape), r_(shape) {}

  std::vector<Buffer> record() {
    persist_weights();
    Id stream = r_.op({}, residual_bytes());  // embedding
    std::vector<Layer> layers(static_cast<std::size_t>(s_.layers));
    for (Layer& layer : layers) stream = forward(layer, stream);
    Id gradient = head(stream);
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
      gradient = backward(*layer, gradient);
    }
    r_.matmul({gradient}, kFp32 * 8);  // into the embedding's gradient
    update();
    return r_.finish();
  }

 private:
  // A tensor on its way from forward to backward: kept, in int8, or not at all.
  struct Kept {
    std::int64_t bytes = 0;
    Id whole = 0, codes = 0, scales = 0;
    bool quantized = false;
  };
  struct Layer {
    Saved saved = Saved::all;
    Id input = 0;
    std::map<std::string, Kept> kept;
  };

  std::int64_t residual_bytes() const { return s_.tokens * s_.hidden * kBf16; }
  std::int64_t attention_width() const { return s_.hidden + s_.hidden / 2; }
  bool moe() const { return s_.experts > 0; }
  std::int64_t rows() const { return moe() ? s_.tokens * s_.experts_per_token : s_.tokens; }
  std::int64_t width() const { return moe() ? s_.expert_width : s_.feed_forward; }

  std::vector<std::int64_t> weights() const {
    std::vector<std::int64_t> sizes = {s_.hidden, s_.hidden * attention_width(),
                                       s_.hidden * s_.hidden, s_.hidden};
    const int copies = moe() && s_.weight_per_expert ? s_.experts : 1;
    const std::int64_t together = moe() && !s_.weight_per_expert ? s_.experts : 1;
    for (int i = 0; i < copies; ++i) {
      sizes.push_back(together * s_.hidden * 2 * width());
      sizes.push_back(together * s_.hidden * width());
    }
    return sizes;
  }

  void persist_weights() {
    for (int layer = 0; layer < s_.layers; ++layer) {
      for (const std::int64_t weight : weights()) {
        r_.persist(weight * kBf16);
        for (int state = 0; state < 3; ++state) r_.persist(weight * kFp32);
        if (!s_.update_in_backward) r_.persist(weight * kFp32);
      }
    }
    r_.persist(s_.vocabulary * s_.hidden * 2 * kBf16);
    r_.persist(s_.vocabulary * s_.hidden * 2 * kFp32 * 3);
  }

  // Called right after the last forward use.
  void keep(Layer& layer, const std::string& name, Id id, std::int64_t bytes, bool cheap) {
    if (layer.saved == Saved::none || (cheap && layer.saved == Saved::cheap)) return;
    Kept kept{bytes, id};
    if (layer.saved == Saved::quantized) {
      kept.quantized = true;
      kept.codes = r_.make(bytes / kBf16);
      kept.scales = r_.make(bytes / kBf16 / 128 * kFp32);
      r_.use(id);
      r_.next();
    }
    layer.kept[name] = kept;
  }

  Id restore(Layer& layer, const std::string& name) {
    const Kept& kept = layer.kept.at(name);
    if (!kept.quantized) {
      r_.use(kept.whole);
      return kept.whole;
    }
    return r_.op({kept.codes, kept.scales}, kept.bytes);
  }

  Id forward(Layer& layer, Id input) {
    layer.saved = s_.saved;
    if (s_.saved == Saved::mixed) layer.saved = static_cast<Saved>(uniform(r_.random(), 0, 3));
    layer.input = input;
    const Id middle = forward_attention(layer, input);
    return forward_feed_forward(layer, middle);
  }

  Id forward_attention(Layer& layer, Id input) {
    const std::int64_t qkv_bytes = s_.tokens * attention_width() * kBf16;
    const Id normed = r_.op({input}, residual_bytes());
    const Id qkv = r_.matmul({normed}, qkv_bytes);
    keep(layer, "normed", normed, residual_bytes(), true);
    const Id statistics = r_.make(s_.tokens * 16 * kFp32);
    const Id context = r_.op({qkv}, residual_bytes());
    keep(layer, "qkv", qkv, qkv_bytes, false);
    if (layer.saved != Saved::none) layer.kept["statistics"] = {0, statistics};
    const Id projected = r_.matmul({context}, residual_bytes());
    keep(layer, "context", context, residual_bytes(), false);
    const Id middle = r_.op({input, projected}, residual_bytes());
    layer.kept["middle"] = {residual_bytes(), middle};
    return middle;
  }

  Id forward_feed_forward(Layer& layer, Id middle) {
    const std::int64_t up_bytes = rows() * 2 * width() * kBf16;
    const std::int64_t rows_bytes = rows() * s_.hidden * kBf16;
    const Id normed = r_.op({middle}, residual_bytes());
    Id input = normed;
    if (moe()) {
      const Id scores = r_.matmul({normed}, s_.tokens * s_.experts * kFp32);
      const Id routes = r_.op({scores}, rows() * 2 * kFp32);
      if (layer.saved != Saved::none) layer.kept["routes"] = {0, routes};
      input = r_.op({normed, routes}, rows_bytes);
    }
    const Id up = r_.matmul({input}, up_bytes);
    keep(layer, "normed 2", input, moe() ? rows_bytes : residual_bytes(), true);
    const Id activated = r_.op({up}, up_bytes / 2);
    keep(layer, "up", up, up_bytes, false);
    Id down = r_.matmul({activated}, rows_bytes);
    keep(layer, "activated", activated, up_bytes / 2, true);
    if (moe()) down = r_.op({down}, residual_bytes());
    return r_.op({middle, down}, residual_bytes());
  }

  // Logits of one chunk of tokens at a time; the gradient of the stream is filled chunk by chunk.
  Id head(Id stream) {
    const Id normed = r_.op({stream}, residual_bytes());
    const Id gradient = r_.make(residual_bytes());
    for (int chunk = 0; chunk < s_.head_chunks; ++chunk) {
      const std::int64_t tokens = s_.tokens / s_.head_chunks;
      const Id logits = r_.matmul({normed}, tokens * s_.vocabulary * kBf16);
      const Id losses = r_.op({logits}, tokens * kFp32);
      r_.matmul({logits, normed, gradient}, tokens * s_.hidden * kBf16);
      r_.use(losses);
      r_.next();
    }
    return r_.op({gradient, stream}, residual_bytes());
  }

  void weight_gradient(const std::vector<Id>& inputs, std::int64_t elements) {
    if (!s_.update_in_backward) {
      r_.matmul(inputs, 64);
      return;
    }
    const Id gradient = r_.matmul(inputs, elements * kFp32);
    r_.use(gradient);  // the update
    r_.next();
  }

  Id backward(Layer& layer, Id gradient) {
    r_.use(layer.input);
    if (layer.saved == Saved::none) {
      Layer again = layer;
      again.saved = Saved::all;
      const Id middle = layer.kept.at("middle").whole;
      forward_attention(again, layer.input);
      again.kept["middle"].whole = middle;
      forward_feed_forward(again, middle);
      again.input = layer.input;
      return backward(again, gradient);
    }
    const Id middle_gradient = backward_feed_forward(layer, gradient);
    return backward_attention(layer, middle_gradient);
  }

  Id backward_feed_forward(Layer& layer, Id gradient) {
    const std::int64_t up_bytes = rows() * 2 * width() * kBf16;
    const std::int64_t rows_bytes = rows() * s_.hidden * kBf16;
    const std::int64_t experts = std::max(s_.experts, 1);
    const Id middle = restore(layer, "middle");
    const Id rows_gradient =
        moe() ? r_.op({gradient, layer.kept["routes"].whole}, rows_bytes) : gradient;
    const Id up = restore(layer, "up");
    const Id activated =
        layer.saved == Saved::cheap ? r_.op({up}, up_bytes / 2) : restore(layer, "activated");
    const Id activated_gradient = r_.matmul({rows_gradient}, up_bytes / 2);
    weight_gradient({rows_gradient, activated}, experts * s_.hidden * width());
    const Id up_gradient = r_.op({activated_gradient, up}, up_bytes);
    const Id normed =
        layer.saved == Saved::cheap ? r_.op({middle}, rows_bytes) : restore(layer, "normed 2");
    weight_gradient({up_gradient, normed}, experts * s_.hidden * 2 * width());
    Id normed_gradient = r_.matmul({up_gradient}, rows_bytes);
    if (moe()) {
      normed_gradient = r_.op({normed_gradient, layer.kept["routes"].whole}, residual_bytes());
    }
    return r_.op({normed_gradient, middle, gradient}, residual_bytes());
  }

  Id backward_attention(Layer& layer, Id gradient) {
    const Id context = restore(layer, "context");
    weight_gradient({gradient, context}, s_.hidden * s_.hidden);
    const Id context_gradient = r_.matmul({gradient}, residual_bytes());
    const Id qkv = restore(layer, "qkv");
    const Id deltas = r_.op({context_gradient, context}, s_.tokens * 16 * kFp32);
    const Id qkv_gradient = r_.op({context_gradient, qkv, deltas, layer.kept["statistics"].whole},
                                  s_.tokens * attention_width() * kBf16);
    const Id normed = layer.saved == Saved::cheap ? r_.op({layer.input}, residual_bytes())
                                                  : restore(layer, "normed");
    weight_gradient({qkv_gradient, normed}, s_.hidden * attention_width());
    const Id normed_gradient = r_.matmul({qkv_gradient}, residual_bytes());
    return r_.op({normed_gradient, layer.input, gradient}, residual_bytes());
  }

  // Norm, clip, then weight by weight.
  void update() {
    const Id norm = r_.op({}, 64);
    for (int layer = 0; layer < s_.layers && !s_.update_in_backward; ++layer) {
      r_.matmul({norm}, 4096);
    }
  }

  const StepShape& s_;
  Recorder r_;
};

}  // namespace

std::vector<Buffer> transformer_step(const StepShape& shape) { return Step(shape).record(); }

std::vector<StepShape> transformer_family() {
  constexpr const char* kSavedNames[] = {"all", "cheap", "none", "int8", "mixed"};
  const StepShape models[] = {
      {.name = "dense 34M", .layers = 8, .hidden = 512, .feed_forward = 1408, .vocabulary = 8192},
      {.name = "dense 1.5B",
       .layers = 28,
       .hidden = 1536,
       .feed_forward = 8960,
       .vocabulary = 151936,
       .head_chunks = 16},
      {.name = "dense 7B",
       .layers = 30,
       .tokens = 4096,
       .hidden = 4096,
       .feed_forward = 11008,
       .vocabulary = 102400,
       .head_chunks = 32},
      {.name = "deep and thin",
       .layers = 100,
       .tokens = 1111,
       .hidden = 768,
       .feed_forward = 2050,
       .vocabulary = 50257,
       .head_chunks = 7},
      {.name = "experts 48M",
       .layers = 6,
       .hidden = 512,
       .vocabulary = 8192,
       .experts = 16,
       .experts_per_token = 4,
       .expert_width = 256},
      {.name = "experts V2-Lite",
       .layers = 27,
       .tokens = 4096,
       .hidden = 2048,
       .vocabulary = 102400,
       .experts = 64,
       .experts_per_token = 6,
       .expert_width = 1408,
       .head_chunks = 16},
      {.name = "experts V3",
       .layers = 61,
       .tokens = 4096,
       .hidden = 7168,
       .vocabulary = 129280,
       .experts = 256,
       .experts_per_token = 8,
       .expert_width = 2048,
       .head_chunks = 16},
  };
  std::vector<StepShape> family;
  for (const StepShape& model : models) {
    for (int saved = 0; saved < 5; ++saved) {
      for (const bool update_in_backward : {false, true}) {
        StepShape shape = model;
        shape.name += std::string(", saved ") + kSavedNames[saved];
        if (update_in_backward) shape.name += ", update in backward";
        shape.saved = static_cast<Saved>(saved);
        shape.update_in_backward = update_in_backward;
        shape.seed = family.size() + 1;
        family.push_back(std::move(shape));
      }
    }
  }
  return family;
}

std::vector<Buffer> random_buffers(int count, int ops, std::int64_t largest, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Buffer> buffers;
  for (int i = 0; i < count; ++i) {
    // Mostly short lives, mostly small sizes, some of each long and large.
    const std::int64_t life = uniform(random, 0, 3) == 0 ? ops : std::max(ops / 16, 1);
    const std::int64_t first = uniform(random, 0, ops - 1);
    const std::int64_t last = std::min<std::int64_t>(first + uniform(random, 0, life), ops - 1);
    const std::int64_t size = uniform(random, 0, 3) == 0 ? largest : (largest + 15) / 16;
    buffers.push_back({uniform(random, 1, size), first, last});
  }
  return buffers;
}

std::vector<Buffer> shattered_rectangle(int pieces, int ops, std::int64_t bytes,
                                        std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Buffer> buffers = {{bytes, 0, ops - 1}};
  for (int tries = 0; static_cast<int>(buffers.size()) < pieces && tries < 100 * pieces; ++tries) {
    Buffer& piece = buffers[random() % buffers.size()];
    Buffer rest = piece;
    if (uniform(random, 0, 1) == 0) {
      if (piece.first == piece.last) continue;
      piece.last = uniform(random, piece.first, piece.last - 1);
      rest.first = piece.last + 1;
    } else {
      if (piece.bytes == 1) continue;
      piece.bytes = uniform(random, 1, piece.bytes - 1);
      rest.bytes -= piece.bytes;
    }
    buffers.push_back(rest);
  }
  return buffers;
}

}  // namespace ingot
