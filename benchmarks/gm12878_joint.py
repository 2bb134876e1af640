"""Train the joint network of whole genes on GM12878 in 10-kb bins, four folds.

    python benchmarks/gm12878_joint.py DATA OUT [--seeds 3]

DATA holds the files that data_manifests/gm12878_10kb_local.yaml names. Network and recipe are those named
whole-gene-joint, with bins of 2 kb only, because the counts are in bins of 10 kb; nothing is chosen here.
Complete runs in OUT are kept. Takes about half an hour on one core.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from _gm12878 import RESULTS, opened
from _measure import about

from chromoformer.experiments.comparison import mean_scores
from chromoformer.provenance import write_json
from chromoformer.training.fit import fit
from chromoformer.training.recipe import RECIPES, network_and_recipe
from chromoformer.training.run_folder import read_predictions

NETWORK = "whole-gene-joint"
TASKS = ("classification", "regression")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=RECIPES[NETWORK].epochs)
    arguments = parser.parse_args()
    store = opened(arguments.data.resolve(), arguments.out.resolve() / "GM12878.h5")
    network, recipe = network_and_recipe(store, {"base": NETWORK, "bin_sizes": [2000]}, NETWORK)
    recipe = replace(recipe, epochs=arguments.epochs)
    runs = []
    for fold in (1, 2, 3, 4):
        for seed in range(arguments.seeds):
            run = arguments.out / f"joint{arguments.epochs}" / f"fold{fold}" / f"seed{seed}"
            fit(store, run, fold, network, recipe, seed=seed, measure=False, keep=True, progress=False)
            print(f"fold {fold}, seed {seed}", flush=True)
            runs.append((seed, run))
    scores = {}
    for task in TASKS:
        parts = [read_predictions(run, task).query("held_out").assign(seed=seed) for seed, run in runs]
        one = pd.concat(parts, ignore_index=True).assign(model="one network")
        every = pd.concat([one, one.assign(model="mean of networks")], ignore_index=True)
        table = mean_scores(every, task, ensembles=["mean of networks"])
        scores[task] = table.to_dict("records")
        print(table.to_string())
    what = f"GM12878 in 10-kb bins, five marks: the network {NETWORK} in bins of 2 kb"
    write_json(
        RESULTS / "gm12878.joint.json",
        {"what": what, "scores": scores, "seeds": arguments.seeds, "recipe": asdict(recipe), **about()},
    )


if __name__ == "__main__":
    main()
