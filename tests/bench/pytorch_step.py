"""Training steps of a config in PyTorch + transformers on the CPU: the peer of `ingot bench step`.

    python3 -m venv /tmp/peer && /tmp/peer/bin/pip install torch transformers
    /tmp/peer/bin/python tests/bench/pytorch_step.py configs/bench/dense_34m.json bf16 [steps]

Modes: fp32, bf16 (autocast), each with +compile. Prints tokens per second of the fastest step. Not part of
the product or its tests: it is here so that a ratio can be measured again.
"""
import json
import os
import sys
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

path, mode = sys.argv[1], sys.argv[2]
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 4
run = json.load(open(path))
model = run["model"]
if isinstance(model, str):
    model = json.load(open(os.path.join(os.path.dirname(path), model)))
for key in ("architectures", "torch_dtype"):
    model.pop(key, None)
model["num_nextn_predict_layers"] = 0
batch = run["batch"]["micro_batch"]
length = run["data"]["sequence_length"]

torch.manual_seed(0)
torch.set_num_threads(len(os.sched_getaffinity(0)))
network = AutoModelForCausalLM.from_config(
    AutoConfig.for_model(model.pop("model_type"), **model), dtype=torch.float32)
network.train()
optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1)
forward = torch.compile(network) if mode.endswith("+compile") else network
tokens = torch.randint(0, model["vocab_size"], (batch, length))

fastest = float("inf")
for step in range(steps + 2):
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mode.startswith("bf16")):
        loss = forward(input_ids=tokens, labels=tokens).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    if step >= 2:
        fastest = min(fastest, time.perf_counter() - start)
print(json.dumps({"mode": mode, "tokens_per_second": batch * length / fastest}))
