"""ingot beside PyTorch, in turns: the tables of docs/benchmarks.md.

    bazel build //tools:ingot //tests/bench:generation_bench
    python3 -m venv /tmp/peer && /tmp/peer/bin/pip install torch transformers
    /tmp/peer/bin/python tests/bench/against_pytorch.py steps|generation [MODEL[,MODEL...]] [TYPE[,TYPE...]]

Every measurement is a process of its own; ours and the peer's alternate, and the best of each counts, so that a
slow minute of the machine hits both. Prints rows of Markdown as they come. Not part of the product or its tests.
"""
import json
import re
import subprocess
import sys

INGOT = "bazel-bin/tools/ingot"
GENERATION = "bazel-bin/tests/bench/generation_bench"


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def our_step(config, kind):
    return json.loads(output(INGOT, "bench", "step", config, "--set", f"precision.compute={kind}", "--steps", "6",
                             "--json"))


def their_step(config, mode):
    text = output(sys.executable, "tests/bench/pytorch_step.py", config, mode, "5")
    return json.loads(text.splitlines()[-1])["tokens_per_second"]


def steps(models, kinds):
    print("| model | ingot | PyTorch eager | ratio | PyTorch compiled | ratio | share of the matmul peak |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for model in models:
        config = f"configs/bench/{model}.json"
        for kind in kinds:
            ours, eager, compiled = [our_step(config, kind)], [], []
            for mode, theirs in ((kind, eager), (kind + "+compile", compiled), (kind, eager)):
                theirs.append(their_step(config, mode))
                ours.append(our_step(config, kind))
            best = max(ours, key=lambda run: run["tokens_per_second"])
            speed, share = best["tokens_per_second"], best["mfu"]
            print(f"| {model}, {kind} | {speed:.0f} | {max(eager):.0f} | {speed / max(eager):.2f} | {max(compiled):.0f} | "
                  f"{speed / max(compiled):.2f} | {100 * share:.0f} % |", flush=True)


def our_generation(config, batch):
    prefill, decode = re.findall(r"([\d.]+) tokens/s", output(GENERATION, config, str(batch)))[:2]
    return float(prefill), float(decode)


def their_generation(config, batch):
    found = json.loads(output(sys.executable, "tests/bench/pytorch_generate.py", config, "bf16", str(batch)).splitlines()[-1])
    return found["prefill_tokens_per_second"], found["decode_tokens_per_second"]


def generation(models, kinds):
    assert kinds == ["bf16"], "generation is compared in bf16"
    print("| model, batch | prefill | transformers | ratio | decode | transformers | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for model in models:
        config = f"configs/bench/{model}.json"
        for batch in (1, 8):
            before, theirs = our_generation(config, batch), their_generation(config, batch)
            after = our_generation(config, batch)
            cells = [f"{model}, {batch}"]
            for our, their in zip(map(max, before, after), theirs):
                cells += [f"{our:.0f}", f"{their:.1f}", f"{our / their:.2f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    what = sys.argv[1]
    default_models = {"steps": "dense_34m,moe_48m,dense_124m", "generation": "dense_124m,moe_48m"}[what]
    default_kinds = {"steps": "bf16,fp32", "generation": "bf16"}[what]
    models = (sys.argv[2] if len(sys.argv) > 2 else default_models).split(",")
    kinds = (sys.argv[3] if len(sys.argv) > 3 else default_kinds).split(",")
    {"steps": steps, "generation": generation}[what](models, kinds)
