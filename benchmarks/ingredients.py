"""Measure what each ingredient of the joint whole-gene network adds, in paired comparisons.

    python benchmarks/ingredients.py OUT [--cell K562] [--seeds 3] [--only "no jitter"]

OUT holds the stores that against_trees.py builds. Each variant of `whole-gene-joint` is trained on folds 3
and 4 and predicts fold 2; fold 1 stays untouched, so that it may be held out from what is chosen here. Runs
in OUT/ingredients are kept, and the script may be interrupted. Everything takes two hours on one core.
"""

import argparse
import json
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from _gm12878 import RESULTS
from _measure import about

from chromoformer.data.store import Store
from chromoformer.experiments.comparison import differences, held_out_predictions, mean_scores
from chromoformer.metrics import MAIN_METRIC
from chromoformer.provenance import write_json
from chromoformer.training.fit import fit
from chromoformer.training.recipe import RECIPES, network_and_recipe
from chromoformer.training.run_folder import is_complete

KEPT = RESULTS / "ingredients.json"
CHOSEN_ON, UNTOUCHED = 2, 1
TASKS = ("classification", "regression")
FULL = "full"
VARIANTS: dict[str, tuple[dict, dict]] = {  # name -> settings of the network and of the recipe that differ
    FULL: ({}, {}),
    "six epochs": ({}, {"epochs": 6}),
    "15 epochs": ({}, {"epochs": 15}),
    "only the label": ({"joint": False, "task": "classification"}, {}),
    "only the expression": ({"joint": False, "task": "regression"}, {}),
    "no mean of weights": ({}, {"average": None}),
    "no cosine, no warm-up": ({}, {"cosine": False, "warm_up": 0}),
    "weight decay 0.01": ({}, {"weight_decay": 0.01}),
    "no clipping": ({}, {"clip_norm": None}),
    "no dropout": ({"dropout": 0.0}, {}),
    "no dropped marks": ({}, {"drop_marks": 0.0}),
    "no jitter": ({}, {"jitter": 0.0}),
    "2 kb only": ({"bin_sizes": [2000]}, {}),
    "500 bp only": ({"bin_sizes": [500]}, {}),
    "100 bp, too": ({"bin_sizes": [2000, 500, 100]}, {}),
    "pCREs, too": ({"max_pcres": 8}, {}),
    "no place of the gene's end": ({"positions": ["tss", "others"]}, {}),
    "no place of other genes": ({"positions": ["tss", "end"]}, {}),
    "ranks of depth": ({"scale": "rank"}, {}),
}


def trained(store: Store, out: Path, variant: str, seed: int) -> Path:
    "Train a variant unless its run is complete."
    run = out / "ingredients" / store.name / variant.replace(" ", "_") / f"seed{seed}"
    if not is_complete(run):
        network, changes = VARIANTS[variant]
        config, _ = network_and_recipe(store, {"base": "whole-gene-joint"} | network)
        recipe = replace(RECIPES["whole-gene-joint"], **changes)
        fit(store, run, [UNTOUCHED, CHOSEN_ON], config, recipe, seed=seed, measure=False, progress=False)
    return run


def compared(runs: dict[str, list[Path]], task: str) -> dict:
    "Compare each variant that predicts a task with the full network, on the fold that choices are made on."
    own = {name: places for name, places in runs.items() if predicts(name, task)}
    every = held_out_predictions(own, task=task)
    judged = every[every["fold"] == CHOSEN_ON]
    metric = MAIN_METRIC[task]
    means = mean_scores(judged, task)
    return {
        "values": means[means["metric"] == metric].to_dict("records"),
        "differences": differences(judged, task, FULL).query("metric == @metric").to_dict("records"),
    }


def predicts(variant: str, task: str) -> bool:
    "Return whether a variant predicts a task."
    network = VARIANTS[variant][0]
    return network.get("joint", True) or network["task"] == task


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--cell", default="K562")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    store = Store(arguments.out / f"{arguments.cell}.h5")
    runs = {
        name: [trained(store, arguments.out, name, seed) for seed in range(arguments.seeds)]
        for name in dict.fromkeys([FULL, *arguments.only])
    }
    found = {task: compared(runs, task) for task in TASKS}
    setting = {"cell": arguments.cell, "trained_on": [3, 4], "predicted": CHOSEN_ON, "seeds": arguments.seeds}
    write_json(KEPT, {"what": "ingredients of whole-gene-joint"} | setting | {"found": found} | about())
    print(json.dumps({task: found[task]["differences"] for task in TASKS}, indent=1))


if __name__ == "__main__":
    main()
