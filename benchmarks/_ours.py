"""This package's side of step.py, in a process of its own.

Does the work that each line of its input names, and answers with the seconds it took.
"""

import json
import sys

import torch
from _published import answer

from chromoformer.data.batches import GeneDataset
from chromoformer.data.store import Store
from chromoformer.model.checkpoint import load
from chromoformer.training.fit import loss_of, new_optimiser


def main(store, folder, rows, threads):
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

    print(json.dumps(predict().tolist()), flush=True)
    answer({"batch": lambda: data.batch(rows), "prediction": predict, "training step": step})


if __name__ == "__main__":
    main(*sys.argv[1:])
