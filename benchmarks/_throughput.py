"""This package's side of throughput.py, in a process of its own."""

import sys

import torch
from _published import answer_with

from chromoformer.training.predict import predict


def main(store, folder, threads):
    torch.set_num_threads(int(threads))
    found = []

    def work():
        found[:] = predict(folder, store, progress=False)["output_1"].tolist()

    answer_with(work, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
