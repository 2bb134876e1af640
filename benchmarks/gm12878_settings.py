"""Choose the network's settings on GM12878 in 10-kb bins inside the training folds; keep every score.

    python benchmarks/gm12878_settings.py DATA OUT [--processes 2] [--epochs 12]

DATA holds the files that data_manifests/gm12878_10kb_local.yaml names. Of the three folds that are not held
out, one (the next) serves for validation and two for training. The grid is a network of half the published
width, as 10-kb bins hold less detail than 100-bp bins, with two learning rates. The number of epochs is read
from the validation curve: with the decay of the recipe, a short training equals the beginning of a longer
one. Complete runs in OUT are kept. Takes about half an hour on two cores; writes
benchmarks/results/gm12878.tuning.json.
"""

import argparse
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from _gm12878 import RESULTS, opened

from chromoformer.experiments.variants import run_jobs
from chromoformer.genome import HUMAN_FOLDS
from chromoformer.metrics import MAIN_METRIC
from chromoformer.provenance import write_json
from chromoformer.training.fit import fit
from chromoformer.training.recipe import network_and_recipe

NARROW = {
    "embedding": {"width": 64, "attention_width": 64, "feed_forward_width": 64},
    "pairwise": {"width": 64, "attention_width": 64, "feed_forward_width": 128},
    "regulation": {"layers": 2, "heads": 4, "width": 64, "attention_width": 64, "feed_forward_width": 128},
}
GRID = {
    "narrow, 3e-4": {"network": NARROW, "recipe": {"learning_rate": 3e-4}},
    "narrow, 1e-3": {"network": NARROW, "recipe": {"learning_rate": 1e-3}},
}
VALIDATED_ON = {1: 2, 2: 3, 3: 4, 4: 1}  # held-out fold -> fold that its settings are chosen on


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=12, help="largest number of epochs that is tried")
    parser.add_argument("--tasks", nargs="+", default=list(MAIN_METRIC), choices=list(MAIN_METRIC))
    parser.add_argument(
        "--folds", type=int, nargs="+", default=list(VALIDATED_ON), choices=list(VALIDATED_ON)
    )
    parser.add_argument("--results", type=Path, default=RESULTS / "gm12878.tuning.json")
    options = parser.parse_args()
    complete = (set(options.tasks), set(options.folds)) == (set(MAIN_METRIC), set(VALIDATED_ON))
    if not complete and options.results == RESULTS / "gm12878.tuning.json":
        parser.error(
            "with --tasks or --folds, name another file with --results: the kept one has all of them"
        )
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    store = opened(options.data.resolve(), options.out / "GM12878.h5")
    runs = {
        (task, fold, name): options.out
        / "tuning"
        / task
        / f"fold{fold}"
        / name.replace(", ", "_").replace(" ", "_")
        for task in options.tasks
        for fold in options.folds
        for name in GRID
    }
    jobs = {}
    for (task, fold, name), folder in runs.items():
        recipe = GRID[name]["recipe"] | {"epochs": options.epochs}
        validation = HUMAN_FOLDS[VALIDATED_ON[fold]]
        how = {"task": task, "validation": validation, "measure": False, "progress": False}
        jobs[folder] = partial(
            fit,
            str(store.path),
            folder,
            fold,
            *network_and_recipe(store, GRID[name]["network"], recipe),
            **how,
        )
    run_jobs(jobs, options.processes)
    tried = []
    for (task, fold, name), folder in runs.items():
        curve = pd.read_csv(folder / "history.csv")[f"validation_{MAIN_METRIC[task]}"]
        best = int(curve.idxmax())
        about = {"task": task, "held_out": fold, "validation_fold": VALIDATED_ON[fold], "setting": name}
        found = {"epochs": best + 1, "score": float(curve[best])}
        tried.append(about | found | {"curve": curve.round(5).tolist()})
    table = pd.DataFrame(tried).drop(columns="curve")
    chosen = table.loc[table.groupby(["task", "held_out"])["score"].idxmax()]
    print(chosen.to_string(index=False))
    write_json(options.results, {"grid": GRID, "tried": tried, "chosen": chosen.to_dict("records")})


if __name__ == "__main__":
    main()
