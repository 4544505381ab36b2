"""TensorBoard's own reader on a run's event files, beside its metrics.jsonl. Not part of the product or its tests.

    python3 -m venv /tmp/tensorboard && /tmp/tensorboard/bin/pip install tensorboard
    bazel-bin/tools/ingot train RUN.json --set log.tensorboard=true
    /tmp/tensorboard/bin/python tests/bench/read_events.py RUN_DIR
"""
import json
import math
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = sys.argv[1]
events = EventAccumulator(folder, size_guidance={"scalars": 0})
events.Reload()
fields = {"loss": "loss/training", "validation_loss": "loss/validation", "grad_norm": "optimizer/grad_norm",
          "learning_rate": "optimizer/learning_rate", "tokens_per_second": "speed/tokens_per_second",
          "mtp_loss": "loss/mtp"}
wrong = 0
lines = [json.loads(line) for line in open(f"{folder}/metrics.jsonl")]
for field, tag in fields.items():
    expected = [(line["step"], line[field]) for line in lines if field in line]
    if not expected:
        continue
    found = [(event.step, event.value) for event in events.Scalars(tag)]
    same = len(found) == len(expected) and all(
        a[0] == b[0] and (b[1] is None and not math.isfinite(a[1]) or
                          b[1] is not None and math.isclose(a[1], b[1], rel_tol=1e-6))
        for a, b in zip(found, expected))
    wrong += not same
    print(f"{tag}: {len(found)} values, {'as in metrics.jsonl' if same else 'DIFFERENT'}")
sys.exit(wrong > 0)
