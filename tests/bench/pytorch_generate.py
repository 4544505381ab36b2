"""transformers' `generate` on the CPU: the peer of tests/bench/generation_bench.

    python3 -m venv /tmp/peer && /tmp/peer/bin/pip install torch transformers
    /tmp/peer/bin/python tests/bench/pytorch_generate.py configs/bench/dense_124m.json bf16 BATCH [repeats]

Random weights and a random prompt of 512 tokens for each of BATCH sequences, then 128 greedy ones. Prints the
fastest of `repeats`: milliseconds of reading the prompt (and the first token), and of the 127 tokens that
follow. Not part of the product or its tests: it is here so that a ratio can be measured again.
"""
import json
import os
import sys
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

path, mode, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
repeats = int(sys.argv[4]) if len(sys.argv) > 4 else 3
prompt, generated = 512, 128
model = json.load(open(path))["model"]
model["num_nextn_predict_layers"] = 0

torch.manual_seed(0)
torch.set_num_threads(len(os.sched_getaffinity(0)))
network = AutoModelForCausalLM.from_config(
    AutoConfig.for_model(model.pop("model_type"), **model),
    dtype={"bf16": torch.bfloat16, "fp32": torch.float32}[mode])
network.eval()
network.generation_config.eos_token_id = None  # random weights: nothing ends the text
tokens = torch.randint(0, model["vocab_size"], (batch, prompt))


def fastest(new_tokens):
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        with torch.inference_mode():
            text = network.generate(tokens, attention_mask=torch.ones_like(tokens), do_sample=False, pad_token_id=0,
                                    max_new_tokens=new_tokens, min_new_tokens=new_tokens)
        best = min(best, time.perf_counter() - start)
        assert text.shape == (batch, prompt + new_tokens)
    return best


fastest(1)
prefill = fastest(1)
decode = fastest(generated) - prefill
print(json.dumps({"mode": mode, "batch": batch, "prefill_ms": round(prefill * 1e3, 1), "decode_ms": round(decode * 1e3, 1),
                  "prefill_tokens_per_second": round(batch * prompt / prefill, 1),
                  "decode_tokens_per_second": round(batch * (generated - 1) / decode, 1)}))
