"""This package's side of step.py, in a process of its own; prints JSON."""

import json
import resource
import statistics
import sys
import time

import torch

from chromoformer.data.batches import GeneDataset
from chromoformer.data.store import Store
from chromoformer.model.checkpoint import load
from chromoformer.training import loss_of, new_optimiser


def timed(work, runs):
    for _ in range(3):
        work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def main(store, folder, rows, threads, runs):
    torch.set_num_threads(int(threads))
    data, rows, model = GeneDataset(Store(store)), list(map(int, rows.split(","))), load(folder)
    optimiser = new_optimiser(model, lr=3e-5)
    batch = data.batch(rows)

    def step():
        loss = loss_of(model(batch), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def predict():
        with torch.inference_mode():
            return model(batch)

    output = predict().tolist()
    times = {"batch": timed(lambda: data.batch(rows), int(runs)), "prediction": timed(predict, int(runs)), "training step": timed(step, int(runs))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": times, "median": {k: statistics.median(v) for k, v in times.items()}, "peak_mb": peak, "output": output}))


main(*sys.argv[1:])
