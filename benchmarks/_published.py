"""The published implementation's side of step.py, in an environment of its own (see `make published`).

`.cuda()` is made to do nothing, so that it runs on the CPU; nothing else is changed.
"""

import json
import resource
import sys
import time

import torch

INPUTS = (
    "promoter_feats",
    "promoter_pad_masks",
    "pcre_feats",
    "pcre_pad_masks",
    "interaction_masks",
    "interaction_freq",
)


def answer(work):
    "For each line `NAME TIMES` of standard input, print the seconds of each run; for `peak`, MB of memory."
    for line in sys.stdin:
        if line.strip() == "peak":
            print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), flush=True)
            continue
        name, times = line.rsplit(" ", 1)
        seconds = []
        for _ in range(int(times)):
            start = time.perf_counter()
            work[name]()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


def answer_with(work, found):
    "For each line `predict TIMES` of standard input, print the seconds of each; for `scores`, the result."
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        if line.strip() == "scores":
            print(json.dumps(found), flush=True)
            continue
        seconds = []
        for _ in range(int(line.split()[1])):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


def main(meta, folder, genes, threads, checkpoint):
    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    from torch.utils.data import default_collate

    from chromoformer import ChromoformerClassifier, ChromoformerDataset

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

    print(json.dumps(predict().tolist()), flush=True)
    answer({"batch": collate, "prediction": predict, "training step": step})


if __name__ == "__main__":
    main(*sys.argv[1:])
