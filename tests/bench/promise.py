#!/usr/bin/env python3
"""promise.py INGOT FOLDER [--pairs N] [--steps 100] [--seed 1] [--first 0] [--cgroup]
promise.py INGOT FOLDER --configs N [--seed 1] [--first 0]

What `ingot plan` predicts is what `ingot train` takes at most. FOLDER, on a disk, gets data, runs and
the planner's calibration; standard library only.

--pairs: random (config, budget) pairs of all families, state forms, activations and kinds of
offload, budgets from the smallest that `plan` names upwards; saves, validations and samples on the
way, in some a new plan in the middle (SIGUSR1). Of each: the smallest budget is accepted and one
byte less is not; the run has the arena that was shown; VmHWM, from the end of step 1 to the end of
the process, is at most the prediction (of the larger plan, where there are two). --cgroup: every
other run in a memory control group with that limit (cgroup v1, needs root), which also counts pages
of files that are written.
--configs: random configs with every switch, one step each under RLIMIT_DATA = the promise.

Prints a line for what went wrong, and a summary. The exit code is 1 where anything did. A failure is
repeated alone with --seed S --first I --pairs 1.
"""
import argparse
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import time

MIB = 1 << 20
FAMILIES = ["llama", "qwen2", "qwen3", "deepseek_v2", "deepseek_v3"]


def model(dice, largest):
    family = dice.choice(FAMILIES)
    heads = dice.choice([1, 2, 4])
    width = heads * dice.choice([8, 16, 32, 64][: 2 + largest])
    layers = dice.choice([1, 2, 3, 6, 12, 24][: 3 + largest])
    m = {"model_type": family, "vocab_size": 264 if dice.random() < 0.7 else 4096,
         "hidden_size": width, "intermediate_size": dice.choice([width, 2 * width + 8, 4 * width]),
         "num_hidden_layers": layers, "num_attention_heads": heads, "max_position_embeddings": 512,
         "tie_word_embeddings": dice.random() < 0.3, "bos_token_id": None, "eos_token_id": 0}
    if family.startswith("deepseek"):
        experts = dice.choice([4, 8, 16])
        m.update({"first_k_dense_replace": dice.choice([0, 1, 2]), "n_routed_experts": experts,
                  "n_shared_experts": dice.choice([1, 2]),
                  "num_experts_per_tok": dice.choice([1, 2, 3]),
                  "moe_intermediate_size": dice.choice([8, 24, 64]),
                  "kv_lora_rank": dice.choice([8, 16, 32]),
                  "q_lora_rank": dice.choice([None, 16, 24]), "qk_nope_head_dim": 8,
                  "qk_rope_head_dim": 8, "v_head_dim": dice.choice([8, 16])})
        if family == "deepseek_v2":
            m.update({"topk_method": "greedy", "n_group": 1, "topk_group": 1})
        else:
            m.update({"n_group": 1, "topk_group": 1,
                      "num_nextn_predict_layers": dice.choice([0, 0, 1, 2])})
    else:
        m["num_key_value_heads"] = dice.choice([heads, 1])
        if family == "qwen3":
            m["head_dim"] = dice.choice([8, 16, 32])
        if family == "llama":
            m["attention_bias"] = dice.random() < 0.2
            m["mlp_bias"] = dice.random() < 0.2
    return m


def config(dice, folder, steps, largest):
    sequence = dice.choice([16, 32, 64, 128])
    sequences = dice.choice([1, 2, 4, 8])
    compute = dice.choice(["fp32", "bf16", "bf16", "fp16", "int8"])
    masters = ["fp32", "int8"]
    if compute in ("bf16", "int8"):
        masters += ["bf16", "bf16_residual"]
    in_backward = dice.random() < 0.2
    whole = in_backward or dice.random() < 0.3
    run = {
        "model": model(dice, largest),
        "data": {"train": [str(folder / "data/train-*.bin")],
                 "validation": [str(folder / "data/validation-*.bin")],
                 "sequence_length": sequence, "validation_tokens": 4 * sequence},
        "batch": {"tokens_per_step": sequence * sequences,
                  "micro_batch": sequences if whole else dice.choice(["auto", 1])},
        "optimizer": {"type": dice.choice(["adamw", "adamw", "muon"]),
                      "state": dice.choice(["fp32", "bf16", "int8", "auto"]),
                      "learning_rate": 1e-3, "update_in_backward": in_backward,
                      "clip_norm": dice.choice([0, 1.0])},
        "schedule": {"type": dice.choice(["constant", "linear", "cosine", "wsd", "multi_step"]),
                     "warmup_steps": 0, "steps": steps},
        "precision": {"compute": compute, "master": dice.choice(masters),
                      "wgrad": dice.choice(["int8", "bf16"]), "head": dice.choice(["bf16", "int8"]),
                      "int8_scales": dice.choice(["row", "1x512", "1x128"]),
                      "gradient": dice.choice(["fp32", "fp32", "bf16", "bf16_residual"])},
        "memory": {"activations": dice.choice(["auto", "auto", "keep", "int8", "compact",
                                               "recompute"]),
                   "offload": dice.choice(["auto", "none", "states", "masters", "all"]),
                   "head_chunk": dice.choice(["auto", "auto", 16])},
        "loss": {"balance_type": dice.choice(["sequence", "batch"])},
        "checkpoint": {"every": dice.choice([0, max(1, steps // 4)]), "keep": 1},
        "log": {"every": 1, "validate_every": dice.choice([0, max(1, steps // 3)]),
                "sample_every": dice.choice([0, 0, max(1, steps // 2)]), "sample_prompt": "12",
                "sample_tokens": 8},
        "spike": {"z_score": 0 if in_backward else dice.choice([0, 20])},
    }
    if compute == "fp16" and dice.random() < 0.5:
        run["precision"]["loss_scale"] = 256
    return run


class Trial:
    def __init__(self, options, index):
        self.options = options
        self.dice = random.Random(f"{options.seed}/{index}")
        self.folder = options.folder / f"run{index}"
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)
        self.folder.mkdir(parents=True)
        self.file = self.folder / "run.json"
        self.environment = dict(os.environ, XDG_CACHE_HOME=str(options.folder / "cache"),
                                INGOT_THREADS="2")
        self.problems = []
        self.excess = None  # bytes above the prediction; negative: below
        self.replanned = False
        self.text = ""

    def write(self, run):
        run["checkpoint"]["directory"] = str(self.folder / "out")
        self.file.write_text(json.dumps(run, indent=1))

    def plan(self, budget=None, run=None):
        words = [self.options.ingot, "plan", str(self.file), "--json"]
        if budget is not None:
            words += ["--budget", str(budget)]
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment)
        if done.returncode not in (0, 4):
            self.problems.append(f"plan rc {done.returncode}: {done.stderr.strip()[-300:]}")
            return None
        plan = json.loads(done.stdout)
        plan["accepted"] = done.returncode == 0
        return plan

    def smallest_budget(self):
        plan = self.plan(MIB)
        if plan is None:
            return None
        smallest = plan["predicted_peak_rss_bytes"]
        for budget, wanted in ((smallest, True), (smallest - 1, False)):
            found = self.plan(budget)
            if found is not None and found["accepted"] != wanted:
                self.problems.append(f"budget {budget} of the smallest {smallest} is "
                                     + ("refused" if wanted else "accepted"))
        return smallest

    def train(self, promise, limit=None, group=None, new_budget=None, run=None):
        def before():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            if group is not None:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        with open(self.folder / "out.txt", "w") as out, open(self.folder / "err.txt", "w") as err:
            child = subprocess.Popen([self.options.ingot, "train", str(self.file)], stdout=out,
                                     stderr=err, env=self.environment, preexec_fn=before)
            if new_budget is not None:
                metrics = self.folder / "out/metrics.jsonl"
                watch = os.WEXITED | os.WNOHANG | os.WNOWAIT
                while os.waitid(os.P_PID, child.pid, watch) is None:
                    if metrics.exists() and metrics.read_text().count("\n") > self.options.steps / 3:
                        run["memory"]["budget"] = new_budget
                        self.write(run)
                        child.send_signal(signal.SIGUSR1)
                        break
                    time.sleep(0.01)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        self.text = (self.folder / "out.txt").read_text()
        if child.returncode != 0:
            error = (self.folder / "err.txt").read_text().strip()[-300:]
            self.problems.append(f"train rc {child.returncode}: {error}")
        self.replanned = "the memory budget changed; so far" in self.text
        return usage.ru_maxrss * 1024

    def promise_of_both(self, promise):
        shown = [float(x) for x in re.findall(r"predicted peak +([0-9.]+)  with", self.text)]
        return max([promise] + [int((x + 0.05) * MIB) for x in shown])


def one_pair(options, index):
    trial = Trial(options, index)
    dice = trial.dice
    run = config(dice, options.folder, options.steps, largest=2)
    trial.write(run)
    smallest = trial.smallest_budget()
    ample = trial.plan(1 << 40)
    if smallest is None or ample is None:
        return trial
    most = max(ample["predicted_peak_rss_bytes"], smallest)
    between = dice.choice([0, 0.1, 0.3, dice.random(), 1])
    budget = int(smallest + between * (most - smallest))
    run["memory"]["budget"] = budget
    trial.write(run)
    plan = trial.plan()
    if plan is None or not plan["accepted"]:
        trial.problems.append(f"budget {budget} is refused, {smallest} is not")
        return trial
    promise = plan["predicted_peak_rss_bytes"]
    if promise > budget:
        trial.problems.append(f"{promise} predicted of a budget of {budget}")
    new_budget = int(smallest + dice.random() * (most - smallest)) if dice.random() < 0.25 else None
    group = None
    if options.cgroup and index % 2 == 0:
        group = pathlib.Path(f"/sys/fs/cgroup/memory/promise{os.getpid()}_{index}")
        group.mkdir()
        bound = max(promise, new_budget or 0)
        (group / "memory.limit_in_bytes").write_text(str((bound + 4095) // 4096 * 4096))
    try:
        resident = trial.train(promise, group=group, new_budget=new_budget, run=run)
    finally:
        if group is not None:
            group.rmdir()
    trial.excess = resident - trial.promise_of_both(promise)
    if trial.excess > 0:
        trial.problems.append(f"{resident / MIB:.1f} MiB resident, "
                              f"{(resident - trial.excess) / MIB:.1f} predicted, budget "
                              f"{budget / MIB:.1f}, {describe(run)}")
    first = next((json.loads(line) for line in open(trial.folder / "out/metrics.jsonl")), None) \
        if (trial.folder / "out/metrics.jsonl").exists() else None
    if first and first["arena_bytes"] != plan["arena_bytes"]:
        trial.problems.append(f"plan shows an arena of {plan['arena_bytes']}, the run has "
                              f"{first['arena_bytes']}")
    return trial


def one_config(options, index):
    trial = Trial(options, index)
    run = config(trial.dice, options.folder, 1, largest=1)
    run["memory"]["budget"] = "2GiB"
    trial.write(run)
    plan = trial.plan()
    if plan is None:
        return trial
    promise = plan["predicted_peak_rss_bytes"]
    resident = trial.train(promise, limit=promise)
    trial.excess = resident - promise
    if trial.excess > 0:
        trial.problems.append(f"{resident / MIB:.1f} MiB resident, {promise / MIB:.1f} predicted, "
                              + describe(run))
    return trial


def describe(run):
    m = run["model"]
    return (f"{m['model_type']} {m['num_hidden_layers']}x{m['hidden_size']}, "
            f"{run['precision']['compute']}, offload {run['memory']['offload']}, "
            f"{run['optimizer']['type']} {run['optimizer']['state']}")


def prepare(options):
    if (options.folder / "data").exists():
        return
    text = options.folder / "numbers.txt"
    text.write_text("\n".join(str(i) for i in range(20000)))
    subprocess.run([options.ingot, "prepare", "--input", str(text), "--tokenizer", "train",
                    "--vocab", "264", "--validation", "0.1", "--output",
                    str(options.folder / "data")], check=True, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("ingot")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--configs", type=int, default=0)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cgroup", action="store_true")
    options = parser.parse_args()
    options.ingot = str(pathlib.Path(options.ingot).resolve())
    options.folder = options.folder.resolve()
    options.folder.mkdir(parents=True, exist_ok=True)
    prepare(options)
    one = one_config if options.configs else one_pair
    count = options.configs or options.pairs or 20
    excesses, wrong, replans = [], 0, 0
    for index in range(options.first, options.first + count):
        trial = one(options, index)
        replans += trial.replanned
        if trial.excess is not None:
            excesses.append(trial.excess)
        for problem in trial.problems:
            print(f"{index}: {problem}", flush=True)
        wrong += bool(trial.problems)
        if not trial.problems:
            subprocess.run(["rm", "-rf", str(trial.folder)], check=True)
    what = "configs" if options.configs else "pairs"
    above = sum(e > 0 for e in excesses)
    print(f"{count} {what}, {len(excesses)} ran, {replans} with another plan on the way; {above} above "
          f"the prediction; nearest {max(excesses, default=0) / MIB:+.2f} MiB; {wrong} with a problem")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
