"""The published implementation's side of step.py; runs in its own environment (see `make published`) and prints JSON.

`.cuda()` is made to do nothing, so that it runs on the CPU; nothing else is changed.
"""

import json
import resource
import statistics
import sys
import time

import torch
from torch.utils.data import default_collate

torch.Tensor.cuda = lambda self, *args, **kwargs: self

from chromoformer import ChromoformerClassifier, ChromoformerDataset

INPUTS = ("promoter_feats", "promoter_pad_masks", "pcre_feats", "pcre_pad_masks", "interaction_masks", "interaction_freq")


def timed(work, runs):
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def main(meta, folder, genes, threads, runs, checkpoint):
    torch.set_num_threads(int(threads))
    data = ChromoformerDataset(meta, folder, genes.split(","), binsizes=[2000, 500, 100])
    model = ChromoformerClassifier()
    model.load_state_dict(torch.load(checkpoint, weights_only=False)["net"], strict=False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-5)

    def collate():
        return default_collate([data[i] for i in range(len(data))])

    batch = collate()

    def step():
        loss = torch.nn.functional.cross_entropy(model(*(batch[name] for name in INPUTS)), batch["label"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    @torch.no_grad()
    def predict():
        return model(*(batch[name] for name in INPUTS))

    output = predict().tolist()
    times = {"batch": timed(collate, int(runs)), "prediction": timed(predict, int(runs)), "training step": timed(step, int(runs))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": times, "median": {k: statistics.median(v) for k, v in times.items()}, "peak_mb": peak, "output": output}))


main(*sys.argv[1:])
