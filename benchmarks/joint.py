"""Time and memory of training the joint network of whole genes, on one real cell type and on many.

    python benchmarks/joint.py STORE [STORE ...] [--cell-types 1 5 10 20] [--threads 2]

Trains `whole-gene-joint` on the first store with fold 1 held out, from the start of the command to its
metrics, as often as --runs says (0 keeps the earlier result). Then trains one epoch on the genes of one fold
of many cell types, which are copies of the stores under other names: all genes are read, so that memory
depends neither on the number of epochs nor on that of folds. Takes about ten minutes on two cores.

Writes benchmarks/results/joint.json.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from _gm12878 import RESULTS
from _measure import about, measured

from chromoformer.data.store import Store
from chromoformer.provenance import write_json
from chromoformer.training.recipe import RECIPES

NAME = "whole-gene-joint"
KEPT = RESULTS / "joint.json"
AIM, MUST = 120, 240  # seconds of one network on one cell type
MOST_MEMORY = 4000  # MB over 20 cell types
TRAIN = f"""
import sys, torch
from dataclasses import replace
from chromoformer.data.store import Store
from chromoformer.training.fit import fit
from chromoformer.training.recipe import network_and_recipe
out, threads, epochs, held_out, *paths = sys.argv[1:]
torch.set_num_threads(int(threads))
stores = [Store(path) for path in paths]
network, recipe = network_and_recipe(stores[0], "{NAME}", "{NAME}")
folds = [int(fold) for fold in held_out]
fit(stores, out, folds, network, replace(recipe, epochs=int(epochs)), measure=False, progress=False)
"""


def trained(stores: list[Path], threads: int, epochs: int, held_out: str) -> dict:
    "Train in a process of its own; return seconds and peak memory."
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        took = measured([sys.executable, "-c", TRAIN, run, threads, epochs, held_out, *stores])
    return {name: took[name] for name in ("seconds", "peak_mb")}


def copies(stores: list[Path], number: int, folder: Path) -> list[Path]:
    "Return stores of many cell types: copies of the given ones under other names."
    made = []
    for count in range(number):
        path = folder / f"cell{count}.h5"
        if not path.exists():
            shutil.copy(stores[count % len(stores)], path)
        made.append(path)
    return made


def measured_one(options: argparse.Namespace) -> dict:
    "Train on the first store with fold 1 held out, several times."
    epochs = RECIPES[NAME].epochs
    runs = [trained(options.stores[:1], options.threads, epochs, "1") for _ in range(options.runs)]
    return {
        "cell": Store(options.stores[0]).name,
        "genes": len(Store(options.stores[0]).genes),
        "epochs": epochs,
        "seconds": [run["seconds"] for run in runs],
        "median_seconds": statistics.median(run["seconds"] for run in runs),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "targets": [AIM, MUST],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--cell-types", type=int, nargs="+", default=[1, 5, 10, 20])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    one = measured_one(options) if options.runs else json.loads(KEPT.read_text())["one network"]
    print(one, flush=True)
    many = []
    with tempfile.TemporaryDirectory() as folder:
        for number in options.cell_types:
            stores = copies(options.stores, number, Path(folder))
            many.append({"cell_types": number} | trained(stores, options.threads, 1, "123"))
            print(many[-1], flush=True)
    found = {"what": NAME, "one network": one, "many cell types": many, "threads": options.threads}
    write_json(KEPT, found | {"most_mb": MOST_MEMORY} | about())


if __name__ == "__main__":
    main()
