"""Run one step of store.py in this process and print JSON: `python _store.py STEP ARGUMENTS`."""

import json
import statistics
import sys
import time

import numpy as np


def simulate(scale, folder):
    "Write the tracks, contacts and expression of one cell type."
    from chromoformer.simulate.epigenome import simulate
    from chromoformer.simulate.rules import MARKS

    genes = 200 if scale == "toy" else None
    simulate(
        folder, genes, scale=scale, cell_types=["cellA"], marks=MARKS, tagalign=(), hic=False, progress=False
    )


def build(manifest, store, processes):
    "Build the store."
    from chromoformer.data.build import build_store

    build_store(manifest, store, processes=int(processes), force=True, progress=False)


def batches(store, where, number=40):
    "Return the seconds needed to open the store, and to make a batch of 64 random genes."
    import torch

    from chromoformer.data.batches import GeneDataset
    from chromoformer.data.store import Store

    torch.set_num_threads(1)
    start = time.perf_counter()
    data = GeneDataset(Store(store), in_memory=where == "memory")
    opened = time.perf_counter() - start
    random, seconds = np.random.default_rng(0), []
    for _ in range(number):
        rows = random.choice(len(data), min(64, len(data)), replace=False)
        start = time.perf_counter()
        data.batch(rows)
        seconds.append(time.perf_counter() - start)
    return {"open_seconds": opened, "batch_seconds": statistics.median(seconds)}


def layout(store, out, compression, rows):
    "Write the signal with a compression; return its size and seconds to write, read all, and read 64 genes."
    import h5py

    from chromoformer.data.store import Store

    found = Store(store)
    signal = found.signal()
    filters = {
        "none": {},
        "gzip": {"compression": "gzip", "compression_opts": 1},
        "lzf": {"compression": "lzf"},
    }[compression]
    start = time.perf_counter()
    with h5py.File(out, "w") as file:
        chunks = (min(int(rows), len(signal)), signal.shape[1])
        file.create_dataset(
            "signal", data=signal, chunks=chunks, shuffle=compression != "none", fletcher32=True, **filters
        )
        size = file["signal"].id.get_storage_size()
    written = time.perf_counter() - start
    start = time.perf_counter()
    with h5py.File(out) as file:
        assert np.array_equal(file["signal"][:], signal)
    read = time.perf_counter() - start
    first, bins = found.regions["first_bin"].to_numpy(), found.regions["bins"].to_numpy()
    seconds, random = [], np.random.default_rng(0)
    for _ in range(10):
        genes = random.choice(len(found.genes), min(64, len(found.genes)), replace=False)
        contacts = np.concatenate(
            [np.arange(found.pcre_start[gene], found.pcre_start[gene + 1]) for gene in genes]
        )
        wanted = np.concatenate([found.promoter_region[genes], found.pcres["region"].to_numpy()[contacts]])
        start = time.perf_counter()
        with h5py.File(out) as file:
            data = file["signal"]
            for region in np.sort(wanted):
                data[first[region] : first[region] + bins[region]]
        seconds.append(time.perf_counter() - start)
    return {
        "bytes": size,
        "write_seconds": written,
        "read_seconds": read,
        "batch_seconds": statistics.median(seconds),
    }


def describe(store):
    "Return what the store contains."
    from chromoformer.data.store import Store

    found = Store(store)
    used = np.unique(found.pcres["region"])
    return {
        "genes": len(found.genes),
        "pcres": len(used),
        "contacts": len(found.pcres),
        "bins": found.bins,
        "channels": list(found.channels),
    }


if __name__ == "__main__":
    steps = {"simulate": simulate, "build": build, "batches": batches, "layout": layout, "describe": describe}
    print(json.dumps(steps[sys.argv[1]](*sys.argv[2:])))
