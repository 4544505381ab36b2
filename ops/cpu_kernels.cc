#include "ops/cpu_kernels.h"

#include "backends/cpu/join_kernels.h"
#include "ops/accumulate_gradient/accumulate_gradient_cpu.h"
#include "ops/adamw/adamw_cpu.h"
#include "ops/add/add_cpu.h"
#include "ops/all_reduce/all_reduce_cpu.h"
#include "ops/attention/attention_cpu.h"
#include "ops/cached_attention/cached_attention_cpu.h"
#include "ops/combine/combine_cpu.h"
#include "ops/cross_entropy/cross_entropy_cpu.h"
#include "ops/dispatch/dispatch_cpu.h"
#include "ops/embedding/embedding_cpu.h"
#include "ops/gradient_norm/gradient_norm_cpu.h"
#include "ops/grouped_linear/grouped_linear_cpu.h"
#include "ops/latent_attention/latent_attention_cpu.h"
#include "ops/linear/linear_cpu.h"
#include "ops/muon/muon_cpu.h"
#include "ops/pack_weight/pack_weight_cpu.h"
#include "ops/quantize/quantize_cpu.h"
#include "ops/report/report_cpu.h"
#include "ops/rms_norm/rms_norm_cpu.h"
#include "ops/rope/rope_cpu.h"
#include "ops/router/router_cpu.h"
#include "ops/sample/sample_cpu.h"
#include "ops/swiglu/swiglu_cpu.h"
#include "ops/transfer/transfer_cpu.h"
#include "ops/weight_norm/weight_norm_cpu.h"

namespace ingot::cpu {

std::vector<KernelEntry> all_cpu_kernels() {
  return join_kernels({accumulate_gradient_cpu_kernels(),
                       adamw_cpu_kernels(),
                       add_cpu_kernels(),
                       all_reduce_cpu_kernels(),
                       attention_cpu_kernels(),
                       cached_attention_cpu_kernels(),
                       combine_cpu_kernels(),
                       cross_entropy_cpu_kernels(),
                       dispatch_cpu_kernels(),
                       embedding_cpu_kernels(),
                       gradient_norm_cpu_kernels(),
                       grouped_linear_cpu_kernels(),
                       latent_attention_cpu_kernels(),
                       linear_cpu_kernels(),
                       muon_cpu_kernels(),
                       pack_weight_cpu_kernels(),
                       quantize_cpu_kernels(),
                       report_cpu_kernels(),
                       rms_norm_cpu_kernels(),
                       rope_cpu_kernels(),
                       router_cpu_kernels(),
                       sample_cpu_kernels(),
                       swiglu_cpu_kernels(),
                       transfer_cpu_kernels(),
                       weight_norm_cpu_kernels()});
}

}  // namespace ingot::cpu
