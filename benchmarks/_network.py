"""One measurement of window.py, arithmetic.py, several.py or gpu.py in a process of its own.

`python _network.py WORK ARGUMENTS` prints JSON.
"""

import json
import statistics
import sys
import time

import torch

from chromoformer.model.config import ChromoformerConfig
from chromoformer.model.network import Chromoformer, random_batch
from chromoformer.training.fit import loss_of, new_optimiser


def medians(work, runs, wait=lambda: None):
    "Median seconds of some runs, after three that do not count."
    seconds = []
    for _ in range(3 + runs):
        start = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[3:])


def training_step(config, genes, device="cpu", autocast=None):
    "A function that makes one training step of random genes."
    torch.manual_seed(0)
    model, batch = Chromoformer(config).to(device), random_batch(genes, config).to(device)
    optimiser = new_optimiser(model, lr=3e-5)

    def step():
        with torch.autocast(device, autocast, enabled=autocast is not None):
            loss = loss_of(model(batch).float(), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def window(width, genes, runs):
    "Promoter windows of some width at 100 bp, no pCREs: what is left grows with the bins."
    torch.set_num_threads(2)
    config = ChromoformerConfig(window=int(width), bin_sizes=(100,), max_pcres=0)
    return {
        "seconds": medians(training_step(config, int(genes)), int(runs)),
        "bins": int(width) // 100 * int(genes),
    }


def arithmetic(genes, runs):
    "Matrix products of a training step: how many, how long, and what the machine does at its best."
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(2)
    step = training_step(ChromoformerConfig(), int(genes))
    seconds = medians(step, int(runs))
    with FlopCounterMode(display=False) as counter:
        step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(int(runs)):
            step()
    times = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
    products = sum(times.get(f"aten::{name}", 0) for name in ("mm", "bmm", "addmm", "baddbmm", "baddbmm_"))
    left, right = torch.randn(2, 2048, 2048)
    best = 2 * 2048**3 / medians(lambda: left @ right, int(runs))
    return {
        "seconds": seconds,
        "flop": counter.get_total_flops(),
        "share_of_products": products / sum(times.values()),
        "best_flop_per_second": best,
    }


def train(threads, genes, steps):
    "Seconds of some training steps with some threads."
    torch.set_num_threads(int(threads))
    step = training_step(ChromoformerConfig(), int(genes))
    for _ in range(3):
        step()
    start = time.perf_counter()
    for _ in range(int(steps)):
        step()
    return {"seconds": time.perf_counter() - start}


def gpu(genes, runs):
    "The same step on the accelerator, in float32, with TF32 products and with bfloat16."
    found = {}
    for name, (precision, autocast) in {
        "float32": ("highest", None),
        "TF32": ("high", None),
        "bfloat16": ("high", torch.bfloat16),
    }.items():
        torch.set_float32_matmul_precision(precision)
        found[name] = medians(
            training_step(ChromoformerConfig(), int(genes), "cuda", autocast),
            int(runs),
            torch.cuda.synchronize,
        )
    return {"seconds": found, "gpu": torch.cuda.get_device_name()}


if __name__ == "__main__":
    work = {"window": window, "arithmetic": arithmetic, "train": train, "gpu": gpu}
    print(json.dumps(work[sys.argv[1]](*sys.argv[2:])))
