"""The published implementation's side of throughput.py, in an environment of its own (see `make published`).

`.cuda()` is made to do nothing, so that it runs on the CPU; nothing else is changed.
"""

import sys

import torch
from _published import INPUTS, answer_with

BATCH = 64  # the published default


def main(meta, folder, threads, checkpoint):
    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    import pandas as pd
    from torch.utils.data import DataLoader

    from chromoformer import ChromoformerClassifier, ChromoformerDataset

    torch.set_num_threads(int(threads))
    genes = pd.read_csv(meta)["gene_id"].tolist()
    data = ChromoformerDataset(meta, folder, genes, binsizes=[2000, 500, 100])
    model = ChromoformerClassifier()
    model.load_state_dict(torch.load(checkpoint, weights_only=False)["net"], strict=False)
    model.eval()
    found = []

    @torch.no_grad()
    def work():
        outputs = [model(*(batch[name] for name in INPUTS))[:, 1] for batch in DataLoader(data, BATCH)]
        found[:] = torch.cat(outputs).tolist()

    answer_with(work, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
